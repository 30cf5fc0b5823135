"""Space held back, so that a full disk still takes what must always be possible: overwriting, repairing, truncating, unlinking.

All of these go through the journal, which needs room for a moment and gives it back at the next checkpoint. Blocks that were
never there before are what fills a disk: they claim their space here first and are refused while less than the reserve would
be left. Journalled ones count until they are in place, because the checkpoint has yet to find room for them.

Promises: claim() costs a look at the disk only when the last look is used up. Called by Put (claim), the checkpoint (roll,
finish) and whoever tells the free space (usable). Never looks at the disk under its mutex. The reasons are in decision record 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dfs.core.errors import DiskFull
from dfs.core.events.data_server import DISK_NEARLY_FULL, NEW_BLOCKS_FIT, NO_NEW_BLOCKS
from dfs.core.events.event import Event
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import Disk, EventSink, Tasks
from dfs.core.messages.cluster import Space

RESERVE_BYTES_MAX: Final = 192 << 20
"""Room for a journal of the usual size: two segments, each up to twice over its size, and what their blocks need in place."""
DISK_SHARE: Final = 8
"""At most one part in so many of a small disk."""
NEARLY_FULL_SHARE: Final = 20
"""A disk with less than one part in so many left for new blocks is nearly full,"""
NEARLY_FULL_BYTES_MAX: Final = 10 << 30
"""if that is less than this, too."""
SEGMENT_SHARE: Final = 6
"""A segment of the journal takes at most one part in so many of the reserve."""


def reserve_bytes(total_bytes: int) -> int:
    """Return how much of a disk of that size is held back."""
    return min(RESERVE_BYTES_MAX, total_bytes // DISK_SHARE)


def nearly_full_bytes(total_bytes: int) -> int:
    """Return what a disk of that size must have left for new blocks not to be nearly full."""
    return min(NEARLY_FULL_BYTES_MAX, total_bytes // NEARLY_FULL_SHARE)


class Reserve:
    """The reserve of one data server."""

    def __init__(self, disk: Disk, tasks: Tasks, events: EventSink, server: ServerIndex) -> None:
        """Measure the disk. Raises: DiskError leaves."""
        self._disk = disk
        self._events = events
        self._server = server
        self._mutex = tasks.mutex()
        self._held_bytes = reserve_bytes(disk.space().total_bytes)
        self._budget_bytes = 0
        """What may still be claimed before the next look at the disk."""
        self._promised_bytes = 0
        """Claimed by journalled blocks that no checkpoint has begun to put in place."""
        self._draining_bytes = 0
        """Claimed by those that the checkpoint under way puts in place."""
        self._is_full = False
        self._is_nearly_full = False
        self.journal_bytes: Callable[[], int] = lambda: 0
        """What the journal takes of the reserve now; set by whoever puts the store together."""

    @property
    def segment_bytes_max(self) -> int:
        """The largest segment of the journal with which the reserve suffices."""
        return max(1, self._held_bytes // SEGMENT_SHARE)

    def claim(self, in_place_bytes: int, journalled_bytes: int) -> None:
        """Take space for new blocks that are about to be written, in place or through the journal.

        Raises: DiskFull: less than the reserve would be left; DiskError leaves.
        """
        wanted = in_place_bytes + journalled_bytes
        if not wanted or self._take(wanted, journalled_bytes):
            return
        space = self._disk.space()
        free_bytes = space.free_bytes
        with self._mutex:
            owed = self._held_bytes - self.journal_bytes() + self._promised_bytes + self._draining_bytes
            left_bytes = self._budget_bytes = free_bytes - owed
        self._tell_nearly_full(max(0, left_bytes), space.total_bytes)
        self._tell(free_bytes, is_full=not self._take(wanted, journalled_bytes))

    def roll(self) -> None:
        """Note that a checkpoint begins with all that is journalled by now."""
        with self._mutex:
            self._draining_bytes += self._promised_bytes
            self._promised_bytes = 0

    def finish(self) -> None:
        """Note that all of it is in place; the next claim looks at the disk, of which others may have used something."""
        with self._mutex:
            self._draining_bytes = 0
            self._budget_bytes = 0

    def usable(self, space: Space) -> Space:
        """Return a disk's space without the reserve."""
        return space._replace(free_bytes=max(0, space.free_bytes - self._held_bytes))

    def _take(self, wanted: int, journalled_bytes: int) -> bool:
        with self._mutex:
            if wanted > self._budget_bytes:
                return False
            self._budget_bytes -= wanted
            self._promised_bytes += journalled_bytes
            return True

    def _tell_nearly_full(self, left_bytes: int, total_bytes: int) -> None:
        """Report that little is left for new blocks, once until there is twice as much again."""
        limit_bytes = nearly_full_bytes(total_bytes)
        if left_bytes < limit_bytes and not self._is_nearly_full:
            self._is_nearly_full = True
            details = {"free": left_bytes, "total": total_bytes}
            self._events.emit(Event(DISK_NEARLY_FULL, server=self._server, details=details))
        elif left_bytes > 2 * limit_bytes:
            self._is_nearly_full = False

    def _tell(self, free_bytes: int, *, is_full: bool) -> None:
        """Report a change, and refuse if there is no room."""
        if is_full != self._is_full:
            self._is_full = is_full
            details = {"free": free_bytes, "held": self._held_bytes}
            self._events.emit(Event(NO_NEW_BLOCKS if is_full else NEW_BLOCKS_FIT, server=self._server, details=details))
        if is_full:
            raise DiskFull("write", "new blocks", f"{free_bytes} bytes free, {self._held_bytes} of them held in reserve")
