"""Settling what a dead holder wrote (design section 7): fence the servers, learn how far its data reaches, cut behind it.

An acknowledged write is on both servers of its blocks, so of every two neighbours one that is complete must have answered; one
that can't read what stands behind the end that it tells decides nothing unless its neighbour has answered too. A server counts for
a role only if it was complete in it, on the same disk, before and after the fence: else it may lack what it should know. Until then
the grant is not free. The fence's ticket is durable before any server hears of it; it survives a restart.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.cuts import Cut
from dfs.core.errors import DfsError
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.messages.blocks import Fence, Fenced
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify, Identity
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.grants import Grants
from dfs.meta.state.inodes import cuts_of, find
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.store import Reader, Store


class _End(NamedTuple):
    """What one server's answer to a fence is worth."""

    end_bytes: int
    primary: RoleState
    secondary: RoleState
    """BLANK: it was not the same before and after, so it says nothing."""
    is_certain: bool = True
    """Whether nothing unreadable stands behind the end."""

    @property
    def is_final(self) -> bool:
        """Tell whether asking again would not tell more."""
        return self.is_certain and {self.primary, self.secondary} <= _ANSWERED


_ANSWERED: Final = frozenset((RoleState.COMPLETE, RoleState.LOST))
NOTHING: Final = _End(0, RoleState.BLANK, RoleState.BLANK)


class _Unsettled(NamedTuple):
    ino: Ino
    fence: Ticket
    cuts: tuple[Cut, ...]


class Settler:
    """Settles inodes one after the other, again and again until enough servers have answered."""

    def __init__(self, store: Store, cluster: Cluster, servers: DataServers, grants: Grants, recalls: Recalls) -> None:
        self._store = store
        self._cluster = cluster
        self._servers = servers
        self._grants = grants
        self._recalls = recalls
        self._ends: dict[Ticket, dict[ServerIndex, _End]] = {}
        """Answers so far, by fence: a fenced server gets nothing older any more, so its answer stays true."""

    def step(self, ctx: CallContext) -> bool:
        """Settle what can be settled now; tell whether nothing is left."""
        waiting = self._store.read(_load)
        if not waiting:
            self._ends.clear()
            return True
        before = self._identify(ctx)
        fenced = {inode.fence: self._fence(ctx, inode, before) for inode in waiting}
        after = self._identify(ctx)
        left = 0
        for inode in waiting:
            ends = self._ends.setdefault(inode.fence, {})
            for server, answer in fenced[inode.fence].items():
                ends[server] = _judge(answer, before.get(server), after.get(server))
            if self._is_enough(ends):
                end_bytes = max(end.end_bytes for end in ends.values())
                self._finish(inode, end_bytes)
            else:
                left += 1
        return left == 0

    def _finish(self, inode: _Unsettled, end_bytes: int) -> None:
        self._store.change(lambda tx: self._grants.settle(tx, inode.ino, inode.fence, end_bytes))
        self._ends.pop(inode.fence, None)
        self._recalls.wake_all()

    def _fence(self, ctx: CallContext, inode: _Unsettled, reachable: dict[ServerIndex, Identity]) -> dict[ServerIndex, Fenced]:
        """Fence the servers whose answer is still needed; return how far data reaches on those that answered."""
        known = self._ends.get(inode.fence, {})
        needed = [i for i in reachable if i not in known or not known[i].is_final]
        answers = self._servers.call_all(ctx, {i: Fence(inode.ino, inode.fence, inode.cuts) for i in needed})
        return {i: answer for i, answer in answers.items() if isinstance(answer, Fenced)}

    def _identify(self, ctx: CallContext) -> dict[ServerIndex, Identity]:
        answers = self._servers.call_all(ctx, {i: Identify() for i in self._cluster.indexes()})
        return {i: answer for i, answer in answers.items() if not isinstance(answer, DfsError)}

    def _is_enough(self, ends: dict[ServerIndex, _End]) -> bool:
        """Tell whether for every two neighbours one has answered that holds all of their common blocks."""
        servers = len(self._cluster.indexes())
        return servers > 0 and all(
            _holds_all(ends.get(ServerIndex(i), NOTHING), ends.get(ServerIndex((i + 1) % servers), NOTHING)) for i in range(servers)
        )


def _holds_all(first: _End, second: _End) -> bool:
    """Tell whether what two neighbours have answered is all that there is to know of their common blocks."""
    if {first.primary, second.secondary} <= _ANSWERED:
        return True
    is_known = first.is_certain and first.primary is RoleState.COMPLETE
    return is_known or (second.is_certain and second.secondary is RoleState.COMPLETE)


def _load(reader: Reader) -> list[_Unsettled]:
    """Return the inodes that are being settled."""
    rows = reader.all("SELECT ino, fence FROM grant_ WHERE fence != 0 ORDER BY ino LIMIT 1000")
    inodes = [(find(reader, ino), fence) for ino, fence in rows]
    return [_Unsettled(inode.ino, fence, cuts_of(reader, inode)) for inode, fence in inodes if inode is not None]


def _judge(answer: Fenced, before: Identity | None, after: Identity | None) -> _End:
    if before is None or after is None or (before.disk, before.doubts) != (after.disk, after.doubts):
        return _End(answer.end_bytes, RoleState.BLANK, RoleState.BLANK)
    primary = before.primary if before.primary is after.primary else RoleState.BLANK
    secondary = before.secondary if before.secondary is after.secondary else RoleState.BLANK
    return _End(answer.end_bytes, primary, secondary, answer.is_certain)
