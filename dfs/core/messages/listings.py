"""Part of a folder as it travels: all names in one run of bytes, all numbers in another.

A folder has thousands of entries, and each step that is taken for each number of each of them is most of what a listing costs. So
the meta-server packs an entry's numbers in one step, and a mount looks at them column by column. Called by dfs/meta, which makes
listings, and by dfs/client, which checks and reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from dfs.core.cuts import Cut
from dfs.core.ids import Ino
from dfs.core.messages.inodes import Attributes, Content, Entry
from dfs.core.placement import Layout

NUMBERS: Final = Struct("<16q")
"""Of one entry, 8 bytes each: 0 inode, 8 mode, 16 links, 24 owner, 32 group, 40 device, 48 atime, 56 mtime, 64 ctime in ns,
72 size, 80 first server, 88 servers, 96 block size (all 0 unless it is a regular file), 104 sparse, 112 newest cut, 120 settling.
"""
SEPARATOR: Final = b"/"
"""Stands between names, for it stands in none."""


class InodeCuts(NamedTuple):
    """The cuts of one inode."""

    ino: Ino
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Part of a folder, in the order of the names' bytes."""

    names: bytes
    """With a slash between them."""
    numbers: bytes
    """NUMBERS of each, in the same order."""
    cuts: tuple[InodeCuts, ...]
    """Of those inodes that have any."""
    more: bool
    """Whether names after the last entry remain."""

    def split_names(self) -> list[bytes]:
        """Return the names."""
        return self.names.split(SEPARATOR) if self.names else []

    def entries(self) -> list[Entry]:
        """Return the entries; the numbers must be whole ones, of as many entries as there are names."""
        cuts = dict(self.cuts)
        entries = []
        for name, numbers in zip(self.split_names(), NUMBERS.iter_unpack(self.numbers), strict=True):
            ino, mode, nlink, uid, gid, rdev, atime_ns, mtime_ns, ctime_ns = numbers[:9]
            size, start, servers, block_size, sparse, newest_cut, settling = numbers[9:]
            content = Content(Layout(start, servers, block_size), size, cuts.get(ino, ()), newest_cut)
            times = atime_ns, mtime_ns, ctime_ns
            entries.append(Entry(name, Attributes(ino, mode, nlink, uid, gid, rdev, *times, content, sparse > 0, settling > 0)))
        return entries


def pack_listing(names: Iterable[bytes], numbers: Iterable[Sequence[int]], cuts: Iterable[InodeCuts], *, more: bool) -> Listing:
    """Return a listing of names and, for each, what NUMBERS has."""
    packed = b"".join([NUMBERS.pack(*row) for row in numbers])
    return Listing(SEPARATOR.join(names), packed, tuple(cuts), more)
