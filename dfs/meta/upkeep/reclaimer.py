"""Reclaiming: having data servers drop the strips of removed files, until each of them confirmed (design section 6).

Only what is durable is told: rows of the reclaim table are written in the transaction that removes the inode. Which servers have
confirmed is durable per inode, so that a server that is away for long costs the others nothing twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.errors import DfsError
from dfs.core.ids import Ino, ServerIndex
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.messages.blocks import Drop
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.store import Reader, Store, Transaction

BATCH_INODES: Final = 1000


class _Removed(NamedTuple):
    """An inode whose strips are not yet dropped everywhere."""

    ino: Ino
    confirmed: int
    """Bit i: server i has dropped it."""


class Reclaimer:
    """Drops the strips of removed inodes, in batches."""

    def __init__(self, store: Store, cluster: Cluster, servers: DataServers) -> None:
        self._store = store
        self._cluster = cluster
        self._servers = servers

    def step(self, ctx: CallContext) -> bool:
        """Go once through all removed inodes; tell whether nothing is left of what was there."""
        servers = self._cluster.indexes()
        if not servers:
            return True
        after, away = Ino(0), set[ServerIndex]()
        while batch := self._store.read(lambda reader, after=after: _load(reader, after)):  # type: ignore[misc]
            after = batch[-1].ino
            self._drop(ctx, batch, servers, away)
            if len(away) == len(servers):
                break
        return not away

    def _drop(self, ctx: CallContext, batch: list[_Removed], servers: list[ServerIndex], away: set[ServerIndex]) -> None:
        """Drop some inodes on the servers that are there; note in `away` those that do not answer."""
        calls = {}
        for server in servers:
            inos = tuple(removed.ino for removed in batch if not removed.confirmed >> server & 1)
            if inos and server not in away:
                calls[server] = Drop(inos)
        if not calls:
            return
        answers = self._servers.call_all(ctx, calls)
        away.update(server for server, answer in answers.items() if isinstance(answer, DfsError))
        confirmed = sum(1 << server for server, answer in answers.items() if not isinstance(answer, DfsError))
        if confirmed:
            everyone = (1 << len(servers)) - 1
            self._store.change(lambda tx: _confirm(tx, batch, confirmed, everyone))


def _load(reader: Reader, after: Ino) -> list[_Removed]:
    rows = reader.all("SELECT ino, confirmed FROM reclaim WHERE ino > ? ORDER BY ino LIMIT ?", after, BATCH_INODES)
    return [_Removed(ino, int.from_bytes(confirmed, "little")) for ino, confirmed in rows]


def _confirm(tx: Transaction, batch: list[_Removed], confirmed: int, everyone: int) -> None:
    """Note who has dropped the batch; forget the inodes that everyone has."""
    done = [(removed.ino,) for removed in batch if removed.confirmed | confirmed == everyone]
    size = (everyone.bit_length() + 7) // 8
    left = [
        ((removed.confirmed | confirmed).to_bytes(size, "little"), removed.ino)
        for removed in batch
        if removed.confirmed | confirmed not in (everyone, removed.confirmed)
    ]
    tx.run_many("DELETE FROM reclaim WHERE ino = ?", done)
    tx.run_many("UPDATE reclaim SET confirmed = ? WHERE ino = ?", left)
