"""Locks on ranges of a file as fcntl(2) has them: pure arithmetic on what one owner has locked.

An owner's ranges are kept sorted, apart, and joined where neighbours are of one kind. A lock of flock(2) is a range over the whole
file in a space of its own. The meta-server decides with it who may lock; the client remembers with it what a mount has locked.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple

OFFSET_MAX: Final = (1 << 63) - 1
"""The last byte that can be locked: "to the end of the file, however far it grows"."""


class LockKind(enum.IntEnum):
    """Which system call a lock belongs to; locks of different kinds never meet, as in Linux."""

    RECORD = 1
    """fcntl(2)."""
    WHOLE = 2
    """flock(2)."""


class LockOwner(NamedTuple):
    """Who holds a lock, within a client session."""

    kind: LockKind
    number: int
    """Chosen by the mount, 64 bits with a sign: a process's open files (fcntl), or an open file (flock)."""


class LockRange(NamedTuple):
    """What is locked."""

    first: int
    last: int
    """The last byte, included."""
    is_exclusive: bool
    """A write lock; else a read lock, which others may share."""
    pid: int
    """The process that asked; only its own mount's host knows it."""


def whole_file(*, is_exclusive: bool, pid: int) -> LockRange:
    """Return the range of a lock of flock(2)."""
    return LockRange(0, OFFSET_MAX, is_exclusive, pid)


def without(ranges: Iterable[LockRange], first: int, last: int) -> tuple[LockRange, ...]:
    """Return an owner's ranges after the bytes from `first` to `last` were unlocked."""
    left: list[LockRange] = []
    for held in ranges:
        if held.last < first or held.first > last:
            left.append(held)
            continue
        if held.first < first:
            left.append(held._replace(last=first - 1))
        if held.last > last:
            left.append(held._replace(first=last + 1))
    return tuple(left)


def with_range(ranges: Iterable[LockRange], new: LockRange) -> tuple[LockRange, ...]:
    """Return an owner's ranges after `new` was locked: it replaces what it covers and is joined with equal neighbours."""
    joined: list[LockRange] = []
    for held in sorted((*without(ranges, new.first, new.last), new)):
        last = joined[-1] if joined else None
        if last is not None and last.last + 1 == held.first and last[2:] == held[2:]:
            joined[-1] = last._replace(last=held.last)
        else:
            joined.append(held)
    return tuple(joined)


def conflict(ranges: Iterable[LockRange], wanted: LockRange) -> LockRange | None:
    """Return the first of another owner's ranges that is in the way of `wanted`."""
    for held in ranges:
        if held.first <= wanted.last and wanted.first <= held.last and (held.is_exclusive or wanted.is_exclusive):
            return held
    return None
