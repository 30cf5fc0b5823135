"""Bytes of a file that wait to be stored, as runs in rising order that never overlap. Pure.

What is written over something that waits takes its place; what continues a run becomes part of it, up to RUN_BYTES_MAX, so that
thousands of small appends become one run. A run costs its bytes and RUN_COST_BYTES, so that single bytes in a thousand places
count for what they take. Called by buffers.py under its mutex.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dfs.core.records import Buffer

RUN_BYTES_MAX: Final = 1 << 20
"""A run that is as long is not continued: the next one begins behind it."""
RUN_COST_BYTES: Final = 512
"""What a run takes besides its bytes, rounded up."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Bytes that follow each other."""

    start: int
    data: bytearray

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.start + len(self.data)

    @property
    def cost_bytes(self) -> int:
        """What it counts for."""
        return len(self.data) + RUN_COST_BYTES


class Extents:
    """The runs of one file."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._runs: list[bytearray] = []
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def cost_bytes(self) -> int:
        """What all of it counts for."""
        return self._bytes + RUN_COST_BYTES * len(self._runs)

    def put(self, start: int, data: Buffer) -> None:
        """Have `data`, at least one byte, wait at `start`, whatever waited there."""
        starts, runs, length = self._starts, self._runs, len(data)
        if not runs:
            self._insert(0, start, data)
            return
        last = runs[-1]
        reach = starts[-1] + len(last)
        if start == reach and len(last) < RUN_BYTES_MAX:
            last += data
            self._bytes += length
        elif start >= reach:
            self._insert(len(runs), start, data)
        else:
            self._put_inside(start, data)

    def _put_inside(self, start: int, data: Buffer) -> None:
        """Put before the last byte of all."""
        starts, runs, end = self._starts, self._runs, start + len(data)
        at = bisect_right(starts, start) - 1
        if at >= 0:
            run, begins = runs[at], starts[at]
            reach = begins + len(run)
            if end <= reach:
                run[start - begins : end - begins] = data
                return
            is_free = at + 1 == len(runs) or end <= starts[at + 1]
            if start <= reach and is_free and (start < reach or len(run) < RUN_BYTES_MAX):
                run[start - begins :] = data
                self._bytes += end - reach
                return
            first = at if start < reach else at + 1
        else:
            first = 0
        behind = bisect_left(starts, end)
        if first == behind:
            self._insert(first, start, data)
        else:
            self._replace(first, behind, start, data)

    def _replace(self, first: int, behind: int, start: int, data: Buffer) -> None:
        """Make one run of those from `first` up to before `behind`, all of which overlap the new bytes, and of these."""
        starts, runs, end = self._starts, self._runs, start + len(data)
        head, tail = runs[first][: max(0, start - starts[first])], runs[behind - 1][max(0, end - starts[behind - 1]) :]
        self._bytes -= sum(map(len, runs[first:behind]))
        starts[first:behind] = []
        runs[first:behind] = []
        self._insert(first, start - len(head), b"".join((head, data, tail)))

    def _insert(self, at: int, start: int, data: Buffer) -> None:
        self._starts.insert(at, start)
        self._runs.insert(at, bytearray(data))
        self._bytes += len(data)

    def take(self) -> list[Run]:
        """Return all runs and forget them."""
        taken = list(map(Run, self._starts, self._runs))
        self._starts, self._runs, self._bytes = [], [], 0
        return taken

    def put_below(self, older: Iterable[Run]) -> None:
        """Have older runs wait again, where nothing newer does."""
        newer = self.take()
        for run in (*older, *newer):
            self.put(run.start, run.data)

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield what waits from `start` up to before `end`: offset and bytes."""
        starts, runs = self._starts, self._runs
        for at in range(max(0, bisect_right(starts, start) - 1), bisect_left(starts, end)):
            begins, run = starts[at], runs[at]
            low, high = max(start, begins), min(end, begins + len(run))
            if low < high:
                yield low, bytes(memoryview(run)[low - begins : high - begins])
