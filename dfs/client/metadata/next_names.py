"""Names of a folder that are looked at one after the other: how many of the next ones are worth asking for at once.

`ls -l` of a large folder takes longer than attributes are believed. Each name that is looked at after that would be a call of
its own, so that the time per name would grow with the folder. Here it is noticed that names not known any more are asked for in
rising order; each further one then brings more of those behind it. Other orders, and names that were looked up in vain, begin
anew; names that are known not to exist are not heard of here, for who renames one file after the other looks for one each time.

Pure bookkeeping, on one immutable value: callers that come at once at worst ask for less. Called by inode_attributes.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.limits import NAME_BYTES_MAX

FIRST_ENTRIES: Final = 8
ENTRIES_MAX: Final = 256


class _Run(NamedTuple):
    """What was asked for last."""

    folder: bytes
    last: bytes
    """The last name that the answer brought."""
    entries: int
    """How many were asked for; 0: that name alone."""


class NextNames:
    """Watches which names of the mount are not known."""

    def __init__(self) -> None:
        self._run: _Run | None = None

    def entries_from(self, folder: bytes, name: bytes) -> int:
        """Return how many entries to ask for, beginning with `name`, which is not known (any more); 0: only itself."""
        run = self._run
        entries = 0
        if run is not None and run.folder == folder and run.last < name:
            entries = min(max(FIRST_ENTRIES, 2 * run.entries), ENTRIES_MAX)
        self._run = _Run(folder, name, entries)
        return entries

    def learned(self, folder: bytes, last: bytes) -> None:
        """Note the last name that was brought."""
        run = self._run
        if run is not None and run.folder == folder:
            self._run = run._replace(last=last)

    def missed(self) -> None:
        """Note that a name was looked up in vain: somebody looks for one that is free."""
        self._run = None


def just_before(name: bytes) -> bytes:
    """Return a name that no name stands between and `name`, but for such as nobody gives."""
    return (name[:-1] + bytes([name[-1] - 1])).ljust(NAME_BYTES_MAX, b"\xff")
