"""Which inodes are being compared with a neighbour, and which of those were cleaned or dropped meanwhile.

What a neighbour answered before this server executed a cut, or a drop, may be what that voided: nothing of it is stored afterwards
(I3). Called by whoever mends a copy, and by the operations that void, under the keyed lock of the inode. Memory only.

Lock order: the mutex is the innermost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dfs.core.ids import Ino
from dfs.core.interfaces import Tasks


class Comparison:
    """One comparison of an inode's copies."""

    __slots__ = ("ino", "is_disturbed")

    def __init__(self, ino: Ino) -> None:
        self.ino = ino
        self.is_disturbed = False
        """The inode was cleaned or dropped since the comparison began."""


class Comparisons:
    """The comparisons that one data server makes at the moment."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._running: list[Comparison] = []

    @contextmanager
    def comparing(self, ino: Ino) -> Iterator[Comparison]:
        """Have a comparison watched from before the neighbour is asked."""
        comparison = Comparison(ino)
        with self._mutex:
            self._running.append(comparison)
        try:
            yield comparison
        finally:
            with self._mutex:
                self._running.remove(comparison)

    def disturb(self, ino: Ino) -> None:
        """Note that an inode is about to be cleaned or dropped; under its keyed lock."""
        if self._running:
            with self._mutex:
                for comparison in self._running:
                    if comparison.ino == ino:
                        comparison.is_disturbed = True
