"""Goal: a call's context arrives as it was sent; headers that are not ours are refused by name.

Method: contexts written as headers, read back; spoilt headers by hand.
"""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.contexts import PlainContext, never
from dfs.core.errors import BadRequest, EndReason, WrongServer
from dfs.core.ids import OpId, SessionId
from dfs.core.interfaces import NOBODY, Caller
from dfs.rpc.context import check_server, read_headers, write_headers
from dfs.rpc.framing import parse_request_head
from tests.harness.fake_clock import FakeClock

ids = st.integers(0, (1 << 32) - 1)


def parsed(lines: bytes) -> dict[bytes, bytes]:
    return parse_request_head(b"POST / HTTP/1.1\r\n" + lines + b"Content-Length: 0").headers


@given(
    request_id=st.text("abcXYZ0189-._:/", min_size=1, max_size=64),
    session=st.integers(0, (1 << 40) - 1),
    caller=st.builds(Caller, ids, ids, st.lists(ids, max_size=40).map(tuple)),
    acknowledged=st.integers(0, (1 << 50)),
    remaining_ms=st.none() | st.integers(0, 10**7),
)
def test_context_arrives_as_sent(
    request_id: str, session: int, caller: Caller, acknowledged: int, remaining_ms: int | None
) -> None:
    here, there = FakeClock(5.0), FakeClock(9000.0)
    deadline_s = None if remaining_ms is None else here.monotonic_s() + remaining_ms / 1000
    sent = PlainContext(request_id, never, SessionId(session), caller, OpId(acknowledged), deadline_s)
    got = read_headers(parsed(write_headers(sent, here.monotonic_s())), there, threading.Event())
    assert (got.request_id, got.session, got.caller, got.acknowledged) == (request_id, session, caller, acknowledged)
    assert got.deadline_s == (None if remaining_ms is None else there.monotonic_s() + remaining_ms / 1000)


def test_context_without_headers_is_nobodys() -> None:
    got = read_headers({}, FakeClock(), threading.Event())
    assert (got.request_id, got.session, got.caller, got.acknowledged, got.deadline_s) == ("-", 0, NOBODY, 0, None)
    assert got.cancelled() is None


def test_context_ends_at_its_deadline_and_at_the_servers_stop() -> None:
    clock, stopping = FakeClock(), threading.Event()
    got = read_headers({b"x-dfs-deadline": b"1500"}, clock, stopping)
    clock.advance(1.4)
    assert got.cancelled() is None
    clock.advance(0.2)
    assert got.cancelled() is EndReason.DEADLINE
    stopping.set()
    assert got.cancelled() is EndReason.SHUTDOWN


def test_deadline_that_has_passed_travels_as_no_time_left() -> None:
    assert b"X-DFS-Deadline: 0\r\n" in write_headers(PlainContext(deadline_s=1.0), 5.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-dfs-request", b""),
        (b"x-dfs-request", b"a b"),
        (b"x-dfs-request", b"x" * 65),
        (b"x-dfs-session", b"-1"),
        (b"x-dfs-session", b"1" * 19),
        (b"x-dfs-acknowledged", b"x"),
        (b"x-dfs-deadline", b"1.5"),
        (b"x-dfs-caller", b"0"),
        (b"x-dfs-caller", b"0:0"),
        (b"x-dfs-caller", b"0:0:,"),
        (b"x-dfs-caller", b"root:root:"),
    ],
)
def test_header_that_makes_no_sense_is_refused_by_name(name: bytes, value: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_headers({name: value}, FakeClock(), threading.Event())
    assert caught.value.reason.lower().startswith(name.decode())


def test_request_id_that_could_break_a_header_is_never_sent() -> None:
    with pytest.raises(BadRequest, match="request id"):
        write_headers(PlainContext(request_id="a\r\nX-DFS-Caller: 0:0:"), 0.0)


@pytest.mark.parametrize("header", [None, b"c/2", b"/2"])
def test_call_for_this_server_is_let_in(header: bytes | None) -> None:
    check_server({} if header is None else {b"x-dfs-server": header}, "c/2")


@pytest.mark.parametrize(
    ("header", "identity", "expected", "got"),
    [
        (b"c/1", "c/2", "data server 1 of cluster c", "data server 2 of cluster c"),
        (b"d/2", "c/2", "data server 2 of cluster d", "data server 2 of cluster c"),
        (b"c/2", "/2", "data server 2 of cluster c", "data server 2 of no cluster yet"),
        (b"/1", "/2", "data server 1 of no cluster yet", "data server 2 of no cluster yet"),
    ],
)
def test_call_for_another_server_is_refused_naming_both(header: bytes, identity: str, expected: str, got: str) -> None:
    with pytest.raises(WrongServer) as caught:
        check_server({b"x-dfs-server": header}, identity)
    assert (caught.value.expected, caught.value.got) == (expected, got)


@pytest.mark.parametrize("header", [b"c", b"c/", b"c/x", b"/\xb2", b"c" * 200 + b"/1"])
def test_server_header_that_makes_no_sense_is_refused(header: bytes) -> None:
    with pytest.raises(BadRequest, match="X-DFS-Server"):
        check_server({b"x-dfs-server": header}, "c/2")
