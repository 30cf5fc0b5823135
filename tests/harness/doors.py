"""Doors to a cluster in this process, over the real wire: whoever comes through one is known to the servers as one client.

A Door has an RpcServer in front of every server of a LocalCluster, which says of each call who made it, as a proved signature does.
Everything else of a call is as the client says. Stands in for the proof of names, and for networks of many machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings
from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.requests import Request
from dfs.core.peers import Peer
from dfs.rpc.client import DataServersClient, MetaClient
from dfs.rpc.server import RpcServer
from tests.harness.local_cluster import LocalCluster, Wire, coming_from
from tests.harness.recorded_events import RecordedEvents

A = TypeVar("A")


class _Stamped:
    """A server, called by one client."""

    def __init__(self, wire: Wire, peer: Peer) -> None:
        self._wire = wire
        self._peer = peer

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        return self._wire.call(coming_from(ctx, self._peer), request)


class _Servers:
    """DataServers behind a door, wherever the meta-server says that they are."""

    def __init__(self, servers: DataServers) -> None:
        self._servers = servers

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        return self._servers.call_all(ctx, calls, patience_s)

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        return self._servers.call(ctx, server, request)

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        """Keep to the door."""


class Door:
    """One client's way in. Use it in a `with`; a mount made here is stopped with it."""

    def __init__(self, cluster: LocalCluster, peer: Peer) -> None:
        self.cluster = cluster
        self.peer = peer
        self.events = RecordedEvents()
        self._mounts: list[FileSystem] = []
        clock = cluster.clock
        self._servers = [
            RpcServer(
                address="127.0.0.1:0",
                service_name=wire.name,
                methods=META_METHODS if wire is cluster.meta_wire else BLOCK_METHODS,
                api=_Stamped(wire, peer),
                version="test",
                clock=clock,
            )
            for wire in (cluster.meta_wire, *cluster.wires.values())
        ]
        self.meta = MetaClient(address=self._servers[0].address, clock=clock)
        client = DataServersClient(clock=clock)
        client.set_addresses({index: server.address for index, server in zip(cluster.indexes, self._servers[1:], strict=True)}, "")
        self._client = client
        self.servers: DataServers = _Servers(client)

    def __enter__(self) -> Door:
        for server in self._servers:
            server.start()
        return self

    def __exit__(self, *failure: object) -> None:
        for mount in self._mounts:
            mount.stop(PlainContext())
        self.meta.close()
        self._client.close()
        for server in self._servers:
            server.stop()

    def mount(self) -> FileSystem:
        """Mount as this client. Raises: what FileSystem.start() raises."""
        fs = FileSystem(
            settings=MountSettings(self.peer.name or "nobody", b"/mnt", (), 0.0, 10.0),
            meta=self.meta,
            servers=self.servers,
            clock=self.cluster.clock,
            random=self.cluster.random,
            tasks=self.cluster.tasks,
            events=self.events,
        )
        fs.start(PlainContext())
        self._mounts.append(fs)
        return fs
