"""One at a time per inode: who writes, truncates, acquires or gives back waits for its turn.

A turn spans calls to servers, for hours while one is down, so unlike a keyed lock it is waited for in a way that can be ended
(I7): the next writer of the same file must die of SIGKILL too. First come, first served. Lock order: a turn is taken before any
mutex of the client and never while one is held; nobody holds two turns. Reads take none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from dfs.core.ids import Ino
from dfs.core.interfaces import POLL_S, CallContext, Tasks, raise_if_cancelled


class Turns:
    """The queues of all inodes; one that nobody is in takes no memory."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._moved = tasks.signal(self._mutex)
        self._queues: dict[Ino, deque[object]] = {}

    @contextmanager
    def hold(self, ctx: CallContext, ino: Ino) -> Iterator[None]:
        """Wait for the inode's turn and hold it for the length of the `with`. Raises: Interrupted while waiting."""
        place = object()
        try:
            self._wait(ctx, ino, place)
            yield
        finally:
            self._leave(ino, place)

    def is_taken(self, ino: Ino) -> bool:
        """Tell whether somebody holds the turn."""
        with self._mutex:
            return ino in self._queues

    def _wait(self, ctx: CallContext, ino: Ino, place: object) -> None:
        with self._mutex:
            queue = self._queues.setdefault(ino, deque())
            queue.append(place)
            if queue[0] is place:
                return
        while True:
            raise_if_cancelled(ctx)
            with self._mutex:
                if queue[0] is not place:
                    self._moved.wait(POLL_S)
                if queue[0] is place:
                    return

    def _leave(self, ino: Ino, place: object) -> None:
        with self._mutex:
            queue = self._queues[ino]
            queue.remove(place)
            if queue:
                self._moved.notify_all()
            else:
                del self._queues[ino]
