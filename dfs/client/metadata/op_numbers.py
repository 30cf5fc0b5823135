"""The numbers of changing calls, and how far their answers have arrived.

Numbers rise for as long as the mount lives, also across client sessions: so the open of a file that is asserted in a new session
is still older than whatever opens it next.
"""

from __future__ import annotations

from dfs.core.ids import OpId
from dfs.core.interfaces import Tasks


class OpNumbers:
    """Issues operation numbers and knows which are under way."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._next = 1
        self._under_way: dict[OpId, None] = {}

    def begin(self) -> OpId:
        """Return the next number; it counts as under way until end()."""
        with self._mutex:
            op = OpId(self._next)
            self._next += 1
            self._under_way[op] = None
            return op

    def end(self, op: OpId) -> None:
        """Note that the call will never be repeated: meta may forget its answer and refuse a late duplicate."""
        with self._mutex:
            self._under_way.pop(op, None)

    def acknowledged(self) -> OpId:
        """Return the lowest number that is under way or not yet issued: all below it are answered."""
        with self._mutex:
            # Numbers are entered in rising order, so the first is the lowest.
            return next(iter(self._under_way), OpId(self._next))
