"""The requests of the kernel, taken apart and answered: one small method for each opcode.

Owns what is bytes on one side and an operation's arguments on the other. Promises one answer for each request that wants one, and
ENOSYS for what dfs leaves to the kernel (ioctl, poll, bmap, lseek, copy_file_range, access): it then asks no more. An inode's
number is its node; nothing has to be remembered of what the kernel knows, so FORGET needs no work. Called by own_channel.py.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import stat
from collections.abc import Callable, Sequence
from typing import Any, Final

from dfs.core.messages.inodes import AttributeChanges
from dfs.core.records import Buffer
from dfs.core.xattrs import CAPABILITY
from dfs.fusefs.channel import protocol
from dfs.fusefs.channel.node_operations import Changes, NodeOperations, path_in, path_of
from dfs.fusefs.channel.open_info import OpenInfo
from dfs.fusefs.channel.replies import (
    Known,
    dirent_bytes,
    pack_dirent,
    pack_entry,
    pack_init,
    pack_known,
    pack_space,
)
from dfs.fusefs.channel.request import Request
from dfs.fusefs.flock_struct import LockCall

LOG = logging.getLogger(__name__)

Parts = Sequence[Buffer]
DONE: Final[Parts] = ()
NS_PER_S: Final = 10**9
WANTED: Final = (
    protocol.Init.ASYNC_READ
    | protocol.Init.POSIX_LOCKS
    | protocol.Init.ATOMIC_O_TRUNC
    | protocol.Init.BIG_WRITES
    | protocol.Init.FLOCK_LOCKS
    | protocol.Init.DO_READDIRPLUS
    | protocol.Init.READDIRPLUS_AUTO
    | protocol.Init.PARALLEL_DIROPS
    | protocol.Init.MAX_PAGES
    | protocol.Init.CACHE_SYMLINKS
    | protocol.Init.HANDLE_KILLPRIV_V2
)
"""Not asked for: WRITEBACK_CACHE (write() would return before both replicas have it), AUTO_INVAL_DATA (whoever looks at a file
would wait for reads of it that hang), DONT_MASK (the kernel knows the umask).
"""
_DOTS: Final = 2
_FLOCK: Final = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}


class NoAnswer(Exception):
    """The kernel wants none."""


class Handlers:
    """Answers requests by carrying out operations."""

    def __init__(self, operations: NodeOperations, io_size_bytes: int) -> None:
        self._do = operations
        self._io_size_bytes = io_size_bytes
        self._table: Final[dict[int, Callable[[Request], Parts]]] = {
            op: getattr(self, f"_{op.name.lower()}") for op in protocol.Op if op is not protocol.Op.INTERRUPT
        }

    def answer(self, request: Request) -> Parts:
        """Return what answers a request. Raises: OSError with the errno that does; NoAnswer."""
        handler = self._table.get(request.opcode)
        if handler is None:
            raise OSError(errno.ENOSYS, "not for this file system")
        return handler(request)

    # --- the mount -------------------------------------------------------------------------------------------------------------

    def _init(self, request: Request) -> Parts:
        major, minor, readahead, flags = protocol.INIT_IN.unpack_from(request.body)
        if major < protocol.MAJOR or (major == protocol.MAJOR and minor < protocol.MINOR_MIN):
            LOG.critical(
                "expected a kernel that speaks FUSE %d.%d or later, got %d.%d", protocol.MAJOR, protocol.MINOR_MIN, major, minor
            )
            raise OSError(errno.EPROTO, "too old")
        if major == protocol.MAJOR:
            if flags & protocol.Init.INIT_EXT:
                (more,) = protocol.FLAGS2.unpack_from(request.body, protocol.INIT_IN.size)
                self._do.can_expire = bool(more & protocol.HAS_EXPIRE_ONLY)
            self._do("init", path_of(protocol.ROOT_NODE))
        return (pack_init(WANTED, flags, max(readahead, self._io_size_bytes), self._io_size_bytes),)

    def _destroy(self, request: Request) -> Parts:
        return DONE

    def _forget(self, request: Request) -> Parts:
        raise NoAnswer

    _batch_forget = _forget

    def _statfs(self, request: Request) -> Parts:
        return (pack_space(self._do("statfs", path_of(request.node))),)

    # --- names and attributes --------------------------------------------------------------------------------------------------

    def _lookup(self, request: Request) -> Parts:
        return self._entry(self._do("lookup", request.node, request.name()))

    def _getattr(self, request: Request) -> Parts:
        flags, handle = protocol.GETATTR_IN.unpack_from(request.body)
        return (pack_known(self._do("getattr", request.node, handle if flags & protocol.GETATTR_FH else None)),)

    def _setattr(self, request: Request) -> Parts:
        fields = protocol.SETATTR_IN.unpack_from(request.body)
        return (pack_known(self._do("setattr", request.node, to_changes(fields))),)

    def _readlink(self, request: Request) -> Parts:
        target: str = self._do("readlink", path_of(request.node))
        return (target.encode("latin-1"),)

    def _symlink(self, request: Request) -> Parts:
        name, target = request.two_names()
        return self._entry(self._do("symlink", request.node, name, target))

    def _mknod(self, request: Request) -> Parts:
        mode, rdev, _ = protocol.MKNOD_IN.unpack_from(request.body)
        return self._entry(self._do("mknod", request.node, request.name(protocol.MKNOD_IN.size), mode, rdev))

    def _mkdir(self, request: Request) -> Parts:
        mode, _ = protocol.MKDIR_IN.unpack_from(request.body)
        return self._entry(self._do("mkdir", request.node, request.name(protocol.MKDIR_IN.size), stat.S_IMODE(mode)))

    def _unlink(self, request: Request) -> Parts:
        self._do("unlink", path_in(request.node, request.name()))
        return DONE

    def _rmdir(self, request: Request) -> Parts:
        self._do("rmdir", path_in(request.node, request.name()))
        return DONE

    def _rename(self, request: Request) -> Parts:
        (new_folder,) = protocol.RENAME_IN.unpack_from(request.body)
        return self._renamed(request, new_folder, 0, protocol.RENAME_IN.size)

    def _rename2(self, request: Request) -> Parts:
        new_folder, flags = protocol.RENAME2_IN.unpack_from(request.body)
        return self._renamed(request, new_folder, flags, protocol.RENAME2_IN.size)

    def _renamed(self, request: Request, new_folder: int, flags: int, offset: int) -> Parts:
        old, new = request.two_names(offset)
        self._do("rename", path_in(request.node, old), path_in(new_folder, new), flags)
        return DONE

    def _link(self, request: Request) -> Parts:
        (node,) = protocol.LINK_IN.unpack_from(request.body)
        return self._entry(self._do("link", node, request.node, request.name(protocol.LINK_IN.size)))

    def _entry(self, known: Known) -> Parts:
        return (pack_entry(known, known.stat.ino),)

    # --- files -----------------------------------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Parts:
        flags, mode, _, _ = protocol.CREATE_IN.unpack_from(request.body)
        info = OpenInfo(flags=flags)
        known: Known = self._do("create", request.node, request.name(protocol.CREATE_IN.size), mode, info)
        return pack_entry(known, known.stat.ino), _opened(info)

    def _open(self, request: Request) -> Parts:
        flags, open_flags = protocol.OPEN_IN.unpack_from(request.body)
        info = OpenInfo(flags=flags)
        self._do("open", request.node, info, bool(open_flags & protocol.OPEN_KILL_SUIDGID))
        return (_opened(info),)

    def _read(self, request: Request) -> Parts:
        handle, offset, size_bytes, _, _, _ = protocol.READ_IN.unpack_from(request.body)
        return (self._do("read", None, size_bytes, offset, OpenInfo(handle)),)

    def _write(self, request: Request) -> Parts:
        handle, offset, size_bytes, flags, _, _ = protocol.WRITE_IN.unpack_from(request.body)
        data = request.body[protocol.WRITE_IN.size : protocol.WRITE_IN.size + size_bytes]
        kills = bool(flags & protocol.WRITE_KILL_SUIDGID)
        return (protocol.WRITE_OUT.pack(self._do("write", request.node, data, offset, OpenInfo(handle), kills)),)

    def _fallocate(self, request: Request) -> Parts:
        handle, offset, length, mode = protocol.FALLOCATE_IN.unpack_from(request.body)
        self._do("fallocate", request.node, OpenInfo(handle), mode, offset, length)
        return DONE

    def _flush(self, request: Request) -> Parts:
        handle, owner = protocol.FLUSH_IN.unpack_from(request.body)
        self._do("flush", OpenInfo(handle, lock_owner=owner))
        return DONE

    def _fsync(self, request: Request) -> Parts:
        handle, data_only = protocol.FSYNC_IN.unpack_from(request.body)
        self._do("fsync", None, data_only, OpenInfo(handle))
        return DONE

    def _release(self, request: Request) -> Parts:
        handle, flags, release_flags, owner = protocol.RELEASE_IN.unpack_from(request.body)
        unlocks = int(bool(release_flags & protocol.RELEASE_FLOCK_UNLOCK))
        self._do("release", None, OpenInfo(handle, flags=flags, lock_owner=owner, flock_release=unlocks))
        return DONE

    # --- locks -----------------------------------------------------------------------------------------------------------------

    def _getlk(self, request: Request) -> Parts:
        handle, owner, first, last, kind, pid, _ = protocol.LK_IN.unpack_from(request.body)
        found: LockCall = self._do("lock", OpenInfo(handle, lock_owner=owner), fcntl.F_GETLK, LockCall(kind, first, last, pid))
        return (protocol.LOCK.pack(found.first, found.last, found.kind, found.pid),)

    def _setlk(self, request: Request) -> Parts:
        return self._locked(request, waits=False)

    def _setlkw(self, request: Request) -> Parts:
        return self._locked(request, waits=True)

    def _locked(self, request: Request, *, waits: bool) -> Parts:
        handle, owner, first, last, kind, pid, flags = protocol.LK_IN.unpack_from(request.body)
        info = OpenInfo(handle, lock_owner=owner, node=request.node)
        if flags & protocol.LK_FLOCK:
            self._do("flock", info, _FLOCK[kind] | (0 if waits else fcntl.LOCK_NB))
        else:
            self._do("lock", info, fcntl.F_SETLKW if waits else fcntl.F_SETLK, LockCall(kind, first, last, pid))
        return DONE

    # --- extended attributes ---------------------------------------------------------------------------------------------------

    def _getxattr(self, request: Request) -> Parts:
        (size_bytes,) = protocol.GETXATTR_IN.unpack_from(request.body)
        name = request.name(protocol.GETXATTR_IN.size)
        if name == CAPABILITY:
            # The kernel asks for it at writes: answered before anything else is done.
            raise OSError(errno.ENODATA, "there are none")
        return _sized(self._do("getxattr", path_of(request.node), name), size_bytes)

    def _listxattr(self, request: Request) -> Parts:
        (size_bytes,) = protocol.GETXATTR_IN.unpack_from(request.body)
        return _sized(b"".join(name + b"\0" for name in self._do("listxattr", path_of(request.node))), size_bytes)

    def _setxattr(self, request: Request) -> Parts:
        size_bytes, flags = protocol.SETXATTR_IN.unpack_from(request.body)
        name, _, value = bytes(request.body[protocol.SETXATTR_IN.size :]).partition(b"\0")
        self._do("setxattr", path_of(request.node), name, value[:size_bytes], flags)
        return DONE

    def _removexattr(self, request: Request) -> Parts:
        self._do("removexattr", path_of(request.node), request.name())
        return DONE

    # --- open folders ----------------------------------------------------------------------------------------------------------

    def _opendir(self, request: Request) -> Parts:
        return (protocol.OPEN_OUT.pack(self._do("opendir"), 0),)

    def _readdir(self, request: Request) -> Parts:
        return self._listing(request, plus=False)

    def _readdirplus(self, request: Request) -> Parts:
        return self._listing(request, plus=True)

    def _listing(self, request: Request, *, plus: bool) -> Parts:
        """Answer with as many entries as there is room for, beginning with number `offset`; the first two are . and .."""
        number, offset, room, _, _, _ = protocol.READ_IN.unpack_from(request.body)
        head = protocol.ENTRY.size + protocol.ATTR.size if plus else 0
        entries = self._do("readdir", request.node, number, offset)
        parts: list[bytes] = []
        for at, name in enumerate((b".", b"..")[offset:], offset):
            ino = self._do.ino_of(request.node) if at == 0 else protocol.UNKNOWN_INO
            parts.append(bytes(head) + pack_dirent(name, ino, stat.S_IFDIR, at + 1))
        room -= sum(map(len, parts))
        first = last = max(offset - _DOTS, 0)
        while last < len(entries) and (room := room - head - dirent_bytes(entries[last].name)) >= 0:
            last += 1
        page = entries[first:last]
        known = self._do.listed(request.node, page) if plus else [None] * len(page)
        for at, (entry, seen) in enumerate(zip(page, known, strict=True), first + _DOTS + 1):
            if seen is not None:
                parts.append(pack_entry(seen, seen.stat.ino))
            elif plus:
                parts.append(bytes(head))
            parts.append(pack_dirent(entry.name, entry.attributes.ino, entry.attributes.mode, at))
        return (b"".join(parts),)

    def _releasedir(self, request: Request) -> Parts:
        (number,) = protocol.RENAME_IN.unpack_from(request.body)
        self._do("releasedir", number)
        return DONE

    def _fsyncdir(self, request: Request) -> Parts:
        """A folder's changes are as durable as they get before each is answered."""
        return DONE


def to_changes(fields: tuple[Any, ...]) -> Changes:
    """Return what SETATTR asks for."""
    valid, handle, size, _, atime_s, mtime_s, _, atime_ns, mtime_ns, _, mode, _, uid, gid = fields
    which = protocol.Attr(valid & sum(protocol.Attr))
    atime_now, mtime_now = bool(which & protocol.Attr.ATIME_NOW), bool(which & protocol.Attr.MTIME_NOW)
    changes = AttributeChanges(
        mode=stat.S_IMODE(mode) if which & protocol.Attr.MODE else None,
        uid=uid if which & protocol.Attr.UID else None,
        gid=gid if which & protocol.Attr.GID else None,
        atime_ns=atime_s * NS_PER_S + atime_ns if which & protocol.Attr.ATIME and not atime_now else None,
        mtime_ns=mtime_s * NS_PER_S + mtime_ns if which & protocol.Attr.MTIME and not mtime_now else None,
        atime_now=atime_now,
        mtime_now=mtime_now,
    )
    return Changes(
        attributes=None if changes == AttributeChanges() else changes,
        size_bytes=size if which & protocol.Attr.SIZE else None,
        handle=handle if which & protocol.Attr.FH else None,
        kills_set_id=bool(which & protocol.Attr.KILL_SUIDGID),
    )


def _opened(info: OpenInfo) -> bytes:
    return protocol.OPEN_OUT.pack(info.fh, protocol.KEEP_CACHE if info.keep_cache else 0)


def _sized(found: bytes, size_bytes: int) -> Parts:
    """Answer GETXATTR or LISTXATTR: how long it is, or the bytes themselves if there is room."""
    if not size_bytes:
        return (protocol.XATTR_OUT.pack(len(found)),)
    if len(found) > size_bytes:
        raise OSError(errno.ERANGE, "too long")
    return (found,)
