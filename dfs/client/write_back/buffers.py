"""What programs wrote and servers do not have yet: one buffer per inode, and the room that all of them share.

A buffer is tied to the time for which its grant has been held without a gap (`since`, and how many sessions were lost): whatever
waits in it must never be stored after somebody else could have written. Bytes are `waiting`, then `leaving` while they are being
stored, then gone; readers see both, the waiting ones above. Memory only. The mutex belongs to the table; below it only those of
grants and lease are taken. Called by service.py.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dfs.client.settings import WriteBackSettings
from dfs.client.write_back.extents import Extents, Run
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.records import Buffer

RIPE_BYTES: Final = 2 << 20
"""So much of one file is stored without waiting for its age: it makes calls of a good size to every server."""
LOOK_S_MIN: Final = 0.05
"""Tasks that have nothing to do do not look more often."""


class Patch(NamedTuple):
    """What a reader must put over what is stored."""

    size_bytes: int
    """How far the file reaches at least."""
    pieces: tuple[tuple[int, bytes], ...]
    """Offset and bytes, the later above the earlier."""

    def whole(self, offset: int, end: int) -> bytes | None:
        """Return the bytes from `offset` to `end` if the last piece alone has them, or has all up to the end of the file."""
        if not self.pieces:
            return None
        start, data = self.pieces[-1]
        is_whole = start <= offset and min(end, self.size_bytes) <= start + len(data)
        return data[offset - start : end - start] if is_whole else None

    def over(self, stored: bytes, offset: int, end: int) -> bytes:
        """Return what a read from `offset` to `end` shows, of which `stored` was read from the servers."""
        reach = max(offset + len(stored), min(end, self.size_bytes))
        body = bytearray(reach - offset)
        body[: len(stored)] = stored
        for start, data in self.pieces:
            low, high = max(start, offset), min(start + len(data), reach)
            if low < high:
                body[low - offset : high - offset] = data[low - start : high - start]
        return bytes(body)


@dataclass(slots=True, eq=False)
class FileBuffer:
    """What waits of one inode."""

    ino: Ino
    path: bytes
    """As it was opened; for messages."""
    since: Ticket
    losses: int
    """How many sessions were lost when it began."""
    waiting: Extents = field(default_factory=Extents)
    leaving: list[Run] = field(default_factory=list)
    leaving_cost_bytes: int = 0
    size_bytes: int = 0
    """How far what waits or leaves reaches; 0: nothing does."""
    mtime_ns: int = 0
    """When a program wrote last."""
    since_s: float = 0.0
    """Since when the oldest byte waits."""
    not_before_s: float = 0.0
    """Until when others are stored first: servers did not take it."""
    is_open: bool = True
    """Whether writers may add to it without the inode's turn."""
    is_ripe: bool = False
    reached: set[ServerIndex] = field(default_factory=set)
    """Servers that may have some of what is still here."""

    @property
    def is_dirty(self) -> bool:
        """Whether anything is not stored yet."""
        return bool(self.waiting) or bool(self.leaving)

    @property
    def cost_bytes(self) -> int:
        """What all of it counts for."""
        return self.waiting.cost_bytes + self.leaving_cost_bytes


class Buffers:
    """The buffers of all inodes. Every method is called with the mutex of whoever made it."""

    def __init__(self, limits: WriteBackSettings) -> None:
        self._limits = limits
        self._buffers: dict[Ino, FileBuffer] = {}
        self.total_bytes = 0
        """What all of them count for."""

    def __bool__(self) -> bool:
        return bool(self._buffers)

    def __iter__(self) -> Iterator[FileBuffer]:
        return iter(list(self._buffers.values()))

    def get(self, ino: Ino) -> FileBuffer | None:
        """Return an inode's buffer, which may be empty."""
        return self._buffers.get(ino)

    def dirty(self, ino: Ino) -> FileBuffer | None:
        """Return an inode's buffer if anything is in it."""
        buffer = self._buffers.get(ino)
        return buffer if buffer is not None and buffer.is_dirty else None

    def begin(self, buffer: FileBuffer) -> None:
        """Take a new buffer in."""
        self._buffers[buffer.ino] = buffer

    def end(self, buffer: FileBuffer) -> None:
        """Forget a buffer with all that is in it."""
        if self._buffers.get(buffer.ino) is buffer:
            del self._buffers[buffer.ino]
            self.total_bytes -= buffer.cost_bytes

    def has_room(self, ino: Ino, count: int) -> bool:
        """Tell whether so many more bytes may wait. The first of all always may."""
        if self.total_bytes and self.total_bytes + count > self._limits.total_bytes:
            return False
        buffer = self._buffers.get(ino)
        return buffer is None or not buffer.is_dirty or buffer.cost_bytes + count <= self._limits.file_bytes

    def add(self, buffer: FileBuffer, start: int, data: Buffer, now_s: float, now_ns: int) -> bool:
        """Have bytes wait. Result: whether the buffer has become worth storing."""
        before = buffer.waiting.cost_bytes
        if not before and not buffer.leaving:
            buffer.since_s = now_s
        buffer.waiting.put(start, data)
        after = buffer.waiting.cost_bytes
        self.total_bytes += after - before
        buffer.size_bytes = max(buffer.size_bytes, start + len(data))
        buffer.mtime_ns = now_ns
        if buffer.is_ripe or after < RIPE_BYTES:
            return False
        buffer.is_ripe = True
        return True

    def begin_leaving(self, buffer: FileBuffer, now_s: float) -> None:
        """Let all that waits leave; what is added from now on waits anew."""
        assert not buffer.leaving, "one at a time stores"
        buffer.leaving_cost_bytes = buffer.waiting.cost_bytes
        buffer.leaving = buffer.waiting.take()
        buffer.since_s = now_s
        buffer.is_ripe = False

    def stored(self, buffer: FileBuffer, count: int) -> None:
        """Forget the first `count` runs of those that leave."""
        cost = sum(run.cost_bytes for run in buffer.leaving[:count])
        del buffer.leaving[:count]
        buffer.leaving_cost_bytes -= cost
        self.total_bytes -= cost
        if not buffer.is_dirty:
            buffer.size_bytes = 0
            buffer.reached = set()

    def keep(self, buffer: FileBuffer, not_before_s: float) -> None:
        """Have what was leaving wait again, under what was written since."""
        self.total_bytes -= buffer.cost_bytes
        buffer.waiting.put_below(buffer.leaving)
        buffer.leaving = []
        buffer.leaving_cost_bytes = 0
        self.total_bytes += buffer.cost_bytes
        buffer.not_before_s = not_before_s

    def patch(self, buffer: FileBuffer, size_bytes: int, start: int, end: int) -> Patch:
        """Return what a reader must put over what is stored of a file that reaches to `size_bytes` at least."""
        leaving = [
            (max(start, run.start), bytes(memoryview(run.data)[max(0, start - run.start) : end - run.start]))
            for run in buffer.leaving
            if run.start < end and run.end > start
        ]
        return Patch(max(size_bytes, buffer.size_bytes), (*leaving, *buffer.waiting.pieces(start, end)))

    def due(self, now_s: float, claimed: Container[Ino], urgent: Container[Ino]) -> tuple[FileBuffer | None, float]:
        """Return the buffer to be stored next, if one is due, and in how many seconds one is at the latest.

        Arguments: inodes that are left out, and those that go first.
        """
        best, best_s, wait_s = None, 0.0, max(self._limits.age_s, LOOK_S_MIN)
        is_tight = 2 * self.total_bytes > self._limits.total_bytes
        for buffer in self._buffers.values():
            if buffer.ino in claimed or not buffer.is_dirty:
                continue
            is_urgent = buffer.ino in urgent
            due_s = buffer.since_s + self._limits.age_s
            if is_urgent or is_tight or buffer.is_ripe:
                due_s = buffer.since_s
            due_s = max(due_s, buffer.not_before_s)
            if due_s > now_s:
                wait_s = min(wait_s, due_s - now_s)
            elif best is None or (not is_urgent, due_s) < (best.ino not in urgent, best_s):
                best, best_s = buffer, due_s
        return best, wait_s
