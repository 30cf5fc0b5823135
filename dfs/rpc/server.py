"""The listening end: one service's methods on one address.

Owns the listening socket, the thread that accepts and one thread per connection. The address is bound and listened on when
the server is built, so that a second process there is told at once; calls are answered from start() on. stop() is bounded in
time: parked calls see SHUTDOWN in their context, and connections that do not end are aborted.
Built by dfs/cli, which hands in the service and its methods.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from dfs.core.errors import BadRequest
from dfs.core.interfaces import POLL_S, Clock, EventSink
from dfs.core.messages.requests import Request
from dfs.core.metrics import CONNECTIONS, CONNECTIONS_LIMIT, Sample
from dfs.core.peers import Peer
from dfs.core.start_errors import AddressInUse, ConfigError, PeerStartError, StartError
from dfs.rpc.addresses import join_address, resolve, split_address
from dfs.rpc.body_buffers import BodyBuffers
from dfs.rpc.dispatch import Api, Dispatcher
from dfs.rpc.limit_reports import LimitReports
from dfs.rpc.load import Load, Overload, PeerLoad
from dfs.rpc.loopback_owners import NOBODY, LoopbackOwners
from dfs.rpc.measures import request_samples
from dfs.rpc.metrics_page import NO_METRICS, MetricsPage
from dfs.rpc.server_connection import ServerConnection
from dfs.rpc.transport import Security
from dfs.rpc.verifier import Verifier

logger = logging.getLogger(__name__)

STOP_WAIT_S: Final = 3.0
"""How long stop() lets calls finish before it aborts their connections."""
ABORT_WAIT_S: Final = 1.0
BACKLOG: Final = 128


class RpcServer:
    """Serves one API. Locking: `_mutex` guards the table of connections, nothing slow happens under it."""

    def __init__(
        self,
        *,
        address: str,
        service_name: str,
        methods: Mapping[str, type[Request[Any]]],
        api: Api,
        version: str,
        identity: Callable[[], str] | None = None,
        clock: Clock,
        inherited_fd: int | None = None,
        is_open_to_network: bool = False,
        verifier: Verifier | None = None,
        owners: LoopbackOwners | None = None,
        tls: Security | None = None,
        load: Load | None = None,
        events: EventSink | None = None,
        metrics: MetricsPage = NO_METRICS,
    ) -> None:
        """Bind `address` (host:port; port 0: any free one) and listen.

        `identity` returns CLUSTER/INDEX of a data server ("/INDEX" while blank); calls meant for another are refused.
        `inherited_fd`: a socket that listens already (socket activation), used instead of binding; owned from now on.
        `is_open_to_network`: whether the address may be one that other machines reach.
        `verifier`: takes signed requests only; None: everybody is believed. `owners`: tells who of this machine may connect, if the
        address is on loopback; None: everybody. It is closed at the end.
        `tls`: what every connection is secured with; None: none is.
        `load`: what peers may use of this server; None: what dfs/core/limits.py says. `events` hears who goes over it.
        `metrics`: what GET /metrics shows.

        Raises: AddressInUse; ConfigError if the address is not one of this machine's that may be listened on, or not the inherited
        socket's; PeerStartError if no name server answers.
        """
        place = _find_place(address, is_open_to_network)
        self._listener = _listen(address, place) if inherited_fd is None else _adopt(address, place, inherited_fd)
        self._listener.setblocking(False)
        self.address = join_address(*self._listener.getsockname()[:2])
        self.is_on_network = not place.is_loopback()
        """Whether other machines reach it."""
        self._dispatcher = Dispatcher(name=f"{service_name} at {self.address}", methods=methods, api=api)
        self._version = version
        self._identity = identity
        self._clock = clock
        self._verifier = verifier
        self._owners = owners
        self._tls = tls
        self._load = load or Load()
        self._reports = LimitReports(clock, events)
        self._metrics = metrics
        self._buffers = BodyBuffers()
        self._stopping = threading.Event()
        self._waker, self._wake = socket.socketpair()
        self._mutex = threading.Lock()
        self._connections: dict[ServerConnection, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name=f"rpc-accept-{self.address}", daemon=True)

    @property
    def calls(self) -> dict[str, int]:
        """How often each method was called."""
        return self._dispatcher.calls

    @property
    def has_key(self) -> bool:
        """Whether whoever calls must prove who he is."""
        return self._verifier is not None

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._mutex:
            return len(self._connections)

    def measures(self) -> Iterator[Sample]:
        """Yield what was answered, and how many connections are open."""
        yield Sample(CONNECTIONS, (), self.connections)
        yield Sample(CONNECTIONS_LIMIT, (), self._load.connections_max)
        yield from request_samples(self._dispatcher.meter)

    def start(self) -> None:
        """Begin to answer."""
        self._acceptor.start()

    def stop(self) -> None:
        """Take no more calls, let those under way end, close everything. Bounded by STOP_WAIT_S + ABORT_WAIT_S. Repeatable."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.send(b"x")
        if self._acceptor.ident is not None:
            self._acceptor.join()
        self._listener.close()
        if self._owners is not None:
            self._owners.close()
        for connection, _ in self._snapshot():
            connection.end_receiving()
        if not self._join_all(STOP_WAIT_S):
            for connection, thread in self._snapshot():
                logger.warning("aborting a call that did not end within %s s: %s", STOP_WAIT_S, thread.name)
                connection.abort()
            self._join_all(ABORT_WAIT_S)
        self._waker.close()
        self._wake.close()

    def _snapshot(self) -> list[tuple[ServerConnection, threading.Thread]]:
        with self._mutex:
            return list(self._connections.items())

    def _join_all(self, wait_s: float) -> bool:
        ends_s = time.monotonic() + wait_s
        for _, thread in self._snapshot():
            thread.join(max(0.0, ends_s - time.monotonic()))
        return not self._snapshot()

    def _accept(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        poller.register(self._waker, select.POLLIN)
        exhausted = False
        while not self._stopping.is_set():
            poller.poll()
            try:
                sock, peer = self._listener.accept()
                exhausted = False
            except (BlockingIOError, InterruptedError, ConnectionError):
                continue
            except OSError as error:  # no file descriptors or memory: others must end before more can be accepted
                if not exhausted:
                    logger.error("cannot accept connections for now: %s", error)
                exhausted = True
                self._stopping.wait(POLL_S)
                continue
            self._serve(sock, Peer(peer[0]), join_address(*peer[:2]), self._unwelcome(sock, peer[:2]))

    def _unwelcome(self, sock: socket.socket, peer: tuple[str, int]) -> str:
        """Return why a connection is not served at all, or nothing."""
        if self._owners is None or self.is_on_network:
            return ""
        owner = self._owners.owner(sock, peer)
        if owner.is_welcome:
            return ""
        who = "a program that has ended" if owner.uid == NOBODY else f"user {owner.uid}"
        return f"without a cluster key this server is for its own user and for root, not for {who}: see dfsctl key generate"

    def _serve(self, sock: socket.socket, peer: Peer, address: str, unwelcome: str) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            load = self._load.connect(peer.host)
        except Overload as error:
            self._reports.tell(peer.host, error.limit, str(error))
            self._connection(sock, peer, unwelcome, None).refuse_and_close(str(error))
            return
        connection = self._connection(sock, peer, unwelcome, load)
        thread = threading.Thread(target=self._run, args=(connection,), name=f"rpc-{address}", daemon=True)
        with self._mutex:
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            logger.error("cannot serve a connection from %s: %s", address, error)
            self._forget(connection)
            connection.refuse_and_close("no more threads")
            load.close()

    def _connection(self, sock: socket.socket, peer: Peer, unwelcome: str, load: PeerLoad | None) -> ServerConnection:
        return ServerConnection(
            sock,
            peer=peer,
            dispatcher=self._dispatcher,
            verifier=self._verifier,
            unwelcome=unwelcome,
            identity=self._identity,
            version=self._version,
            clock=self._clock,
            stopping=self._stopping,
            load=load,
            reports=self._reports,
            metrics=self._metrics,
            tls=self._tls,
            buffers=self._buffers,
        )

    def _run(self, connection: ServerConnection) -> None:
        try:
            connection.run()
        except Exception:
            logger.exception("a connection ended by a bug")
        finally:
            self._forget(connection)

    def _forget(self, connection: ServerConnection) -> None:
        with self._mutex:
            del self._connections[connection]


class _Place(NamedTuple):
    """An address that was looked up."""

    family: socket.AddressFamily
    socket_address: Any

    def is_loopback(self) -> bool:
        """Tell whether other machines can't reach it."""
        return ipaddress.ip_address(self.socket_address[0]).is_loopback


def _listen(address: str, place: _Place) -> socket.socket:
    """Return a socket that listens at `address`, which is `place`."""
    sock = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place.socket_address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _start_error(address, error) from error
    return sock


def _adopt(address: str, place: _Place, inherited_fd: int) -> socket.socket:
    """Return the inherited socket, which must listen at `address`: a caller finds the server by the configuration."""
    sock = socket.socket(fileno=inherited_fd)
    found = sock.getsockname()
    if found[:2] != place.socket_address[:2]:
        sock.close()
        raise ConfigError(
            f"a socket unit that listens at {address}, as the configuration says",
            f"one at {join_address(*found[:2])}; after a change of the address: systemctl daemon-reload, restart the socket unit",
        )
    return sock


def _find_place(address: str, is_open_to_network: bool) -> _Place:
    """Return where `address` is, once it is one that may be listened on."""
    try:
        place = _Place(*resolve(address))
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:  # at boot the network may come later
            raise PeerStartError(f"a name server that knows {address}", "no answer") from error
        raise ConfigError("an address to listen on, host:port", f"{address}: {error.strerror}") from error
    except (BadRequest, OSError) as error:
        raise ConfigError("an address to listen on, host:port", f"{address}: {error}") from error
    if not place.is_loopback():
        if not is_open_to_network:
            reason = "without a cluster key anybody on the network could read and change all files; dfsctl key generate makes one"
            raise ConfigError("a loopback address to listen on", f"{address}: {reason}")
    elif not _means_loopback(address):
        found = place.socket_address[0]
        raise ConfigError(
            f"{address} to be an address that the other machines reach",
            f"{found}, which only this machine does; its line in /etc/hosts must be another one, or name an address instead",
        )
    return place


def _means_loopback(address: str) -> bool:
    """Tell whether whoever wrote `address` can only have meant this machine: Debian gives a host's own name a loopback address."""
    host, _ = split_address(address)
    return host == "localhost" or ":" in host or host.replace(".", "").isdigit()


def _start_error(address: str, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"{address} to be free to listen on", "another process listens there")
    return ConfigError("an address of this machine to listen on", f"{address}: {error.strerror}")
