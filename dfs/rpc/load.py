"""What the peers of a server use of it, and how much they may: connections, requests in flight, bytes of bodies and answers.

Every limit holds twice: for all peers together, and at half of it for one address, so that no single machine can take what the
others need. Owns the counts; promises that what was taken is given back exactly once, and that nothing is kept of a peer without
connections. Called by server.py and server_connection.py, from all their threads. Knows no sockets.
"""

from __future__ import annotations

import ipaddress
import threading
from typing import Final, NamedTuple

from dfs.core.limits import (
    BYTES_IN_FLIGHT_MAX,
    BYTES_IN_FLIGHT_PER_PEER_MAX,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    REQUESTS_IN_FLIGHT_PER_PEER_MAX,
)

_NETWORK_BITS_V6: Final = 64
"""One machine has as many IPv6 addresses as it likes, but all in its own network."""


class Share(NamedTuple):
    """How much may be used of everything."""

    connections: int
    requests: int
    body_bytes: int


ALL: Final = Share(CONNECTIONS_MAX, REQUESTS_IN_FLIGHT_MAX, BYTES_IN_FLIGHT_MAX)
ONE_PEER: Final = Share(CONNECTIONS_PER_PEER_MAX, REQUESTS_IN_FLIGHT_PER_PEER_MAX, BYTES_IN_FLIGHT_PER_PEER_MAX)


class Overload(Exception):
    """A limit is reached. `limit` names it, `allowed` is its value."""

    def __init__(self, limit: str, allowed: int) -> None:
        super().__init__(f"{limit}: expected at most {allowed}")
        self.limit = limit
        self.allowed = allowed


class _Used:
    """What is in use: by all, or by one peer."""

    __slots__ = ("body_bytes", "connections", "requests")

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.body_bytes = 0


class Load:
    """Counts for one server. The mutex guards the counts; nothing else happens under it."""

    def __init__(self, of_all: Share = ALL, of_one: Share = ONE_PEER) -> None:
        self._of_all = of_all
        self._of_one = of_one
        self._mutex = threading.Lock()
        self._all = _Used()
        self._peers: dict[str, _Used] = {}

    @property
    def connections_max(self) -> int:
        """How many connections there may be."""
        return self._of_all.connections

    @property
    def peers(self) -> int:
        """How many peers have connections."""
        with self._mutex:
            return len(self._peers)

    @property
    def held_bytes(self) -> int:
        """How many bytes of bodies and answers are in memory."""
        with self._mutex:
            return self._all.body_bytes

    def connect(self, host: str) -> PeerLoad:
        """Take one more connection for the peer at `host`, an IP address. Raises: Overload."""
        name = peer_name(host)
        with self._mutex:
            used = self._peers.get(name) or _Used()
            _check("connections", self._all.connections, self._of_all.connections)
            _check("connections of one peer", used.connections, self._of_one.connections)
            self._all.connections += 1
            used.connections += 1
            self._peers[name] = used
        return PeerLoad(self, name, used)

    def disconnect(self, name: str, used: _Used) -> None:
        """Give a connection back."""
        with self._mutex:
            self._all.connections -= 1
            used.connections -= 1
            if not used.connections:
                del self._peers[name]

    def begin(self, used: _Used) -> None:
        """Take one more request. Raises: Overload."""
        with self._mutex:
            _check("requests in flight", self._all.requests, self._of_all.requests)
            _check("requests in flight of one peer", used.requests, self._of_one.requests)
            self._all.requests += 1
            used.requests += 1

    def end(self, used: _Used) -> None:
        """Give a request back."""
        with self._mutex:
            self._all.requests -= 1
            used.requests -= 1

    def hold(self, used: _Used, size_bytes: int) -> None:
        """Take memory for a body or an answer. Raises: Overload."""
        with self._mutex:
            _check("bytes in flight", self._all.body_bytes + size_bytes - 1, self._of_all.body_bytes)
            _check("bytes in flight of one peer", used.body_bytes + size_bytes - 1, self._of_one.body_bytes)
            self._all.body_bytes += size_bytes
            used.body_bytes += size_bytes

    def release(self, used: _Used, size_bytes: int) -> None:
        """Give memory back."""
        with self._mutex:
            self._all.body_bytes -= size_bytes
            used.body_bytes -= size_bytes


class PeerLoad:
    """What one connection uses; used by its thread alone, and ended by close()."""

    __slots__ = ("_held_bytes", "_load", "_name", "_used", "is_busy")

    def __init__(self, load: Load, name: str, used: _Used) -> None:
        self._load = load
        self._name = name
        self._used = used
        self._held_bytes = 0
        self.is_busy = False

    def begin(self) -> None:
        """Note that a request is being carried out. Raises: Overload."""
        self._load.begin(self._used)
        self.is_busy = True

    def hold(self, size_bytes: int) -> None:
        """Take memory for the present request, its body or its answer. Raises: Overload."""
        if size_bytes:
            self._load.hold(self._used, size_bytes)
            self._held_bytes += size_bytes

    def end(self) -> None:
        """Give back what the present request took. Repeatable."""
        if self.is_busy:
            self.is_busy = False
            self._load.end(self._used)
        if self._held_bytes:
            self._load.release(self._used, self._held_bytes)
            self._held_bytes = 0

    def close(self) -> None:
        """Give everything back, the connection, too. Called once."""
        self.end()
        self._load.disconnect(self._name, self._used)


def peer_name(host: str) -> str:
    """Return by what a peer is known: its IPv4 address, or the network of its IPv6 address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _NETWORK_BITS_V6), strict=False))
    return str(address)


def _check(limit: str, used: int, allowed: int) -> None:
    if used >= allowed:
        raise Overload(limit, allowed)
