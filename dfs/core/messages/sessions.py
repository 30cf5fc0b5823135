"""Client sessions: how a mount is known to the meta-server, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.ids import Ino, OpId, SessionId, Ticket
from dfs.core.messages.cluster import ServerAddress, Shape
from dfs.core.messages.requests import Done, Request


@dataclass(frozen=True, slots=True)
class Holding:
    """What a holder says of an inode that it wrote under a grant: committed with its ticket, an older ticket is ignored."""

    ino: Ino
    ticket: Ticket
    """0: nothing was written; the rest is ignored."""
    size_bytes: int
    mtime_ns: int
    """0: the time is unchanged."""
    dirty: bool
    """Whether an unacknowledged write may have left junk past the size, which must be cut."""
    is_sparse: bool = False
    """Whether the holder has left blocks below the size unwritten."""


class OpenFile(NamedTuple):
    """An inode that a session has open. `opened_by` is the newest operation that opened it: a Close names it and does
    not undo a later open whose call overtook it.
    """

    ino: Ino
    opened_by: OpId


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A new client session."""

    session: SessionId
    shape: Shape
    data_servers: tuple[ServerAddress, ...]
    epoch: int
    """Number of meta's start. When a heartbeat answers another one, opens must be asserted again."""
    release: str = ""
    """The release of dfs that the meta-server is."""


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """The session is alive; what it must do."""

    epoch: int
    recalls: tuple[Ino, ...]
    """Grants that another session waits for: end or abandon the write, forget the grant, yield."""
    data_servers: tuple[ServerAddress, ...]
    wall_ns: int = 0
    """The wall time of the meta-server's machine when it answered."""


@dataclass(frozen=True, slots=True)
class OpenSession(Request[SessionOpened]):
    """Open a client session.

    `nonce`: 16 random bytes; a repeated call with the same nonce answers the same session. `data_servers`: host:port of
    all data servers in order of index, or empty to use those that meta knows; a new file system is formatted on them first.
    `ended`: nonces of sessions whose mount is known to be dead: they are ended first, as by EndSession, so that nobody waits for
    their leases to run out, and what they wrote is settled before the new session sees it.
    Faults: NotFormatted (ask again), WrongServer (other servers or another N than the file system was made with).
    """

    nonce: bytes
    host: str
    mount_path: bytes
    data_servers: tuple[str, ...]
    ended: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat(Request[HeartbeatAnswer]):
    """Renew the session; parked for up to 5 s until meta wants something that is not in `recalls_known`.

    `closed`: files closed since the last heartbeat that wrote nothing.
    """

    closed: tuple[OpenFile, ...]
    recalls_known: tuple[Ino, ...]


@dataclass(frozen=True, slots=True)
class AssertOpens(Request[Done]):
    """Tell a restarted meta which inodes the session has open."""

    files: tuple[OpenFile, ...]


@dataclass(frozen=True, slots=True)
class EndSession(Request[Done]):
    """End the session: its opens, locks and grants are free at once. Everything must have been committed."""
