"""Goal: bytes that are no request, or could be taken for two, have no effect, and end no more than their own connection.

Method: a real server on loopback; each case is a stream of bytes with the statuses that it must be answered with and the number of
calls that may reach the service. Afterwards the same server answers a good client.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.ids import Ino, ServerIndex
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Sync
from dfs.core.messages.requests import Done
from dfs.host.clock import SystemClock
from dfs.rpc import server_connection
from dfs.rpc.client import DataServersClient
from dfs.rpc.codec import write_request
from dfs.rpc.server import RpcServer
from tests.harness.recorded_events import RecordedEvents
from tests.harness.sample_api import SampleApi

BODY = b"".join(write_request("sync", [5]))
HOST = b"POST /RPC2 HTTP/1.1\r\nHost: h\r\n"
GOOD = HOST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


def with_headers(headers: bytes, body: bytes = BODY) -> bytes:
    return HOST + headers + b"\r\n\r\n" + body


def of_value(value: bytes) -> bytes:
    """Return a request whose one parameter is written as given."""
    document = b"<methodCall><methodName>sync</methodName><params><param><value>%s</value></param></params></methodCall>" % value
    return with_headers(b"Content-Length: %d\r\nConnection: close" % len(document), document)


def of_document(document: bytes) -> bytes:
    return with_headers(b"Content-Length: %d\r\nConnection: close" % len(document), document)


CALL = b"<methodCall><methodName>sync</methodName><params><param><value><int>%s</int></value></param></params></methodCall>"
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (number, b"&l%d;" % (number - 1) * 10) for number in range(1, 12))
DEEP = 20_000

SMUGGLED = {
    "both lengths, chunked body": with_headers(b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(BODY), CHUNKED),
    "both lengths, the other order": with_headers(b"Transfer-Encoding: chunked\r\nContent-Length: 4", CHUNKED),
    "transfer encoding in disguise": with_headers(b"Transfer-Encoding:\tchunked\r\nContent-Length: 4", CHUNKED),
    "transfer encoding that is none": with_headers(b"Transfer-Encoding: identity\r\nContent-Length: %d" % len(BODY)),
    "two lengths": with_headers(b"Content-Length: 0\r\nContent-Length: %d" % len(BODY)),
    "two equal lengths": with_headers(b"Content-Length: %d\r\nContent-Length: %d" % (len(BODY), len(BODY))),
    "a list of lengths": with_headers(b"Content-Length: %d, %d" % (len(BODY), len(BODY))),
    "a length with a sign": with_headers(b"Content-Length: +%d" % len(BODY)),
    "a length in hexadecimal": with_headers(b"Content-Length: 0x%x" % len(BODY)),
    "a length with a space in it": with_headers(b"Content-Length: 1 1"),
    "a folded length": with_headers(b"Content-Length:\r\n %d" % len(BODY)),
    "a space before the colon": with_headers(b"Content-Length : %d" % len(BODY)),
    "a NUL in a name": with_headers(b"Content-Length\0: %d" % len(BODY)),
    "a lone LF in a value": with_headers(b"A: b\nContent-Length: %d" % len(BODY)),
    "a lone CR in a value": with_headers(b"A: b\rContent-Length: 0\r\nContent-Length: %d" % len(BODY)),
    "a lone CR as a line": with_headers(b"A: b\r\rContent-Length: %d" % len(BODY)),
    "a NUL in a value": with_headers(b"A: \0\r\nContent-Length: %d" % len(BODY)),
    "two callers": with_headers(b"X-DFS-Caller: 1:1:\r\nx-dfs-caller: 0:0:\r\nContent-Length: %d" % len(BODY)),
    "another path": GOOD.replace(b"/RPC2", b"/RPC2/../x"),
    "an absolute path": GOOD.replace(b"/RPC2", b"http://h/RPC2"),
    "a tunnel": GOOD.replace(b"POST /RPC2", b"CONNECT h:1"),
    "HTTP/0.9": b"POST /RPC2\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a line end first": b"\r\n" + GOOD,
}


@pytest.fixture
def api() -> SampleApi:
    return SampleApi()


@pytest.fixture
def server(api: SampleApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[RpcServer]:
    monkeypatch.setattr(server_connection, "REQUEST_TIMEOUT_S", 1.0)
    server = RpcServer(
        address="127.0.0.1:0",
        service_name="data",
        methods=BLOCK_METHODS,
        api=api,
        version="1",
        clock=SystemClock(),
        events=RecordedEvents(),
    )
    server.start()
    yield server
    server.stop()


def answers_to(server: RpcServer, stream: bytes, *, end: bool = False) -> bytes:
    """Send a stream of bytes; return all that comes until the server closes the connection. `end`: the client breaks off."""
    host, _, port = server.address.rpartition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        try:
            sock.sendall(stream)
            if end:
                sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 16):
                received += part
        except ConnectionError:
            pass  # closed while there was more to be read; what was said until then counts
    assert b"Traceback" not in received
    return received


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answers)]


def assert_goes_on(server: RpcServer) -> None:
    client = DataServersClient(clock=SystemClock())
    client.set_addresses({ServerIndex(0): server.address}, "")
    assert client.call(PlainContext("r"), ServerIndex(0), Sync(Ino(1))) == Done()
    client.close()


@pytest.mark.parametrize("case", SMUGGLED)
def test_request_that_two_readers_could_take_for_different_ones_is_refused(server: RpcServer, api: SampleApi, case: str) -> None:
    answers = answers_to(server, SMUGGLED[case] + GOOD)
    assert len(statuses(answers)) == 1
    assert statuses(answers)[0] in (400, 404, 405, 411, 501, 505)
    assert b"Connection: close" in answers
    assert api.seen == []
    assert_goes_on(server)


@pytest.mark.parametrize(
    ("stream", "expected", "calls"),
    [
        pytest.param(GOOD * 3 + b"\0junk", [200, 200, 200, 400], 3, id="junk behind"),
        pytest.param(GOOD + b"GET / HTTP/1.1\r\n\r\n" + GOOD, [200, 405], 1, id="another method behind"),
        pytest.param(with_headers(b"Content-Length: %d" % (len(BODY) - 5)) + GOOD, [200, 400], 0, id="length too small"),
        pytest.param(with_headers(b"Content-Length: %d" % (len(BODY) + 5)), [408], 0, id="length too large"),
        pytest.param(with_headers(b"Content-Length: %d" % (len(BODY) + len(GOOD)), BODY + GOOD), [200], 0, id="request in a body"),
        pytest.param(with_headers(b"Content-Length: 0", b""), [200], 0, id="no body"),
    ],
)
def test_stream_that_is_not_what_it_says_is_taken_as_far_as_it_is_plain(
    server: RpcServer, api: SampleApi, stream: bytes, expected: list[int], calls: int
) -> None:
    last = stream if expected[-1] != 200 else stream.replace(b"Host: h", b"Connection: close\r\nHost: h", 1)
    answers = answers_to(server, last)
    assert statuses(answers) == expected
    assert [request for _, request in api.seen] == [Sync(Ino(5))] * calls
    assert_goes_on(server)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_request_that_breaks_off_has_no_effect(server: RpcServer, api: SampleApi, share: float) -> None:
    assert answers_to(server, GOOD[: int(len(GOOD) * share)], end=True) == b""
    assert api.seen == []
    assert_goes_on(server)


@pytest.mark.parametrize(
    "request_",
    [
        of_document(b'<!DOCTYPE x [<!ENTITY l0 "ha">' + LAUGHS + b"]>" + CALL % b"&l11;"),
        of_document(b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + CALL % b"1"),
        of_document(b'<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:9/">%e;]>' + CALL % b"1"),
        of_document(b"<!DOCTYPE x>" + CALL % b"1"),
        of_document(CALL % b"&undefined;"),
        of_document(b"<?xml version='1.0' encoding='utf-7'?>" + CALL % b"1"),
        of_document(b"\xff\xfe" + (CALL % b"x").decode().encode("utf-16-le")),
        of_document(b"<methodCall>" * DEEP),
        of_document(b"<!--" * DEEP),
        of_document(CALL % b"1" + b"<methodCall/>"),
        of_document((CALL % b"1")[:-5]),
        of_value(b"<array><data><value>" * DEEP),
        of_value(b"<struct><member><name>a</name><value>" * DEEP),
        of_value(b"<int>%s</int>" % (b"9" * 100_000)),
        of_value(b"<i8>%d</i8>" % (1 << 64)),
        of_value(b"<int>-0x1</int>"),
        of_value(b"<double>1e999</double>"),
        of_value(b"<base64>=AAA</base64>"),
        of_value(b"<base64>AAA</base64>"),
        of_value(b"<base64>" + b"*" * 100_000 + b"</base64>"),
        of_value(b"<boolean>yes</boolean>"),
        of_value(b"<nil/>"),
        of_value(b"<string>\0</string>"),
        of_value(b"<x:int xmlns:x='y'>1</x:int>"),
        of_value(b"<int a='%s'>x</int>" % (b"a" * 100_000)),
    ],
    ids=range(25),
)
def test_document_that_is_no_call_is_a_fault(
    server: RpcServer, api: SampleApi, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answers = answers_to(server, request_)
    assert statuses(answers) == [200]
    assert b"<int>301</int>" in answers or b"<int>303</int>" in answers
    assert len(answers) < 2000
    assert api.seen == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert_goes_on(server)
