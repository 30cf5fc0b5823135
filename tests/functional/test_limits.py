"""Goal: whoever goes over a limit of a server is told so, once to the operator, and loses its connection; nobody else notices.

Method: a real server on loopback with small limits; the peer that goes over one and the good client have different addresses of
loopback. Each case says what the peer sends, what it must be answered, and which limit the event names.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.errors import Unreachable
from dfs.core.events.wire import LIMIT_REACHED
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.limits import (
    BODY_BYTES_MAX,
    BODY_BYTES_TRUSTED,
    BYTES_IN_FLIGHT_MAX,
    BYTES_IN_FLIGHT_PER_PEER_MAX,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    HEADER_BYTES_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    REQUESTS_IN_FLIGHT_PER_PEER_MAX,
    XML_DEPTH_MAX,
)
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Get, Sync
from dfs.core.messages.requests import Done, Request
from dfs.core.plain import parameters_of
from dfs.host.clock import SystemClock
from dfs.rpc import codec, own_form, server_connection
from dfs.rpc.client import DataServersClient
from dfs.rpc.codec import write_request
from dfs.rpc.dispatch import MULTICALL_CALLS_MAX
from dfs.rpc.framing import MessageReader, parse_request_head, request_head
from dfs.rpc.limit_reports import PERIOD_S, LimitReports
from dfs.rpc.load import ALL, ONE_PEER, Load, Overload, Share, peer_name
from dfs.rpc.pool import IDLE_PER_ADDRESS_MAX
from dfs.rpc.server import RpcServer
from tests.harness.fake_clock import FakeClock
from tests.harness.recorded_events import RecordedEvents
from tests.harness.sample_api import SampleApi
from tests.harness.waiting import wait_until

BAD_PEER = "127.0.0.2"
SYNC = Sync(Ino(1))
CTX = PlainContext("req-1")


@pytest.fixture
def api() -> SampleApi:
    return SampleApi()


@dataclass
class Served:
    """A server, its events, and how a good client and a bad peer reach it."""

    server: RpcServer
    events: RecordedEvents
    stack: ExitStack

    def good(self) -> None:
        """Make a call as a good client; it must succeed."""
        client = DataServersClient(clock=SystemClock())
        client.set_addresses({ServerIndex(0): self.server.address}, "")
        assert client.call(CTX, ServerIndex(0), SYNC) == Done()
        client.close()

    def connect(self, source: str = BAD_PEER) -> socket.socket:
        host, _, port = self.server.address.rpartition(":")
        return self.stack.enter_context(socket.create_connection((host, int(port)), 10, (source, 0)))

    def told(self) -> list[tuple[str | None, object]]:
        """Return peer and limit of each event."""
        return [(event.peer, event.details["limit"]) for event in self.events.of(LIMIT_REACHED)]


Serve = Callable[..., Served]


@pytest.fixture
def serve(api: SampleApi) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(load: Load | None = None) -> Served:
            events = RecordedEvents()
            server = RpcServer(
                address="127.0.0.1:0",
                service_name="data",
                methods=BLOCK_METHODS,
                api=api,
                version="1",
                clock=SystemClock(),
                load=load,
                events=events,
            )
            server.start()
            stack.callback(server.stop)
            return Served(server, events, stack)

        yield start


def framed(document: bytes, length: int | None = None) -> bytes:
    return request_head("h", b"", len(document) if length is None else length) + document


def call_of(*parameters: object, method: str = "sync") -> bytes:
    return b"".join(write_request(method, parameters))  # type: ignore[arg-type]


DEEP = b"<methodCall><methodName>sync</methodName><params><param>" + b"<value><array><data>" * XML_DEPTH_MAX
MULTICALL = call_of([{"methodName": "sync", "params": [1]}] * (MULTICALL_CALLS_MAX + 1), method="system.multicall")


def all_of(sock: socket.socket) -> bytes:
    """Return everything that comes until the server closes the connection; a reset ends it, too."""
    received = b""
    try:
        while part := sock.recv(1 << 16):
            received += part
    except ConnectionError:
        pass
    return received


# --- one message over a limit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "answered", "limit"),
    [
        pytest.param(b"POST / HTTP/1.1\r\nA: " + b"x" * HEADER_BYTES_MAX, b"HTTP/1.1 431", "bytes of a head", id="head"),
        pytest.param(framed(b"", BODY_BYTES_MAX + 1), b"HTTP/1.1 413", "bytes of a body", id="body"),
        pytest.param(framed(DEEP), b"<int>303</int>", "XML depth", id="depth"),
        pytest.param(framed(call_of([1] * 200)), b"<int>303</int>", "XML elements", id="elements"),
        pytest.param(framed(MULTICALL), b"<int>303</int>", "calls of a multicall", id="batch"),
        pytest.param(b"POST / HT", b"HTTP/1.1 408", "seconds for a request", id="slow head"),
        pytest.param(framed(b"<meth", 100), b"HTTP/1.1 408", "seconds for a request", id="slow body"),
        pytest.param(b"", b"HTTP/1.1 408", "seconds for a request", id="silence"),
    ],
)
def test_message_over_a_limit_is_answered_told_once_and_ends_its_connection_alone(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes, answered: bytes, limit: str
) -> None:
    monkeypatch.setattr(server_connection, "REQUEST_TIMEOUT_S", 0.3)
    for module in (codec, own_form) if limit == "XML elements" else ():
        monkeypatch.setattr(module, "XML_ELEMENTS_MAX", 100)
    served = serve()
    for _ in range(3):
        sock = served.connect()
        sock.sendall(sent)
        answer = all_of(sock)
        assert answered in answer, answer
        assert answer.count(b"HTTP/1.1 ") == 1
    assert served.told() == [(BAD_PEER, limit)]
    served.good()


def test_client_that_takes_no_answer_is_dropped_in_time(serve: Serve, api: SampleApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "REQUEST_TIMEOUT_S", 0.3)
    api.on_call = lambda _, request: Blocks(b"", bytes(8 << 20)) if isinstance(request, Get) else Done()
    served = serve()
    sock = served.connect()
    sock.sendall(framed(call_of(*parameters_of(Get(Ino(1), Ticket(0), (), (), ())), method="get")))
    wait_until(lambda: served.told() == [(BAD_PEER, "seconds for an answer")], "the event")
    wait_until(lambda: served.server.connections == 0, "the connection to end")
    served.good()


def test_connection_that_has_made_a_request_may_be_idle_and_no_event_tells_when_it_ends(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_connection, "IDLE_TIMEOUT_S", 0.3)
    served = serve()
    sock = served.connect()
    sock.sendall(framed(call_of(1)))
    answer = all_of(sock)
    assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 200 OK") == 1
    assert served.told() == []


# --- many connections and requests -------------------------------------------------------------------------------------------


def test_connections_of_one_peer_are_limited_and_another_peer_still_gets_in(serve: Serve) -> None:
    served = serve(Load(of_one=ONE_PEER._replace(connections=3)))
    held = [served.connect() for _ in range(3)]
    wait_until(lambda: served.server.connections == 3, "three connections")
    for _ in range(3):
        assert all_of(served.connect()).startswith(b"HTTP/1.1 503 ")
    assert served.told() == [(BAD_PEER, "connections of one peer")]
    served.good()
    held[0].sendall(framed(call_of(1)))  # those that were there are served, too
    assert held[0].recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
    held[0].close()
    wait_until(lambda: served.server.connections == 2, "the connection to end")
    served.connect().sendall(framed(call_of(1)))
    assert served.told() == [(BAD_PEER, "connections of one peer")]


def parked(api: SampleApi) -> tuple[threading.Semaphore, threading.Event]:
    """Make calls wait; return what counts those that do, and what lets them go."""
    begun, release = threading.Semaphore(0), threading.Event()

    def park(_: object, request: Request[object]) -> Done:
        if request == Sync(Ino(2)):
            begun.release()
            release.wait(10)
        return Done()

    api.on_call = park
    return begun, release


@pytest.mark.parametrize(
    ("load", "limit"),
    [
        (Load(of_one=ONE_PEER._replace(requests=2)), "requests in flight of one peer"),
        (Load(of_all=ALL._replace(requests=2)), "requests in flight"),
    ],
)
def test_requests_in_flight_are_limited(serve: Serve, api: SampleApi, load: Load, limit: str) -> None:
    served = serve(load)
    begun, release = parked(api)
    held = [served.connect() for _ in range(2)]
    for sock in held:
        sock.sendall(framed(call_of(2)))
        assert begun.acquire(timeout=10)
    for _ in range(2):
        sock = served.connect()
        sock.sendall(framed(call_of(2)))
        assert all_of(sock).startswith(b"HTTP/1.1 503 ")
    assert served.told() == [(BAD_PEER, limit)]
    if "peer" in limit:
        served.good()
    release.set()
    for sock in held:
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
    served.good()


@pytest.mark.parametrize(
    ("load", "limit"),
    [
        (Load(of_one=ONE_PEER._replace(body_bytes=100_000)), "bytes in flight of one peer"),
        (Load(of_all=ALL._replace(body_bytes=100_000)), "bytes in flight"),
    ],
)
def test_bytes_in_flight_are_limited_for_bodies_and_answers(serve: Serve, api: SampleApi, load: Load, limit: str) -> None:
    served = serve(load)
    held = served.connect()
    held.sendall(framed(b"x" * 1000, 99_000))
    wait_until(lambda: load.held_bytes == 99_000, "the memory to be taken")
    refused = served.connect()
    refused.sendall(framed(b"", 2000))
    assert all_of(refused).startswith(b"HTTP/1.1 503 ")
    assert served.told() == [(BAD_PEER, limit)]
    held.close()
    wait_until(lambda: load.held_bytes == 0, "the memory to be given back")
    served.good()
    api.on_call = lambda _, request: Blocks(b"", bytes(200_000)) if isinstance(request, Get) else Done()
    asking = served.connect()
    asking.sendall(framed(call_of(*parameters_of(Get(Ino(1), Ticket(0), (), (), ())), method="get")))
    assert all_of(asking).startswith(b"HTTP/1.1 503 ")
    wait_until(lambda: load.held_bytes == 0, "the memory to be given back")
    served.good()


def test_nothing_is_kept_of_peers_that_have_gone(serve: Serve) -> None:
    load = Load()
    served = serve(load)
    for number in range(2, 6):
        served.connect(f"127.0.0.{number}").close()
    served.good()
    wait_until(lambda: load.peers == 0 and load.held_bytes == 0, "all to be forgotten")


# --- the numbers -------------------------------------------------------------------------------------------------------------


def test_no_peer_can_take_more_than_half_of_anything_and_a_host_of_many_mounts_fits_in() -> None:
    assert Share(CONNECTIONS_MAX, REQUESTS_IN_FLIGHT_MAX, BYTES_IN_FLIGHT_MAX) == ALL
    assert Share(CONNECTIONS_PER_PEER_MAX, REQUESTS_IN_FLIGHT_PER_PEER_MAX, BYTES_IN_FLIGHT_PER_PEER_MAX) == ONE_PEER
    assert all(2 * one <= of_all for one, of_all in zip(ONE_PEER, ALL, strict=True))
    assert CONNECTIONS_PER_PEER_MAX >= 8 * IDLE_PER_ADDRESS_MAX
    assert REQUESTS_IN_FLIGHT_MAX < CONNECTIONS_MAX


def test_load_counts_what_all_and_each_use_and_gives_back_once() -> None:
    load = Load(Share(3, 2, 100), Share(2, 1, 60))
    one, two = load.connect("192.0.2.1"), load.connect("192.0.2.1")
    with pytest.raises(Overload, match="connections of one peer: expected at most 2"):
        load.connect("192.0.2.1")
    other = load.connect("192.0.2.2")
    with pytest.raises(Overload, match="connections: expected at most 3"):
        load.connect("192.0.2.3")
    one.begin()
    with pytest.raises(Overload, match="requests in flight of one peer"):
        two.begin()
    other.begin()
    one.hold(60)
    with pytest.raises(Overload, match="bytes in flight of one peer"):
        two.hold(1)
    other.hold(40)
    one.end()
    one.end()
    two.begin()
    two.hold(60)
    with pytest.raises(Overload, match="bytes in flight: expected at most 100"):
        other.hold(1)
    for each in (one, two, other):
        each.close()
    assert (load.peers, load.held_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_peer_is_known_by_its_address_or_its_own_network(host: str, name: str) -> None:
    assert peer_name(host) == name


def test_body_takes_the_memory_of_what_has_come_not_of_what_was_announced() -> None:
    claimed: list[int] = []
    reader = MessageReader(parse_request_head, claimed.append)
    head = request_head("h", b"", BODY_BYTES_MAX)
    reader.space()[: len(head)] = head
    assert not reader.received(len(head))
    assert sum(claimed) == BODY_BYTES_TRUSTED
    came = 0
    while True:
        count = len(reader.space())
        came += count
        if reader.received(count):
            break
        assert sum(claimed) <= 2 * came
    assert came == sum(claimed) == BODY_BYTES_MAX


def test_events_about_limits_come_once_a_period_per_peer_and_limit_and_are_bounded() -> None:
    clock, events = FakeClock(), RecordedEvents()
    reports = LimitReports(clock, events)
    for _ in range(2):
        for number in range(1000):
            reports.tell(f"192.0.2.{number % 3}", "connections", "too many")
        assert len(events.events) == 3
        reports.tell("192.0.2.1", "XML depth", "too deep")
        assert len(events.events) == 4
        clock.advance(PERIOD_S)
        events.events.clear()
    for number in range(10_000):
        reports.tell(str(number), "connections", "too many")
    assert len(events.events) == 256


def test_refused_client_of_ours_takes_the_server_for_unreachable(serve: Serve) -> None:
    served = serve(Load(of_all=ALL._replace(connections=1)))
    served.connect()
    wait_until(lambda: served.server.connections == 1, "the connection")
    with pytest.raises(Unreachable, match=r"503|closed|reset"):
        served.good()
