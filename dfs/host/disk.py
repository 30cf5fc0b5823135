"""The disk under a state folder, for the services' Disk and File.

Owns the one translation of the operating system's errors into DiskError leaves, and the one way to replace a small file
atomically. Promises: a write is whole or an error; names stay inside the folder; no descriptor leaks into child processes.
Called by dfs/data through core.interfaces.Disk. Never knows what the files mean, and never syncs unless told.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from dfs.core.errors import DiskError, DiskFailed, DiskFull, DiskMissing, DiskReadOnly
from dfs.core.messages.cluster import Space
from dfs.core.meters import OK, CallMeter
from dfs.core.metrics import DISK_BYTES, DISK_ERRORS, DISK_SECONDS, Sample
from dfs.core.records import Buffer
from dfs.host.state_folder import boot_id

IOV_MAX: Final = os.sysconf("SC_IOV_MAX")
"""How many parts one pwritev(2) takes."""
JOIN_BELOW_BYTES: Final = 4096
"""Parts smaller than this on average are copied together first: 256 records of 528 bytes cost 20 us so, 45 us as a vector."""
TEMPORARY_SUFFIX: Final = ".replacing"
"""Ends the names of unfinished replacements; callers can neither use nor see such names."""
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

FAILED: Final = "failed"
AREAS: Final = ("journal", "strips", "floors", "snapshots", "quarantine")
"""The folders of a state folder that are measured each for itself; all other files are the area "other"."""
READ, WRITE, SYNC, REPLACE = "read", "write", "sync", "replace"

_LEAVES: Final[dict[int, type[DiskError]]] = {
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EROFS: DiskReadOnly,
    errno.EACCES: DiskReadOnly,
    errno.EPERM: DiskReadOnly,
    errno.ENOENT: DiskMissing,
}


def disk_error(operation: str, name: str, error: OSError) -> DiskError:
    """Return the DiskError leaf for an error of the operating system."""
    number = error.errno or errno.EIO
    return _LEAVES.get(number, DiskFailed)(operation, name, os.strerror(number))


class _Keys(NamedTuple):
    """By what the operations on one area's files are counted."""

    read: tuple[str, str]
    write: tuple[str, str]
    sync: tuple[str, str]
    replace: tuple[str, str]


_KEYS: Final = {area: _Keys((area, READ), (area, WRITE), (area, SYNC), (area, REPLACE)) for area in (*AREAS, "other")}


def _keys_of(name: str) -> _Keys:
    return _KEYS.get(name.partition("/")[0], _KEYS["other"])


class LocalFile:
    """An open file. Safe to use from several threads: every call names its offset."""

    __slots__ = ("_fd", "_keys", "_meter", "_name", "_reopened")

    def __init__(self, fd: int, name: str, meter: CallMeter, reopened: str | None = None) -> None:
        """`meter` counts what is done; `reopened`: the path, if the file could be opened for reading only: the disk may take writes
        again later.
        """
        self._fd = fd
        self._name = name
        self._meter = meter
        self._keys = _keys_of(name)
        self._reopened = reopened

    def pread(self, size_bytes: int, offset: int) -> bytes:
        """Read up to `size_bytes` bytes at `offset`; fewer only at the end of the file. Raises DiskError leaves."""
        began_s = time.perf_counter()
        try:
            data = os.pread(self._fd, size_bytes, offset)
            if len(data) != size_bytes and data:
                data = self._pread_rest(data, size_bytes, offset)
        except OSError as error:
            self._meter.note(self._keys.read, FAILED, time.perf_counter() - began_s)
            raise disk_error("read", self._name, error) from error
        self._meter.note(self._keys.read, OK, time.perf_counter() - began_s, len(data))
        return data

    def _pread_rest(self, data: bytes, size_bytes: int, offset: int) -> bytes:
        """Go on after a short read: the end of the file, or the 2 GiB that Linux reads at once."""
        pieces, got = [data], len(data)
        while got < size_bytes and (piece := os.pread(self._fd, size_bytes - got, offset + got)):
            pieces.append(piece)
            got += len(piece)
        return b"".join(pieces)

    def pwrite(self, parts: Sequence[Buffer], offset: int) -> None:
        """Write the parts (of single bytes, any number of them) one after the other from `offset`. Raises DiskError leaves."""
        began_s, end = time.perf_counter(), offset
        try:
            if self._reopened is not None:
                self._reopen(self._reopened)
            for start in range(0, len(parts), IOV_MAX):
                batch = parts[start : start + IOV_MAX] if len(parts) > IOV_MAX else parts
                end = self._pwrite_batch(batch, end)
        except OSError as error:
            self._meter.note(self._keys.write, FAILED, time.perf_counter() - began_s)
            raise disk_error("write", self._name, error) from error
        self._meter.note(self._keys.write, OK, time.perf_counter() - began_s, end - offset)

    def _reopen(self, path: str) -> None:
        """Have the file open for writing too, under the same descriptor, for calls of other threads may be using it."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.dup2(fd, self._fd, inheritable=False)
        finally:
            os.close(fd)
        self._reopened = None

    def _pwrite_batch(self, parts: Sequence[Buffer], offset: int) -> int:
        """Write at most IOV_MAX parts; return the offset behind them."""
        size = sum(map(len, parts))
        if size < len(parts) * JOIN_BELOW_BYTES and len(parts) > 1:
            parts = [b"".join(parts)]
        done = os.pwritev(self._fd, parts, offset)
        while done < size:
            # A short write: a nearly full disk, or the 2 GiB that Linux writes at once. The next try tells the error, if any.
            more = os.pwritev(self._fd, _skip(parts, done), offset + done)
            if not more:
                raise OSError(errno.EIO, "the disk takes no more bytes")
            done += more
        return offset + size

    def sync(self) -> None:
        """Make data and size survive a power cut. Raises DiskError leaves; what was written before is then in doubt."""
        began_s = time.perf_counter()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._meter.note(self._keys.sync, FAILED, time.perf_counter() - began_s)
            raise disk_error("sync", self._name, error) from error
        self._meter.note(self._keys.sync, OK, time.perf_counter() - began_s)

    def size_bytes(self) -> int:
        """Return the file's size. Raises DiskError leaves."""
        try:
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise disk_error("stat", self._name, error) from error

    def truncate(self, size_bytes: int) -> None:
        """Set the file's size. Raises DiskError leaves."""
        try:
            if self._reopened is not None:
                self._reopen(self._reopened)
            os.ftruncate(self._fd, size_bytes)
        except OSError as error:
            raise disk_error("truncate", self._name, error) from error

    def close(self) -> None:
        """Close; using the object afterwards is an error, never another file. Raises DiskError leaves."""
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
        except OSError as error:
            raise disk_error("close", self._name, error) from error


def _skip(parts: Sequence[Buffer], size_bytes: int) -> list[Buffer]:
    """Return what is left of the parts after their first `size_bytes` bytes."""
    rest: list[Buffer] = []
    for part in parts:
        if size_bytes >= len(part):
            size_bytes -= len(part)
        else:
            rest.append(memoryview(part)[size_bytes:] if size_bytes else part)
            size_bytes = 0
    return rest


class LocalDisk:
    """A state folder on a local file system. One process at a time uses it (dfs/host/state_folder.py)."""

    def __init__(self, folder: Path) -> None:
        self._root = os.fspath(folder)
        self._boot_id = boot_id()
        self._mutex = threading.Lock()
        self._temporaries: set[str] = set()
        self._meter = CallMeter(threading.Lock())

    def measures(self) -> Iterator[Sample]:
        """Yield how long reading, writing, syncing and replacing took in each area, how much it was, and what failed."""
        for key, results, duration, size_bytes, _ in self._meter.read():
            yield Sample(DISK_SECONDS, key, duration)
            if key[1] != SYNC:
                yield Sample(DISK_BYTES, key, size_bytes)
            yield Sample(DISK_ERRORS, key, results.get(FAILED, 0))

    def open(self, name: str, *, create: bool = False) -> LocalFile:
        """Open a file for reading and writing; with `create`, make it if missing. Raises DiskMissing and other leaves.

        On a disk that became read-only an existing file is opened for reading: its blocks are still to be served, and whoever
        writes to it is told then.
        """
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        path = self._path(name)
        with _translated("open", name):
            try:
                return LocalFile(os.open(path, os.O_RDWR | flags, FILE_MODE), name, self._meter)
            except OSError as error:
                if error.errno != errno.EROFS or create:
                    raise
            return LocalFile(os.open(path, os.O_RDONLY | flags), name, self._meter, reopened=path)

    def read(self, name: str) -> bytes:
        """Return a small file's bytes. Raises DiskMissing and other leaves."""
        with _translated("read", name), open(self._path(name), "rb") as file:
            return file.read()

    def replace(self, name: str, data: bytes) -> None:
        """Put `data` at `name` so that a power cut at any moment leaves the old or the new content, the new one after return.

        Several tasks may replace the same name at once; the last rename wins. Raises DiskError leaves.
        """
        path, began_s, result = self._path(name), time.perf_counter(), FAILED
        try:
            self._replace(path, name, data)
            result = OK
        finally:
            self._meter.note(_keys_of(name).replace, result, time.perf_counter() - began_s, len(data) if result is OK else 0)

    def _replace(self, path: str, name: str, data: bytes) -> None:
        with _translated("replace", name), self._temporary(path) as temporary:
            try:
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
                try:
                    _write_all(fd, data)
                    os.fsync(fd)
                finally:
                    os.close(fd)
                os.rename(temporary, path)
            except OSError:
                _remove_if_there(temporary)
                raise
            _sync_folder(os.path.dirname(path))

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing what stands at `new`; durable after sync_folder. Raises DiskMissing and other leaves."""
        with _translated("rename", f"{old} to {new}"):
            os.rename(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        """Remove a file; durable after sync_folder. Raises DiskMissing and other leaves."""
        with _translated("remove", name):
            os.unlink(self._path(name))

    def make_folder(self, name: str) -> None:
        """Make a folder and its parents if missing, durably: a lost folder would take synced files with it.

        Never makes the state folder itself: one that is gone is DiskMissing.
        """
        path = self._folder_path(name)
        with _translated("make folder", name):
            missing = []
            while path != self._root and not os.path.isdir(path):
                missing.append(path)
                path = os.path.dirname(path)
            for folder in reversed(missing):
                _make_folder(folder)
                _sync_folder(os.path.dirname(folder))

    def list_folder(self, name: str) -> list[str]:
        """Return the names in a folder ("" for the state folder itself), sorted; [] if it is missing."""
        path = self._folder_path(name)
        with _translated("list", name):
            try:
                names = os.listdir(path)
            except FileNotFoundError:
                return []
        return sorted(entry for entry in names if not entry.endswith(TEMPORARY_SUFFIX))

    def sync_folder(self, name: str) -> None:
        """Make creations, renames and removals in a folder ("" for the state folder itself) survive a power cut."""
        path = self._folder_path(name)
        with _translated("sync folder", name):
            _sync_folder(path)

    def space(self) -> Space:
        """Return size and free bytes of the disk. Raises DiskError leaves.

        Its `device` names the disk among those of all machines: device numbers are unique in one running kernel.
        """
        with _translated("stat", self._root):
            found = os.statvfs(self._root)
            device = os.stat(self._root).st_dev
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, f"{self._boot_id}:{device}")

    def _path(self, name: str) -> str:
        """Return the path of a name. A name that would leave the state folder is a bug of the caller."""
        if name.endswith(TEMPORARY_SUFFIX) or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise ValueError(f"expected a name inside the state folder, got {name!r}")
        return f"{self._root}/{name}"

    def _folder_path(self, name: str) -> str:
        return self._path(name) if name else self._root

    @contextmanager
    def _temporary(self, path: str) -> Iterator[str]:
        """Reserve a temporary name that no other task uses. The lowest free number, so that a crash's leftovers are reused."""
        number = 0
        with self._mutex:
            while (temporary := f"{path}.{number}{TEMPORARY_SUFFIX}") in self._temporaries:
                number += 1
            self._temporaries.add(temporary)
        try:
            yield temporary
        finally:
            with self._mutex:
                self._temporaries.remove(temporary)


@contextmanager
def _translated(operation: str, name: str) -> Iterator[None]:
    """Turn OSError into DiskError leaves."""
    try:
        yield
    except OSError as error:
        raise disk_error(operation, name, error) from error


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, FOLDER_MODE)
    except FileExistsError:
        if not os.path.isdir(path):  # else another task was quicker
            raise


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
