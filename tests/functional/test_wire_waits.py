"""Goal: no wait on the wire lasts longer than it must, and one bad server harms nobody's call to the others.

Method: our client against real sockets that refuse, hang, trickle, answer garbage or break off; our server against clients
that do the same; deadlines on the clock, with room for a busy machine.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.errors import BadAnswer, DfsError, EndReason, Interrupted, Stopping, Unreachable
from dfs.core.events.wire import LIMIT_REACHED
from dfs.core.ids import NO_OP, NO_SESSION, Generation, Ino, OpId, ServerIndex, SessionId, Ticket
from dfs.core.interfaces import ROOT_CALLER, CallContext, Caller
from dfs.core.limits import BODY_BYTES_MAX, HEADER_BYTES_MAX
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Get, Put, Sync
from dfs.core.messages.data_server import Identify
from dfs.core.messages.requests import Done
from dfs.host.clock import SystemClock
from dfs.rpc import exchange as exchange_module
from dfs.rpc import server as server_module
from dfs.rpc import server_connection
from dfs.rpc.client import DataServersClient
from dfs.rpc.codec import write_answer
from dfs.rpc.framing import answer_head, request_head
from dfs.rpc.load import ONE_PEER, Load
from dfs.rpc.server import RpcServer
from tests.harness.recorded_events import RecordedEvents
from tests.harness.sample_api import SampleApi
from tests.harness.waiting import be_slow, wait_until

CTX = PlainContext("req-1")
SYNC = Sync(Ino(1))
DONE = b"".join(write_answer({}))
GOOD = answer_head(200, b"", len(DONE)) + DONE
SLACK_S = 2.0
"""What a busy machine may add to a bound."""


@dataclass
class EndingContext:
    """A context that ends when told."""

    request_id: str = "req-2"
    session: SessionId = NO_SESSION
    caller: Caller = ROOT_CALLER
    acknowledged: OpId = NO_OP
    deadline_s: float | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def cancelled(self) -> EndReason | None:
        return EndReason.SIGNAL if self.ended.is_set() else None


class Peer:
    """A server of raw bytes: `behave` gets each connection."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # close() ends it
                return
            self._open.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            self._behave(sock)
        except OSError:  # the client under test gave up
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(5)
        for sock in [self._listener, *self._open]:
            sock.close()


def answers(raw: bytes, *, then_close: bool = False) -> Callable[[socket.socket], None]:
    """Return the behaviour that answers every request with `raw`."""

    def behave(sock: socket.socket) -> None:
        while sock.recv(1 << 20):
            sock.sendall(raw)
            if then_close:
                sock.close()
                return

    return behave


def silent(sock: socket.socket) -> None:
    """Read nothing and say nothing until the client gives up."""
    threading.Event().wait(20)


def trickle(sock: socket.socket) -> None:
    """Answer with a byte every 50 ms."""
    for at in range(len(GOOD)):
        sock.sendall(GOOD[at : at + 1])
        be_slow(0.05)


@pytest.fixture
def peers() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    with ExitStack() as stack:

        def make(behave: Callable[[socket.socket], None]) -> str:
            peer = Peer(behave)
            stack.callback(peer.close)
            return peer.address

        yield make


MakePeer = Callable[[Callable[[socket.socket], None]], str]


def client_of(*addresses: str, call_timeout_s: float = 10.0) -> DataServersClient:
    client = DataServersClient(clock=SystemClock(), call_timeout_s=call_timeout_s)
    client.set_addresses({ServerIndex(index): address for index, address in enumerate(addresses)}, "")
    return client


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def api() -> SampleApi:
    return SampleApi()


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def server(api: SampleApi, events: RecordedEvents) -> Iterator[RpcServer]:
    server = RpcServer(
        address="127.0.0.1:0",
        service_name="data",
        methods=BLOCK_METHODS,
        api=api,
        version="1",
        clock=SystemClock(),
        load=Load(ONE_PEER._replace(connections=4)),
        events=events,
    )
    server.start()
    yield server
    server.stop()


def connected(server: RpcServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    wait_until(lambda: server.connections > 0, "the connection to be accepted")
    return sock


# --- bad servers -------------------------------------------------------------------------------------------------------


def test_server_that_does_not_listen_is_unreachable_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        client_of(free_address()).call(CTX, ServerIndex(0), SYNC)
    assert caught.value.peer.startswith("data server 0 at 127.0.0.1:")
    assert caught.value.reason == "Connection refused"
    assert time.monotonic() - started < SLACK_S


def test_address_that_is_none_makes_the_server_unreachable() -> None:
    with pytest.raises(Unreachable, match="expected host:port"):
        client_of("nonsense").call(CTX, ServerIndex(0), SYNC)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff\x17garbage",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        b"H" * (HEADER_BYTES_MAX + 1),
        answer_head(200, b"", len(DONE)) + DONE.replace(b"<struct>", b"<struct><member><name>x</name><value/></member>"),
    ],
)
def test_answer_that_is_garbage_is_a_bad_answer(peers: MakePeer, raw: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        client_of(peers(answers(raw))).call(CTX, ServerIndex(0), SYNC)
    assert caught.value.peer.startswith("data server 0 at ")


@pytest.mark.parametrize("length", [0, 10, len(GOOD) // 2, len(GOOD) - 1])
def test_answer_that_breaks_off_is_unreachable(peers: MakePeer, length: int) -> None:
    with pytest.raises(Unreachable, match=r"closed|reset"):
        client_of(peers(answers(GOOD[:length], then_close=True))).call(CTX, ServerIndex(0), SYNC)


@pytest.mark.parametrize("behave", [silent, trickle])
def test_server_that_does_not_finish_its_answer_is_unreachable_in_time(
    peers: MakePeer, behave: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfs.rpc.client.ALLOWANCES_S", {})
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
        client_of(peers(behave), call_timeout_s=0.3).call(CTX, ServerIndex(0), SYNC)
    assert 0.3 <= time.monotonic() - started < 0.3 + SLACK_S


def test_server_that_does_not_take_connections_is_unreachable_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        address = f"127.0.0.1:{full.getsockname()[1]}"
        for _ in range(3):  # fill the queue of connections that nobody accepts
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        with pytest.raises(Unreachable, match=r"no connection within 0\.3 s"):
            client_of(address).call(CTX, ServerIndex(0), SYNC)


def test_one_silent_server_of_four_delays_no_other_answer(peers: MakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfs.rpc.client.ALLOWANCES_S", {})
    arrived: dict[str, float] = {}

    def noted(name: str) -> Callable[[socket.socket], None]:
        def behave(sock: socket.socket) -> None:
            sock.recv(1 << 20)
            arrived[name] = time.monotonic()
            sock.sendall(GOOD)

        return behave

    client = client_of(peers(noted("a")), peers(silent), peers(noted("b")), free_address(), call_timeout_s=1.0)
    started = time.monotonic()
    results: dict[ServerIndex, Done | DfsError] = client.call_all(CTX, dict.fromkeys(map(ServerIndex, range(4)), SYNC))
    assert [type(results[ServerIndex(index)]) for index in range(4)] == [Done, Unreachable, Done, Unreachable]
    assert max(arrived.values()) - started < 0.9
    assert time.monotonic() - started < 1.0 + SLACK_S


def test_all_requests_are_written_before_any_answer_is_needed(peers: MakePeer) -> None:
    everybody = threading.Barrier(4, timeout=5)

    def together(sock: socket.socket) -> None:
        sock.recv(1 << 20)
        everybody.wait()  # no server answers before all have their request
        sock.sendall(GOOD)

    results = client_of(*(peers(together) for _ in range(4))).call_all(CTX, dict.fromkeys(map(ServerIndex, range(4)), SYNC))
    assert list(results.values()) == [Done()] * 4


def test_request_and_answer_larger_than_all_buffers_do_not_deadlock(server: RpcServer, api: SampleApi) -> None:
    data = os.urandom(8 << 20)
    api.on_call = lambda _, __: Blocks(b"", data)
    client = client_of(server.address, server.address)
    get = Get(Ino(1), Ticket(0), (), (), ())
    assert client.call_all(CTX, {ServerIndex(0): get, ServerIndex(1): get}) == {0: Blocks(b"", data), 1: Blocks(b"", data)}
    api.on_call = None
    put = Put(Ino(1), Ticket(1), Generation(1), (), b"", data)
    assert client.call_all(CTX, {ServerIndex(0): put, ServerIndex(1): put}) == {0: Done(), 1: Done()}
    assert api.seen[-1][1] == put


def test_server_that_refuses_a_large_request_early_is_heard(peers: MakePeer) -> None:
    words = b"too large"
    refusal = answer_head(413, b"Connection: close\r\n", len(words)) + words

    def refuse(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(refusal)
        while sock.recv(1 << 20):
            pass

    put = Put(Ino(1), Ticket(1), Generation(1), (), b"", bytes(8 << 20))
    with pytest.raises(BadAnswer, match="HTTP status 413: too large"):
        client_of(peers(refuse)).call(CTX, ServerIndex(0), put)


# --- ending a wait -----------------------------------------------------------------------------------------------------


def test_cancelled_context_ends_a_wait_within_half_a_second(peers: MakePeer) -> None:
    ctx = EndingContext()
    client = client_of(peers(silent))
    ended: list[float] = []

    def call() -> None:
        with pytest.raises(Interrupted, match="signal"):
            client.call(ctx, ServerIndex(0), SYNC)
        ended.append(time.monotonic())

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: client.pool.opened == 1, "the call to be under way")
    cancelled_at = time.monotonic()
    ctx.ended.set()
    thread.join(10)
    assert ended[0] - cancelled_at < 0.5


def test_cancelled_context_sends_nothing(server: RpcServer, api: SampleApi) -> None:
    ctx = EndingContext()
    ctx.ended.set()
    with pytest.raises(Interrupted):
        client_of(server.address).call(ctx, ServerIndex(0), SYNC)
    assert api.seen == []


def parked(api: SampleApi) -> threading.Event:
    """Make calls wait until their context ends; return what is set once one waits."""
    waits = threading.Event()

    def park(ctx: CallContext, _: object) -> None:
        waits.set()
        wait_until(lambda: ctx.cancelled() is not None, "the end of the context")
        reason = ctx.cancelled()
        assert reason is not None
        raise Interrupted(reason.value)

    api.on_call = park
    return waits


def test_deadline_of_the_caller_ends_a_parked_call(server: RpcServer, api: SampleApi) -> None:
    parked(api)
    client = client_of(server.address)
    ctx = PlainContext("r", deadline_s=time.clock_gettime(time.CLOCK_BOOTTIME) + 0.3)
    started = time.monotonic()
    with pytest.raises(Interrupted, match="deadline"):
        client.call(ctx, ServerIndex(0), SYNC)
    assert 0.25 <= time.monotonic() - started < 0.3 + SLACK_S


def test_stop_ends_parked_calls_and_idle_connections(server: RpcServer, api: SampleApi) -> None:
    client = client_of(server.address)
    client.call(CTX, ServerIndex(0), Identify())
    idle = connected(server)
    # One that still waits to be accepted would be reset, not closed.
    wait_until(lambda: server.connections == 2, "both connections to be accepted")
    waits = parked(api)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(client.call_all(CTX, {ServerIndex(0): SYNC})[ServerIndex(0)]))
    thread.start()
    assert waits.wait(5)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 1.0
    thread.join(5)
    assert isinstance(got[0], Stopping)
    assert idle.recv(1) == b""
    idle.close()
    assert server.connections == 0
    with pytest.raises(Unreachable):
        client.call(CTX, ServerIndex(0), SYNC)


def test_stop_aborts_a_call_that_does_not_end(
    server: RpcServer, api: SampleApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "STOP_WAIT_S", 0.2)
    monkeypatch.setattr(server_module, "ABORT_WAIT_S", 0.2)
    waits, release = threading.Event(), threading.Event()

    def deaf(_: object, __: object) -> Done:
        waits.set()
        release.wait(10)
        return Done()

    api.on_call = deaf
    got: list[Any] = []
    client = client_of(server.address)
    thread = threading.Thread(target=lambda: got.append(client.call_all(CTX, {ServerIndex(0): SYNC})[ServerIndex(0)]))
    thread.start()
    assert waits.wait(5)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 0.4 + SLACK_S
    thread.join(5)
    assert isinstance(got[0], Unreachable)
    assert "aborting a call" in caplog.text
    release.set()
    wait_until(lambda: server.connections == 0, "the call to end")


# --- kept connections --------------------------------------------------------------------------------------------------


def test_kept_connection_that_the_server_closed_is_replaced_once(peers: MakePeer) -> None:
    connections: list[socket.socket] = []

    def once(sock: socket.socket) -> None:
        connections.append(sock)
        sock.recv(1 << 20)
        sock.sendall(GOOD)
        sock.recv(1)  # the next request: break off without an answer
        sock.shutdown(socket.SHUT_RDWR)

    client = client_of(peers(once))
    for _ in range(3):
        assert client.call(CTX, ServerIndex(0), SYNC) == Done()
    assert len(connections) == 3


def test_request_on_a_fresh_connection_is_not_sent_twice(peers: MakePeer) -> None:
    requests: list[int] = []

    def break_off(sock: socket.socket) -> None:
        requests.append(len(sock.recv(1 << 20)))
        sock.shutdown(socket.SHUT_RDWR)

    with pytest.raises(Unreachable):
        client_of(peers(break_off)).call(CTX, ServerIndex(0), SYNC)
    assert len(requests) == 1


def test_answer_with_bytes_after_it_is_taken_but_its_connection_is_not_kept(peers: MakePeer) -> None:
    client = client_of(peers(answers(GOOD + b"HTTP/1.1 and more")))
    assert client.call(CTX, ServerIndex(0), SYNC) == Done()
    assert client.call(CTX, ServerIndex(0), SYNC) == Done()
    assert (client.pool.opened, client.pool.reused) == (2, 0)


# --- bad clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01 garbage", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
        (b"POST / HTTP/1.1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1) + b"x" * 300_000, b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nA: " + b"x" * HEADER_BYTES_MAX, b"431"),
    ],
)
def test_client_that_sends_no_request_is_told_and_the_server_goes_on(server: RpcServer, raw: bytes, status: bytes) -> None:
    with connected(server) as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert client_of(server.address).call(CTX, ServerIndex(0), SYNC) == Done()


def posted(server: RpcServer, body: bytes) -> bytes:
    with connected(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return sock.makefile("rb").read()


def test_xml_bomb_and_broken_xml_are_faults(server: RpcServer, api: SampleApi) -> None:
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><methodCall><methodName>&b;</methodName></methodCall>"
    for body in (bomb, b"<methodCall>", b"", b"\xff"):
        answer = posted(server, body)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"<int>301</int>" in answer
    assert api.seen == []


def test_headers_that_make_no_sense_are_a_fault(server: RpcServer, api: SampleApi) -> None:
    with connected(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nX-DFS-Caller: root\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        answer = sock.makefile("rb").read()
    assert b"X-DFS-Caller: expected uid:gid:g1,g2" in answer
    assert api.seen == []


@pytest.mark.parametrize("limit", ["IDLE_TIMEOUT_S", "REQUEST_TIMEOUT_S"])
def test_client_that_stays_idle_or_trickles_is_dropped_in_time(
    server: RpcServer, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(server_connection, limit, 0.3)
    started = time.monotonic()
    with connected(server) as sock:
        if limit == "IDLE_TIMEOUT_S":
            sock.sendall(request_head("h", b"", 0))
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        sock.settimeout(0.05)
        ended = False
        while not ended and time.monotonic() - started < 10:
            try:
                if limit == "REQUEST_TIMEOUT_S":
                    sock.sendall(b"P")
                ended = sock.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
    assert ended
    assert time.monotonic() - started < 0.3 + SLACK_S


def test_connection_over_the_limit_is_refused_and_others_go_on(server: RpcServer, events: RecordedEvents) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connected(server))
        wait_until(lambda: server.connections == 4, "four connections")
        for _ in range(2):
            with pytest.raises(Unreachable, match=r"503|closed|reset"):
                client_of(server.address).call(CTX, ServerIndex(0), SYNC)
    wait_until(lambda: server.connections == 0, "the connections to end")
    assert client_of(server.address).call(CTX, ServerIndex(0), SYNC) == Done()
    assert [(event.peer, event.details["limit"]) for event in events.of(LIMIT_REACHED)] == [("127.0.0.1", "connections")]
