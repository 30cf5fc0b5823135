"""Connections to servers that are kept for the next call, shared by all threads.

Owns the idle connections, newest first per address, so that a small number stays warm. A connection belongs to whoever took
it until it is given back or closed. Called by exchange.py; FUSE callbacks run on foreign threads whose thread-locals vanish
after each call, which is why connections are not kept per thread.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from typing import Final

from dfs.core.limits import IDLE_TIMEOUT_S
from dfs.rpc.addresses import resolve, split_address
from dfs.rpc.body_buffers import BodyBuffers
from dfs.rpc.framing import MessageReader, parse_answer_head
from dfs.rpc.transport import SecureTransport, Security, Transport

IDLE_PER_ADDRESS_MAX: Final = 32
KEEP_S: Final = IDLE_TIMEOUT_S / 2
"""An idle connection is not used again after this time: the server may be about to close it."""


class Connection:
    """A non-blocking socket, or TLS over one, and what was read from it. Used by one thread at a time."""

    __slots__ = ("_raw", "_tls", "address", "idle_since_s", "reader", "sock")

    def __init__(self, address: str, tls: Security | None = None, buffers: BodyBuffers | None = None) -> None:
        """Begin to connect to `address` (host:port). Raises: OSError; BadRequest if it is no address."""
        family, place = resolve(address)
        self.address = address
        self.idle_since_s = 0.0
        self.reader = MessageReader(parse_answer_head, buffers=buffers)
        self._tls = tls
        self._raw = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.sock: Transport = self._raw
        try:
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._raw.connect(place)
        except BlockingIOError:
            return  # under way: the socket becomes writable when it is decided
        except OSError:
            self.sock.close()
            raise

    def finish_connecting(self) -> SecureTransport | None:
        """Return what the peer must shake hands on once the socket is writable; None: there is no TLS. Raises: OSError."""
        code = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0 and self._raw.getsockname() == self._raw.getpeername():
            code = errno.ECONNREFUSED  # nobody listens there, and the system met our own half-open connection
        if code:
            raise OSError(code, os.strerror(code))
        if self._tls is None:
            return None
        self.sock = stream = self._tls.begin_client(self._raw, split_address(self.address)[0])
        return stream


class ConnectionPool:
    """Idle connections per address. `tls`: what new ones are secured with; None: none is."""

    def __init__(self, tls: Security | None = None) -> None:
        self._tls = tls
        self.buffers = BodyBuffers()
        """Where the answers' bodies come from; whoever has read one out gives it back."""
        self._mutex = threading.Lock()
        self._idle: dict[str, list[Connection]] = {}
        self._reused = 0
        self._opened = 0

    @property
    def reused(self) -> int:
        """How many calls found a connection here."""
        return self._reused

    @property
    def opened(self) -> int:
        """How many connections were opened because none was idle, or those that were idle had broken."""
        return self._opened

    def take(self, address: str) -> Connection | None:
        """Return the newest idle connection to `address`, or None."""
        expired_s = time.monotonic() - KEEP_S
        dropped: list[Connection] = []
        with self._mutex:
            idle = self._idle.get(address)
            if not idle:
                return None
            connection: Connection | None = idle.pop()
            if connection is not None and connection.idle_since_s < expired_s:
                dropped = [connection, *idle]  # all others are older still
                idle.clear()
                connection = None
            else:
                self._reused += 1
        _close_all(dropped)
        return connection

    def open(self, address: str) -> Connection:
        """Begin a new connection, not taken from the idle ones. Raises: OSError; BadRequest if it is no address."""
        connection = Connection(address, self._tls, self.buffers)
        with self._mutex:
            self._opened += 1
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection on which nothing is under way."""
        connection.idle_since_s = time.monotonic()
        dropped: list[Connection] = []
        with self._mutex:
            idle = self._idle.setdefault(connection.address, [])
            idle.append(connection)
            if len(idle) > IDLE_PER_ADDRESS_MAX:
                dropped.append(idle.pop(0))
        _close_all(dropped)

    def forget(self, address: str) -> None:
        """Close the idle connections to a server that has closed one: it was restarted, so all are broken."""
        with self._mutex:
            dropped = self._idle.pop(address, [])
        _close_all(dropped)

    def close(self) -> None:
        """Close all idle connections."""
        with self._mutex:
            dropped = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        _close_all(dropped)


def _close_all(connections: list[Connection]) -> None:
    for connection in connections:
        connection.sock.close()
