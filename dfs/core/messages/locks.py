"""Locks of fcntl(2) and flock(2), as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from dfs.core.ids import Ino
from dfs.core.locks import LockOwner, LockRange
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.requests import Change, Done, Request


@dataclass(frozen=True, slots=True)
class LockFound:
    """Whether a lock is in the way, and whose."""

    range: LockRange | None = None
    """None: nothing is in the way."""
    is_own_mount: bool = False
    """Whether it belongs to the session that asks, so that its pid means something there."""


@dataclass(frozen=True, slots=True)
class Lock(Change[Attributes]):
    """Lock a range of a file, in place of what the owner has locked there; the answer is the inode as it is now.

    `wait`: whether to wait for owners in the way, for at most a second. Faults: WouldBlock (not `wait`), LockBusy (ask again),
    WouldDeadlock, TooManyLocks, DuplicateRefused (an Unlock or AssertLocks of the owner overtook it: use another number).
    """

    ino: Ino
    owner: LockOwner
    range: LockRange
    wait: bool


@dataclass(frozen=True, slots=True)
class Unlock(Change[Done]):
    """Free what the owner has locked between two bytes, both included; nothing locked is a success."""

    ino: Ino
    owner: LockOwner
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class FindLock(Request[LockFound]):
    """Return a lock that is in the way of one that the owner might ask for."""

    ino: Ino
    owner: LockOwner
    range: LockRange


@dataclass(frozen=True, slots=True)
class AssertLocks(Change[Done]):
    """Say what an owner has locked in a file, all of it: to a restarted meta, or after a Lock whose caller was interrupted.

    Bytes that another owner has locked meanwhile are left out.
    """

    ino: Ino
    owner: LockOwner
    ranges: tuple[LockRange, ...]
