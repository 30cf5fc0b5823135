"""What a file holds: who may write it and how far it reaches, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.ids import Generation, Ino, Ticket
from dfs.core.messages.inodes import Attributes, Content
from dfs.core.messages.requests import Change, Done, Request
from dfs.core.messages.sessions import Holding, OpenFile


class Grant(NamedTuple):
    """The right of one client session to write one inode."""

    ino: Ino
    ticket: Ticket
    """0: no grant was free; the first write asks for it."""
    content: Content
    """As of the grant: size and cuts on which the holder builds."""
    capability: str = ""
    """What data servers want to see of a client (dfs/core/capability.py); empty where there is no key."""


class Opened(NamedTuple):
    """A file opened or created."""

    attributes: Attributes
    grant: Grant
    is_new: bool = False
    """Whether the call created it; its folder's times are then those of the file."""


@dataclass(frozen=True, slots=True)
class Acquire(Change[Grant]):
    """Ask for the write grant of an inode, for at most a second; asking for one that is held answers the same ticket.

    `seen`: the highest generation seen in a Conflict (0: none): the new ticket is above it, also if the grant is held.
    Faults: GrantBusy (the holder was recalled: ask again).
    """

    ino: Ino
    seen: Generation


@dataclass(frozen=True, slots=True)
class Truncate(Change[Grant]):
    """Set the size under the grant: a new ticket T, a cut at min(size_bytes, old size) with T, the new size.

    `held`: the holder's own size and time, which count as the old size. `handle`: the caller has the file open for writing,
    so permission is not asked again. Also cuts away junk, with size_bytes = the present size. Faults: GrantBusy.
    """

    base: Ino
    path: bytes
    size_bytes: int
    handle: bool
    held: Holding


@dataclass(frozen=True, slots=True)
class Commit(Request[Done]):
    """Record the holder's size and mtime; within one ticket the size only grows. Faults: GrantLost."""

    holding: Holding


@dataclass(frozen=True, slots=True)
class Yield(Change[Done]):
    """Give the grant back with the last word on the file; `holding.ticket` names the grant. One unknown to meta is a success."""

    holding: Holding


@dataclass(frozen=True, slots=True)
class Close(Change[Done]):
    """Commit, yield the grant and drop the open of a file that was written, in one call."""

    file: OpenFile
    holding: Holding


@dataclass(frozen=True, slots=True)
class Certify(Request[str]):
    """Return a capability for a regular file's blocks, with the rights that the caller has there; empty where there is no key.

    Answers that open a file or bring a grant have one, which lasts a while: this is for when it has expired. Faults: StaleFile.
    """

    ino: Ino
