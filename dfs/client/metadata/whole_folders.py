"""Folders of which this mount knows all names, so that it need not ask whether one is free (decision record 24).

The meta-server pledges that for PLEDGE_S from when it was asked nobody is told of a name that another mount has added. What this
mount adds itself is noted here before it is asked for, and again when that has ended; what it removes is not, so that a name which
is not known here is not there. A change of which nobody knows whether it was made ends all that is known.

Also tells when names are worth asking for: the names that were missed must have cost as much as the list may. Memory only, bounded;
the mutex is innermost. Called by inode_attributes.py, names.py and files.py.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from dfs.core.errors import FileError
from dfs.core.interfaces import Clock, Tasks
from dfs.core.limits import LISTING_ENTRIES_MAX, PLEDGE_S

FOLDERS_MAX: Final = 16
MISSES_FIRST: Final = 2
NAMES_PER_MISS: Final = 64
"""So many names cost about as much as one lookup."""


class Asking(NamedTuple):
    """A moment before all names of a folder are asked for."""

    at_s: float
    changes: int


@dataclass(slots=True)
class _Folder:
    names: set[bytes]
    until_s: float
    answered: int = 0
    """How often it was told that a name is missing."""


class WholeFolders:
    """What is known of whole folders, by their paths."""

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock = clock
        self._mutex = tasks.mutex()
        self._folders: dict[bytes, _Folder] = {}
        self._misses: Counter[bytes] = Counter()
        self._under_way: Counter[bytes] = Counter()
        """Paths that are being added."""
        self._changes = 0

    # --- asking ----------------------------------------------------------------------------------------------------------

    def lacks(self, folder: bytes, name: bytes) -> bool:
        """Tell whether it is known that nothing stands at a name."""
        with self._mutex:
            known = self._folders.get(folder)
            if known is None or name in known.names or self._clock.monotonic_s() >= known.until_s:
                return False
            known.answered += 1
            return True

    def names_worth(self, folder: bytes, name: bytes) -> int:
        """Return how many names at most to ask for before a name is looked up that was not there lately; 0: none."""
        with self._mutex:
            known = self._folders.get(folder)
            if known is None or known.answered < MISSES_FIRST or name in known.names:
                return 0
            return min(2 * len(known.names) + NAMES_PER_MISS, LISTING_ENTRIES_MAX)

    def missed(self, folder: bytes) -> int:
        """Note that a name was looked up in vain. Result: how many names at most are worth asking for now; 0: none."""
        with self._mutex:
            if folder not in self._misses and len(self._misses) >= FOLDERS_MAX:
                self._misses.clear()
            self._misses[folder] += 1
            misses = self._misses[folder]
            if misses < MISSES_FIRST or misses & (misses - 1):
                return 0
            return min(misses * NAMES_PER_MISS, LISTING_ENTRIES_MAX)

    # --- learning --------------------------------------------------------------------------------------------------------

    def asking(self) -> Asking:
        """Return the present, to be taken before names are asked for."""
        with self._mutex:
            return Asking(self._clock.monotonic_s(), self._changes)

    def learn(self, asking: Asking, folder: bytes, names: Iterable[bytes]) -> None:
        """Keep all names of a folder, as pledged."""
        with self._mutex:
            if self._changes != asking.changes:
                return  # a name that was added meanwhile may be missing in them
            self._folders.pop(folder, None)
            if len(self._folders) >= FOLDERS_MAX:
                del self._folders[next(iter(self._folders))]
            self._misses.pop(folder, None)
            known = self._folders[folder] = _Folder(set(names), asking.at_s + PLEDGE_S)
            for path in self._under_way:
                at, name = posixpath.split(path)
                if at == folder:
                    known.names.add(name)

    def not_pledged(self, folder: bytes) -> None:
        """Note that the names of a folder are too many, or change too often, to be known."""
        with self._mutex:
            self._folders.pop(folder, None)

    # --- own changes -----------------------------------------------------------------------------------------------------

    @contextmanager
    def adding(self, path: bytes) -> Iterator[None]:
        """Note that for the length of the `with` a name is being added, or may be."""
        is_decided = False
        with self._mutex:
            self._note(path)
            self._under_way[path] += 1
        try:
            yield
            is_decided = True
        except FileError:
            is_decided = True
            raise
        finally:
            with self._mutex:
                self._under_way[path] -= 1
                if not self._under_way[path]:
                    del self._under_way[path]
                self._note(path)
                if not is_decided:
                    self._folders.clear()

    def forget(self, folder: bytes) -> None:
        """Note that a folder is gone."""
        with self._mutex:
            self._changes += 1
            self._folders.pop(folder, None)

    def forget_all(self) -> None:
        """Note that a folder was moved, and with it any number of paths."""
        with self._mutex:
            self._changes += 1
            self._folders.clear()

    def _note(self, path: bytes) -> None:
        self._changes += 1
        folder, name = posixpath.split(path)
        known = self._folders.get(folder)
        if known is not None:
            known.names.add(name)
