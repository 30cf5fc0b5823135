"""One accepted connection: receives requests, has them answered, sends the answers, on a thread of its own.

Owns the socket from accept to close, and the time limits on both directions: a connection may be idle for IDLE_TIMEOUT_S, and
a request or an answer may take REQUEST_TIMEOUT_S, however slowly its bytes trickle. Built and ended by server.py.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from dfs.core.errors import DfsError
from dfs.core.limits import IDLE_TIMEOUT_S, REQUEST_TIMEOUT_S
from dfs.rpc.boot_clock import MonotonicClock
from dfs.rpc.codec import Parts
from dfs.rpc.context import check_server, read_headers
from dfs.rpc.dispatch import Dispatcher
from dfs.rpc.framing import CONTINUE, BadMessage, Message, MessageReader, answer_head, parse_request_head

logger = logging.getLogger(__name__)

LINGER_S: Final = 1.0
"""After a refusal, what the client still sends is thrown away for this long: closing at once would reset the connection
and destroy the answer that says why.
"""
_SCRATCH_BYTES: Final = 64 << 10


class ServerConnection:
    """One client's connection."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        dispatcher: Dispatcher,
        identity: Callable[[], str] | None,
        version: str,
        clock: MonotonicClock,
        stopping: threading.Event,
    ) -> None:
        self._sock = sock
        self._dispatcher = dispatcher
        self._identity = identity
        self._server_line = b"Server: dfs/%s\r\n" % version.encode()
        self._clock = clock
        self._stopping = stopping
        self._reader = MessageReader(parse_request_head)

    def run(self) -> None:
        """Serve the connection until either side ends it, then close it."""
        try:
            while not self._stopping.is_set():
                message = self._receive()
                if message is None or not self._answer(message):
                    break
        except BadMessage as refusal:
            self._refuse(refusal.status, str(refusal))
        except OSError as error:  # reset by the client, or a limit on time ran out
            logger.debug("connection ended: %s", error)
        finally:
            self._sock.close()

    def refuse_and_close(self, reason: str) -> None:
        """Tell the client that this server takes no more connections, without waiting for its request."""
        self._sock.setblocking(False)
        try:
            self._sock.send(self._refusal(503, reason))
        except OSError as error:
            logger.debug("connection not refused properly: %s", error)
        self._sock.close()

    def end_receiving(self) -> None:
        """Make an idle connection end, and a busy one after its answer. Called from another thread."""
        self._shutdown(socket.SHUT_RD)

    def abort(self) -> None:
        """Make the connection fail at once. Called from another thread."""
        self._shutdown(socket.SHUT_RDWR)

    def _shutdown(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError as error:  # it ended by itself
            logger.debug("connection already ended: %s", error)

    def _receive(self) -> Message | None:
        """Return the next request, or None if the client has ended the connection."""
        reader, sock = self._reader, self._sock
        complete = reader.begun and reader.advance()
        ends_s = time.monotonic() + REQUEST_TIMEOUT_S if reader.begun else None
        sock.settimeout(IDLE_TIMEOUT_S)
        continued = False
        while not complete:
            if ends_s is not None:
                sock.settimeout(max(0.001, ends_s - time.monotonic()))
            count = sock.recv_into(reader.space())
            if count == 0:
                return None
            complete = reader.received(count)
            now_s = time.monotonic()
            ends_s = ends_s or now_s + REQUEST_TIMEOUT_S
            if now_s >= ends_s:
                raise TimeoutError("the request did not arrive in time")
            if not complete and not continued and reader.head is not None:
                continued = True
                if reader.head.headers.get(b"expect", b"").lower() == b"100-continue":
                    sock.sendall(CONTINUE)
        return reader.take()

    def _answer(self, message: Message) -> bool:
        """Answer a request; tell whether the connection goes on."""
        head = message.head
        parts = self._carry_out(message)
        keep_alive = head.keep_alive and not self._stopping.is_set()
        headers = b"Content-Type: text/xml\r\n" + self._server_line
        if not keep_alive:
            headers += b"Connection: close\r\n"
        elif head.start[2] == b"HTTP/1.0":
            headers += b"Connection: keep-alive\r\n"
        parts.insert(0, answer_head(200, headers, sum(map(len, parts))))
        self._sock.settimeout(REQUEST_TIMEOUT_S)
        self._sock.sendall(b"".join(parts))
        return keep_alive

    def _carry_out(self, message: Message) -> Parts:
        headers = message.head.headers
        try:
            ctx = read_headers(headers, self._clock, self._stopping)
            if self._identity is not None:
                check_server(headers, self._identity())
        except DfsError as error:
            return self._dispatcher.fault(error, None)
        return self._dispatcher.answer(message.body, ctx)

    def _refusal(self, status: int, reason: str) -> bytes:
        text = reason.encode() + b"\n"
        headers = b"Content-Type: text/plain\r\n" + self._server_line + b"Connection: close\r\n"
        if status == 405:
            headers += b"Allow: POST\r\n"
        return answer_head(status, headers, len(text)) + text

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is not a request, and let the client read that before the connection ends."""
        logger.debug("refused with status %d: %s", status, reason)
        ends_s = time.monotonic() + LINGER_S
        scratch = bytearray(_SCRATCH_BYTES)
        try:
            self._sock.settimeout(LINGER_S)
            self._sock.sendall(self._refusal(status, reason))
            self._sock.shutdown(socket.SHUT_WR)
            while (left_s := ends_s - time.monotonic()) > 0:
                self._sock.settimeout(left_s)
                if self._sock.recv_into(scratch) == 0:
                    break
        except OSError as error:
            logger.debug("refused connection ended: %s", error)
