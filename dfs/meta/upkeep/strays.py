"""Strays: inodes of which data servers hold strips and that meta does not know. They wait a week in quarantine, then are reclaimed.

They come of a restored meta-server, or of a Put that arrived after its file was gone. Quarantine is a list in our own tables: the
strips stay where they are, so that a better backup finds them in place, and nobody reads what has no inode. Promises: nothing is
concluded from a list that is not whole, nor before every server's mark was compared (rollback.py); the week is counted in
time that this meta-server ran, not by the wall clock. Called by a worker. The reasons are in decision record 15.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from dfs.core.events.event import Event
from dfs.core.events.meta_server import STRAYS_FOUND
from dfs.core.ids import Ino, ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers, EventSink
from dfs.core.limits import BATCH_INODES_MAX
from dfs.core.messages.blocks import ListInodes
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.store import Reader, Store, Transaction
from dfs.meta.upkeep.rollback import Rollback

FIRST_SCAN_S: Final = 600.0
"""After a start: it costs a look at all inodes, and a start has other things to do."""
SCAN_INTERVAL_S: Final = 6 * 3600.0
QUARANTINE_DAYS: Final = 7
_UNKNOWN: Final = (
    "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT ino FROM inode) AND value NOT IN (SELECT ino FROM reclaim)"
)


class Strays:
    """Finds strays and lets them go in time."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        servers: DataServers,
        rollback: Rollback,
        clock: Clock,
        events: EventSink,
        on_overdue: Callable[[], None],
    ) -> None:
        """`on_overdue` is called when there is something for the reclaimer."""
        self._store = store
        self._cluster = cluster
        self._servers = servers
        self._rollback = rollback
        self._clock = clock
        self._events = events
        self._on_overdue = on_overdue
        self._due_s = clock.monotonic_s() + FIRST_SCAN_S
        self._scanned_s: float | None = None

    def step(self, ctx: CallContext) -> bool:
        """Scan if it is time; tell whether it is done. Raises: DfsError of a server that does not answer."""
        now_s = self._clock.monotonic_s()
        if not self._rollback.may_doubt:
            self._scanned_s = None
            return True
        if now_s < self._due_s:
            return True
        found: set[Ino] = set()
        for server in self._cluster.indexes():
            found |= self._unknown_on(ctx, server)
        waited_s = 0 if self._scanned_s is None else int(now_s - self._scanned_s)
        if not self._rollback.may_doubt:
            return True
        new, overdue = self._store.change(lambda tx: _note(tx, found, waited_s))
        self._scanned_s, self._due_s = now_s, now_s + SCAN_INTERVAL_S
        if new:
            self._events.emit(Event(STRAYS_FOUND, details={"count": len(found), "days": QUARANTINE_DAYS}), ctx)
        if overdue:
            self._on_overdue()
        return True

    def _unknown_on(self, ctx: CallContext, server: ServerIndex) -> set[Ino]:
        """Return the inodes on a server that are not known after it listed them: what was made meanwhile is."""
        unknown: set[Ino] = set()
        after, more = Ino(0), True
        while more:
            page = self._servers.call(ctx, server, ListInodes(after, BATCH_INODES_MAX))
            inos = page.inos
            unknown.update(self._store.read(lambda reader, inos=inos: unknown_inodes(reader, inos)))  # type: ignore[misc]
            after, more = (inos[-1], page.more) if inos else (after, False)
        return unknown


def unknown_inodes(reader: Reader, inos: tuple[Ino, ...]) -> list[Ino]:
    """Return those of the inodes that are neither there nor being reclaimed."""
    return [Ino(ino) for (ino,) in reader.all(_UNKNOWN, json.dumps(inos))]


def _note(tx: Transaction, found: set[Ino], waited_s: int) -> tuple[int, int]:
    """Count the time of known strays, begin that of new ones, forget those that are gone, and give overdue ones to the reclaimer.

    Result: how many are new, how many overdue.
    """
    listed = json.dumps(sorted(found))
    tx.run("DELETE FROM stray WHERE ino NOT IN (SELECT value FROM json_each(?))", listed)
    tx.run("UPDATE stray SET waited_s = waited_s + ?", waited_s)
    new = tx.run("INSERT OR IGNORE INTO stray SELECT value, 0 FROM json_each(?)", listed)
    limit_s = QUARANTINE_DAYS * 86_400
    select = "SELECT ino, x'' FROM stray WHERE waited_s >= ? AND ino NOT IN (SELECT ino FROM inode)"
    tx.run(f"INSERT OR IGNORE INTO reclaim {select}", limit_s)
    overdue = tx.run("DELETE FROM stray WHERE waited_s >= ?", limit_s)
    return new, overdue
