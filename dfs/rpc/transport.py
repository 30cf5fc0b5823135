"""What a connection is carried by: a socket as it is, or TLS over one, with the same few calls.

Owns those calls, what TLS may be asked for besides, and the words for what goes wrong between a side that uses TLS and one that
does not. A plain connection uses the socket itself and costs nothing more; a program without TLS never loads dfs/rpc/tls.py. Called
by exchange.py, pool.py and server_connection.py.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

from dfs.core.records import Buffer

NO_TLS: Final = "it does not use TLS, and this side does: [tls] must be set in the configuration of both sides"
ONLY_TLS: Final = "it uses TLS only, and this side does not: [tls] is missing in the configuration here"


class TlsTrouble(ConnectionError):
    """TLS failed, for the reason given in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EPROTO, reason)
        self.reason = reason


class PlainPeer(TlsTrouble):
    """The other side does not begin with TLS."""

    def __init__(self) -> None:
        super().__init__(NO_TLS)


class Transport(Protocol):
    """What a client's connection needs: the part of socket.socket that is used."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        """Receive what is there, at most what fits; 0: the other side has ended. Raises: BlockingIOError; OSError."""

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send some of the bytes and return how many. Raises: BlockingIOError; OSError."""

    def sendmsg(self, buffers: Sequence[Buffer], ancillary: Sequence[Any] = (), flags: int = 0, /) -> int:
        """Send some of the buffers' bytes and return how many. Raises: BlockingIOError; OSError."""

    def shutdown(self, how: int, /) -> None:
        """End one or both directions."""

    def fileno(self) -> int:
        """Return the descriptor to poll."""

    def close(self) -> None:
        """Close."""


class ServerTransport(Transport, Protocol):
    """What a server's connection needs besides: it waits."""

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all bytes."""

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Bound every later wait."""

    def setblocking(self, is_blocking: bool, /) -> None:
        """Let later calls wait, or not."""

    def setsockopt(self, level: int, name: int, value: int | Buffer, /) -> None:
        """Set an option of the socket; SO_RCVTIMEO bounds the wait for the first bytes."""


class SecureTransport(Transport, Protocol):
    """TLS, from the calling side."""

    def shake_hands(self) -> int:
        """Go on with the handshake; return what to poll for until the next call, 0 when it is done.

        Raises: TlsTrouble; OSError.
        """


class SecureServerTransport(ServerTransport, Protocol):
    """TLS, from the side that accepted."""

    def finish_handshake(self, ends_s: float) -> None:
        """Carry the handshake through. Raises: TimeoutError when it is `ends_s` on time.monotonic(); TlsTrouble; OSError."""

    def peer_name(self) -> str:
        """Return the name in the other side's certificate."""


class Security(Protocol):
    """What secures connections."""

    def begin_client(self, sock: socket.socket, host: str) -> SecureTransport:
        """Return TLS over a connected, non-blocking socket, which it takes over; no handshake yet.

        `host`: the name or address that must be in the other side's certificate.
        """

    def begin_server(self, sock: socket.socket, ends_s: float) -> SecureServerTransport:
        """Return TLS over an accepted socket, which it takes over, once the peer begins; no handshake yet.

        Raises: PlainPeer, the socket is then as it was; TimeoutError when it is `ends_s` on time.monotonic(); OSError.
        """

    def tell_refused(self, peer: str, reason: str) -> None:
        """Tell the operator of a peer, an address, that was not let in."""
