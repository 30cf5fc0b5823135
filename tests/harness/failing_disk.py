"""A disk that fails on command: a folder shown through FUSE of which chosen files can't be read, written or synced.

`FailingDisk` is the test's side. It runs `python -m tests.harness.failing_disk CONTENT MOUNT FAULTS` in a process of its own, which
passes every call on to the folder CONTENT, save what the file FAULTS refuses: lines `OPERATION PART ERRNO`, for paths that contain
PART. OPERATION `byte OFFSET` is a sector that can't be read until it is written over, as disks have them. The kernel keeps no
pages: what is read is asked for each time.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any, Final

from dfs.cli.mount_table import is_mounted, unmount
from dfs.fusefs.binding import NAME_ENCODING, AddEntry, FileInfo, SetTime, Space, Stat, load_binding
from dfs.fusefs.libfuse_channel import to_libfuse
from dfs.fusefs.mount_options import MountOptions
from tests.harness.program import ROOT, Program, module_command
from tests.harness.waiting import wait_until

ANYTHING: Final = "/"
"""A part of every path."""
SECTOR: Final = "byte "
CHANGES: Final = ("write", "create", "open for writing", "truncate", "fsync", "fsyncdir", "unlink", "rename", "mkdir")
"""What the kernel refuses on a file system that it made read-only while files were open."""


class FailingDisk:
    """A folder that a data server takes for its disk. Use it in a `with`."""

    def __init__(self, point: Path) -> None:
        self.point = point
        self.content = point.with_name(f"{point.name}-content")
        self._faults = point.with_name(f"{point.name}-faults")
        command = module_command("tests.harness.failing_disk", self.content, point, self._faults)
        self._program = Program(f"disk of {point.name}", command, point.with_name(f"{point.name}-disk.log"), ROOT)

    def __enter__(self) -> FailingDisk:
        for folder in (self.point, self.content):
            folder.mkdir(parents=True)
        self.heal()
        self._program.start()
        wait_until(lambda: is_mounted(self.point) or not self._program.is_running(), "the disk to be there")
        assert self._program.is_running(), self._program.log_text()
        return self

    def __exit__(self, *failure: object) -> None:
        if is_mounted(self.point):
            unmount(self.point, lazy=True)
        self._program.end_for_sure()

    def fail(self, operation: str, part: str = ANYTHING, number: int = errno.EIO) -> None:
        """Refuse one of PassThrough's operations on paths that contain `part`, besides what is refused already."""
        self._tell(self._faults.read_text() + f"{operation}\t{part}\t{number}\n")

    def spoil(self, part: str, offset: int) -> None:
        """Let the sector at `offset` of a file be unreadable until it is written over."""
        self.fail(f"{SECTOR}{offset}", part)

    def become_read_only(self) -> None:
        """Do what the kernel does to a disk that it no longer trusts (ext4's errors=remount-ro)."""
        for operation in CHANGES:
            self.fail(operation, number=errno.EROFS)

    def heal(self) -> None:
        """Refuse nothing more."""
        self._tell("")

    def _tell(self, faults: str) -> None:
        fresh = self._faults.with_suffix(".new")
        fresh.write_text(faults)
        fresh.replace(self._faults)


class PassThrough:
    """The table of operations on the folder behind."""

    use_ns = True
    flag_nullpath_ok = 1
    flag_nopath = 1
    flag_utime_omit_ok = 1

    def __init__(self, content: str, faults: str) -> None:
        self._content = content
        self._faults = faults
        self._mended: set[tuple[str, int]] = set()
        """Spoiled bytes that were written over."""
        self._open: dict[int, str] = {}
        """Descriptor -> the path under which it was opened."""

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Carry out one operation."""
        return getattr(self, operation)(*arguments)

    def _real(self, operation: str, path: str) -> bytes:
        """Return the path behind `path`. Raises: OSError if the operation is refused."""
        for refused, number in self._faults_of(path):
            if refused == operation:
                raise OSError(number, os.strerror(number))
        return (self._content + path).encode(NAME_ENCODING)

    def _faults_of(self, path: str) -> list[tuple[str, int]]:
        """Return what is refused of a path, and with which errno."""
        with open(self._faults, encoding="utf-8") as file:
            faults = [line.rstrip("\n").split("\t") for line in file]
        return [(refused, int(number)) for refused, part, number in faults if part in path]

    def _spoiled(self, path: str, first: int, size_bytes: int) -> list[int]:
        """Return the spoiled bytes of a range."""
        found = [int(refused[len(SECTOR) :]) for refused, _ in self._faults_of(path) if refused.startswith(SECTOR)]
        return [offset for offset in found if first <= offset < first + size_bytes and (path, offset) not in self._mended]

    def _descriptor(self, operation: str, number: int) -> int:
        """Return an open file's descriptor. Raises: OSError if the operation is refused."""
        self._real(operation, self._open[number])
        return number

    def _keep(self, descriptor: int, path: str) -> int:
        self._open[descriptor] = path
        return descriptor

    def init(self, path: str) -> None:
        """Nothing is to be prepared."""

    def destroy(self, path: str) -> None:
        """Nothing is to be kept."""

    def statfs(self, path: str) -> Space:
        found = os.statvfs(self._real("statfs", path))
        return Space(*(getattr(found, f"f_{name}") for name in Space._fields))

    def getattr(self, path: str | None, info: FileInfo | None) -> Stat:
        found = os.lstat(self._real("getattr", path or "")) if info is None else os.fstat(self._descriptor("getattr", info.fh))
        names = ("ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks", "atime_ns", "mtime_ns", "ctime_ns")
        return Stat(*(getattr(found, f"st_{name}") for name in names))

    def open(self, path: str, info: FileInfo) -> None:
        operation = "open" if info.flags & os.O_ACCMODE == os.O_RDONLY else "open for writing"
        info.fh = self._keep(os.open(self._real(operation, path), info.flags & ~os.O_NOFOLLOW), path)

    def create(self, path: str, mode: int, info: FileInfo) -> None:
        info.fh = self._keep(os.open(self._real("create", path), info.flags | os.O_CREAT, stat.S_IMODE(mode)), path)

    def read(self, path: str | None, size_bytes: int, offset: int, info: FileInfo) -> bytes:
        if self._spoiled(self._open[info.fh], offset, size_bytes):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.pread(self._descriptor("read", info.fh), size_bytes, offset)

    def write(self, path: str | None, data: bytes, offset: int, info: FileInfo) -> int:
        written = os.pwrite(self._descriptor("write", info.fh), data, offset)
        name = self._open[info.fh]
        self._mended.update((name, spoiled) for spoiled in self._spoiled(name, offset, written))
        return written

    def truncate(self, path: str | None, size_bytes: int, info: FileInfo | None = None) -> None:
        os.truncate(self._real("truncate", path or "") if info is None else self._descriptor("truncate", info.fh), size_bytes)

    def flush(self, path: str | None, info: FileInfo) -> None:
        """A close has nothing to say."""

    def fsync(self, path: str | None, data_only: int, info: FileInfo) -> None:
        os.fsync(self._descriptor("fsync", info.fh))

    def release(self, path: str | None, info: FileInfo) -> None:
        del self._open[info.fh]
        os.close(info.fh)

    def unlink(self, path: str) -> None:
        os.unlink(self._real("unlink", path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self._real("unlink", path))

    def rename(self, path: str, new_path: str) -> None:
        os.rename(self._real("rename", path), self._real("rename", new_path))

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._real("mkdir", path), mode)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real("chmod", path), mode)

    def utimens(self, path: str, atime: SetTime, mtime: SetTime) -> None:
        """Times are of no interest here."""

    def opendir(self, path: str) -> int:
        return self._keep(os.open(self._real("opendir", path), os.O_RDONLY | os.O_DIRECTORY), path)

    def readdir(self, number: int, add_entry: AddEntry) -> None:
        path = self._open[number]
        for name in (".", "..", *os.listdir(self._descriptor("readdir", number))):
            add_entry(os.fsencode(name), self.getattr(path if name in (".", "..") else f"{path.rstrip('/')}/{name}", None))

    def fsyncdir(self, path: str | None, data_only: int, number: int) -> None:
        os.fsync(self._descriptor("fsyncdir", number))

    def releasedir(self, path: str | None, number: int) -> None:
        del self._open[number]
        os.close(number)


def main(content: str, point: str, faults: str) -> int:
    """Mount on `point` and serve until it is unmounted."""
    options = to_libfuse(MountOptions(source="failing", allow_other=True)) | {"direct_io": True, "hard_remove": True}
    load_binding().run(PassThrough(content, faults), os.fsencode(point), options)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
