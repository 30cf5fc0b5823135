"""Several requests to several servers at once, on the calling thread: all are written, then answers are taken as they come.

Owns the waiting: sockets never block, poll(2) watches all of them together, and in every POLL_S the context is asked whether
the answers are still wanted. A server that is slow or dead delays nobody's request and nobody's answer. A request larger than
the socket's buffer is written while other answers are read, so two busy ends cannot wait for each other.

A kept connection may have been closed by the server while it was idle. If so, before any byte of an answer, the request is
sent once more on a new one: every request may be repeated (by operation id or generation). A signed request is then signed anew, as
it is when the server refuses its signature for a reason that another one cures (dfs/rpc/signer.py). Called by client.py.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from dfs.core.errors import BadAnswer, BadRequest, NotAuthenticated, PeerError, TlsFailed, Unreachable
from dfs.core.interfaces import POLL_S, CallContext, Clock, raise_if_cancelled
from dfs.core.limits import CONNECT_TIMEOUT_S, TLS_HANDSHAKE_S
from dfs.core.records import Buffer
from dfs.rpc.framing import BadMessage, Message
from dfs.rpc.outgoing import Outgoing
from dfs.rpc.pool import Connection, ConnectionPool
from dfs.rpc.signer import Seal
from dfs.rpc.transport import ONLY_TLS, SecureTransport, TlsTrouble

_READABLE: Final = select.POLLIN | select.POLLHUP | select.POLLERR
_OK: Final = b"200"
_UNAUTHORIZED: Final = b"401"
_FORBIDDEN: Final = b"403"
_BUSY: Final = b"503"
_WANTS_TLS: Final = b"426"


class Call(NamedTuple):
    """One request, ready to be written."""

    address: str
    peer: str
    """What messages call the server."""
    payload: Sequence[Buffer]
    """Head and body, in few pieces."""
    timeout_s: float
    """From the connection's being there to the answer's last byte."""
    seal: Seal | None = None
    """What signed the payload; None: there is no key."""


Outcome = bytearray | PeerError
"""The body of an answer, or why there is none."""


def exchange(pool: ConnectionPool, clock: Clock, ctx: CallContext, calls: Sequence[Call]) -> Iterator[tuple[int, Outcome]]:
    """Carry the calls out; yield (position in `calls`, outcome) in the order in which they end.

    Raises: Interrupted when ctx.cancelled() says so; what is under way is then given up.
    """
    raise_if_cancelled(ctx)
    asked_s = clock.monotonic_s()
    flights = [_Flight(position, call, pool) for position, call in enumerate(calls)]
    try:
        for flight in flights:
            flight.begin(asked_s)
        while True:
            ended = [flight for flight in flights if flight.outcome is not None]
            flights = [flight for flight in flights if flight.outcome is None]
            for flight in ended:
                assert flight.outcome is not None
                yield flight.position, flight.outcome
            if not flights:
                return
            _wait(flights, min(asked_s + POLL_S, *(flight.ends_s for flight in flights)) - clock.monotonic_s())
            now_s = clock.monotonic_s()
            if now_s - asked_s >= POLL_S:
                raise_if_cancelled(ctx)
                asked_s = now_s
            for flight in flights:
                flight.go_on(now_s)
    finally:
        for flight in flights:
            flight.close()


def _wait(flights: Sequence[_Flight], wait_s: float) -> None:
    """Wait until a socket can go on; each flight then knows what its socket is ready for."""
    poller = select.poll()
    by_fd: dict[int, _Flight] = {}
    for flight in flights:
        fd = flight.fileno()
        by_fd[fd] = flight
        poller.register(fd, flight.wanted())
    for fd, events in poller.poll(max(0.0, wait_s) * 1000):
        by_fd[fd].events = events


class _Flight:
    """One call under way."""

    __slots__ = (
        "_call",
        "_connecting",
        "_connection",
        "_handshake",
        "_handshake_wants",
        "_payload",
        "_pool",
        "_reused",
        "_unsent",
        "ends_s",
        "events",
        "outcome",
        "position",
    )

    def __init__(self, position: int, call: Call, pool: ConnectionPool) -> None:
        self.position = position
        self.outcome: Outcome | None = None
        self.events = 0
        self.ends_s = 0.0
        self._call = call
        self._pool = pool
        self._connection: Connection | None = None
        self._connecting = False
        self._handshake: SecureTransport | None = None
        """What hands are being shaken on."""
        self._handshake_wants = 0
        self._reused = False
        self._payload = call.payload
        self._unsent = Outgoing(self._payload)

    def begin(self, now_s: float) -> None:
        """Write as much of the request as can be written now."""
        self._connection = self._pool.take(self._call.address)
        if self._connection is None:
            self._connect(now_s)
            return
        self._reused = True
        self._unsent = Outgoing(self._payload)
        self.ends_s = now_s + self._call.timeout_s
        self._attempt(now_s, select.POLLOUT)

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        assert self._connection is not None
        return self._connection.sock.fileno()

    def wanted(self) -> int:
        """Return the events to wait for. A server may refuse a request before it has read all of it: POLLIN always."""
        if self._connecting:
            return select.POLLOUT
        if self._handshake is not None:
            return self._handshake_wants
        return select.POLLIN | select.POLLOUT if self._unsent else select.POLLIN

    def go_on(self, now_s: float) -> None:
        """Do what the socket is ready for; end if the time is over."""
        events, self.events = self.events, 0
        if events:
            self._attempt(now_s, events)
        if self.outcome is None and now_s >= self.ends_s:
            self._fail(Unreachable(self._call.peer, self._too_late()))

    def _too_late(self) -> str:
        timeout_s = self._call.timeout_s
        if self._connecting:
            return f"no connection within {min(CONNECT_TIMEOUT_S, timeout_s):g} s"
        if self._handshake is not None:
            return f"no TLS handshake within {min(TLS_HANDSHAKE_S, timeout_s):g} s"
        return f"no answer within {timeout_s:g} s"

    def close(self) -> None:
        """Give up what is under way."""
        if self._connection is not None:
            self._connection.sock.close()
            self._connection = None

    def _attempt(self, now_s: float, events: int) -> None:
        try:
            if self._connecting:
                self._connected(now_s)
            if self._handshake is not None:
                if not self._shake_hands(self._handshake, now_s):
                    return
                events |= select.POLLOUT
            if self._unsent and events & select.POLLOUT:
                self._send(now_s)
            if events & _READABLE:
                self._receive(now_s)
        except BadMessage as error:
            self._fail(BadAnswer(self._call.peer, str(error)))
        except OSError as error:
            self._broken(now_s, error)

    def _connect(self, now_s: float) -> None:
        self._reused = False
        self._handshake = None
        self._connecting = True
        self._unsent = Outgoing(self._payload)
        self.ends_s = now_s + min(CONNECT_TIMEOUT_S, self._call.timeout_s)
        try:
            self._connection = self._pool.open(self._call.address)
        except (OSError, BadRequest) as error:
            self._fail(Unreachable(self._call.peer, _reason(error)))

    def _connected(self, now_s: float) -> None:
        assert self._connection is not None
        self._handshake = self._connection.finish_connecting()
        self._connecting = False
        limit_s = self._call.timeout_s if self._handshake is None else min(TLS_HANDSHAKE_S, self._call.timeout_s)
        self.ends_s = now_s + limit_s

    def _shake_hands(self, stream: SecureTransport, now_s: float) -> bool:
        """Go on with the handshake; tell whether it is done."""
        self._handshake_wants = stream.shake_hands()
        if self._handshake_wants:
            return False
        self._handshake = None
        self.ends_s = now_s + self._call.timeout_s
        return True

    def _send(self, now_s: float) -> None:
        assert self._connection is not None
        try:
            self._unsent.send(self._connection.sock)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            connection = self._connection
            # The server reads no further. If it said why before it closed, that is there to be read; else reading fails too.
            self._receive(now_s)
            if self.outcome is None and self._connection is connection:
                raise

    def _receive(self, now_s: float) -> None:
        assert self._connection is not None
        sock, reader = self._connection.sock, self._connection.reader
        while True:
            space = reader.space()
            room = len(space)
            try:
                count = sock.recv_into(space)
            except BlockingIOError:
                return
            finally:
                space.release()  # else the buffer can't grow
            if count == 0:
                raise ConnectionResetError(errno.ECONNRESET, "the connection was closed")
            if reader.received(count):
                self._finish(reader.take(), now_s)
                return
            if count < room:
                return  # nothing more is there yet

    def _finish(self, message: Message, now_s: float) -> None:
        connection = self._connection
        assert connection is not None
        self.outcome = self._judge(message)
        if message.head.keep_alive and not self._unsent and not connection.reader.begun:
            self._connection = None
            self._pool.give_back(connection)
        else:
            self.close()
        if self.outcome is None:
            self._sign_anew()
            self.begin(now_s)

    def _judge(self, message: Message) -> Outcome | None:
        """Return what an answer means; None: that the request shall be sent again, signed anew."""
        status, seal = message.head.start[1], self._call.seal
        if seal is not None and status in (_OK, _UNAUTHORIZED):
            return seal.judge(message)
        if status == _OK:
            return message.body
        words = message.body[:200].decode("utf-8", "replace").strip()
        if status == _UNAUTHORIZED:
            return NotAuthenticated(
                self._call.peer, f"there is no key here, set [cluster] key_file: {words.partition(' ')[2]}"[:300]
            )
        if status == _WANTS_TLS:
            return TlsFailed(self._call.peer, ONLY_TLS)
        if status == _FORBIDDEN:
            return NotAuthenticated(self._call.peer, words)
        reason = f"HTTP status {status.decode('latin-1')[:20]}: {words}"
        return Unreachable(self._call.peer, reason) if status == _BUSY else BadAnswer(self._call.peer, reason)

    def _sign_anew(self) -> None:
        """Make the payload one that no server has met."""
        if self._call.seal is not None:
            self._payload = self._call.seal.payload()

    def _broken(self, now_s: float, error: OSError) -> None:
        assert self._connection is not None
        again = self._reused and not self._connection.reader.begun
        self.close()
        if again:
            self._pool.forget(self._call.address)
            self._sign_anew()
            self._connect(now_s)
        else:
            self._fail(self._blame(error))

    def _blame(self, error: OSError) -> PeerError:
        if isinstance(error, TlsTrouble):
            return TlsFailed(self._call.peer, error.reason)
        return Unreachable(self._call.peer, _reason(error))

    def _fail(self, error: PeerError) -> None:
        self.close()
        self.outcome = error


def _reason(error: OSError | BadRequest) -> str:
    return str(error) if isinstance(error, BadRequest) else error.strerror or str(error)
