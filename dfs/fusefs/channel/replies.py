"""What the kernel is told, as bytes (pure). Called by handlers.py."""

from __future__ import annotations

import functools
import math
from typing import Final, NamedTuple

from dfs.fusefs.binding import Space, Stat
from dfs.fusefs.channel.protocol import ATTR, ATTR_OUT, DIRENT, ENTRY, INIT_OUT, MAJOR, MINOR, STATFS_OUT, UNKNOWN_INO, Init

_NS_PER_S: Final = 10**9
_MARGIN_S: Final = 0.005
"""The kernel counts in ticks of up to 10 ms and rounds up: it must not believe anything for longer than the client does."""
PAGE_BYTES: Final = 4096
BACKGROUND_MAX: Final = 64
"""Reads ahead and releases that the kernel has under way at once: they may all wait for the same server."""
CONGESTED: Final = 48
_ROUND: Final = DIRENT.size + 7


class Known(NamedTuple):
    """An inode that the kernel is told of."""

    stat: Stat
    attributes_s: float
    """How long the kernel may believe the attributes; 0: it asks again whenever somebody wants them."""
    name_s: float = 0.0
    """How long it may believe that the name leads there."""


def pack_init(wanted: Init, offered: int, readahead: int, io_size_bytes: int) -> bytes:
    """Return the answer to INIT: which of the flags that the kernel offers are used, and the largest requests."""
    flags = wanted & offered
    pages = io_size_bytes // PAGE_BYTES
    return INIT_OUT.pack(MAJOR, MINOR, readahead, flags, BACKGROUND_MAX, CONGESTED, io_size_bytes, 1, pages, 0, 0)


def pack_attributes(stat: Stat) -> bytes:
    """Return struct fuse_attr."""
    atime_s, atime_ns = divmod(stat.atime_ns, _NS_PER_S)
    mtime_s, mtime_ns = divmod(stat.mtime_ns, _NS_PER_S)
    ctime_s, ctime_ns = divmod(stat.ctime_ns, _NS_PER_S)
    return ATTR.pack(
        stat.ino,
        stat.size,
        stat.blocks,
        atime_s,
        mtime_s,
        ctime_s,
        atime_ns,
        mtime_ns,
        ctime_ns,
        stat.mode,
        stat.nlink,
        stat.uid,
        stat.gid,
        stat.rdev,
        stat.blksize,
        0,
    )


def pack_known(known: Known) -> bytes:
    """Return the answer to GETATTR and SETATTR."""
    return ATTR_OUT.pack(*_validity(known.attributes_s)) + pack_attributes(known.stat)


def pack_entry(known: Known, node: int) -> bytes:
    """Return the answer to LOOKUP and to whatever makes a name: struct fuse_entry_out."""
    name_s, name_ns = _validity(known.name_s)
    attributes_s, attributes_ns = _validity(known.attributes_s)
    return ENTRY.pack(node, 0, name_s, attributes_s, name_ns, attributes_ns) + pack_attributes(known.stat)


def pack_dirent(name: bytes, ino: int, mode: int, next_offset: int) -> bytes:
    """Return one name of a listing."""
    head = DIRENT.pack(ino or UNKNOWN_INO, next_offset, len(name), mode >> 12)
    return head + name + bytes(-len(name) % 8)


def dirent_bytes(name: bytes) -> int:
    """Return how long that is."""
    return (_ROUND + len(name)) & ~7


def pack_space(space: Space) -> bytes:
    """Return the answer to STATFS."""
    return STATFS_OUT.pack(
        space.blocks, space.bfree, space.bavail, space.files, space.ffree, space.bsize, space.namemax, space.frsize
    )


@functools.lru_cache(maxsize=16)
def _validity(duration_s: float) -> tuple[int, int]:
    """Return seconds and nanoseconds. Kept, for what was learnt from one listing counts equally long."""
    if duration_s <= _MARGIN_S:
        return 0, 0
    fraction, seconds = math.modf(duration_s - _MARGIN_S)
    return int(seconds), int(fraction * _NS_PER_S)
