"""The client service's twin for tests of the FUSE boundary alone: files kept in memory, one process, no cluster.

Some names are out of order: writing `stuck-write`, reading `stuck-read` and so on waits, as for a dead server, until the context is
cancelled or a file `/release` exists. Reading `broken` or `wrong` raises what no operation should, `lost` has no good copy.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dfs.client.metadata.attribute_cache import NOT_BELIEVED, Believed, Looked
from dfs.client.metadata.inode_paths import split_at_inode
from dfs.core import errors
from dfs.core.ids import NO_TICKET, Ino
from dfs.core.interfaces import CallContext, raise_if_cancelled
from dfs.core.locks import LockOwner, LockRange
from dfs.core.messages.inodes import AttributeChanges, Attributes, Content, Entry
from dfs.core.messages.inspection import FileSystemSpace
from dfs.core.messages.locks import LockFound
from dfs.core.placement import Layout
from dfs.core.records import Buffer
from tests.harness.waiting import wait_until

STUCK_S_MAX = 600.0


@dataclass(eq=False)
class Node:
    """An inode."""

    ino: int
    mode: int
    uid: int
    gid: int
    rdev: int = 0
    nlink: int = 1
    times: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("atime", "mtime", "ctime"), time.time_ns()))
    data: bytearray = field(default_factory=bytearray)
    children: dict[bytes, Node] = field(default_factory=dict)
    name: bytes = b""
    """The one that it was made with: who opens it by its number gives none."""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass
class Handle:
    """An open file."""

    node: Node
    flags: int
    name: bytes


class MemoryFileSystem:
    """Implements dfs.fusefs.filesystem_api.FileSystemApi."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._handle_numbers = itertools.count(1)
        self._root = Node(next(self._numbers), stat.S_IFDIR | 0o777, 0, 0, nlink=2)
        self._handles: dict[int, Handle] = {}
        self._aliases: dict[bytes, Node] = {}
        self._nodes = weakref.WeakValueDictionary({self._root.ino: self._root})
        """By number, for as long as they have a name or are open."""

    # --- names ---

    def _node(self, path: bytes) -> Node:
        if path in self._aliases:
            return self._aliases[path]
        node = self._root
        if not path.startswith(b"/"):
            number, path = split_at_inode(path)
            if number not in self._nodes:
                raise errors.StaleFile(path)
            node = self._nodes[number]
        for name in path.split(b"/"):
            if name:
                if not node.is_folder:
                    raise errors.NotAFolder(path)
                if len(name) > 255:
                    raise errors.NameTooLong(path)
                if name not in node.children:
                    raise errors.NotFound(path)
                node = node.children[name]
        return node

    def _parent(self, path: bytes) -> tuple[Node, bytes]:
        parent, name = os.path.split(path)
        if len(name) > 255:
            raise errors.NameTooLong(path)
        return self._node(parent), name

    def _add(self, ctx: CallContext, path: bytes, mode: int, *, rdev: int = 0, data: bytes = b"") -> Node:
        with self._lock:
            parent, name = self._parent(path)
            if name in parent.children:
                raise errors.AlreadyExists(path)
            node = Node(next(self._numbers), mode, ctx.caller.uid, ctx.caller.gid, rdev, data=bytearray(data), name=name)
            parent.children[name] = self._nodes[node.ino] = node
            return node

    def _wait_if_stuck(self, ctx: CallContext, name: bytes, operation: bytes) -> None:
        if name != b"stuck-" + operation:
            return

        def is_released() -> bool:
            raise_if_cancelled(ctx)
            return b"release" in self._root.children

        wait_until(is_released, "a file /release", STUCK_S_MAX)

    def getattr(self, ctx: CallContext, path: bytes, handle: int | None) -> Attributes:
        with self._lock:
            return _attributes(self._handles[handle].node if handle is not None else self._node(path))

    def look(self, ctx: CallContext, path: bytes, handle: int | None = None) -> Looked:
        attributes = self.getattr(ctx, path, handle)
        ((_, attributes_s, name_s),) = self.believed([(path, attributes.ino)])
        return Looked(attributes, attributes_s, name_s)

    def believed(self, named: Sequence[tuple[bytes, Ino]]) -> list[Believed]:
        with self._lock:
            nodes = [self._nodes.get(ino) for _, ino in named]
            return [NOT_BELIEVED if node is None else Believed(_attributes(node), 1.0, 1.0) for node in nodes]

    def readlink(self, ctx: CallContext, path: bytes) -> bytes:
        return bytes(self._node(path).data)

    def list_folder(self, ctx: CallContext, path: bytes) -> Iterator[Entry]:
        with self._lock:
            entries = [Entry(name, _attributes(node)) for name, node in sorted(self._node(path).children.items())]
        yield from entries

    def mkdir(self, ctx: CallContext, path: bytes, mode: int) -> None:
        self._add(ctx, path, stat.S_IFDIR | mode).nlink = 2

    def mknod(self, ctx: CallContext, path: bytes, mode: int, rdev: int) -> None:
        self._add(ctx, path, mode, rdev=rdev)

    def symlink(self, ctx: CallContext, path: bytes, target: bytes) -> None:
        self._add(ctx, path, stat.S_IFLNK | 0o777, data=target)

    def link(self, ctx: CallContext, path: bytes, new_path: bytes) -> None:
        with self._lock:
            node = self._node(path)
            parent, name = self._parent(new_path)
            if name in parent.children:
                raise errors.AlreadyExists(new_path)
            parent.children[name] = node
            node.nlink += 1

    def unlink(self, ctx: CallContext, path: bytes) -> None:
        with self._lock:
            if self._aliases.pop(path, None) is None:
                parent, name = self._parent(path)
                self._node(path)
                parent.children.pop(name).nlink -= 1

    def unlink_open(self, ctx: CallContext, path: bytes, alias: bytes) -> None:
        with self._lock:
            node = self._node(path)
            self.unlink(ctx, path)
            self._aliases[alias] = node

    def rmdir(self, ctx: CallContext, path: bytes) -> None:
        with self._lock:
            if self._node(path).children:
                raise errors.FolderNotEmpty(path)
            parent, name = self._parent(path)
            del parent.children[name]

    def rename(self, ctx: CallContext, path: bytes, new_path: bytes, flags: int = 0) -> None:
        with self._lock:
            node = self._node(path)
            parent, name = self._parent(path)
            new_parent, new_name = self._parent(new_path)
            if flags and new_name in new_parent.children:
                raise errors.AlreadyExists(new_path)
            if (replaced := new_parent.children.get(new_name)) is not None:
                replaced.nlink -= 1
            del parent.children[name]
            new_parent.children[new_name] = node

    # --- attributes ---

    def setattr(self, ctx: CallContext, path: bytes, changes: AttributeChanges) -> None:
        with self._lock:
            node = self._node(path)
            if changes.mode is not None:
                node.mode = stat.S_IFMT(node.mode) | changes.mode
            node.uid = node.uid if changes.uid is None else changes.uid
            node.gid = node.gid if changes.gid is None else changes.gid
            now = time.time_ns()
            for name, value, is_now in (
                ("atime", changes.atime_ns, changes.atime_now),
                ("mtime", changes.mtime_ns, changes.mtime_now),
            ):
                if is_now or value is not None:
                    node.times[name] = now if is_now or value is None else value
            node.times["ctime"] = now

    def truncate(self, ctx: CallContext, path: bytes, size_bytes: int, handle: int | None) -> None:
        with self._lock:
            node = self._handles[handle].node if handle is not None else self._node(path)
            node.data[size_bytes:] = bytes(max(0, size_bytes - len(node.data)))

    # --- files ---

    def _open(self, node: Node, flags: int, path: bytes) -> int:
        number = next(self._handle_numbers)
        if flags & os.O_TRUNC and flags & os.O_ACCMODE != os.O_RDONLY:
            node.data.clear()
        self._handles[number] = Handle(node, flags, _name_of(node, path))
        return number

    def create(self, ctx: CallContext, path: bytes, mode: int, flags: int) -> int:
        with self._lock:
            try:
                node = self._add(ctx, path, stat.S_IFREG | mode)
            except errors.AlreadyExists:
                if flags & os.O_EXCL:
                    raise
                node = self._node(path)
            return self._open(node, flags, path)

    def open(self, ctx: CallContext, path: bytes, flags: int) -> int:
        self._wait_if_stuck(ctx, _name_of(self._node(path), path), b"open")
        with self._lock:
            return self._open(self._node(path), flags, path)

    def read(self, ctx: CallContext, handle: int, size_bytes: int, offset: int) -> bytes:
        opened = self._handles[handle]
        self._wait_if_stuck(ctx, opened.name, b"read")
        if opened.name == b"broken":
            raise TimeoutError("no errno at all")
        if opened.name == b"lost":
            raise errors.NoGoodCopy(opened.node.ino, 0, "corrupt", "corrupt")
        if opened.name == b"wrong":
            raise OSError(-errno.EIO, "negative")
        with self._lock:
            return bytes(opened.node.data[offset : offset + size_bytes])

    def write(self, ctx: CallContext, handle: int, data: Buffer, offset: int) -> int:
        opened = self._handles[handle]
        self._wait_if_stuck(ctx, opened.name, b"write")
        with self._lock:
            content = opened.node.data
            if opened.flags & os.O_APPEND:
                offset = len(content)
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
            opened.node.times["mtime"] = time.time_ns()
            return len(data)

    def fallocate(self, ctx: CallContext, handle: int, mode: int, offset: int, length: int) -> None:
        raise errors.NotSupported

    def written_bytes(self, ctx: CallContext, attributes: Attributes) -> int:
        return attributes.content.size_bytes

    def flush(self, ctx: CallContext, handle: int) -> None:
        self._wait_if_stuck(ctx, self._handles[handle].name, b"flush")

    def fsync(self, ctx: CallContext, handle: int) -> None:
        self._wait_if_stuck(ctx, self._handles[handle].name, b"fsync")

    def release(self, ctx: CallContext, handle: int) -> None:
        self._handles.pop(handle)

    # --- what this twin does not keep ---

    def getxattr(self, ctx: CallContext, path: bytes, name: bytes) -> bytes:
        raise errors.NoAttribute(name)

    def listxattr(self, ctx: CallContext, path: bytes) -> tuple[bytes, ...]:
        return ()

    def setxattr(self, ctx: CallContext, path: bytes, name: bytes, value: bytes, flags: int) -> None:
        raise errors.NotSupported(name)

    def removexattr(self, ctx: CallContext, path: bytes, name: bytes) -> None:
        raise errors.NoAttribute(name)

    def lock(self, ctx: CallContext, handle: int, owner: LockOwner, wanted: LockRange, *, wait: bool) -> None:
        self._wait_if_stuck(ctx, self._handles[handle].name, b"lock")

    def unlock(self, ctx: CallContext, handle: int, owner: LockOwner, first: int, last: int) -> None:
        return

    def find_lock(self, ctx: CallContext, handle: int, owner: LockOwner, wanted: LockRange) -> LockFound:
        return LockFound()

    def content_version(self, ctx: CallContext, handle: int) -> tuple[int, ...]:
        return (0,)

    # --- the file system ---

    def check(self) -> int:
        wait_until(lambda: b"stuck-check" not in self._root.children, "the check to get on", STUCK_S_MAX)
        return len(self._handles)

    def statfs(self, ctx: CallContext) -> FileSystemSpace:
        return FileSystemSpace(total_bytes=1 << 30, free_bytes=1 << 29, inodes=7)

    def access(self, ctx: CallContext, path: bytes, mode: int) -> None:
        self._node(path)


def _name_of(node: Node, path: bytes) -> bytes:
    return os.path.basename(path) if path.startswith(b"/") else node.name


def _attributes(node: Node) -> Attributes:
    content = Content(Layout(0, 2, 512), len(node.data), (), NO_TICKET)
    times = node.times
    return Attributes(
        Ino(node.ino), node.mode, node.nlink, node.uid, node.gid, node.rdev, times["atime"], times["mtime"], times["ctime"], content
    )
