"""The redo journal of a data server: what it holds survives a crash before it is in place.

`journal/` holds the active segment and, during a checkpoint, older ones; their format stands in dfs/data/disk/journal_entries.py.
Promises: an entry is whole in the file or not there; sync() covers all entries appended before it, and calls at the same time
share one fsync; entries become durable in their order. Called by the block store and the checkpoint. Never reads: see replay.py.

Lock order: the keyed lock of an inode, then writing(), then the mutex (memory only).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final

from dfs.core.errors import DiskError, DiskMissing
from dfs.core.interfaces import POLL_S, CallContext, Disk, File, Tasks, raise_if_cancelled
from dfs.core.records import Buffer
from dfs.data.disk.condition import Condition
from dfs.data.disk.journal_entries import Entry, pack_entry, position

log = logging.getLogger(__name__)

FOLDER: Final = "journal"
RECORD_COST_BYTES: Final = 400
"""What a pending record takes in memory beside its data; counts against the size of a segment."""
BACKLOG_FACTOR: Final = 2
"""An active segment so many times over its size waits for the checkpoint of the one before."""


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{FOLDER}/{number:012d}"


class Segment:
    """A segment that was opened by this process."""

    __slots__ = ("file", "number", "size_bytes")

    def __init__(self, number: int, file: File) -> None:
        self.number = number
        self.file = file
        self.size_bytes = 0


class Journal:
    """Appends entries, makes them durable, and drops segments that a checkpoint made superfluous."""

    def __init__(self, disk: Disk, tasks: Tasks, condition: Condition, segment_bytes: int) -> None:
        self._disk = disk
        self._condition = condition
        self._segment_bytes = segment_bytes
        self._write_lock = tasks.keyed_lock()
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._segments: list[Segment] = []
        """Oldest first; the last is the active one."""
        self._old: list[int] = []
        """Numbers of the segments before the active one that are still on disk, oldest first."""
        self._durable = 0
        """Position up to which everything is synced."""
        self._is_syncing = False
        self._cost_bytes = 0
        """Of the active segment: its entries, and what they take in memory."""
        self._backlog_error: DiskError | None = None

    def start(self, replayed: Sequence[int]) -> None:
        """Begin a new segment behind those that were replayed. Raises: DiskError leaves."""
        self._old = list(replayed)  # synced when they were replayed
        number = max(replayed, default=0) + 1
        self._segments = [self._new_segment(number)]
        self._durable = position(number, 0)

    def writing(self) -> AbstractContextManager[None]:
        """Return the lock under which entries are appended and the overlay follows, so that a checkpoint sees both or neither."""
        return self._write_lock.hold(None)

    def append(self, entries: Sequence[Entry]) -> None:
        """Append entries, all or none; under writing(). Raises: DiskError leaves."""
        segment = self._segments[-1]
        start = end = segment.size_bytes
        parts: list[Buffer] = []
        cost_bytes = 0
        for entry in entries:
            packed, size_bytes = pack_entry(entry, position(segment.number, end), self._durable)
            parts += packed
            end += size_bytes
            cost_bytes += size_bytes + RECORD_COST_BYTES * len(entry.records)
        try:
            segment.file.pwrite(parts, start)
        except DiskError:
            self._undo(segment, start)
            raise
        with self._mutex:
            segment.size_bytes = end
            self._cost_bytes += cost_bytes

    def sync(self) -> None:
        """Make everything appended so far survive a power cut. Raises: NotTrusted: the sync failed, and the server ends."""
        with self._mutex:
            target = self.end
            while self._durable < target and self._is_syncing:
                self._changed.wait(POLL_S)
                self._condition.raise_if_failed()
            if self._durable >= target:
                return
            self._is_syncing = True
            end = self.end
            segments = [s for s in self._segments if position(s.number, s.size_bytes) > self._durable]
        try:
            for segment in segments:  # the oldest first, so that entries become durable in their order
                segment.file.sync()
        except DiskError as error:
            raise self._condition.fail(error) from error
        else:
            with self._mutex:
                self._durable = max(self._durable, end)
        finally:
            with self._mutex:
                self._is_syncing = False
            self._changed.notify_all()

    def prepare_segment(self) -> Segment:
        """Return a new, empty segment for roll(), made before the lock is taken. Raises: DiskError leaves."""
        return self._new_segment(self._segments[-1].number + 1)

    def roll(self, segment: Segment) -> None:
        """Make `segment` the active one; under writing()."""
        with self._mutex:
            self._old.append(self._segments[-1].number)
            self._segments.append(segment)
            self._cost_bytes = 0

    def drop_old(self) -> None:
        """Remove all segments but the active one, oldest first, durably: their entries are in place. Raises: DiskError leaves."""
        with self._mutex:
            closing = self._segments[:-1]
            del self._segments[:-1]
            self._durable = max(self._durable, position(self._segments[-1].number, 0))
        for segment in closing:
            segment.file.close()
        for number in self._old:
            with suppress(DiskMissing):  # removed by a try that failed later
                self._disk.remove(segment_name(number))
        if self._old:
            # Until this is on disk nothing may change that an old entry, replayed once more, would undo.
            self._disk.sync_folder(FOLDER)
            self._old = []
        self._changed.notify_all()

    def admit(self, ctx: CallContext) -> None:
        """Wait while the active segment is full and the one before is still being written in place; holding no lock.

        Raises: NoSpace: the disk is full, so that can't end; DiskError leaves likewise; Interrupted.
        """
        if self._cost_bytes < self._segment_bytes * BACKLOG_FACTOR:
            return
        with self._mutex:
            while self._cost_bytes >= self._segment_bytes * BACKLOG_FACTOR:
                if self._backlog_error is not None:
                    raise self._backlog_error
                raise_if_cancelled(ctx)
                self._condition.raise_if_failed()
                self._changed.wait(POLL_S)

    def note_backlog(self, error: DiskError | None) -> None:
        """Note why the last checkpoint could not end; None: it did."""
        with self._mutex:
            self._backlog_error = error
        self._changed.notify_all()

    @property
    def end(self) -> int:
        """The position behind the last entry."""
        segment = self._segments[-1]
        return position(segment.number, segment.size_bytes)

    @property
    def durable(self) -> int:
        """The position up to which everything is synced."""
        return self._durable

    @property
    def wants_checkpoint(self) -> bool:
        """Tell whether the active segment is large enough for a checkpoint, and the last one did not just fail."""
        return self._cost_bytes >= self._segment_bytes and self._backlog_error is None

    @property
    def size_bytes(self) -> int:
        """What the segments of this process take on the disk."""
        return sum([segment.size_bytes for segment in self._segments])

    @property
    def has_entries(self) -> bool:
        """Tell whether there is anything that a checkpoint could drop."""
        return bool(self._old) or self._segments[-1].size_bytes > 0

    def close(self) -> None:
        """Close all segments; nobody uses the journal any more."""
        for segment in self._segments:
            segment.file.close()
        self._segments = []

    def _new_segment(self, number: int) -> Segment:
        file = self._disk.open(segment_name(number), create=True)
        try:
            file.truncate(0)
            self._disk.sync_folder(FOLDER)
        except DiskError:
            file.close()
            raise
        return Segment(number, file)

    def _undo(self, segment: Segment, size_bytes: int) -> None:
        try:
            segment.file.truncate(size_bytes)
        except DiskError as error:
            log.warning("%s: %s", segment_name(segment.number), error)  # the next entry is written over the rest
