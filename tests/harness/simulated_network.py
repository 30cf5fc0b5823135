"""The network of the simulator: carries requests between simulated processes, and loses, delays, repeats and reorders them.

Stands in for dfs.rpc: implements MetaApi and DataServers by running the target's service in a task of the target's process. A
message passes through plain values as on the wire, errors through their faults, so that processes share no object. Promises what
TCP does: an answer belongs to its request; a request to a process that ended is refused or breaks off; silence ends in Unreachable
after the time that rpc/client.py waits. All chance comes from `chance`; tests/harness/baton.py decides who runs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from dfs.core.errors import DfsError, DiskError, EndReason, ServerFailed, Unreachable
from dfs.core.ids import OpId, ServerIndex, SessionId
from dfs.core.interfaces import POLL_S, CallContext, Caller, raise_if_cancelled
from dfs.core.joined_bytes import JoinedBytes
from dfs.core.limits import CALL_TIMEOUT_S
from dfs.core.messages.requests import Request
from dfs.core.peers import THIS_PROCESS, Peer
from dfs.core.plain import answer_type, from_plain, parameters_of, request_from_parameters, to_plain
from dfs.core.start_errors import StartError
from dfs.rpc.client import ALLOWANCES_S
from dfs.rpc.context import check_server
from dfs.rpc.faults import error_of, fault_of
from tests.harness.baton import Baton, Process, SimulatedTask
from tests.harness.simulated_tasks import SimulatedClock

A = TypeVar("A")


class Api(Protocol):
    """A service: MetaApi or BlockApi."""

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request."""


@dataclass(frozen=True, slots=True)
class ArrivedContext:
    """The context of a call that arrived."""

    request_id: str
    session: SessionId
    caller: Caller
    acknowledged: OpId
    deadline_s: float | None
    clock: SimulatedClock
    endpoint: Endpoint

    def cancelled(self) -> EndReason | None:
        if self.endpoint.is_stopping:
            return EndReason.SHUTDOWN
        if self.deadline_s is not None and self.clock.monotonic_s() >= self.deadline_s:
            return EndReason.DEADLINE
        return None


class Endpoint:
    """Where one server listens, if it does."""

    def __init__(self, name: str, address: str, clock: SimulatedClock) -> None:
        self.name = name
        self.address = address
        self.clock = clock
        self.process: Process | None = None
        self.service: Api | None = None
        self.identity: Callable[[], str] | None = None
        self.is_stopping = False
        self.serving: list[_Flight] = []

    def listen(self, process: Process, service: Api, identity: Callable[[], str] | None = None) -> None:
        """Accept requests from now on."""
        self.process, self.service, self.identity = process, service, identity
        self.is_stopping = False

    def close(self) -> None:
        """Refuse requests from now on."""
        self.service = None


@dataclass
class MessageFaults:
    """How often something happens to a message."""

    drop_request: float = 0.0
    drop_answer: float = 0.0
    delay: float = 0.0
    duplicate: float = 0.0


class _Flight:
    """One request under way, and its answer. Whoever gave it up does not look at it any more."""

    __slots__ = ("ends_s", "method", "outcome", "peer", "source", "target", "waiter")

    def __init__(self, source: str, target: Endpoint, peer: str, method: str, waiter: SimulatedTask, ends_s: float) -> None:
        self.source = source
        self.target = target
        self.peer = peer
        self.method = method
        self.waiter = waiter
        self.ends_s = ends_s
        self.outcome: Any = None
        """(answer as plain values, its fault or None), or Unreachable."""


@dataclass
class Network:
    """All connections of a run. `cut`: (from, to) pairs of names between which nothing passes in this direction."""

    baton: Baton
    chance: random.Random
    faults: MessageFaults = field(default_factory=MessageFaults)
    cut: set[tuple[str, str]] = field(default_factory=set)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    """By address."""
    calls: Counter[str] = field(default_factory=Counter)
    """Requests sent, by "name of the caller's process.method"; without those of scrubs."""
    scrub_calls: Counter[str] = field(default_factory=Counter)
    """Likewise, what scrubs have sent, and what others have on their behalf."""
    latency_s_max: float = 0.002

    def add(self, endpoint: Endpoint) -> None:
        """Make an endpoint known."""
        self.endpoints[endpoint.address] = endpoint

    def send(
        self, source: Sender, target: Endpoint, meant: str, ctx: CallContext, request: Request[Any], peer: str, limit_s: float
    ) -> _Flight:
        """Put a request on its way; the flight's outcome is set some time."""
        baton, chance, faults = self.baton, self.chance, self.faults
        method = type(request).__name__
        flight = _Flight(source.name, target, peer, method, baton.current, baton.now_s + limit_s)
        counted = self.scrub_calls if ctx.request_id.endswith("-scrub") else self.calls
        counted[f"{source.name}.{method}"] += 1
        parameters = [_frozen(value) for value in parameters_of(request)]
        left_s = None if ctx.deadline_s is None else ctx.deadline_s - source.clock.monotonic_s()
        caller = replace(ctx.caller, peer=source.peer)
        message = _Message(type(request), parameters, ctx.request_id, ctx.session, caller, ctx.acknowledged, left_s, meant)
        fate = chance.random()
        latency_s = chance.random() * self.latency_s_max
        if fate < faults.drop_request:
            baton.note(f"{source.name}>{target.name} {method} lost")
            self._break(flight, is_silent=chance.random() < 0.3)
            return flight
        fate -= faults.drop_request
        is_answer_lost = fate < faults.drop_answer
        fate -= faults.drop_answer
        if not is_answer_lost and 0 <= fate < faults.delay:
            latency_s += chance.choice((0.05, 0.5, 2.0, 12.0)) * chance.random()
        fate -= faults.delay
        baton.note(f"{source.name}>{target.name} {method}")
        baton.at(baton.now_s + latency_s, lambda: self._arrive(flight, message, is_answer_lost=is_answer_lost))
        if 0 <= fate < faults.duplicate:
            # The sender's connection broke, and it sent the request once more; the server had received the first one all the same.
            process, late_s = target.process, chance.choice((0.001, 0.2, 3.0, 40.0)) * chance.random()
            stray = _Flight(source.name, target, peer, method, baton.current, 0.0)
            baton.at(baton.now_s + late_s, lambda: self._arrive(stray, message, is_answer_lost=True, process=process))
        return flight

    def _arrive(self, flight: _Flight, message: _Message, *, is_answer_lost: bool, process: Process | None = None) -> None:
        """Have the target carry a request out. `process`: only if it is still this one."""
        target = flight.target
        if (flight.source, target.name) in self.cut:
            return  # silence
        if process is not None and target.process is not process:
            return  # a connection to a process that has ended
        if target.service is None or target.process is None or not target.process.is_alive:
            self._answer(flight, Unreachable(flight.peer, "connection refused"))
            return
        if flight.ends_s:
            target.serving.append(flight)
        name = f"{message.cls.__name__} for {flight.source}"
        self.baton.spawn(target.process, name, lambda: self._serve(flight, message, is_answer_lost=is_answer_lost))

    def _serve(self, flight: _Flight, message: _Message, *, is_answer_lost: bool) -> None:
        target = flight.target
        service = target.service
        if service is None:
            outcome: Any = Unreachable(flight.peer, "the connection was closed")
        else:
            try:
                request = request_from_parameters(message.cls, message.parameters)
                if target.identity is not None and message.meant:
                    check_server({b"x-dfs-server": message.meant.encode()}, target.identity())
                ctx = message.context(target)
                raise_if_cancelled(ctx)
                outcome = (_frozen(to_plain(service.call(ctx, request))), None)
            except DfsError as error:
                outcome = (None, fault_of(error, target.name))
                if isinstance(error, DiskError | StartError | ServerFailed):
                    raise AssertionError(f"{target.name} let {error!r} out of {message.cls.__name__}") from error
        if flight in target.serving:
            target.serving.remove(flight)
        if is_answer_lost:
            self.baton.note(f"{target.name}>{flight.source} {flight.method} answer lost")
            self._break(flight, is_silent=self.chance.random() < 0.3)
            return
        self.baton.at(self.baton.now_s + self.chance.random() * self.latency_s_max, lambda: self._answer(flight, outcome))

    def connections_broken(self, endpoint: Endpoint) -> None:
        """Tell callers that the process which was answering them has ended, as the kernel of its machine does."""
        flights, endpoint.serving = endpoint.serving, []
        for flight in flights:
            self._break(flight, is_silent=False)

    def _break(self, flight: _Flight, *, is_silent: bool) -> None:
        """Let the caller know at once that a connection broke, or wait for its time to be over."""
        if not is_silent:
            when_s = self.baton.now_s + self.chance.random() * 0.01
            self.baton.at(when_s, lambda: self._answer(flight, Unreachable(flight.peer, "the connection broke")))

    def _answer(self, flight: _Flight, outcome: Any) -> None:
        if (flight.target.name, flight.source) in self.cut or flight.outcome is not None:
            return
        flight.outcome = outcome
        self.baton.ready(flight.waiter)


@dataclass(frozen=True, slots=True)
class _Message:
    """A request as it travels."""

    cls: type[Request[Any]]
    parameters: list[Any]
    request_id: str
    session: SessionId
    caller: Caller
    acknowledged: OpId
    left_s: float | None
    meant: str

    def context(self, endpoint: Endpoint) -> ArrivedContext:
        """Return the context in which it is carried out."""
        clock = endpoint.clock
        deadline_s = None if self.left_s is None else clock.monotonic_s() + max(0.0, self.left_s)
        return ArrivedContext(self.request_id, self.session, self.caller, self.acknowledged, deadline_s, clock, endpoint)


@dataclass(frozen=True, slots=True)
class Sender:
    """The end of a connection from which calls come."""

    name: str
    clock: SimulatedClock
    process: Process
    peer: Peer = THIS_PROCESS
    """As whom servers know it."""


class SimulatedMeta:
    """MetaApi of one process."""

    def __init__(self, network: Network, source: Sender, endpoint: Endpoint) -> None:
        self._network = network
        self._source = source
        self._endpoint = endpoint

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request, over the network."""
        raise_if_cancelled(ctx)
        limit_s = CALL_TIMEOUT_S + ALLOWANCES_S.get(type(request), 0.0)
        flight = self._network.send(self._source, self._endpoint, "", ctx, request, "meta", limit_s)
        _await(self._network.baton, ctx, [flight])
        answer = _outcome(flight, request)
        if isinstance(answer, DfsError):
            raise answer
        return answer


class SimulatedServers:
    """DataServers of one process."""

    def __init__(self, network: Network, source: Sender) -> None:
        self._network = network
        self._source = source
        self._addresses: dict[ServerIndex, str] = {}
        self._cluster = ""

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        """Say where the servers listen."""
        self._addresses, self._cluster = dict(addresses), cluster

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        """Send one request to each server. Errors come back as values."""
        raise_if_cancelled(ctx)
        network = self._network
        answers: dict[ServerIndex, A | DfsError] = {}
        flights: dict[ServerIndex, _Flight] = {}
        for server, request in calls.items():
            address = self._addresses.get(server)
            if address is None:
                answers[server] = Unreachable(f"data server {server}", "its address is not known")
                continue
            limit_s = CALL_TIMEOUT_S + ALLOWANCES_S.get(type(request), 0.0)
            if patience_s is not None:
                limit_s = min(limit_s, patience_s)
            target, meant, peer = network.endpoints[address], f"{self._cluster}/{server}", f"data server {server}"
            flights[server] = network.send(self._source, target, meant, ctx, request, peer, limit_s)
        _await(network.baton, ctx, list(flights.values()))
        for server, flight in flights.items():
            answers[server] = _outcome(flight, calls[server])
        return answers

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        """Send one request to one server and return its answer, or raise its error."""
        answer = self.call_all(ctx, {server: request})[server]
        if isinstance(answer, DfsError):
            raise answer
        return answer


def _await(baton: Baton, ctx: CallContext, flights: list[_Flight]) -> None:
    """Wait for the outcome of all flights. Raises: Interrupted when ctx.cancelled() says so meanwhile; Killed."""
    for flight in flights:
        while flight.outcome is None:
            if baton.now_s >= flight.ends_s:
                flight.outcome = Unreachable(flight.peer, "no answer")
            else:
                baton.wait_polling(flight.ends_s, lambda: ctx.cancelled() is not None, POLL_S)
                raise_if_cancelled(ctx)


def _outcome(flight: _Flight, request: Request[A]) -> A | DfsError:
    outcome = flight.outcome
    if isinstance(outcome, DfsError):
        return outcome
    plain, fault = outcome
    if fault is not None:
        return error_of(fault, flight.peer)
    return from_plain(plain, answer_type(type(request)))


def _frozen(plain: Any) -> Any:
    """Return plain values without buffers that their owner might still change."""
    if isinstance(plain, bytearray | memoryview | JoinedBytes):
        return bytes(plain)
    if isinstance(plain, list):
        return [_frozen(value) for value in plain]
    if isinstance(plain, dict):
        return {name: _frozen(value) for name, value in plain.items()}
    return plain
