"""Goal: metrics are shown to whom they may be shown, and wrong questions harm nobody.

Method: the rule by hand; a server's connection with peers of many addresses; a mount's socket with hostile clients.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.metrics import MetricsDocument
from dfs.core.peers import Peer, PeerKind
from dfs.host.clock import SystemClock
from dfs.rpc.dispatch import Dispatcher
from dfs.rpc.framing import BadMessage, MessageReader, parse_request_head
from dfs.rpc.metrics_page import NO_METRICS, MetricsPage, may_read
from dfs.rpc.metrics_socket import ANSWER_TIMEOUT_S, MetricsSocket
from dfs.rpc.server_connection import ServerConnection
from tests.harness.sample_api import SampleApi

GET = b"GET /metrics HTTP/1.1\r\nHost: dfs\r\n\r\n"
NETWORKS = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8"))
DOCUMENT = MetricsDocument(b"text/plain; version=0.0.4", b"dfs_x 1.0\n")
PAGE = MetricsPage(lambda: DOCUMENT, NETWORKS)


@pytest.mark.parametrize(
    ("peer", "networks", "is_authenticated", "expected"),
    [
        ("127.0.0.1", (), False, True),
        ("127.9.9.9", (), False, True),
        ("::1", (), False, True),
        ("::ffff:127.0.0.1", (), False, True),
        ("10.1.2.3", NETWORKS, False, True),
        ("::ffff:10.1.2.3", NETWORKS, False, True),
        ("fd00::7", NETWORKS, False, True),
        ("fd00::7%eth0", NETWORKS, False, True),
        ("10.2.0.1", NETWORKS, False, False),
        ("10.1.2.3", (), False, False),
        ("fe80::1%eth0", NETWORKS, False, False),
        ("no address", NETWORKS, False, False),
        ("10.2.0.1", (), True, True),
    ],
)
def test_metrics_are_for_loopback_listed_networks_and_who_has_the_key(
    peer: str, networks: tuple[ipaddress.IPv4Network, ...], is_authenticated: bool, expected: bool
) -> None:
    assert may_read(peer, networks, is_authenticated=is_authenticated) is expected


# --- a server's connection ---------------------------------------------------------------------------------------------------


def ask(page: MetricsPage, peer: Peer, request: bytes) -> bytes:
    """Return all that a connection of a server answers."""
    ours, theirs = socket.socketpair()
    dispatcher = Dispatcher(name="x", methods={}, api=SampleApi())
    connection = ServerConnection(
        theirs,
        peer=peer,
        dispatcher=dispatcher,
        identity=None,
        version="1",
        clock=SystemClock(),
        stopping=threading.Event(),
        metrics=page,
    )
    thread = threading.Thread(target=connection.run)
    thread.start()
    with ours:
        ours.settimeout(10)
        ours.sendall(request)
        ours.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: ours.recv(65536), b""))
    thread.join(10)
    assert not thread.is_alive()
    return answer


@pytest.mark.parametrize(
    ("page", "peer", "status"),
    [
        (PAGE, Peer("127.0.0.1"), 200),
        (PAGE, Peer("10.1.0.9"), 200),
        (PAGE, Peer("192.0.2.1"), 403),
        (PAGE, Peer("192.0.2.1", PeerKind.ADMIN), 200),
        (NO_METRICS, Peer("127.0.0.1"), 404),
    ],
)
def test_server_shows_metrics_only_to_peers_that_may_read_them(page: MetricsPage, peer: Peer, status: int) -> None:
    answer = ask(page, peer, GET)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"dfs_x" in answer) == (status == 200)
    assert answer.count(b"HTTP/1.1") == 1


def test_metrics_and_calls_may_share_a_connection() -> None:
    call = b"<?xml version='1.0'?><methodCall><methodName>system.listMethods</methodName><params></params></methodCall>"
    post = b"POST /RPC2 HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(call), call)
    answer = ask(PAGE, Peer("127.0.0.1"), GET + post + GET)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.count(b"dfs_x 1.0\n") == 2
    assert b"system.multicall" in answer


def test_page_that_can_not_be_made_is_500_without_a_word_of_why(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> MetricsDocument:
        raise ValueError("secret")

    answer = ask(MetricsPage(fail), Peer("127.0.0.1"), GET + GET)
    assert answer.count(b"HTTP/1.1 500") == 2
    assert b"secret" not in answer
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        (b"PUT /metrics HTTP/1.1\r\n\r\n", 405),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 505),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_wrong_question_for_metrics_is_refused_with_its_status(head: bytes, status: int) -> None:
    reader = MessageReader(parse_request_head)
    reader.space()[: len(head)] = head
    with pytest.raises(BadMessage) as caught:
        reader.received(len(head))
    assert caught.value.status == status


def test_refused_messages_are_counted_by_their_status() -> None:
    dispatcher = Dispatcher(name="x", methods={}, api=SampleApi())
    ours, theirs = socket.socketpair()
    with ours:
        connection = ServerConnection(
            theirs,
            peer=Peer("127.0.0.1"),
            dispatcher=dispatcher,
            identity=None,
            version="1",
            clock=SystemClock(),
            stopping=threading.Event(),
        )
        ours.sendall(b"GET /nothing HTTP/1.1\r\n\r\n")
        ours.shutdown(socket.SHUT_WR)
        connection.run()
    (counts,) = dispatcher.meter.read()
    assert (counts.key, counts.results) == (("unknown",), {"ok": 0, "http_405": 1})


def test_callers_can_not_make_the_counters_grow() -> None:
    dispatcher = Dispatcher(name="x", methods={}, api=SampleApi())
    call = b"<?xml version='1.0'?><methodCall><methodName>m%d</methodName><params></params></methodCall>"
    for number in range(100):
        dispatcher.answer(call % number, PlainContext("r"))
    dispatcher.answer(b"no document", PlainContext("r"))
    (counts,) = dispatcher.meter.read()
    assert (counts.key, counts.results) == (("unknown",), {"ok": 0, "UnknownMethod": 100, "BadRequest": 1})


# --- a mount's socket --------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return the path of a socket that shows a page, in a folder that was not there before."""
    shown = MetricsSocket(tmp_path / "folder" / "x.sock", PAGE)
    shown.start()
    yield tmp_path / "folder" / "x.sock"
    shown.stop()
    assert os.listdir(tmp_path / "folder") == []


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5 * ANSWER_TIMEOUT_S)
    sock.connect(str(path))
    return sock


def answer_to(path: Path, request: bytes) -> bytes:
    with connect(path) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_socket_shows_the_page_to_its_owner_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for _ in range(3):
        head, _, body = answer_to(path, GET).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body == DOCUMENT.body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /RPC2 HTTP/1.1\r\nContent-Length: 16000000\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\n\r\n", b"405"),
        (b"\0\0\0\0", b"400"),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 20_000, b"431"),
    ],
)
def test_socket_refuses_what_is_not_a_get_of_the_page(path: Path, request_bytes: bytes, status: bytes) -> None:
    assert answer_to(path, request_bytes).split(b" ")[1] == status
    assert answer_to(path, GET).endswith(DOCUMENT.body)


def test_clients_that_say_nothing_or_leave_keep_nobody_else_waiting_for_long(path: Path) -> None:
    connect(path).close()
    with connect(path) as silent:
        assert answer_to(path, GET).endswith(DOCUMENT.body)
        assert silent.recv(1) == b""


def test_socket_takes_the_place_of_what_a_killed_mount_left_and_leaves_a_newer_one_alone(tmp_path: Path) -> None:
    name = tmp_path / "x.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(name))
    left.close()
    first = MetricsSocket(name, PAGE)
    first.start()
    assert answer_to(name, GET).endswith(DOCUMENT.body)
    second = MetricsSocket(name, PAGE)
    second.start()
    first.stop()
    assert answer_to(name, GET).endswith(DOCUMENT.body)
    second.stop()
    assert not name.exists()
