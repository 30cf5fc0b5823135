"""Names: looking up, listing, making, removing and renaming, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.ids import Ino
from dfs.core.messages.content import Opened
from dfs.core.messages.inodes import AttributeChanges, Attributes
from dfs.core.messages.listings import Listing
from dfs.core.messages.requests import Change, Request


class FolderTimes(NamedTuple):
    """What a change of its names made of a folder."""

    ino: Ino
    nlink: int
    mtime_ns: int
    """Also its ctime."""


class Renamed(NamedTuple):
    """What was renamed, and the folders that it left and came to; both are the same where it stayed in one."""

    ino: Ino
    is_folder: bool
    ctime_ns: int
    left: FolderTimes
    entered: FolderTimes


@dataclass(frozen=True, slots=True)
class Lookup(Request[Attributes]):
    """Return the attributes of the inode at a path of any depth."""

    base: Ino
    path: bytes


@dataclass(frozen=True, slots=True)
class ReadLink(Request[bytes]):
    """Return the target of a symbolic link."""

    base: Ino
    path: bytes


@dataclass(frozen=True, slots=True)
class ListFolder(Request[Listing]):
    """Return up to `limit` (1 .. 4096) entries whose names follow `after` (empty: from the start), without . and .."""

    base: Ino
    path: bytes
    after: bytes
    limit: int


class FolderNames(NamedTuple):
    """All names of a folder, if they are pledged."""

    is_pledged: bool
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ListNames(Request[FolderNames]):
    """Return all names of a folder, without . and .., and pledge that no other session adds one within PLEDGE_S of the request.

    No pledge, and no names, if there are more than `limit` (1 .. 4096), or if several sessions change the folder.
    """

    base: Ino
    path: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class Create(Change[Opened]):
    """Create a regular file with `mode` (permission bits, umask applied) and open it for writing, with its grant.

    An existing regular file is opened instead, unless `exclusive`.
    """

    base: Ino
    path: bytes
    mode: int
    exclusive: bool


@dataclass(frozen=True, slots=True)
class Open(Change[Opened]):
    """Open a regular file, for writing with its grant if that is free. Never waits for a grant."""

    base: Ino
    path: bytes
    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class MakeFolder(Change[Attributes]):
    """Create a folder with `mode` (permission bits, umask applied)."""

    base: Ino
    path: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class MakeNode(Change[Attributes]):
    """Create a fifo, socket, device or regular file: `mode` carries the type."""

    base: Ino
    path: bytes
    mode: int
    rdev: int


@dataclass(frozen=True, slots=True)
class MakeSymlink(Change[Attributes]):
    """Create a symbolic link to `target`."""

    base: Ino
    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Link(Change[Attributes]):
    """Give the inode at (base, path) a further name."""

    base: Ino
    path: bytes
    new_base: Ino
    new_path: bytes


@dataclass(frozen=True, slots=True)
class Unlink(Change[Attributes]):
    """Remove a name that is not a folder's. With the last name an inode that no session has open is reclaimed; with
    `keep_open` the calling session counts as having it open (by this call's op). Result: attributes after the removal.
    """

    base: Ino
    path: bytes
    keep_open: bool


@dataclass(frozen=True, slots=True)
class RemoveFolder(Change[FolderTimes]):
    """Remove an empty folder. Result: the folder in which it stood."""

    base: Ino
    path: bytes


@dataclass(frozen=True, slots=True)
class Rename(Change[Renamed]):
    """Rename, replacing what stands at the new name as rename(2) does; never moves data.

    `flags`: those of renameat2(2): 1 = RENAME_NOREPLACE; others are not supported.
    """

    base: Ino
    path: bytes
    new_base: Ino
    new_path: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class SetAttributes(Change[Attributes]):
    """Change mode, owner or times."""

    base: Ino
    path: bytes
    changes: AttributeChanges
