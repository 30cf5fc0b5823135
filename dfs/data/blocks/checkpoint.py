"""The checkpoint: journalled blocks are put in place, then their segments are dropped.

Order, so that a crash anywhere loses nothing: a new segment; the old ones are synced; their blocks are written in place and the
strips synced; tables of floors are replaced; only then the old segments go. A checkpoint that failed is taken up again where
it was. Promises: a block is read from the overlay until it is in place; what run_if_due() found is synced when it returns, and
in place soon after the journal falls quiet. Called by the service's task, and at its stop.

Lock order: this object's keyed lock is the outermost; see Store.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import DiskError
from dfs.core.events.data_server import DISK_GOES_ON, DISK_TROUBLE
from dfs.core.events.event import Event
from dfs.core.ids import Ino
from dfs.core.interfaces import Tasks
from dfs.core.placement import Role
from dfs.core.records import pack_record
from dfs.data.blocks.store import Store
from dfs.data.blocks.syncing import Syncing
from dfs.data.disk.geometry import Geometry
from dfs.data.disk.overlay import Pending

BATCH_INODES: Final = 64
"""Inodes written before they are synced: few enough for their strips to stay open in between."""
RUN_BYTES_MAX: Final = 1 << 20
"""Largest single write of neighbouring records."""


class Checkpoint:
    """Puts journalled blocks in place."""

    def __init__(self, store: Store, syncing: Syncing, tasks: Tasks, journal_age_s_max: float) -> None:
        self._store = store
        self._syncing = syncing
        self._journal_age_s_max = journal_age_s_max
        self._lock = tasks.keyed_lock()
        self._journal_end = 0
        """Where the journal ended at the last run_if_due()."""
        self._journalled_since_s: float | None = None
        """When run_if_due() first saw what is in the journal now."""
        self._is_unfinished = False
        self._floor_tables: set[int] = set()
        self._is_troubled = False
        self._begun = self._synced = 0

    @property
    def begun(self) -> int:
        """The number of the newest sync of everything that has begun."""
        return self._begun

    @property
    def synced(self) -> int:
        """The number of the newest one that has ended well: all that was acknowledged before it began is on disk."""
        return self._synced

    def run(self) -> None:
        """Put everything in place that is in the journal now, and sync everything. Raises: NotTrusted: the server ends.

        An error of the disk is told once; the blocks stay in the journal, and the next run tries again.
        """
        with self._lock.hold("checkpoint"):
            self._run(is_put_in_place=True)

    def run_if_due(self, now_s: float) -> None:
        """Sync everything, and put in place if the journal is large or old, or took nothing since the last call.

        Until then small files cost a share of one fsync of the journal instead of two files and fsyncs of their own, and
        those removed meanwhile never get a file. `now_s`: of the monotonic clock. Errors as of run().
        """
        with self._lock.hold("checkpoint"):
            self._run(is_put_in_place=self._is_due(now_s))

    def _is_due(self, now_s: float) -> bool:
        journal = self._store.journal
        is_quiet, self._journal_end = journal.end == self._journal_end, journal.end
        if self._is_unfinished or self._is_troubled:
            return True
        if not self._has_work():
            self._journalled_since_s = None
            return False
        if self._journalled_since_s is None:
            self._journalled_since_s = now_s
        return is_quiet or journal.wants_checkpoint or now_s - self._journalled_since_s >= self._journal_age_s_max

    def _run(self, *, is_put_in_place: bool) -> None:
        self._begun += 1
        try:
            if is_put_in_place:
                self._begin()
                self._drain()
                self._journalled_since_s = None
            else:
                self._store.journal.sync()
                self._syncing.sync_changed()
                self._store.strips.sync_folders()
        except DiskError as error:
            self._store.journal.note_backlog(error)
            self._tell_trouble(error)
        else:
            self._store.journal.note_backlog(None)
            self._tell_trouble(None)
            self._synced = self._begun

    def _has_work(self) -> bool:
        return self._store.journal.has_entries or self._store.floors.has_changed

    def _begin(self) -> None:
        """Begin a new segment, unless the last checkpoint is unfinished or there is nothing to do."""
        store = self._store
        if self._is_unfinished or not self._has_work():
            return
        segment = store.journal.prepare_segment()
        with store.journal.writing():
            store.journal.roll(segment)
            store.overlay.roll()
            store.reserve.roll()
            self._floor_tables = store.floors.take_changed()
        self._is_unfinished = True

    def _drain(self) -> None:
        """Take the checkpoint on to its end. The old segments say which strips have something to sync, so they go last."""
        store = self._store
        if not self._is_unfinished:
            self._syncing.sync_changed()
            return
        store.journal.sync()
        inos = store.overlay.draining_inos()
        for start in range(0, len(inos), BATCH_INODES):
            batch = inos[start : start + BATCH_INODES]
            for ino in batch:
                self._write_inode(ino)
            self._syncing.sync_many(batch)
            for ino in batch:
                store.overlay.drained(ino)
        self._syncing.sync_changed()
        store.floors.save(self._floor_tables)
        store.strips.sync_folders()
        store.changes.save()
        store.journal.drop_old()
        store.overlay.finish()
        store.reserve.finish()
        self._is_unfinished = False

    def _write_inode(self, ino: Ino) -> None:
        store = self._store
        with store.hold(ino):
            for role, pending in store.overlay.draining_of(ino).items():
                self._write_strip(ino, role, pending)

    def _write_strip(self, ino: Ino, role: Role, pending: Pending) -> None:
        store, block_size = self._store, self._store.geometry.block_size
        strip = store.strips.use_or_create(ino, role, pending.residue)
        try:
            store.strips.note_change(strip)
            for first, count in runs_of(sorted(pending.records), store.geometry):
                packed = b"".join([pack_record(pending.records[index], block_size) for index in range(first, first + count)])
                strip.write_records(first, [packed])
                strip.publish(first, count)
        finally:
            store.strips.release(strip)

    def _tell_trouble(self, error: DiskError | None) -> None:
        """Report a change between a disk that takes writes and one that does not."""
        if error is not None and not self._is_troubled:
            self._store.events.emit(Event(DISK_TROUBLE, server=self._store.server, details={"reason": str(error)}))
        elif error is None and self._is_troubled:
            self._store.events.emit(Event(DISK_GOES_ON, server=self._store.server))
        self._is_troubled = error is not None


def runs_of(indexes: list[int], geometry: Geometry) -> list[tuple[int, int]]:
    """Return rising record indexes as runs of neighbours (first, count), none longer than one write should be."""
    longest = max(1, RUN_BYTES_MAX // geometry.record_bytes)
    runs: list[tuple[int, int]] = []
    for index in indexes:
        if runs and sum(runs[-1]) == index and runs[-1][1] < longest:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs
