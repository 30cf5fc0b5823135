"""One accepted connection: receives requests, has them answered, sends the answers, on a thread of its own.

Owns the socket from accept to close, and the time limits on both directions: a connection may be idle for IDLE_TIMEOUT_S, and
a request or an answer may take REQUEST_TIMEOUT_S, however slowly its bytes trickle. A new connection has as long for its first
request. Where there is TLS, the handshake comes first and has TLS_HANDSHAKE_S. A peer that goes over a limit is told so by an HTTP
status or a fault, the operator by an event, and the connection ends. Built and ended by server.py.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dfs.core.errors import DfsError, RequestTooLarge
from dfs.core.interfaces import Clock
from dfs.core.limits import IDLE_TIMEOUT_S, REQUEST_TIMEOUT_S, TLS_HANDSHAKE_S
from dfs.core.peers import Peer
from dfs.core.records import Buffer
from dfs.rpc.body_buffers import BodyBuffers
from dfs.rpc.codec import Parts
from dfs.rpc.context import check_server, read_headers
from dfs.rpc.dispatch import UNKNOWN, Dispatcher
from dfs.rpc.framing import CONTINUE, BadMessage, Head, Message, MessageReader, answer_head, parse_request_head
from dfs.rpc.limit_reports import LimitReports
from dfs.rpc.load import Overload, PeerLoad
from dfs.rpc.metrics_page import NO_METRICS, MetricsPage
from dfs.rpc.outgoing import Outgoing, gathered
from dfs.rpc.signatures import HEADER
from dfs.rpc.transport import PlainPeer, Security, ServerTransport, TlsTrouble
from dfs.rpc.verifier import Proof, Refusal, Verifier

logger = logging.getLogger(__name__)

LINGER_S: Final = 1.0
"""After a refusal, what the client still sends is thrown away for this long: closing at once would reset the connection
and destroy the answer that says why.
"""
_TIMEVAL: Final = struct.Struct("@ll")
"""struct timeval: seconds, microseconds."""
_SCRATCH_BYTES: Final = 64 << 10


class _NotTaken(Exception):
    """The client does not take its answer."""


class ServerConnection:
    """One client's connection."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        peer: Peer,
        dispatcher: Dispatcher,
        verifier: Verifier | None = None,
        unwelcome: str = "",
        identity: Callable[[], str] | None,
        version: str,
        clock: Clock,
        stopping: threading.Event,
        load: PeerLoad | None = None,
        reports: LimitReports | None = None,
        metrics: MetricsPage = NO_METRICS,
        tls: Security | None = None,
        buffers: BodyBuffers | None = None,
    ) -> None:
        """`load`: what the connection uses of the server; None: it is not counted, or is only to be refused.
        `buffers`: where the requests' bodies come from and go to; None: it has its own.
        """
        self._raw = sock
        self._tls = tls
        self._sock: ServerTransport = sock
        self._peer = peer
        self._load = load
        self._reports = reports or LimitReports(clock, None)
        self._too_large: RequestTooLarge | None = None
        """Why the present request is refused and the last of its connection."""
        self._is_new = True
        self._dispatcher = dispatcher
        self._verifier = verifier
        self._unwelcome = unwelcome
        self._identity = identity
        self._server_line = b"Server: dfs/%s\r\n" % version.encode()
        self._clock = clock
        self._stopping = stopping
        self._metrics = metrics
        self._buffers = buffers or BodyBuffers()
        self._reader = MessageReader(parse_request_head, self._hold, self._buffers)
        self._set_patience(REQUEST_TIMEOUT_S)

    def run(self) -> None:
        """Serve the connection until either side ends it, then close it."""
        try:
            if self._tls is not None and not self._secure(self._tls):
                return
            if self._unwelcome:
                raise BadMessage(403, self._unwelcome)
            while not self._stopping.is_set():
                message = self._receive()
                goes_on = self._answer(message)
                self._buffers.give_back(message.body)  # whatever was read out of it is a copy
                self._end_request()
                if not goes_on:
                    break
        except BadMessage as refusal:
            if refusal.limit:
                self._reports.tell(self._peer.host, refusal.limit, str(refusal))
            self._refuse(refusal.status, str(refusal))
        except _NotTaken as error:
            self._reports.tell(self._peer.host, "seconds for an answer", str(error))
        except OSError as error:  # reset by the client, or it was idle for too long
            logger.debug("connection ended: %s", error)
        finally:
            self._sock.close()
            if self._load is not None:
                self._load.close()

    def _begin_request(self) -> None:
        """Count a request as in flight. Raises: BadMessage."""
        try:
            if self._load is not None:
                self._load.begin()
        except Overload as error:
            raise BadMessage(503, str(error), error.limit) from error

    def _end_request(self) -> None:
        if self._load is not None:
            self._load.end()
        if self._is_new:
            self._is_new = False
            self._set_patience(IDLE_TIMEOUT_S)

    def _set_patience(self, span_s: float) -> None:
        """Let the wait for a request's first byte end after `span_s`."""
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(*divmod(round(span_s * 1e6), 10**6)))

    def _hold(self, size_bytes: int) -> None:
        """Take memory for the present request. Raises: BadMessage."""
        try:
            if self._load is not None:
                self._load.hold(size_bytes)
        except Overload as error:
            raise BadMessage(503, str(error), error.limit) from error

    def _note_error(self, error: Exception) -> None:
        """Hear of what a request failed by."""
        if isinstance(error, RequestTooLarge):
            self._too_large = error
            self._reports.tell(self._peer.host, error.what, str(error))

    def _secure(self, tls: Security) -> bool:
        """Shake hands; tell whether the peer is let in, which is named by its certificate then.

        Raises: BadMessage for one without TLS; OSError if it goes away.
        """
        ends_s = time.monotonic() + TLS_HANDSHAKE_S
        try:
            self._sock = stream = tls.begin_server(self._raw, ends_s)
            stream.finish_handshake(ends_s)
        except PlainPeer:
            tls.tell_refused(self._peer.host, "it does not use TLS")
            raise BadMessage(426, "expected TLS: this server takes nothing else") from None
        except TlsTrouble as error:
            tls.tell_refused(self._peer.host, error.reason)
            self._linger(time.monotonic() + LINGER_S)
            return False
        except TimeoutError:
            tls.tell_refused(self._peer.host, f"no TLS handshake within {TLS_HANDSHAKE_S:g} s")
            return False
        self._peer = replace(self._peer, name=stream.peer_name())
        return True

    def refuse_and_close(self, reason: str) -> None:
        """Tell the client that this server takes no more connections, without waiting for its request.

        One that expects a handshake is told nothing: there is no time for that.
        """
        self._sock.setblocking(False)
        try:
            if self._tls is None:
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

    def _receive(self) -> Message:
        """Return the next request. Raises: OSError if the client has ended the connection, or is too slow; BadMessage.

        The wait for its first byte is one system call (the socket's own time limit is the idle one); what follows is taken
        without waiting as long as there is any.
        """
        reader, sock = self._reader, self._sock
        # Bytes of it may have come together with the request before.
        complete = reader.advance() if reader.begun else self._took(self._first_bytes())
        if complete:
            return reader.take()
        ends_s = time.monotonic() + REQUEST_TIMEOUT_S
        continued = False
        while not complete:
            try:
                complete = self._took(sock.recv_into(reader.space(), 0, socket.MSG_DONTWAIT))
            except BlockingIOError:
                if reader.head is not None and not continued:
                    continued = True
                    self._continue(reader.head)
                if not self._is_ready(select.POLLIN, ends_s):
                    raise _too_slow() from None
        return reader.take()

    def _first_bytes(self) -> int:
        """Wait for the first bytes of a request; return how many came. Raises: OSError; BadMessage."""
        try:
            return self._sock.recv_into(self._reader.space())
        except (BlockingIOError, TimeoutError) as error:
            if self._is_new:
                raise _too_slow() from error
            raise ConnectionAbortedError("idle for too long") from error

    def _took(self, count: int) -> bool:
        """Take note of received bytes; tell whether the request is complete."""
        if count == 0:
            raise ConnectionResetError("closed by the client")
        return self._reader.received(count)

    def _continue(self, head: Head) -> None:
        """Ask for the body if the client waits to be asked."""
        if head.headers.get(b"expect", b"").lower() == b"100-continue":
            self._send([CONTINUE])

    def _send(self, pieces: list[Buffer]) -> None:
        unsent = Outgoing(pieces)
        ends_s = time.monotonic() + REQUEST_TIMEOUT_S
        while unsent:
            try:
                unsent.send(self._sock, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self._is_ready(select.POLLOUT, ends_s):
                    raise _NotTaken(f"an answer: expected to be taken within {REQUEST_TIMEOUT_S:g} s") from None

    def _is_ready(self, event: int, ends_s: float) -> bool:
        """Wait until the socket is ready; False at `ends_s`, however many bytes have trickled by then."""
        left_s = ends_s - time.monotonic()
        poller = select.poll()
        poller.register(self._sock, event)
        return left_s > 0 and bool(poller.poll(left_s * 1000))

    def _answer(self, message: Message) -> bool:
        """Answer a request; tell whether the connection goes on."""
        head = message.head
        self._begin_request()
        verdict = self._judge(message)
        if isinstance(verdict, Refusal):
            return self._answer_unproved(head, verdict)
        peer = self._peer if verdict is None else verdict.peer
        if head.start[0] == b"GET":
            status, content_type, body = self._metrics.answer(peer)
            parts: Parts = [body]
        else:
            status, content_type, parts = 200, b"text/xml", self._carry_out(message, peer)
        headers = b"Content-Type: %s\r\n%s" % (content_type, self._server_line)
        if verdict is not None:
            headers += verdict.sign(status, parts)
        return self._send_answer(head, status, headers, parts, may_go_on=self._too_large is None)

    def _judge(self, message: Message) -> Proof | Refusal | None:
        """Return who sent a request, or why it is not taken; None: nobody has to say. The metrics page has a rule of its own."""
        head = message.head
        if self._verifier is None or (head.start[0] == b"GET" and HEADER not in head.headers):
            return None
        return self._verifier.judge(head, message.body, self._peer)

    def _answer_unproved(self, head: Head, refusal: Refusal) -> bool:
        """Tell why a request is not taken; tell whether the connection goes on. Who has no key has no business here."""
        parts: Parts = [refusal.body()]
        headers = b"Content-Type: text/plain\r\nWWW-Authenticate: DFS\r\n" + self._server_line
        if refusal.proof is not None:
            headers += refusal.proof.sign(401, parts)
        return self._send_answer(head, 401, headers, parts, may_go_on=refusal.proof is not None)

    def _send_answer(self, head: Head, status: int, headers: bytes, parts: Parts, *, may_go_on: bool = True) -> bool:
        """Send an answer; tell whether the connection goes on."""
        keep_alive = may_go_on and head.keep_alive and not self._stopping.is_set()
        if not keep_alive:
            headers += b"Connection: close\r\n"
        elif head.start[2] == b"HTTP/1.0":
            headers += b"Connection: keep-alive\r\n"
        size_bytes = sum(map(len, parts))
        self._hold(size_bytes)
        parts.insert(0, answer_head(status, headers, size_bytes))
        self._send(gathered(parts))
        return keep_alive

    def _carry_out(self, message: Message, peer: Peer) -> Parts:
        headers = message.head.headers
        try:
            ctx = read_headers(headers, self._clock, self._stopping, peer)
            if self._identity is not None:
                check_server(headers, self._identity())
        except DfsError as error:
            return self._dispatcher.fault(error)
        return self._dispatcher.answer(message.body, ctx, self._note_error)

    def _refusal(self, status: int, reason: str) -> bytes:
        self._dispatcher.meter.note(UNKNOWN, f"http_{status}", 0.0)
        text = reason.encode() + b"\n"
        headers = b"Content-Type: text/plain\r\n" + self._server_line + b"Connection: close\r\n"
        if status == 405:
            headers += b"Allow: POST\r\n"
        if status == 426:
            headers += b"Upgrade: TLS/1.3\r\n"
        return answer_head(status, headers, len(text)) + text

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is not a request, and let the client read that before the connection ends."""
        logger.debug("refused with status %d: %s", status, reason)
        ends_s = time.monotonic() + LINGER_S
        try:
            self._sock.settimeout(LINGER_S)
            self._sock.sendall(self._refusal(status, reason))
        except OSError as error:
            logger.debug("refused connection ended: %s", error)
        else:
            self._linger(ends_s)

    def _linger(self, ends_s: float) -> None:
        """Throw away what the client still sends until it ends, so that it can read why."""
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while (left_s := ends_s - time.monotonic()) > 0 and poller.poll(left_s * 1000):
                if not os.read(self._sock.fileno(), _SCRATCH_BYTES):  # whatever it is, also of a handshake that failed
                    break
        except OSError as error:
            logger.debug("refused connection ended: %s", error)


def _too_slow() -> BadMessage:
    return BadMessage(408, f"a request: expected all of it within {REQUEST_TIMEOUT_S:g} s", "seconds for a request")
