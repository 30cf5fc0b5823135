"""The FUSE operations: each turns one call from the kernel into one call of the client service.

Owns the conversions (names, open flags, time stamps, stat and statvfs), the folders that programs have open, and the promise that
nothing but an OSError with a positive errno leaves. Called by libfuse's threads through the binding. Decides nothing about
files, never waits by itself.

ioctl, bmap, poll and the like are not in the table: the kernel then answers by itself and asks no more.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from dfs.core.current_request import WorkingOn
from dfs.core.errors import BadHandle
from dfs.core.interfaces import EventSink
from dfs.core.limits import NAME_BYTES_MAX
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.inodes import AttributeChanges, Attributes
from dfs.core.messages.locks import LockFound
from dfs.core.meters import OK, CallMeter
from dfs.core.records import Buffer
from dfs.fusefs.binding import NAME_ENCODING, UTIME_NOW, UTIME_OMIT, AddEntry, FileInfo, SetTime, Space, Stat
from dfs.fusefs.errno_table import to_os_error
from dfs.fusefs.filesystem_api import FileSystemApi
from dfs.fusefs.flock_struct import LockCall, to_owner, to_range, to_whole_range
from dfs.fusefs.operation_context import OperationContext, OperationContexts
from dfs.fusefs.page_cache import PageCache
from dfs.fusefs.self_call import ALIVE
from dfs.fusefs.writes_in_progress import WritesInProgress

LOG = logging.getLogger(__name__)

HIDDEN_NAME: Final = re.compile(rb"\.fuse_hidden[0-9a-f]{16}")
"""What libfuse renames an open file to when its last name goes (hide_node in its fuse.c)."""
IO_SIZE_BYTES: Final = 128 << 10
"""st_blksize: the largest request of libfuse 2."""
STAT_BLOCK_BYTES: Final = 512
"""Unit of st_blocks, whatever the file system's block size."""
NS_PER_S: Final = 10**9
Name = str | bytes
"""fusepy says text, whose characters are the bytes; the channel of our own says bytes."""
INODES_FREE: Final = 1 << 40
"""What statfs tells: inode numbers do not run out."""


class Connection(Protocol):
    """Who is told when the kernel connects and when it is gone; called on libfuse's threads, must not raise."""

    def begin(self) -> None:
        """Libfuse has a session with the kernel."""

    def end(self) -> None:
        """The session is about to be freed."""


@dataclass(frozen=True, slots=True)
class _OpenFolder:
    path: bytes
    itself: Stat
    parent: Stat


class Operations:
    """The table of operations that fusepy reads: attributes named after FUSE's, called through __call__."""

    use_ns = True
    flag_nullpath_ok = 1
    # Else libfuse locks the path of every read and write: a rename above a blocked write hangs, unkillable, all lookups behind it.
    flag_nopath = 1
    # Else `touch -m` is silently lost.
    flag_utime_omit_ok = 1

    def __init__(
        self,
        *,
        filesystem: FileSystemApi,
        contexts: OperationContexts,
        events: EventSink,
        connection: Connection,
        pages: PageCache,
        meter: CallMeter,
    ) -> None:
        """Arguments: the client service, the maker of contexts, where bugs are reported, who hears of the kernel, its pages, and
        what counts the operations by their names.
        """
        self._filesystem = filesystem
        self._contexts = contexts
        self._events = events
        self._connection = connection
        self._pages = pages
        self._meter = meter
        self._writes = WritesInProgress()
        self._folders: dict[int, _OpenFolder] = {}
        self._folder_numbers = itertools.count(1)

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Carry out one operation. Raises: OSError only."""
        ctx, began_s = self._contexts.begin(operation), time.perf_counter()
        result, size_bytes = OK, 0
        with WorkingOn(ctx.request_id):
            try:
                LOG.debug("%s", operation)
                answer = self._method(operation)(ctx, *arguments)
                if operation == "read":
                    size_bytes = len(answer)
                elif operation == "write":
                    size_bytes = answer
                return answer
            except BaseException as error:
                # Whatever else left here would reach the program as an arbitrary errno.
                told = to_os_error(error, operation, ctx, self._events)
                result = errno.errorcode.get(told.errno or 0, "other")
                raise told from error
            finally:
                self._contexts.finish(ctx)
                self._meter.note((operation,), result, time.perf_counter() - began_s, size_bytes)

    def _method(self, operation: str) -> Callable[..., Any]:
        return getattr(self, operation)  # type: ignore[no-any-return]

    # --- the mount ------------------------------------------------------------------------------------------------------

    def init(self, ctx: OperationContext, path: Name) -> None:
        """The kernel is connected; it sends the first operations once this returns."""
        self._connection.begin()

    def destroy(self, ctx: OperationContext, path: Name) -> None:
        """The kernel is gone; libfuse is about to free its session."""
        self._connection.end()

    def statfs(self, ctx: OperationContext, path: Name) -> Space:
        """Show space in units of the largest request."""
        space = self._filesystem.statfs(ctx)
        free = space.free_bytes // IO_SIZE_BYTES
        return Space(
            bsize=IO_SIZE_BYTES,
            frsize=IO_SIZE_BYTES,
            blocks=space.total_bytes // IO_SIZE_BYTES,
            bfree=free,
            bavail=free,
            files=space.inodes + INODES_FREE,
            ffree=INODES_FREE,
            favail=INODES_FREE,
            namemax=NAME_BYTES_MAX,
        )

    # --- names ----------------------------------------------------------------------------------------------------------

    def getattr(self, ctx: OperationContext, path: Name | None, info: FileInfo | None) -> Stat:
        """Return what stat and fstat show."""
        return self._shown(ctx, self._filesystem.getattr(ctx, _name(path), None if info is None else info.fh))

    def _shown(self, ctx: OperationContext, attributes: Attributes) -> Stat:
        if not attributes.is_sparse:
            return to_stat(attributes)
        return to_stat(attributes)._replace(blocks=_stat_blocks(self._filesystem.written_bytes(ctx, attributes)))

    def access(self, ctx: OperationContext, path: Name, mode: int) -> None:
        """Check what the caller may do; the kernel asks only where it does not check permissions itself."""
        self._filesystem.access(ctx, _name(path), mode)

    def readlink(self, ctx: OperationContext, path: Name) -> str:
        """Return a symbolic link's target."""
        return self._filesystem.readlink(ctx, _name(path)).decode(NAME_ENCODING)

    def mkdir(self, ctx: OperationContext, path: Name, mode: int) -> None:
        """Create a folder."""
        self._filesystem.mkdir(ctx, _name(path), mode)

    def mknod(self, ctx: OperationContext, path: Name, mode: int, rdev: int) -> None:
        """Create a fifo, a socket, a device or, without O_CREAT, a regular file."""
        self._filesystem.mknod(ctx, _name(path), mode, rdev)

    def symlink(self, ctx: OperationContext, path: Name, target: Name) -> None:
        """Create a symbolic link: `path` will point to `target`."""
        self._filesystem.symlink(ctx, _name(path), _name(target))

    def link(self, ctx: OperationContext, new_path: Name, path: Name) -> None:
        """Give an inode a further name; fusepy hands the new name over first."""
        self._filesystem.link(ctx, _name(path), _name(new_path))

    def unlink(self, ctx: OperationContext, path: Name) -> None:
        """Remove a name; also libfuse's last word on a hidden file."""
        self._filesystem.unlink(ctx, _name(path))

    def rmdir(self, ctx: OperationContext, path: Name) -> None:
        """Remove an empty folder."""
        self._filesystem.rmdir(ctx, _name(path))

    def rename(self, ctx: OperationContext, path: Name, new_path: Name) -> None:
        """Rename, or do what libfuse means by renaming to a hidden name: unlinked, but still open."""
        old, new = _name(path), _name(new_path)
        if is_hiding(old, new):
            self._filesystem.unlink_open(ctx, old, new)
            self._pages.note_rename(old, new)
            return
        self._filesystem.rename(ctx, old, new)
        self._move_folders(old, new)
        self._pages.note_rename(old, new)

    # --- attributes -----------------------------------------------------------------------------------------------------

    def chmod(self, ctx: OperationContext, path: Name, mode: int) -> None:
        """Change permission bits."""
        self._filesystem.setattr(ctx, _name(path), AttributeChanges(mode=stat.S_IMODE(mode)))

    def chown(self, ctx: OperationContext, path: Name, uid: int, gid: int) -> None:
        """Change owners; -1 leaves one as it is."""
        changes = AttributeChanges(uid=None if uid == -1 else uid, gid=None if gid == -1 else gid)
        self._filesystem.setattr(ctx, _name(path), changes)

    def utimens(self, ctx: OperationContext, path: Name, atime: SetTime, mtime: SetTime) -> None:
        """Change time stamps."""
        self._filesystem.setattr(ctx, _name(path), to_changes(atime, mtime))

    def truncate(self, ctx: OperationContext, path: Name | None, size_bytes: int, info: FileInfo | None = None) -> None:
        """Set the size, by name or by handle."""
        self._filesystem.truncate(ctx, _name(path), size_bytes, None if info is None else info.fh)

    # --- files ----------------------------------------------------------------------------------------------------------

    def create(self, ctx: OperationContext, path: Name, mode: int, info: FileInfo) -> None:
        """Create and open, for a name that the kernel did not find."""
        name = _name(path)
        self._note_open(ctx, info, name, self._filesystem.create(ctx, name, stat.S_IMODE(mode), info.flags))

    def open(self, ctx: OperationContext, path: Name, info: FileInfo) -> None:
        """Open an existing regular file."""
        name = _name(path)
        self._note_open(ctx, info, name, self._filesystem.open(ctx, name, info.flags))

    def read(self, ctx: OperationContext, path: Name | None, size_bytes: int, offset: int, info: FileInfo) -> bytes:
        """Return bytes for a program or for the kernel's read-ahead."""
        return self._filesystem.read(ctx, info.fh, size_bytes, offset)

    def write(self, ctx: OperationContext, path: Name | None, data: Buffer, offset: int, info: FileInfo) -> int:
        """Write for a program, or write a shared mapping back."""
        with self._writes.writing(info.fh):
            return self._filesystem.write(ctx, info.fh, data, offset)

    def fallocate(self, ctx: OperationContext, info: FileInfo, mode: int, offset: int, length: int) -> None:
        """Check for room, or make zeros."""
        with self._writes.writing(info.fh):
            self._filesystem.fallocate(ctx, info.fh, mode, offset, length)

    def flush(self, ctx: OperationContext, path: Name | None, info: FileInfo) -> None:
        """Make the writes visible: a descriptor of an open file is being closed."""
        self._filesystem.flush(ctx, info.fh)

    def fsync(self, ctx: OperationContext, path: Name | None, data_only: int, info: FileInfo) -> None:
        """Make the writes durable; data_only (fdatasync) makes no difference, the size belongs to the data."""
        self._filesystem.fsync(ctx, info.fh)

    def release(self, ctx: OperationContext, path: Name | None, info: FileInfo) -> None:
        """Forget a handle: its last descriptor is closed, and nobody waits for this."""
        self._writes.note_release(info.fh)
        self._pages.note_release(info.fh)
        try:
            if info.flock_release:
                owner = to_owner(LockKind.WHOLE, info.lock_owner)
                self._filesystem.unlock(ctx, info.fh, owner, 0, OFFSET_MAX)
        finally:
            self._filesystem.release(ctx, info.fh)

    def _note_open(self, ctx: OperationContext, info: FileInfo, path: bytes, handle: int) -> Attributes:
        info.fh = handle
        attributes = self._filesystem.getattr(ctx, b"", handle)
        ino = attributes.ino
        keeps_pages = self._writes.note_open(handle, ino)
        version = self._filesystem.content_version(ctx, handle)
        self._pages.note_open(handle, ino, path, version, is_fresh=not keeps_pages)
        info.keep_cache = int(keeps_pages)
        return attributes

    # --- extended attributes ----------------------------------------------------------------------------------------------

    def getxattr(self, ctx: OperationContext, path: Name, name: bytes) -> bytes:
        """Return a value; that of ALIVE is an answer of this mount, not of a file."""
        if name == ALIVE:
            return b"%d" % self._filesystem.check()
        return self._filesystem.getxattr(ctx, _name(path), name)

    def listxattr(self, ctx: OperationContext, path: Name) -> tuple[bytes, ...]:
        """Return the names."""
        return self._filesystem.listxattr(ctx, _name(path))

    def setxattr(self, ctx: OperationContext, path: Name, name: bytes, value: bytes, flags: int) -> None:
        """Set a value."""
        self._filesystem.setxattr(ctx, _name(path), name, value, flags)

    def removexattr(self, ctx: OperationContext, path: Name, name: bytes) -> None:
        """Remove an attribute."""
        self._filesystem.removexattr(ctx, _name(path), name)

    # --- locks --------------------------------------------------------------------------------------------------------------

    def lock(self, ctx: OperationContext, info: FileInfo, command: int, call: LockCall) -> LockCall | None:
        """Carry out a call of fcntl(2) on a lock; also libfuse's unlocking of everything at each close."""
        owner = to_owner(LockKind.RECORD, info.lock_owner)
        if command == fcntl.F_GETLK:
            found = self._filesystem.find_lock(ctx, info.fh, owner, to_range(call, ctx.pid))
            return _blocker(call, found)
        if call.kind == fcntl.F_UNLCK:
            self._filesystem.unlock(ctx, info.fh, owner, call.first, call.last)
            return None
        self._lock(ctx, info, owner, to_range(call, call.pid or ctx.pid), wait=command == fcntl.F_SETLKW)
        return None

    def flock(self, ctx: OperationContext, info: FileInfo, operation: int) -> None:
        """Lock or unlock a whole file, as the system call of this name."""
        owner = to_owner(LockKind.WHOLE, info.lock_owner)
        if operation & fcntl.LOCK_UN:
            self._filesystem.unlock(ctx, info.fh, owner, 0, OFFSET_MAX)
            return
        self._lock(ctx, info, owner, to_whole_range(operation, ctx.pid), wait=not operation & fcntl.LOCK_NB)

    def _lock(self, ctx: OperationContext, info: FileInfo, owner: LockOwner, wanted: LockRange, *, wait: bool) -> None:
        if wait:
            ctx.wait_for_others()
        self._filesystem.lock(ctx, info.fh, owner, wanted, wait=wait)
        self._pages.freshen(ctx, info.fh, self._filesystem.content_version(ctx, info.fh))

    # --- open folders ----------------------------------------------------------------------------------------------------

    def opendir(self, ctx: OperationContext, path: Name) -> int:
        """Remember a folder that will be listed."""
        name = _name(path)
        itself = to_stat(self._filesystem.getattr(ctx, name, None))
        parent = itself if name == b"/" else to_stat(self._filesystem.getattr(ctx, os.path.dirname(name), None))
        number = next(self._folder_numbers)
        self._folders[number] = _OpenFolder(name, itself, parent)
        return number

    def readdir(self, ctx: OperationContext, number: int, add_entry: AddEntry) -> None:
        """List a folder: all of it at once, libfuse hands it out in pieces."""
        folder = self._folder(number)
        add_entry(b".", folder.itself)
        add_entry(b"..", folder.parent)
        for entry in self._filesystem.list_folder(ctx, folder.path):
            if not add_entry(entry.name, to_stat(entry.attributes)):
                break

    def fsyncdir(self, ctx: OperationContext, path: Name | None, data_only: int, number: int) -> None:
        """Do nothing more: a folder's changes are as durable as they get before each is answered."""
        self._folder(number)

    def releasedir(self, ctx: OperationContext, path: Name | None, number: int) -> None:
        """Forget an open folder."""
        self._folders.pop(number, None)

    def _folder(self, number: int) -> _OpenFolder:
        folder = self._folders.get(number)
        if folder is None:
            raise BadHandle()
        return folder

    def _move_folders(self, old: bytes, new: bytes) -> None:
        """Follow open folders to the new name; the kernel no longer tells it."""
        for number, folder in list(self._folders.items()):
            if folder.path == old or folder.path.startswith(old + b"/"):
                self._folders[number] = replace(folder, path=new + folder.path[len(old) :])


def _name(path: Name | None) -> bytes:
    """Return the bytes of a name; libfuse gives none where a handle says enough."""
    if isinstance(path, bytes):
        return path
    return b"" if path is None else path.encode(NAME_ENCODING)


def _blocker(call: LockCall, found: LockFound) -> LockCall:
    """Return the answer to F_GETLK; a process of another mount has no number that means anything here."""
    if found.range is None:
        return call._replace(kind=fcntl.F_UNLCK)
    kind = fcntl.F_WRLCK if found.range.is_exclusive else fcntl.F_RDLCK
    return LockCall(kind, found.range.first, found.range.last, found.range.pid if found.is_own_mount else 0)


def is_hiding(old: bytes, new: bytes) -> bool:
    """Tell whether a rename is libfuse's: within one folder, to a hidden name."""
    folder, _, name = new.rpartition(b"/")
    return folder == old.rpartition(b"/")[0] and HIDDEN_NAME.fullmatch(name) is not None


def to_stat(attributes: Attributes) -> Stat:
    """Return what stat(2) shows of an inode."""
    # By position: a listing makes thousands, and keywords take twice as long.
    ino, mode, nlink, uid, gid, rdev, atime_ns, mtime_ns, ctime_ns, content, _, _ = attributes
    size, blocks = content.size_bytes, _stat_blocks(content.size_bytes)
    return Stat(ino, mode, nlink, uid, gid, rdev, size, IO_SIZE_BYTES, blocks, atime_ns, mtime_ns, ctime_ns)


def _stat_blocks(size_bytes: int) -> int:
    return -(-size_bytes // STAT_BLOCK_BYTES)


def to_changes(atime: SetTime, mtime: SetTime) -> AttributeChanges:
    """Return what utimensat(2) asks for."""
    return AttributeChanges(
        atime_ns=_to_ns(atime),
        mtime_ns=_to_ns(mtime),
        atime_now=atime.nanoseconds == UTIME_NOW,
        mtime_now=mtime.nanoseconds == UTIME_NOW,
    )


def _to_ns(time: SetTime) -> int | None:
    if time.nanoseconds in (UTIME_NOW, UTIME_OMIT):
        return None
    return time.seconds * NS_PER_S + time.nanoseconds
