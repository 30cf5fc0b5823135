"""What servers, client and tools tell each other about the cluster itself, apart from files and blocks."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.ids import ServerIndex, SessionId
from dfs.core.messages.scrub import NO_SCRUB, ScrubStatus


class Shape(NamedTuple):
    """What a file system was made as; fixed for ever."""

    cluster: str
    """UUID of the cluster."""
    servers: int
    """N, 2 or more."""
    block_size: int
    """Bytes."""


class ServerAddress(NamedTuple):
    """Where a data server listens."""

    server: ServerIndex
    address: str
    """host:port."""


class RoleState(enum.StrEnum):
    """Whether what a data server holds in a role can be trusted to be all there is."""

    BLANK = "blank"
    """Not formatted: knows nothing."""
    COMPLETE = "complete"
    SUSPECT = "suspect"
    """After an unclean machine stop, not yet compared with the neighbours."""
    REBUILDING = "rebuilding"
    LOST = "lost"


class Space(NamedTuple):
    """Bytes of the disk under a state folder."""

    total_bytes: int
    free_bytes: int
    """What an unprivileged writer can still use."""
    device: str
    """Identifies the disk, so that two servers on one disk are counted once."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One data server as a tool or an administrator sees it. An unreachable one has reachable = False and zeros."""

    index: ServerIndex
    address: str
    reachable: bool
    reason: str
    """Why it is not reachable or not healthy; empty when it is."""
    primary: RoleState
    secondary: RoleState
    space: Space
    progress: str
    """Human words on recovery or rebuild; empty when idle."""
    scrub: ScrubStatus = NO_SCRUB
    wall_ns: int = 0
    """Its machine's wall time when it answered; 0: not told."""
    release: str = ""
    """The release of dfs that it is."""


@dataclass(frozen=True, slots=True)
class MountStatus:
    """One client session."""

    session: SessionId
    host: str
    path: bytes
    age_s: float
    """Seconds since its last heartbeat arrived."""


@dataclass(frozen=True, slots=True)
class MetaStatus:
    """The meta-server as a tool sees it."""

    shape: Shape
    """servers = 0 while not formatted."""
    name: str
    state: str
    """"ok", "waiting to format", "waiting for sessions" (the first 30 s), "read-only: REASON", "disk full: ...", or
    "rolled back: ..."."""
    data_servers: tuple[ServerAddress, ...]
    mounts: tuple[MountStatus, ...]
    inodes: int
    reclaiming: int
    """Removed inodes whose strips are not yet confirmed dropped everywhere."""
    wall_ns: int = 0
    """Its machine's wall time when it answered; 0: not told."""
    release: str = ""
    """The release of dfs that it is."""
