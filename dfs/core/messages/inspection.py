"""What tools ask of the meta-server: space, listings of everything, backups, checks, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.ids import Ino
from dfs.core.messages.cluster import MetaStatus
from dfs.core.messages.inodes import Content
from dfs.core.messages.requests import Done, Request
from dfs.core.messages.snapshots import Snapshot, SnapshotPart


class NamedFile(NamedTuple):
    """A name of a regular file that has content."""

    path: bytes
    """From the root, with a leading slash."""
    ino: Ino
    content: Content


@dataclass(frozen=True, slots=True)
class FileList:
    """Some names of regular files."""

    files: tuple[NamedFile, ...]
    next_folder: Ino
    next_name: bytes
    """After which the next ListFiles begins."""
    more: bool


@dataclass(frozen=True, slots=True)
class FileSystemSpace:
    """What statfs tells: bytes of user data, each disk under the cluster counted once, both replicas accounted for."""

    total_bytes: int
    free_bytes: int
    inodes: int


@dataclass(frozen=True, slots=True)
class StatFileSystem(Request[FileSystemSpace]):
    """Return space and number of inodes."""


@dataclass(frozen=True, slots=True)
class ShowMeta(Request[MetaStatus]):
    """Return the state of the meta-server, its data servers' addresses and its client sessions."""


@dataclass(frozen=True, slots=True)
class ListFiles(Request[FileList]):
    """Look at up to `limit` (1 .. 4096) names of the whole file system after (folder, name), and return those of regular files
    that have content. Begins with (0, empty). For administrators: NotPermitted unless the caller is root.
    """

    folder: Ino
    name: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class TakeBackup(Request[Snapshot]):
    """Copy the database as of one moment, gzip it and keep that in memory to be fetched, until a minute after the last fetch or
    until the next one is taken. Takes about a second per 100,000 files. For administrators: NotPermitted unless the caller is root.
    """


@dataclass(frozen=True, slots=True)
class FetchBackup(Request[SnapshotPart]):
    """Return up to `limit` bytes (1 .. 4 MiB) of the backup from `offset`; none at its end.

    Faults: BadRequest if it is not kept any more; NotPermitted unless the caller is root.
    """

    backup: Snapshot
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class AcceptRollback(Request[Done]):
    """Believe a meta-server that is older than what the data servers remember: from now on it may have them remove something.

    A success if there is nothing to accept. For administrators: NotPermitted unless the caller is root.
    """


@dataclass(frozen=True, slots=True)
class CheckTables(Request[tuple[str, ...]]):
    """Return, for people, what does not hold between the meta-server's own tables: 1,000 findings at most, none if they are sound.

    Costs a scan of all tables. For administrators: NotPermitted unless the caller is root.
    """


@dataclass(frozen=True, slots=True)
class FindStrays(Request[tuple[Ino, ...]]):
    """Return which of up to 4096 inodes, of which a data server holds strips, are neither known nor in quarantine.

    `quarantine`: put them there first, to be removed after 7 days; a rolled back meta-server does not, and still returns them.
    For administrators: NotPermitted unless the caller is root.
    """

    inos: tuple[Ino, ...]
    quarantine: bool
