"""Whose program is at the other end of a connection within this machine, as far as the kernel tells.

Without a key a server on loopback takes connections of its own user and of root only. The kernel is asked for the peer's socket by
sock_diag(7), one question per connection that was accepted (about 10 us), whatever the number of sockets. A socket that its program
has closed belongs to nobody any more (the kernel would say root), so it is refused. What the kernel can't tell: to whom a socket
was passed on, and who is behind a program that forwards connections. Called by server.py, on the accepting thread alone.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ERROR: Final = 2
_ENOENT: Final = 2
_MESSAGE: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
_QUESTION: Final = struct.Struct("=BBxxI")
"""struct inet_diag_req_v2 before its socket: family, protocol, ..., states."""
_PORTS: Final = struct.Struct(">HH")
_INTERFACE_AND_COOKIE: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
"""Any interface, whatever cookie."""
_OWNER: Final = struct.Struct("=II")
"""User and inode number in struct inet_diag_msg, after the 64 bytes of state, socket, timer and queues."""
_OWNER_AT: Final = _MESSAGE.size + 64
_ANY_STATE: Final = 0xFFFFFFFF
_ANSWER_BYTES: Final = 8192
_ANSWER_S: Final = 1.0
NOBODY: Final = -1
"""The owner of a socket that no program has open."""


class Owner(NamedTuple):
    """Who may be at the other end."""

    uid: int
    is_welcome: bool


class LoopbackOwners:
    """Asks the kernel."""

    def __init__(self) -> None:
        """Where the kernel can't be asked, a warning says so and everybody on this machine is welcome."""
        self._welcome = frozenset((0, os.geteuid()))
        self._asked = 0
        self._netlink: socket.socket | None = None
        try:
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
            self._netlink.settimeout(_ANSWER_S)
        except OSError as error:
            self._cannot_tell(error)

    def owner(self, accepted: socket.socket, peer: tuple[str, int]) -> Owner:
        """Return who is at the other end of an accepted connection, as far as can be told."""
        try:
            uid = self._ask(accepted, peer)
        except OSError as error:
            self._cannot_tell(error)
            uid = None
        return Owner(NOBODY, True) if uid is None else Owner(uid, uid in self._welcome)

    def close(self) -> None:
        """Ask no more."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _ask(self, accepted: socket.socket, peer: tuple[str, int]) -> int | None:
        """Return the owner of the peer's socket, NOBODY, or None: the kernel can't be asked. Raises: OSError."""
        if self._netlink is None:
            return None
        here = accepted.getsockname()
        self._asked += 1
        family = accepted.family
        ends = b"".join(socket.inet_pton(family, address).ljust(16, b"\0") for address in (peer[0], here[0]))
        question = (
            _QUESTION.pack(family, socket.IPPROTO_TCP, _ANY_STATE) + _PORTS.pack(peer[1], here[1]) + ends + _INTERFACE_AND_COOKIE
        )
        size_bytes = _MESSAGE.size + len(question)
        self._netlink.send(_MESSAGE.pack(size_bytes, _SOCK_DIAG_BY_FAMILY, _REQUEST, self._asked, 0) + question)
        while True:
            answer = self._netlink.recv(_ANSWER_BYTES)
            _, kind, _, number, _ = _MESSAGE.unpack_from(answer)
            if number == self._asked:
                break
        if kind == _ERROR:
            code = -struct.unpack_from("=i", answer, _MESSAGE.size)[0]
            if code == _ENOENT:
                return NOBODY
            raise OSError(code, os.strerror(code))
        uid, inode = _OWNER.unpack_from(answer, _OWNER_AT)
        return int(uid) if inode else NOBODY

    def _cannot_tell(self, error: OSError) -> None:
        logger.warning("cannot tell whose connections these are, so everybody on this machine may use this server: %s", error)
        self.close()
