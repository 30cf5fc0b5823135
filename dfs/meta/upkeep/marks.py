"""Telling data servers the number mark, and noticing that they remember a higher one.

The mark is the database's age as well: it is raised every ADVANCE_S in which anything changed, at a clean stop, and after each
backup, and the servers are told. So a database that is put back, by whatever means, is recognised by marks above its own
(dfs/meta/upkeep/rollback.py), unless it is younger than ADVANCE_S.
"""

from __future__ import annotations

import logging
from typing import Final

from dfs.core.contexts import GuardedContext, PlainContext
from dfs.core.errors import DfsError, EndReason
from dfs.core.ids import NUMBER_MAX, ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers
from dfs.core.messages.data_server import Identify, NoteMark
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.numbers import Numbers
from dfs.meta.state.store import Store
from dfs.meta.upkeep.rollback import Rollback

log = logging.getLogger(__name__)

ADVANCE_S: Final = 5.0
STOP_S_MAX: Final = 5.0
"""How long a clean stop may take to tell the last mark."""


class Marks:
    """Keeps the servers' marks and ours together."""

    def __init__(
        self, store: Store, cluster: Cluster, servers: DataServers, numbers: Numbers, rollback: Rollback, clock: Clock
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._servers = servers
        self._numbers = numbers
        self._rollback = rollback
        self._clock = clock
        self._known: dict[ServerIndex, int] = {}
        """The mark of each server that has answered since our start."""
        self._told = numbers.mark
        """The highest mark that a server can have from this database: told in this run, or before its start."""
        self._told_changes = -1
        """Changes of the store when the mark was last raised for them."""
        self._advance_s = clock.monotonic_s() + ADVANCE_S
        self._is_copied = False
        """Whether a copy of the database was taken that the next mark must tell from what follows."""

    def note_copy(self) -> None:
        """Have the mark raised at the next step: a backup was taken."""
        self._is_copied = True

    def step(self, ctx: CallContext) -> bool:
        """Ask servers that have not answered yet, tell all that know a lower mark; tell whether all know ours."""
        servers = self._cluster.indexes()
        if not servers:
            return True
        self._compare(ctx, servers)
        if self._is_copied or self._clock.monotonic_s() >= self._advance_s:
            self._advance()
        self._told = mark = self._numbers.mark
        behind = [server for server in servers if self._known.get(server, mark) < mark]
        for server, answer in self._servers.call_all(ctx, {i: NoteMark(mark) for i in behind}).items():
            if not isinstance(answer, DfsError):
                self._known[server] = mark
        return all(self._known.get(server, -1) >= mark for server in servers)

    def tell_last(self) -> None:
        """Raise the mark for what changed last and tell it before a clean stop, in bounded time."""
        ends_s = self._clock.monotonic_s() + STOP_S_MAX

        def is_over() -> bool:
            return self._clock.monotonic_s() > ends_s

        self._advance_s = self._clock.monotonic_s()
        try:
            self.step(GuardedContext(PlainContext("meta-stop"), is_over, EndReason.DEADLINE))
        except DfsError as error:
            log.info("the last mark is not told at this stop: %s", error)

    def _compare(self, ctx: CallContext, servers: list[ServerIndex]) -> None:
        """Learn the marks of servers that have not answered yet, and go above them."""
        unknown = [server for server in servers if server not in self._known]
        for server, identity in self._servers.call_all(ctx, {i: Identify() for i in unknown}).items():
            if not isinstance(identity, DfsError) and 0 <= identity.mark <= NUMBER_MAX:
                self._known[server] = identity.mark
        highest = max(self._known.values(), default=0)
        if highest > self._told:  # not: than our mark, which may have been raised since the start
            self._rollback.adopt(ctx, self._numbers, self._told, highest)
            self._told = self._numbers.mark
        # One may be away: what it alone remembers was told while another was away too.
        if len(self._known) >= max(1, len(servers) - 1):
            self._numbers.marks_are_known()
            self._rollback.note_compared(is_everyone=len(self._known) == len(servers))

    def _advance(self) -> None:
        """Raise the mark if anything changed since it was raised last."""
        self._advance_s = self._clock.monotonic_s() + ADVANCE_S
        if self._is_copied or self._store.counts.changes != self._told_changes:
            self._store.change(self._numbers.advance)
            self._told_changes = self._store.counts.changes
            self._is_copied = False
