"""Cleaning: having data servers execute durable cuts, so that meta may forget them (design section 7).

A cut is forgotten when every server confirmed that it executed it, complete in both roles, and afterwards every server still
is who and what it was then: same disk, same states. Else a server that lost its disk in between could be rebuilt from a copy
that still holds the void bytes, and nobody would know the cut. Newer cuts of the same inode are another matter: rows are
deleted one by one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.cuts import Cut
from dfs.core.errors import DfsError
from dfs.core.ids import Ino, ServerIndex
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.messages.blocks import Clean
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify, Identity
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.store import Reader, Store, Transaction

BATCH_INODES: Final = 128


class _Dirty(NamedTuple):
    """An inode with cuts that are not executed everywhere."""

    ino: Ino
    cuts: tuple[Cut, ...]


class Cleaner:
    """Cleans all inodes that have cuts, in batches."""

    def __init__(self, store: Store, cluster: Cluster, servers: DataServers) -> None:
        self._store = store
        self._cluster = cluster
        self._servers = servers

    def step(self, ctx: CallContext) -> bool:
        """Clean once through all inodes with cuts; tell whether nothing is left of what was there."""
        if not self._cluster.indexes():
            return True
        after, all_done = Ino(0), True
        while batch := self._store.read(lambda reader, after=after: _load(reader, after)):  # type: ignore[misc]
            after = batch[-1].ino
            done = self._clean_batch(ctx, batch)
            if done is None:
                return False
            all_done = all_done and done
        return all_done

    def _clean_batch(self, ctx: CallContext, batch: list[_Dirty]) -> bool | None:
        """Clean some inodes; None if a server is not there, which would hold for the next batch as well."""
        cleaned: list[_Dirty] = []
        first: dict[ServerIndex, Identity] | None = None
        for inode in batch:
            answers = self._servers.call_all(ctx, {i: Clean(inode.ino, inode.cuts) for i in self._cluster.indexes()})
            found = {i: answer for i, answer in answers.items() if not isinstance(answer, DfsError)}
            if len(found) != len(answers) or not all(map(_is_complete, found.values())):
                break
            if first is None:
                first = found
            if _who(found) != _who(first):
                break
            cleaned.append(inode)
        if not cleaned or first is None:
            return None
        answers = self._servers.call_all(ctx, {i: Identify() for i in self._cluster.indexes()})
        found = {i: answer for i, answer in answers.items() if not isinstance(answer, DfsError)}
        if _who(found) != _who(first):
            return None
        self._store.change(lambda tx: _forget(tx, cleaned))
        return True if len(cleaned) == len(batch) else None


def _load(reader: Reader, after: Ino) -> list[_Dirty]:
    """Return the next inodes with cuts, in rising order."""
    inos = reader.all("SELECT DISTINCT ino FROM cut WHERE ino > ? ORDER BY ino LIMIT ?", after, BATCH_INODES)
    select = "SELECT offset, ticket FROM cut WHERE ino = ? ORDER BY ticket"
    return [_Dirty(ino, tuple(map(Cut._make, reader.all(select, ino)))) for (ino,) in inos]


def _forget(tx: Transaction, cleaned: list[_Dirty]) -> None:
    rows = [(inode.ino, cut.ticket, cut.offset) for inode in cleaned for cut in inode.cuts]
    tx.run_many("DELETE FROM cut WHERE ino = ? AND ticket = ? AND offset = ?", rows)


def _is_complete(identity: Identity) -> bool:
    return identity.primary is RoleState.COMPLETE and identity.secondary is RoleState.COMPLETE


def _who(found: dict[ServerIndex, Identity]) -> dict[ServerIndex, tuple[str, int, RoleState, RoleState]]:
    """Return what must not change between the two rounds: else a server may have been given back what it had cleaned away."""
    return {i: (identity.disk, identity.doubts, identity.primary, identity.secondary) for i, identity in found.items()}
