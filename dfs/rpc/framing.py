"""HTTP/1.1 messages in a stream of bytes, as much of it as XML-RPC needs.

Owns heads: how one is written, what one may look like, and where a message ends. Content-Length is the only way to tell:
Transfer-Encoding, two Content-Lengths and folded lines are refused, so that no two readers can disagree about where a
message ends. It does no I/O: server.py and exchange.py ask where the next bytes go, read into it, and say how many came.
The memory that a message takes follows what has come of it, not what its head announces.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from dfs.core.limits import BODY_BYTES_MAX, BODY_BYTES_TRUSTED, HEADER_BYTES_MAX
from dfs.rpc.body_buffers import BodyBuffers

_HEAD_END: Final = b"\r\n\r\n"
_LINES_KEPT_MAX: Final = 512
_KEPT_LINE_BYTES_MAX: Final = 128
_HEADER_LINE: Final = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
"""A name of token characters and a value without control characters: a lone CR, LF or NUL ends a line for some readers."""
_ONCE: Final = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection"))
_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    411: b"Length Required",
    413: b"Content Too Large",
    426: b"Upgrade Required",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}

_REQUEST_HEAD: Final = b"POST /RPC2 HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\n%sContent-Length: %d\r\n\r\n"
_ANSWER_HEAD: Final = b"HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n"

METRICS_PATH: Final = b"/metrics"
"""What may be asked for with GET."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What a client that said "Expect: 100-continue" waits for before it sends the body."""


class BadMessage(Exception):
    """A message that is refused. `status` is the HTTP status for it; `limit` names the limit that it is over, if it is."""

    def __init__(self, status: int, reason: str, limit: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.limit = limit


class Head(NamedTuple):
    """Start line and headers of a message."""

    start: tuple[bytes, bytes, bytes]
    """Request: method, path, version. Answer: version, status, reason."""
    headers: dict[bytes, bytes]
    """Names in lower case."""
    keep_alive: bool
    """Whether the sender will use the connection again."""
    length: int
    """Bytes of the body."""


class Message(NamedTuple):
    """A whole message."""

    head: Head
    body: bytearray


def request_head(host: str, headers: bytes, length: int) -> bytes:
    """Return the head of a request. `headers`: further lines, each with its line end; `length`: bytes of the body."""
    return _REQUEST_HEAD % (host.encode(), headers, length)


def answer_head(status: int, headers: bytes, length: int) -> bytes:
    """Return the head of an answer. `headers`: further lines, each with its line end; `length`: bytes of the body."""
    return _ANSWER_HEAD % (status, _REASONS[status], headers, length)


def parse_request_head(raw: bytes) -> Head:
    """Return the head of a request, given without its final empty line. Raises: BadMessage."""
    start, headers = _split(raw)
    method, path, version = start
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if not version.startswith(b"HTTP/"):
            raise BadMessage(400, "expected METHOD PATH HTTP/1.1")
        raise BadMessage(505, "expected HTTP/1.1 or HTTP/1.0")
    if method == b"GET" and path == METRICS_PATH:
        if _length(headers):
            raise BadMessage(400, "expected no body with a GET")
        return Head(start, headers, _keeps_alive(version, headers), 0)
    if method != b"POST":
        raise BadMessage(405, "expected POST: this is an XML-RPC server")
    if path not in (b"/RPC2", b"/"):
        raise BadMessage(404, "expected the path /RPC2 or /")
    length = _length(headers)
    if length is None:
        raise BadMessage(411, "expected a Content-Length, got none")
    return Head(start, headers, _keeps_alive(version, headers), length)


def parse_answer_head(raw: bytes) -> Head:
    """Return the head of an answer, given without its final empty line. Raises: BadMessage."""
    start, headers = _split(raw)
    version = start[0]
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadMessage(400, "expected HTTP/1.1 or HTTP/1.0")
    length = _length(headers)
    if length is None:
        raise BadMessage(411, f"expected a Content-Length in the answer, got none; status {start[1].decode('latin-1')[:20]}")
    return Head(start, headers, _keeps_alive(version, headers), length)


def _split(raw: bytes) -> tuple[tuple[bytes, bytes, bytes], dict[bytes, bytes]]:
    lines = raw.split(b"\r\n")
    first = lines[0].split(b" ", 2)
    if len(first) == 2:
        first.append(b"")  # an answer without a reason
    if len(first) != 3:
        raise BadMessage(400, "expected a start line of three words")
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, value = _header(line) if len(line) <= _KEPT_LINE_BYTES_MAX else _header.__wrapped__(line)
        if name in headers and (name in _ONCE or name.startswith(b"x-dfs-")):
            raise BadMessage(400, f"expected one {name.decode('latin-1')}, got two")
        headers[name] = value
    return (first[0], first[1], first[2]), headers


@functools.lru_cache(_LINES_KEPT_MAX)
def _header(line: bytes) -> tuple[bytes, bytes]:
    """Return name, in lower case, and value of a header line; most lines of a call are those of the call before."""
    match = _HEADER_LINE.fullmatch(line)
    if match is None:
        raise BadMessage(400, "expected header lines NAME: VALUE")
    return match[1].lower(), match[2].strip()


def _length(headers: dict[bytes, bytes]) -> int | None:
    if b"transfer-encoding" in headers:
        raise BadMessage(501, "expected a Content-Length, got a Transfer-Encoding")
    text = headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise BadMessage(400, "expected a decimal Content-Length")
    length = int(text)
    if length > BODY_BYTES_MAX:
        raise BadMessage(413, f"body: expected at most {BODY_BYTES_MAX} bytes, got {length}", "bytes of a body")
    return length


def _keeps_alive(version: bytes, headers: dict[bytes, bytes]) -> bool:
    connection = headers.get(b"connection", b"").lower()
    return b"keep-alive" in connection if version == b"HTTP/1.0" else b"close" not in connection


class MessageReader:
    """Gathers one message after another. One per connection, used by one thread at a time.

    Heads are gathered in one buffer for the life of the connection; a body gets a buffer of its own and is received right into
    it, but for what came together with the head. What may be used of it begins with BODY_BYTES_TRUSTED at most and doubles as it
    fills, and so does the buffer, unless there is a kept one of the body's size.
    """

    __slots__ = (
        "_allowed",
        "_body",
        "_body_filled",
        "_buffer",
        "_buffers",
        "_claim",
        "_filled",
        "_head",
        "_parse_head",
        "_searched",
        "_view",
    )

    def __init__(
        self,
        parse_head: Callable[[bytes], Head],
        claim: Callable[[int], None] | None = None,
        buffers: BodyBuffers | None = None,
    ) -> None:
        """`claim` is told of so many bytes before a body takes them, and may raise BadMessage instead; `buffers`: kept ones."""
        self._parse_head = parse_head
        self._claim = claim
        self._buffers = buffers
        self._buffer = bytearray(HEADER_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._searched = 0
        self._head: Head | None = None
        self._body = bytearray()
        self._body_filled = 0
        self._allowed = 0
        """How much of the body has been claimed."""

    @property
    def begun(self) -> bool:
        """Whether any byte of the next message is there."""
        return self._filled > 0 or self._head is not None

    @property
    def head(self) -> Head | None:
        """The head of the message, once it is there."""
        return self._head

    def space(self) -> memoryview:
        """Return where the next bytes are to be put; never empty while the message is incomplete.

        What was returned before is not used again. Raises: BadMessage from `claim`.
        """
        if self._head is None:
            return self._view[self._filled :]
        if self._body_filled == self._allowed:
            self._grow(min(self._head.length - self._body_filled, self._body_filled))
        return memoryview(self._body)[self._body_filled : self._allowed]

    def received(self, count: int) -> bool:
        """Take note of `count` bytes put into space(); tell whether the message is complete.

        Raises: BadMessage.
        """
        if self._head is None:
            self._filled += count
            return self.advance()
        self._body_filled += count
        return self._body_filled == self._head.length

    def advance(self) -> bool:
        """Look for a head in the bytes that are there; tell whether the message is complete. Raises: BadMessage."""
        if self._head is None:
            if self._filled and not 0x41 <= self._buffer[0] <= 0x5A:
                raise BadMessage(400, "expected an HTTP message")  # both METHOD and HTTP/ begin with a capital letter
            end = self._buffer.find(_HEAD_END, max(0, self._searched - 3), self._filled)
            self._searched = self._filled
            if end < 0:
                if self._filled == HEADER_BYTES_MAX:
                    raise BadMessage(431, f"headers: expected at most {HEADER_BYTES_MAX} bytes", "bytes of a head")
                return False
            self._begin_body(self._parse_head(bytes(self._view[:end])), end + len(_HEAD_END))
        return self._head is not None and self._body_filled == self._head.length

    def take(self) -> Message:
        """Return the complete message and begin the next one with the bytes that came after it."""
        assert self._head is not None
        message = Message(self._head, self._body)
        self._head = None
        self._body = bytearray()
        self._body_filled = 0
        return message

    def _begin_body(self, head: Head, start: int) -> None:
        self._head = head
        self._allowed = 0
        if self._buffers is not None and (kept := self._buffers.take(head.length)) is not None:
            self._body = kept
        self._grow(min(head.length, BODY_BYTES_TRUSTED))
        taken = min(self._filled - start, head.length)
        self._body[:taken] = self._view[start : start + taken]
        self._body_filled = taken
        rest = self._filled - start - taken
        if rest:
            self._buffer[:rest] = bytes(self._view[start + taken : self._filled])
        self._filled = rest
        self._searched = 0

    def _grow(self, size_bytes: int) -> None:
        """Let the body take so many more bytes."""
        if self._claim is not None:
            self._claim(size_bytes)
        self._allowed += size_bytes
        missing = self._allowed - len(self._body)
        if missing > 0:
            if self._body:
                self._body += bytes(missing)
            else:
                self._body = bytearray(missing)
