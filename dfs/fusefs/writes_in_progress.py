"""Which files this mount is writing at the moment, so that opening one of them does not hang.

The kernel drops a file's cached pages when it is opened, unless told to keep them, and waits for pages under a write, in a state in
which no signal reaches the opener. A write may wait for a server for hours (R10); so beside a write the pages are kept (I7). They
are this mount's own, as current as those of any file that is open already. Used by operations.py only.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class WritesInProgress:
    """Counts writes per inode; knows the inode of each open handle. Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inos: dict[int, int] = {}
        self._writes: Counter[int] = Counter()

    def note_open(self, handle: int, ino: int) -> bool:
        """Remember a handle's inode, and tell whether it is being written."""
        with self._lock:
            self._inos[handle] = ino
            return self._writes[ino] > 0

    def note_release(self, handle: int) -> None:
        """Forget a handle."""
        with self._lock:
            self._inos.pop(handle, None)

    @contextmanager
    def writing(self, handle: int) -> Iterator[None]:
        """Count a write for as long as it lasts."""
        with self._lock:
            ino = self._inos.get(handle, 0)
            self._writes[ino] += 1
        try:
            yield
        finally:
            with self._lock:
                self._writes[ino] -= 1
                if self._writes[ino] == 0:
                    del self._writes[ino]
