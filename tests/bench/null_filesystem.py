"""The null file system: through the same kernel, libfuse, binding and options as dfs, with nothing behind them.

Names and attributes stand in a dictionary, written bytes are forgotten, read bytes are zeros. What it reaches is what no file
system in Python on libfuse 2 can exceed here; `make bench` shows dfs as a share of it.

Run as `python -m tests.bench.null_filesystem DIR`.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import sys
import time
from typing import Any, Final

from dfs.fusefs.binding import NAME_ENCODING, AddEntry, FileInfo, SetTime, Space, Stat, load_binding
from dfs.fusefs.libfuse_channel import to_libfuse
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.operations import IO_SIZE_BYTES

ZEROS: Final = bytes(IO_SIZE_BYTES)
ROOT: Final = "/"


class Node:
    """A file or folder."""

    __slots__ = ("ino", "mode", "size_bytes", "time_ns")

    def __init__(self, ino: int, mode: int) -> None:
        self.ino = ino
        self.mode = mode
        self.size_bytes = 0
        self.time_ns = time.time_ns()

    def stat(self) -> Stat:
        """Show its attributes."""
        at = self.time_ns
        return Stat(self.ino, self.mode, 1, 0, 0, 0, self.size_bytes, IO_SIZE_BYTES, -(-self.size_bytes // 512), at, at, at)


class NullFileSystem:
    """The table of operations."""

    use_ns = True
    flag_nullpath_ok = 1
    flag_nopath = 1
    flag_utime_omit_ok = 1

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._nodes: dict[str, Node] = {ROOT: Node(next(self._numbers), stat.S_IFDIR | 0o755)}
        self._folders: dict[str, set[str]] = {ROOT: set()}
        self._open: dict[int, Any] = {}

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Carry out one operation."""
        return getattr(self, operation)(*arguments)

    def init(self, path: str) -> None:
        """Nothing is to be prepared."""

    def destroy(self, path: str) -> None:
        """Nothing is to be kept."""

    def statfs(self, path: str) -> Space:
        """Show any amount of room."""
        return Space(IO_SIZE_BYTES, IO_SIZE_BYTES, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 255)

    def getattr(self, path: str | None, info: FileInfo | None) -> Stat:
        """Show attributes."""
        return (self._node(path or "") if info is None else self._open[info.fh]).stat()

    def mkdir(self, path: str, mode: int) -> None:
        """Make a folder."""
        self._add(path, stat.S_IFDIR | mode)
        self._folders[path] = set()

    def create(self, path: str, mode: int, info: FileInfo) -> None:
        """Make a file and open it."""
        self._add(path, mode)
        self.open(path, info)

    def open(self, path: str, info: FileInfo) -> None:
        """Open a file."""
        info.fh = self._keep(self._node(path))

    def read(self, path: str | None, size_bytes: int, offset: int, info: FileInfo) -> bytes:
        """Return zeros up to the end of the file."""
        left_bytes = max(0, self._open[info.fh].size_bytes - offset)
        return ZEROS if left_bytes >= size_bytes == IO_SIZE_BYTES else ZEROS[: min(size_bytes, left_bytes)]

    def write(self, path: str | None, data: bytes, offset: int, info: FileInfo) -> int:
        """Let the file grow."""
        node = self._open[info.fh]
        node.size_bytes = max(node.size_bytes, offset + len(data))
        return len(data)

    def truncate(self, path: str | None, size_bytes: int, info: FileInfo | None = None) -> None:
        """Set the size."""
        node = self._node(path or "") if info is None else self._open[info.fh]
        node.size_bytes = size_bytes

    def flush(self, path: str | None, info: FileInfo) -> None:
        """Nothing is to be told to anybody."""

    def fsync(self, path: str | None, data_only: int, info: FileInfo) -> None:
        """Nothing is to be kept."""

    def release(self, path: str | None, info: FileInfo) -> None:
        """Forget a handle."""
        del self._open[info.fh]

    def unlink(self, path: str) -> None:
        """Remove a file."""
        self._node(path)
        del self._nodes[path]
        self._names(path).discard(_name(path))

    def rmdir(self, path: str) -> None:
        """Remove a folder."""
        if self._folders[path]:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        self.unlink(path)
        del self._folders[path]

    def rename(self, path: str, new_path: str) -> None:
        """Rename a file; nothing here renames a folder."""
        node = self._node(path)
        self.unlink(path)
        self._nodes[new_path] = node
        self._names(new_path).add(_name(new_path))

    def chmod(self, path: str, mode: int) -> None:
        """Change permission bits."""
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Everything is root's here."""

    def utimens(self, path: str, atime: SetTime, mtime: SetTime) -> None:
        """Note that something changed."""
        self._node(path).time_ns = time.time_ns()

    def opendir(self, path: str) -> int:
        """Open a folder."""
        return self._keep(path)

    def readdir(self, number: int, add_entry: AddEntry) -> None:
        """List a folder."""
        path = self._open[number]
        itself = self._nodes[path].stat()
        add_entry(b".", itself)
        add_entry(b"..", itself)
        prefix = path if path == ROOT else path + "/"
        for name in sorted(self._folders[path]):
            add_entry(name.encode(NAME_ENCODING), self._nodes[prefix + name].stat())

    def releasedir(self, path: str | None, number: int) -> None:
        """Forget an open folder."""
        del self._open[number]

    def _node(self, path: str) -> Node:
        node = self._nodes.get(path)
        if node is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return node

    def _names(self, path: str) -> set[str]:
        """Return the names beside `path`."""
        return self._folders[path.rpartition("/")[0] or ROOT]

    def _add(self, path: str, mode: int) -> None:
        self._nodes[path] = Node(next(self._numbers), mode)
        self._names(path).add(_name(path))

    def _keep(self, what: Node | str) -> int:
        number = next(self._numbers)
        self._open[number] = what
        return number


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def main(folder: str) -> int:
    """Mount on `folder` and serve until it is unmounted."""
    options = to_libfuse(MountOptions(source="null", allow_other=True))
    load_binding().run(NullFileSystem(), os.fsencode(os.path.abspath(folder)), options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
