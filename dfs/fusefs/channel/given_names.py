"""Names that the kernel was told and may still believe, so that it can be made to look them up anew at once.

Who gets a lock must see what the last holder has made and removed beside the locked file, a database's journal for one; so must the
kernel on his behalf, which otherwise believes a name for as long as the client service does, a second at most. Folders' names are
left alone: what stands below them is a name of its own. Forgets what is out of date. Called by node_operations.py.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple


class GivenName(NamedTuple):
    """A name in a folder that the kernel knows by number."""

    folder: int
    name: bytes


class _Given(NamedTuple):
    expires_s: float
    names: tuple[GivenName, ...]


class GivenNames:
    """The names of the last second or so."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._given: deque[_Given] = deque()

    def note(self, names: Iterable[GivenName], believed_s: float) -> None:
        """Note names that the kernel may believe for so long."""
        if believed_s <= 0:
            return
        now_s = self._monotonic_s()
        with self._lock:
            while self._given and self._given[0].expires_s < now_s:
                self._given.popleft()
            self._given.append(_Given(now_s + believed_s, tuple(names)))

    def take(self) -> list[GivenName]:
        """Return the names that may still be believed, and forget them."""
        now_s = self._monotonic_s()
        with self._lock:
            given, self._given = self._given, deque()
        return list({name: None for one in given if one.expires_s >= now_s for name in one.names})
