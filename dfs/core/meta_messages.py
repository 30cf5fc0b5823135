"""The methods of the meta-server and what they carry (design sections 6 and 7).

A place in the tree is named by `base`, an inode, and `path`, bytes relative to it without a leading slash; an empty path
is the base itself. A path of any depth resolves in one call. Symbolic links are never followed here: the kernel does that.
The caller's uid, gid and groups travel in the CallContext.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from dfs.core.block_messages import Snapshot, SnapshotPart
from dfs.core.cluster_messages import MetaStatus, ServerAddress, Shape
from dfs.core.cuts import Cut
from dfs.core.ids import Generation, Ino, OpId, SessionId, Ticket
from dfs.core.locks import LockOwner, LockRange
from dfs.core.placement import Layout
from dfs.core.requests import Change, Done, Request


class Content(NamedTuple):
    """What a reader must know to read a file's bytes."""

    layout: Layout
    size_bytes: int
    cuts: tuple[Cut, ...]
    newest_cut: Ticket
    """The newest cut ticket ever made on the inode (cuts that were executed everywhere are forgotten, this is not)."""


class Attributes(NamedTuple):
    """An inode as stat(2) shows it, and what is needed to read it."""

    ino: Ino
    mode: int
    """File type and permission bits."""
    nlink: int
    uid: int
    gid: int
    rdev: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    content: Content
    """Size, layout and cuts; for a folder or a link the size alone means something."""
    is_sparse: bool = False
    """Whether blocks below the size may never have been written: the data servers know how many were (CountBlocks)."""
    is_settling: bool = False
    """Whether the holder of the grant has gone and meta still asks the data servers how far it wrote: the size and the cuts may be
    short of what was acknowledged, so nobody may go by them.
    """


class Grant(NamedTuple):
    """The right of one client session to write one inode."""

    ino: Ino
    ticket: Ticket
    """0: no grant was free; the first write asks for it."""
    content: Content
    """As of the grant: size and cuts on which the holder builds."""


class Opened(NamedTuple):
    """A file opened or created."""

    attributes: Attributes
    grant: Grant
    is_new: bool = False
    """Whether the call created it; its folder's times are then those of the file."""


class Entry(NamedTuple):
    """One name of a listing with the attributes of its inode."""

    name: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Listing:
    """Part of a folder, in the order of the names' bytes."""

    entries: tuple[Entry, ...]
    more: bool
    """Whether names after the last entry remain."""


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


@dataclass(frozen=True, slots=True)
class AttributeChanges:
    """What setattr changes; a field left out stays as it is. Sizes are changed by Truncate."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    atime_now: bool = False
    """Set atime to meta's clock; what a caller who may write but does not own the file is allowed."""
    mtime_now: bool = False


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
class FileSystemSpace:
    """What statfs tells: bytes of user data, each disk under the cluster counted once, both replicas accounted for."""

    total_bytes: int
    free_bytes: int
    inodes: int


@dataclass(frozen=True, slots=True)
class LockFound:
    """Whether a lock is in the way, and whose."""

    range: LockRange | None = None
    """None: nothing is in the way."""
    is_own_mount: bool = False
    """Whether it belongs to the session that asks, so that its pid means something there."""


# --- sessions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSession(Request[SessionOpened]):
    """Open a client session.

    `nonce`: 16 random bytes; a repeated call with the same nonce answers the same session. `data_servers`: host:port of
    all data servers in order of index, or empty to use those that meta knows; a new file system is formatted on them first.
    Faults: NotFormatted (ask again), WrongServer (other servers or another N than the file system was made with).
    """

    nonce: bytes
    host: str
    mount_path: bytes
    data_servers: tuple[str, ...]


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


# --- names -----------------------------------------------------------------------------------------------------------


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
class RemoveFolder(Change[Done]):
    """Remove an empty folder."""

    base: Ino
    path: bytes


@dataclass(frozen=True, slots=True)
class Rename(Change[Done]):
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


# --- content ---------------------------------------------------------------------------------------------------------


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


# --- extended attributes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetXattr(Change[Done]):
    """Set an extended attribute.

    `flags`: those of setxattr(2): 1 = XATTR_CREATE, 2 = XATTR_REPLACE. Faults: AlreadyExists, NoAttribute, NotSupported
    (a namespace or name that is not kept), NotPermitted, AccessDenied, ArgumentTooBig, NoSpace (too many names).
    """

    base: Ino
    path: bytes
    name: bytes
    value: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class GetXattr(Request[bytes]):
    """Return the value of an extended attribute. Faults: NoAttribute, NotSupported, AccessDenied."""

    base: Ino
    path: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class ListXattrs(Request[tuple[bytes, ...]]):
    """Return the names of an inode's extended attributes, those that only root may see to root only."""

    base: Ino
    path: bytes


@dataclass(frozen=True, slots=True)
class RemoveXattr(Change[Done]):
    """Remove an extended attribute. Faults: as SetXattr."""

    base: Ino
    path: bytes
    name: bytes


# --- locks ---------------------------------------------------------------------------------------------------------------


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

    Ranges that another owner has locked meanwhile are left out.
    """

    ino: Ino
    owner: LockOwner
    ranges: tuple[LockRange, ...]


# --- the cluster -----------------------------------------------------------------------------------------------------


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


META_METHODS: Final[dict[str, type[Request[object]]]] = {
    "open_session": OpenSession,
    "heartbeat": Heartbeat,
    "assert_opens": AssertOpens,
    "end_session": EndSession,
    "lookup": Lookup,
    "readlink": ReadLink,
    "list_folder": ListFolder,
    "create": Create,
    "open": Open,
    "mkdir": MakeFolder,
    "mknod": MakeNode,
    "symlink": MakeSymlink,
    "link": Link,
    "unlink": Unlink,
    "rmdir": RemoveFolder,
    "rename": Rename,
    "set_attributes": SetAttributes,
    "acquire": Acquire,
    "truncate": Truncate,
    "commit": Commit,
    "yield_grant": Yield,
    "close": Close,
    "setxattr": SetXattr,
    "getxattr": GetXattr,
    "listxattr": ListXattrs,
    "removexattr": RemoveXattr,
    "lock": Lock,
    "unlock": Unlock,
    "find_lock": FindLock,
    "assert_locks": AssertLocks,
    "statfs": StatFileSystem,
    "status": ShowMeta,
    "list_files": ListFiles,
    "take_backup": TakeBackup,
    "fetch_backup": FetchBackup,
    "accept_rollback": AcceptRollback,
    "check_tables": CheckTables,
    "find_strays": FindStrays,
}
"""Method name on the wire -> request."""
