"""Telling data servers the number mark, and going above the highest that they know.

A meta-server that was restored from a backup has forgotten numbers that it issued; the data servers have not.
"""

from __future__ import annotations

from dfs.core.block_messages import Identify, NoteMark
from dfs.core.errors import DfsError
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers
from dfs.meta.cluster import Cluster
from dfs.meta.numbers import Numbers
from dfs.meta.store import Store


class Marks:
    """Keeps the servers' marks and ours together."""

    def __init__(self, store: Store, cluster: Cluster, servers: DataServers, numbers: Numbers) -> None:
        self._store = store
        self._cluster = cluster
        self._servers = servers
        self._numbers = numbers
        self._known: dict[ServerIndex, int] = {}
        """The mark of each server that has answered since our start."""

    def step(self, ctx: CallContext) -> bool:
        """Ask servers that have not answered yet, tell all that know a lower mark; tell whether all know ours."""
        servers = self._cluster.indexes()
        unknown = [server for server in servers if server not in self._known]
        for server, identity in self._servers.call_all(ctx, {i: Identify() for i in unknown}).items():
            if not isinstance(identity, DfsError):
                self._known[server] = identity.mark
        highest = max(self._known.values(), default=0)
        if highest > self._numbers.mark:
            self._store.change(lambda tx: self._numbers.go_above(tx, highest))
        mark = self._numbers.mark
        behind = [server for server in servers if self._known.get(server, mark) < mark]
        for server, answer in self._servers.call_all(ctx, {i: NoteMark(mark) for i in behind}).items():
            if not isinstance(answer, DfsError):
                self._known[server] = mark
        return all(self._known.get(server, -1) >= mark for server in servers)
