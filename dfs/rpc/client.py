"""The calling end: the meta-server and the data servers as the services' Protocols name them.

Owns the form of a call: parameters, headers, the name by which errors call the peer, and the time that a method's answer may
take. Errors of the other side are raised as the very classes that it raised; what happens on the way is Unreachable, what makes
no sense BadAnswer. Built by dfs/cli; used by any number of threads at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from dfs.core.errors import BadAnswer, BadRequest, DfsError, PeerError, RequestTooLarge, Unreachable
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, Clock
from dfs.core.limits import ACQUIRE_PARK_S, BODY_BYTES_MAX, CALL_TIMEOUT_S, HEARTBEAT_PARK_S
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Clean, Drop, Fence, Sync
from dfs.core.messages.content import Acquire, Truncate
from dfs.core.messages.data_server import CommitFormat, PrepareFormat
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import Mend
from dfs.core.messages.sessions import Heartbeat
from dfs.core.messages.snapshots import StoreSnapshot
from dfs.core.meters import OK, CallMeter
from dfs.core.metrics import Sample
from dfs.core.plain import Plain, answer_type, from_plain, parameters_of
from dfs.rpc import codec
from dfs.rpc.codec import Fault, Malformed
from dfs.rpc.context import write_headers
from dfs.rpc.exchange import Call, Outcome, exchange
from dfs.rpc.faults import error_of
from dfs.rpc.framing import request_head
from dfs.rpc.measures import call_samples
from dfs.rpc.outgoing import gathered
from dfs.rpc.pool import ConnectionPool
from dfs.rpc.signer import Signer
from dfs.rpc.transport import Security

A = TypeVar("A")

SYNC_S: Final = 20.0
"""What a server's disk may take to make everything durable, beyond CALL_TIMEOUT_S."""
ALLOWANCES_S: Final[dict[type[Request[Any]], float]] = {
    Heartbeat: HEARTBEAT_PARK_S,
    Acquire: ACQUIRE_PARK_S,
    Truncate: ACQUIRE_PARK_S,
    **dict.fromkeys((Sync, Fence, Clean, Drop, PrepareFormat, CommitFormat, StoreSnapshot, Mend), SYNC_S),
}
"""What a method itself may wait; others answer at once."""
_NAME_OF: Final = {cls: name for methods in (META_METHODS, BLOCK_METHODS) for name, cls in methods.items()}


class _Line:
    """What both clients share: connections, counters, and the form of a call and its answer."""

    def __init__(self, kind: str, clock: Clock, call_timeout_s: float, signer: Signer | None, tls: Security | None) -> None:
        self._keys = {cls: (kind, name) for cls, name in _NAME_OF.items()}
        """By what calls are counted."""
        self.pool = ConnectionPool(tls)
        self.clock = clock
        self._call_timeout_s = call_timeout_s
        self._signer = signer
        self._mutex = threading.Lock()
        self._calls: Counter[str] = Counter()
        self.meter = CallMeter(threading.Lock())

    @property
    def calls(self) -> dict[str, int]:
        """How often each method was called."""
        with self._mutex:
            return dict(self._calls)

    def prepare(self, ctx: CallContext, address: str, peer: str, request: Request[Any], server: str = "") -> Call:
        """Return the call that carries `request`. Raises: BadRequest, RequestTooLarge."""
        cls = type(request)
        name = _NAME_OF[cls]
        with self._mutex:
            self._calls[name] += 1
        return self.prepare_raw(ctx, address, peer, name, parameters_of(request), server, ALLOWANCES_S.get(cls, 0.0))

    def prepare_raw(
        self,
        ctx: CallContext,
        address: str,
        peer: str,
        name: str,
        parameters: Sequence[Plain],
        server: str,
        allowance_s: float = 0.0,
    ) -> Call:
        """Return the call of a method by its name. Raises: BadRequest, RequestTooLarge."""
        parts = codec.write_request(name, parameters)
        size_bytes = sum(map(len, parts))
        if size_bytes > BODY_BYTES_MAX:
            raise RequestTooLarge("bytes of the request", size_bytes, BODY_BYTES_MAX)
        headers = write_headers(ctx, self.clock.monotonic_s(), server)
        timeout_s = self._call_timeout_s + allowance_s
        if self._signer is not None:
            seal = self._signer.seal(address, peer, server, headers, parts, size_bytes)
            return Call(address, peer, seal.payload(), timeout_s, seal)
        parts.insert(0, request_head(address, headers, size_bytes))
        return Call(address, peer, gathered(parts), timeout_s)

    def answer(self, outcome: Outcome, request: Request[A], call: Call, began_s: float) -> A | DfsError:
        """Return what a server answered to a call that began then, or its error."""
        took_s = self.clock.monotonic_s() - began_s
        answer = self._read(outcome, request, call.peer)
        result = type(answer).__name__ if isinstance(answer, DfsError) else OK
        received_bytes = 0
        if not isinstance(outcome, PeerError):
            received_bytes = len(outcome)
            self.pool.buffers.give_back(outcome)  # whatever was read out of it is a copy
        self.meter.note(self._keys[type(request)], result, took_s, received_bytes, sum(map(len, call.payload)))
        return answer

    def _read(self, outcome: Outcome, request: Request[A], peer: str) -> A | DfsError:
        if isinstance(outcome, PeerError):
            return outcome
        try:
            plain = codec.read_answer(outcome)
            if isinstance(plain, Fault):
                return error_of(plain, peer)
            return from_plain(plain, answer_type(type(request)))
        except (Malformed, BadRequest, RequestTooLarge) as error:
            return BadAnswer(peer, str(error)[:300])


class RawClient:
    """Any server, for calls that are made by hand: nothing is known of methods and their types."""

    def __init__(
        self,
        *,
        address: str,
        peer: str,
        server: str,
        clock: Clock,
        call_timeout_s: float,
        signer: Signer | None = None,
        tls: Security | None = None,
    ) -> None:
        """Nothing is sent yet. `server`: CLUSTER/INDEX of a data server, or empty for the meta-server."""
        self._address = address
        self._peer = f"{peer} at {address}"
        self._server = server
        self._line = _Line("raw", clock, call_timeout_s, signer, tls)

    def call(self, ctx: CallContext, method: str, parameters: Sequence[Plain]) -> Plain:
        """Carry out one call and return its answer as XML-RPC has it.

        Raises: BadRequest if a parameter has no XML-RPC form; the server's error; PeerError leaves.
        """
        line = self._line
        call = line.prepare_raw(ctx, self._address, self._peer, method, parameters, self._server)
        [(_, outcome)] = exchange(line.pool, line.clock, ctx, [call])
        if isinstance(outcome, PeerError):
            raise outcome
        try:
            plain = codec.read_answer(outcome)
        except Malformed as error:
            raise BadAnswer(self._peer, str(error)[:300]) from error
        if isinstance(plain, Fault):
            raise error_of(plain, self._peer)
        answer: Plain = plain
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        self._line.pool.close()


class MetaClient:
    """The meta-server, as MetaApi."""

    def __init__(
        self,
        *,
        address: str,
        peer: str = "meta",
        clock: Clock,
        call_timeout_s: float = CALL_TIMEOUT_S,
        signer: Signer | None = None,
        tls: Security | None = None,
    ) -> None:
        """Nothing is sent yet.

        Arguments: `address`: host:port; `peer`: what errors call the server, before " at ADDRESS"; `signer`: signs the calls, None:
        there is no key; `tls`: what connections are secured with, None: they are not.
        """
        self._address = address
        self._peer = f"{peer} at {address}"
        self._line = _Line("meta", clock, call_timeout_s, signer, tls)

    @property
    def calls(self) -> dict[str, int]:
        """How often each method was called."""
        return self._line.calls

    def measures(self) -> Iterator[Sample]:
        """Yield what was called, and what came of it."""
        return call_samples(self._line.meter)

    @property
    def pool(self) -> ConnectionPool:
        """The connections kept for the next call."""
        return self._line.pool

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request of dfs/core/messages/meta_methods.py.

        Raises: the server's error; PeerError leaves; Interrupted when ctx.cancelled() says so.
        """
        line = self._line
        call = line.prepare(ctx, self._address, self._peer, request)
        began_s = line.clock.monotonic_s()
        [(_, outcome)] = exchange(line.pool, line.clock, ctx, [call])
        answer = line.answer(outcome, request, call, began_s)
        if isinstance(answer, DfsError):
            raise answer
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        self._line.pool.close()


class DataServersClient:
    """All data servers, as DataServers."""

    def __init__(
        self,
        *,
        clock: Clock,
        peer_role: str = "data server",
        call_timeout_s: float = CALL_TIMEOUT_S,
        signer: Signer | None = None,
        tls: Security | None = None,
    ) -> None:
        """Nothing is known yet: set_addresses says where the servers are.

        Arguments: `peer_role`: what errors call one, before its index; `signer`: signs the calls; None: there is no key.
        """
        self._role = peer_role
        self._line = _Line("data", clock, call_timeout_s, signer, tls)
        self._servers: tuple[dict[ServerIndex, str], str] = ({}, "")
        """Addresses and cluster, replaced together so that no call sees half a change."""

    @property
    def calls(self) -> dict[str, int]:
        """How often each method was called, counted once per server."""
        return self._line.calls

    def measures(self) -> Iterator[Sample]:
        """Yield what was called, and what came of it."""
        return call_samples(self._line.meter)

    @property
    def pool(self) -> ConnectionPool:
        """The connections kept for the next call."""
        return self._line.pool

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        """Say where the servers listen (host:port), and the cluster that each must belong to ("": any, or none yet)."""
        self._servers = (dict(addresses), cluster)

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        """Send one request to one server and return its answer.

        Raises: the server's error; PeerError leaves; Interrupted when ctx.cancelled() says so.
        """
        answer = self.call_all(ctx, {server: request})[server]
        if isinstance(answer, DfsError):
            raise answer
        return answer

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        """Send one request to each server; all are written before any answer is read. Errors come back as values.

        Arguments: `patience_s`: a server that is silent for so long is Unreachable, sooner than by the method's own time limit.
        Raises: Interrupted when ctx.cancelled() says so while waiting.
        """
        line = self._line
        addresses, cluster = self._servers
        answers: dict[ServerIndex, A | DfsError] = {}
        prepared: list[tuple[ServerIndex, Call]] = []
        for server, request in calls.items():
            address = addresses.get(server)
            if address is None:
                answers[server] = Unreachable(f"{self._role} {server}", "its address is not known")
                continue
            try:
                call = line.prepare(ctx, address, f"{self._role} {server} at {address}", request, f"{cluster}/{server}")
                if patience_s is not None:
                    call = call._replace(timeout_s=min(call.timeout_s, patience_s))
                prepared.append((server, call))
            except (BadRequest, RequestTooLarge) as error:
                answers[server] = error
        began_s = line.clock.monotonic_s()
        for position, outcome in exchange(line.pool, line.clock, ctx, [call for _, call in prepared]):
            server, call = prepared[position]
            answers[server] = line.answer(outcome, calls[server], call, began_s)
        return answers

    def close(self) -> None:
        """Close the idle connections."""
        self._line.pool.close()
