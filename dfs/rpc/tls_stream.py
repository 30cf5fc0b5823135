"""TLS over a socket, as the transports of dfs/rpc/transport.py.

Owns what is different about TLS: it comes in records of 16 KiB, of which nothing can be read before the last byte is there, and it
has errors of its own, which become TlsTrouble here. Encryption happens in memory and the socket is used in large pieces: with a
system call, and the other side's waking, per record a call of 128 KiB takes half as long again. One thread at a time reads and
writes; shutdown() may come from another one. Made by dfs/rpc/tls.py.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Final

from dfs.core.limits import REQUEST_TIMEOUT_S
from dfs.core.records import Buffer
from dfs.rpc.tls_errors import explain
from dfs.rpc.transport import PlainPeer, TlsTrouble

HANDSHAKE: Final = 22
"""The first byte of what TLS begins with, from either side."""
_RECORDS: Final = (20, 21, HANDSHAKE, 23)
"""The first bytes of all records."""
_PIECE_BYTES: Final = 128 << 10
"""What is received, or encrypted, at once; a connection keeps as much memory for each direction once it has carried so much."""
_SMALL_BYTES: Final = 16 << 10
"""What is received at once by a connection that has not carried more, or whose other side has shown no certificate yet."""


class TlsStream:
    """It never waits, whatever the flags: that is the client's way, see `TlsServerStream` for the other."""

    __slots__ = (
        "_encrypted_bytes",
        "_failure",
        "_from_peer",
        "_has_begun",
        "_has_ended",
        "_host",
        "_is_known",
        "_received",
        "_sock",
        "_tls",
        "_to_peer",
        "_unsent",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, is_server: bool = False, host: str = "") -> None:
        """`host`: as which the other side was called, and whose certificate it must show; empty: it called us."""
        self._sock = sock
        self._host = host
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_peer, self._to_peer, server_side=is_server, server_hostname=host or None)
        self._has_begun = False
        """Whether the other side has sent anything."""
        self._is_known = False
        """Whether it has shown a certificate, or is whom we called."""
        self._received = bytearray(_SMALL_BYTES)
        """Where bytes from the socket are put; grows to _PIECE_BYTES when they fill it."""
        self._has_ended = False
        self._failure: OSError | None = None
        self._unsent = memoryview(b"")
        """Encrypted, but not sent yet."""
        self._encrypted_bytes = 0
        """How many plain bytes of the data of the last send() that are."""

    def shake_hands(self) -> int:
        """Go on with the handshake; return what to poll for until the next call, 0 when it is done.

        Raises: TlsTrouble; OSError.
        """
        while self._flush():
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._take_written()
                if self._flush() and not self._receive(socket.MSG_DONTWAIT):
                    return select.POLLIN
            except ssl.SSLError as error:
                self._take_written()  # says to the other side why
                self._flush()
                raise self._translated(error) from error
            else:
                self._take_written()
                self._is_known = True
                return 0 if self._flush() else select.POLLOUT
        return select.POLLOUT

    def peer_name(self) -> str:
        """Return the common name in the other side's certificate."""
        found: Any = self._tls.getpeercert() or {}
        return next((value for names in found.get("subject", ()) for key, value in names if key == "commonName"), "")

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        """Receive what is there. When it returns less than fits, TLS holds nothing back: the socket can be polled."""
        with memoryview(buffer) as view:  # released at once, whatever comes: the buffer may have to grow
            filled = self._read_into(view)
        if filled or self._has_ended:
            return filled
        if self._failure is not None:
            raise self._failure
        raise BlockingIOError(errno.EAGAIN, "nothing there yet")

    def _read_into(self, view: memoryview) -> int:
        """Fill `view` as far as there is something; return how far."""
        room, filled = len(view), 0
        is_drained = False
        count: int
        while filled < room and not self._has_ended and self._failure is None:
            try:
                count = self._tls.read(room - filled, view[filled:])  # type: ignore[assignment]  # into a buffer: how many
                filled += count
                self._has_ended = not count
            except ssl.SSLWantReadError:
                if is_drained:
                    break
                is_drained = self._receive_more()
            except OSError as error:
                self._end_by(error)
        return filled

    def _receive_more(self) -> bool:
        """Take what the socket has; tell whether that was all."""
        room = len(self._received)
        try:
            return self._receive(socket.MSG_DONTWAIT) < room
        except OSError as error:
            self._end_by(error)
            return True

    def _end_by(self, error: OSError) -> None:
        """Keep in mind how it ended: what came before is not lost."""
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            self._has_ended = True
        else:
            self._failure = self._translated(error)

    def _receive(self, flags: int) -> int:
        """Take bytes from the socket; return how many, 0: there are none. Raises: PlainPeer; OSError."""
        room = len(self._received)
        try:
            count = self._sock.recv_into(self._received, room, flags)
        except BlockingIOError:
            return 0
        if not count:
            self._from_peer.write_eof()
            return room
        if not self._has_begun:
            self._has_begun = True
            if self._received[0] not in _RECORDS:
                raise PlainPeer
        with memoryview(self._received) as view:
            self._from_peer.write(view[:count])
        if count == room < _PIECE_BYTES and self._is_known:
            self._received = bytearray(_PIECE_BYTES)
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send a piece and return how long it was. After BlockingIOError the next call must bring the same data, as in OpenSSL."""
        if not self._encrypted_bytes:
            self._encrypt(memoryview(data))
        if not self._flush():
            raise BlockingIOError(errno.EAGAIN, "no room yet")
        count, self._encrypted_bytes = self._encrypted_bytes, 0
        return count

    def sendmsg(self, buffers: Sequence[Buffer], _ancillary: Sequence[Any] = (), flags: int = 0, /) -> int:
        """Send a piece of the first buffer, as send() does: each piece is copied into a record of its own anyway."""
        return self.send(buffers[0], flags)

    def _encrypt(self, view: memoryview) -> None:
        end, count = min(len(view), _PIECE_BYTES), 0
        try:
            while count < end:
                count += self._tls.write(view[count:end])
        except ssl.SSLError as error:
            raise self._translated(error) from error
        self._encrypted_bytes = count
        self._take_written()

    def _take_written(self) -> None:
        """Take what TLS has to send."""
        written = self._to_peer.read()
        if written:
            self._unsent = memoryview(b"".join((self._unsent, written)) if self._unsent else written)

    def _flush(self) -> bool:
        """Send what is encrypted; tell whether all of it is sent."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return False
        return True

    def _translated(self, error: OSError) -> OSError:
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return ConnectionResetError(errno.ECONNRESET, "the connection was closed")
        return TlsTrouble(explain(error, self._host)) if isinstance(error, ssl.SSLError) else error

    def shutdown(self, how: int, /) -> None:
        """End one or both directions of the socket below, at once."""
        self._sock.shutdown(how)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket; nobody waits for the other side's good-bye."""
        self._sock.close()


class TlsServerStream(TlsStream):
    """On a blocking socket: without MSG_DONTWAIT a call waits for first bytes as long as the socket does."""

    __slots__ = ()

    def finish_handshake(self, ends_s: float) -> None:
        """Carry the handshake through. Raises: TimeoutError when it is `ends_s` on time.monotonic(); TlsTrouble; OSError."""
        while event := self.shake_hands():
            wait_for(self._sock, event, ends_s)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        """Receive what is there, and wait for it unless MSG_DONTWAIT is among the flags."""
        try:
            return super().recv_into(buffer)
        except BlockingIOError:
            if flags & socket.MSG_DONTWAIT or not self._receive(0):
                raise
        ends_s = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            try:
                return super().recv_into(buffer)
            except BlockingIOError:  # part of a record: the rest must not trickle for ever
                wait_for(self._sock, select.POLLIN, ends_s)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all bytes, within the socket's time."""
        self._encrypt(memoryview(data))
        unsent, self._unsent, self._encrypted_bytes = self._unsent, memoryview(b""), 0
        self._sock.sendall(unsent)

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Bound every later wait."""
        self._sock.settimeout(timeout_s)

    def setblocking(self, is_blocking: bool, /) -> None:
        """Let later calls wait, or not."""
        self._sock.setblocking(is_blocking)

    def setsockopt(self, level: int, name: int, value: int | Buffer, /) -> None:
        """Set an option of the socket below."""
        self._sock.setsockopt(level, name, value)


def wait_for(sock: socket.socket, event: int, ends_s: float) -> None:
    """Wait until a socket is ready. Raises: TimeoutError when it is `ends_s` on time.monotonic()."""
    left_s = ends_s - time.monotonic()
    poller = select.poll()
    poller.register(sock, event)
    if left_s <= 0 or not poller.poll(left_s * 1000):
        raise TimeoutError(errno.ETIMEDOUT, "not in time")
