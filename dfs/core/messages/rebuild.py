"""What data servers ask each other to get back what a disk or power took, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.ids import Ino
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identity
from dfs.core.messages.requests import Request
from dfs.core.placement import Role


class PulledStrip(NamedTuple):
    """Verified records of one strip, for a server that lost its disk. A record that is not named was never written, or is void."""

    ino: Ino
    residue: int
    """Block number modulo N of all blocks of the strip."""
    indexes: bytes
    """u64 little-endian each: block number // N, rising."""
    headers: bytes
    """16 bytes each, as on disk: dfs/core/records.py."""
    data: bytes
    """The records' data without padding, one after the other."""
    bad: bytes
    """u64 each: records that are there but can't be vouched for; whoever copies must not call them absent."""
    is_known: bool
    """False: a map page is lost, so that records may be missing here."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """Part of what a server holds in one role, in rising order of inode and record."""

    disk: str
    """Of the server's state folder: after it was replaced, whoever copies begins anew."""
    state: RoleState
    """Of the role: only what was copied from a complete one is complete."""
    strips: tuple[PulledStrip, ...]
    next_ino: Ino
    next_index: int
    """Where the next Pull begins."""
    next_end: int
    """Records of the strip at which it begins; 0 if it begins a strip."""
    highest: Ino
    """About the highest inode of which there are strips, to tell progress by."""
    more: bool


@dataclass(frozen=True, slots=True)
class FloorList:
    """Part of a server's floors, rising by inode."""

    disk: str
    floors: bytes
    """u64 inode and u64 ticket each, little-endian."""
    last: Ino
    """After which the next ListFloors begins."""
    more: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the history of what one server stored."""

    disk: str
    """Of its state folder: another one has another history."""
    tick: int
    """Rises by one every few seconds, never falls."""


@dataclass(frozen=True, slots=True)
class Pull(Request[Pulled]):
    """Return verified records of one role from (ino, index) on, about `data_bytes` of them at most.

    Asked by the neighbour that holds the other replica of the same blocks and lost its own, or may have lost some.
    `since`: only strips that may have changed since this tick, and a while before (see AskMoment); 0: all.
    Faults: NotTrusted (this server is suspect itself, and does not yet know what changed; ask again).
    """

    role: Role
    ino: Ino
    index: int
    data_bytes: int
    since: int = 0


@dataclass(frozen=True, slots=True)
class AskMoment(Request[Moment]):
    """Return the present as this server counts it, by which it can be asked later what has changed since."""


@dataclass(frozen=True, slots=True)
class ListFloors(Request[FloorList]):
    """Return up to `limit` floors of inodes above `after`, also of inodes without blocks."""

    after: Ino
    limit: int


@dataclass(frozen=True, slots=True)
class AcceptLoss(Request[Identity]):
    """Count lost roles as complete: from now on what is missing there reads as never written. An operator's decision."""
