"""Goal: both ends agree where a message ends, and a head that could be read in two ways is refused.

Method: bytes fed to a MessageReader in pieces of every size; refused heads by hand.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.limits import BODY_BYTES_MAX, HEADER_BYTES_MAX
from dfs.rpc.framing import (
    BadMessage,
    Message,
    MessageReader,
    answer_head,
    parse_answer_head,
    parse_request_head,
    request_head,
)


def fed(reader: MessageReader, stream: bytes, piece_bytes: int) -> list[Message]:
    """Return the messages in `stream`, received in pieces."""
    messages: list[Message] = []
    while stream:
        space = reader.space()
        count = min(piece_bytes, len(space), len(stream))
        space[:count] = stream[:count]
        stream = stream[count:]
        complete = reader.received(count)
        while complete:
            messages.append(reader.take())
            complete = reader.begun and reader.advance()
    return messages


def request(*lines: str, start: str = "POST /RPC2 HTTP/1.1") -> bytes:
    return "\r\n".join([start, *lines]).encode() + b"\r\n\r\n"


@given(bodies=st.lists(st.binary(max_size=300), min_size=1, max_size=4), piece_bytes=st.integers(1, 400))
def test_requests_in_a_stream_are_told_apart_whatever_the_pieces(bodies: list[bytes], piece_bytes: int) -> None:
    stream = b"".join(request_head("h:1", b"X-DFS-Request: a\r\n", len(body)) + body for body in bodies)
    messages = fed(MessageReader(parse_request_head), stream, piece_bytes)
    assert [bytes(message.body) for message in messages] == bodies
    assert all(message.head.headers[b"x-dfs-request"] == b"a" for message in messages)


def test_body_larger_than_the_head_buffer_is_received_in_place() -> None:
    body = bytes(range(256)) * 1024
    reader = MessageReader(parse_answer_head)
    [message] = fed(reader, answer_head(200, b"", len(body)) + body, 100_000)
    assert message.body == body
    assert message.head.start == (b"HTTP/1.1", b"200", b"OK")
    assert not reader.begun


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request(), 411),
        (request("Content-Length: x"), 400),
        (request("Content-Length: -1"), 400),
        (request("Content-Length: +1"), 400),
        (request("Content-Length: 1", "content-length: 1"), 400),
        (request("Content-Length: 1, 1"), 400),
        (request(f"Content-Length: {BODY_BYTES_MAX + 1}"), 413),
        (request(f"Content-Length: {'9' * 30}"), 400),
        (request("Transfer-Encoding: chunked"), 501),
        (request("Transfer-Encoding: chunked", "Content-Length: 1"), 501),
        (request("Content-Length : 1"), 400),
        (request("Content-Length: 1", " folded"), 400),
        (request("no colon", "Content-Length: 1"), 400),
        (request(": empty", "Content-Length: 1"), 400),
        (request("A: b\nContent-Length: 1"), 400),
        (request("X-DFS-Caller: 1:1:", "x-dfs-caller: 0:0:", "Content-Length: 1"), 400),
        (request("Content-Length: 1", start="GET /RPC2 HTTP/1.1"), 405),
        (request("Content-Length: 1", start="POST /other HTTP/1.1"), 404),
        (request("Content-Length: 1", start="POST /RPC2 HTTP/2.0"), 505),
        (request("Content-Length: 1", start="POST /RPC2"), 400),
        (request("Content-Length: 1", start="POST"), 400),
        (b"\x16\x03\x01\x02", 400),
        (b"A" * HEADER_BYTES_MAX, 431),
    ],
)
def test_request_that_is_not_plain_is_refused_with_its_status(head: bytes, status: int) -> None:
    with pytest.raises(BadMessage) as caught:
        fed(MessageReader(parse_request_head), head, 50_000)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("lines", "start", "keeps"),
    [
        ([], "POST / HTTP/1.1", True),
        (["Connection: close"], "POST / HTTP/1.1", False),
        ([], "POST / HTTP/1.0", False),
        (["Connection: Keep-Alive"], "POST / HTTP/1.0", True),
    ],
)
def test_connection_is_kept_as_the_sender_says(lines: list[str], start: str, keeps: bool) -> None:
    head = parse_request_head(request(*lines, "Content-Length: 0", start=start)[:-4])
    assert head.keep_alive is keeps


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK", b"ICY 200 OK\r\nContent-Length: 1", b"HTTP/1.1\r\nContent-Length: 1"])
def test_answer_that_is_not_plain_is_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_answer_head(raw)


def test_answer_without_a_reason_is_read() -> None:
    assert parse_answer_head(b"HTTP/1.1 200\r\nContent-Length: 3").length == 3
