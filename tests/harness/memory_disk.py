"""A disk in memory that can lose power, rot, fill up and refuse; stands in for dfs.host.disk.LocalDisk.

Every file keeps what was synced and, beside it, the writes since. power_cut() leaves of those writes what the test's chooser
says, sector by sector, as a real disk may. Names created or removed since the last sync of their folder are kept or undone
likewise; order is not kept, which is the harshest that a journalling file system may do to us.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from dfs.core.errors import DiskFailed, DiskFull, DiskMissing, DiskReadOnly
from dfs.core.messages.cluster import Space
from dfs.core.records import Buffer

SECTOR_BYTES = 512
Chooser = Callable[[], bool]
"""Tells whether the next unsynced sector or name reaches the disk."""


class Killed(BaseException):
    """The process that used the disk is dead: nothing it would do has an effect any more."""


class Content:
    """One file's bytes, and what of them is on the platter."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.synced = bytearray()
        self.dirty_sectors: set[int] = set()

    def twin(self) -> Content:
        """Return a copy."""
        twin = Content()
        twin.now, twin.synced, twin.dirty_sectors = bytearray(self.now), bytearray(self.synced), set(self.dirty_sectors)
        return twin

    def unsynced(self) -> dict[int, bytes]:
        """Return the sectors that are not on the platter as they are now."""
        return {sector: self._sector(sector) for sector in sorted(self.dirty_sectors)}

    def sync(self, sectors: dict[int, bytes], size_bytes: int) -> None:
        """Put sectors and size on the platter as they were when the sync began; what was written since is left for the next."""
        synced = self.synced
        if len(synced) > size_bytes:
            del synced[size_bytes:]
        else:
            synced.extend(bytes(size_bytes - len(synced)))
        for sector, data in sectors.items():
            start = sector * SECTOR_BYTES
            if start < size_bytes:
                synced[start : start + len(data)] = data
            if data == self._sector(sector):
                self.dirty_sectors.discard(sector)

    def _sector(self, sector: int) -> bytes:
        return bytes(self.now[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES])

    def settle(self, keep: Chooser) -> None:
        """Let the machine stop: each unsynced sector is as it was or as it was last written."""
        size = len(self.now) if keep() else len(self.synced)
        result = bytearray(self.synced[:size].ljust(size, b"\0"))
        for sector in sorted(self.dirty_sectors):
            start, end = sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, size)
            if start < size and keep():
                result[start:end] = self.now[start:end].ljust(end - start, b"\0")
        self.now, self.synced, self.dirty_sectors = bytearray(result), bytearray(result), set()


class MemoryFile:
    """An open file of a MemoryDisk."""

    def __init__(self, disk: MemoryDisk, name: str, content: Content) -> None:
        self._disk = disk
        self._name = name
        self._content = content
        self._is_open = True

    def pread(self, size_bytes: int, offset: int) -> bytes:
        self._check("read")
        for ranges in (self._disk.unreadable, self._disk.unreadable_once):
            met = {
                (name, start, end)
                for name, start, end in ranges
                if name == self._name and start < offset + size_bytes and offset < end
            }
            self._disk.unreadable_once -= met
            if met:
                raise DiskFailed("read", self._name, "a bad sector")
        return bytes(self._content.now[offset : offset + size_bytes])

    def pwrite(self, parts: Sequence[Buffer], offset: int) -> None:
        data = b"".join(parts)
        try:
            self._check("write", max(0, offset + len(data) - len(self._content.now)))
        except DiskFull:
            fits = max(0, len(self._content.now) + (self._disk.free_bytes or 0) - offset)
            self._store(data[:fits], offset)  # as a real disk: what fits is there
            raise
        except Killed:
            self._store(data[: self._disk.torn_at(len(data))], offset)
            raise
        self._store(data, offset)

    def _store(self, data: bytes, offset: int) -> None:
        now = self._content.now
        if len(now) < offset + len(data):
            now.extend(bytes(offset + len(data) - len(now)))
        now[offset : offset + len(data)] = data
        self._content.dirty_sectors.update(range(offset // SECTOR_BYTES, -(-(offset + len(data)) // SECTOR_BYTES)))

    def sync(self) -> None:
        content = self._content
        sectors, size_bytes = content.unsynced(), len(content.now)
        self._check("sync")  # time may pass, and others write
        content.sync(sectors, size_bytes)

    def size_bytes(self) -> int:
        return len(self._content.now)

    def truncate(self, size_bytes: int) -> None:
        self._check("truncate")
        now = self._content.now
        size_before = len(now)
        if size_bytes < size_before:
            self._disk.give_back(size_before - size_bytes)
            del now[size_bytes:]
        else:
            now.extend(bytes(size_bytes - size_before))
        # Sectors cut off count too: if the file grows again, the platter has their old bytes until the next sync.
        first = min(size_bytes, size_before) // SECTOR_BYTES
        self._content.dirty_sectors.update(range(first, max(size_bytes, size_before) // SECTOR_BYTES + 1))

    def close(self) -> None:
        assert self._is_open, f"{self._name} is closed twice"
        self._is_open = False

    def _check(self, operation: str, growth_bytes: int = 0) -> None:
        assert self._is_open, f"{operation} of {self._name}, which is closed"
        self._disk.check(operation, self._name, growth_bytes)


class MemoryDisk:
    """Disk under the test's control. `fail_on`: (operation, part of the name) pairs that fail with EIO."""

    file_class: type[MemoryFile] = MemoryFile

    def __init__(self) -> None:
        self._mutex = threading.RLock()
        self._files: dict[str, Content] = {}
        self._on_disk: dict[str, Content] = {}
        """Names as they would be found after a power cut that loses everything unsynced."""
        self._folders: set[str] = {""}
        self.free_bytes: int | None = None
        """Bytes that files may still grow by; None: any number."""
        self.total_bytes = 1 << 40
        self.is_read_only = False
        self.fail_on: set[tuple[str, str]] = set()
        self.unreadable: set[tuple[str, int, int]] = set()
        """(name, start, end) of byte ranges that can't be read."""
        self.unreadable_once: set[tuple[str, int, int]] = set()
        """The same of ranges that can be read at the second try."""
        self.operations_left: int | None = None
        """Disk operations until the process is killed; None: it lives."""
        self.torn_at: Callable[[int], int] = lambda size_bytes: 0
        """How much of so many bytes is written by the write in which the process is killed."""
        self.during_sync: tuple[str, Callable[[], None]] | None = None
        """(part of a name, what happens while the next sync of such a file or folder runs)."""
        self.syncs: list[str] = []
        """Names of the files and folders synced, in their order."""

    def check(self, operation: str, name: str, growth_bytes: int = 0) -> None:
        """Raise what the disk was told to refuse."""
        if self.operations_left is not None:
            if not self.operations_left:
                raise Killed(operation, name)
            self.operations_left -= 1
        for failing, part in self.fail_on:
            if failing == operation and part in name:
                raise DiskFailed(operation, name, "told to fail")
        if operation == "sync":
            self.syncs.append(name)
            if self.during_sync is not None and self.during_sync[0] in name:
                (_, meanwhile), self.during_sync = self.during_sync, None
                meanwhile()
        if self.is_read_only and operation in ("write", "truncate", "create", "remove", "replace", "rename", "make folder"):
            raise DiskReadOnly(operation, name, "told to be read-only")
        if growth_bytes and self.free_bytes is not None:
            if growth_bytes > self.free_bytes:
                raise DiskFull(operation, name, "told to be full")
            self.free_bytes -= growth_bytes

    def give_back(self, size_bytes: int) -> None:
        """Count bytes as free again."""
        if self.free_bytes is not None:
            self.free_bytes += size_bytes

    def open(self, name: str, *, create: bool = False) -> MemoryFile:
        with self._mutex:
            content = self._files.get(name)
        if content is None:
            if not create or _folder_of(name) not in self._folders:
                raise DiskMissing("open", name, "no such file")
            self.check("create", name)
            with self._mutex:
                content = self._files.setdefault(name, Content())
        return self.file_class(self, name, content)

    def read(self, name: str) -> bytes:
        self.check("read", name)
        with self._mutex:
            if name not in self._files:
                raise DiskMissing("read", name, "no such file")
            return bytes(self._files[name].now)

    def replace(self, name: str, data: bytes) -> None:
        self.check("replace", name, len(data))
        content = Content()
        content.now, content.synced = bytearray(data), bytearray(data)
        with self._mutex:
            if name in self._files:
                self.give_back(len(self._files[name].now))
            self._files[name] = content
        self.sync_folder(_folder_of(name))

    def rename(self, old: str, new: str) -> None:
        self.check("rename", old)
        with self._mutex:
            if old not in self._files:
                raise DiskMissing("rename", old, "no such file")
            self._files[new] = self._files.pop(old)

    def remove(self, name: str) -> None:
        if name not in self._files:
            raise DiskMissing("remove", name, "no such file")
        self.check("remove", name)
        with self._mutex:
            self.give_back(len(self._files.pop(name).now))

    def make_folder(self, name: str) -> None:
        if name not in self._folders:
            self.check("make folder", name)
            parts = name.split("/")
            with self._mutex:
                self._folders.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))

    def list_folder(self, name: str) -> list[str]:
        prefix = f"{name}/" if name else ""
        with self._mutex:
            entries = [entry for entry in (*self._files, *self._folders) if entry.startswith(prefix) and entry != name]
        return sorted({entry[len(prefix) :].split("/")[0] for entry in entries})

    def sync_folder(self, name: str) -> None:
        self.check("sync", name)
        with self._mutex:
            for entry in sorted({*self._files, *self._on_disk}):
                if _folder_of(entry) == name:
                    self._settle_name(entry, keep=True)

    def space(self) -> Space:
        return Space(self.total_bytes, (1 << 39) if self.free_bytes is None else self.free_bytes, "memory")

    # --- what only tests do ----------------------------------------------------------------------------------------------

    def power_cut(self, keep: Chooser) -> None:
        """Stop the machine: every unsynced sector and name is kept or lost as the chooser says."""
        with self._mutex:
            for name in sorted({*self._files, *self._on_disk}):
                self._settle_name(name, keep=self._files.get(name) is self._on_disk.get(name) or keep())
            self._files = dict(self._on_disk)
            for content in self._files.values():
                content.settle(keep)

    def after_power_cut(self, keep: Chooser) -> MemoryDisk:
        """Return what a power cut would leave, as another disk: a process that goes on using this one harms nobody."""
        left = self.twin()
        left.power_cut(keep)
        return left

    def twin(self) -> MemoryDisk:
        """Return another disk with the same files, synced and not, that works."""
        left = MemoryDisk()
        with self._mutex:
            twins = {id(content): content.twin() for files in (self._files, self._on_disk) for content in files.values()}
            left._files = {name: twins[id(content)] for name, content in self._files.items()}
            left._on_disk = {name: twins[id(content)] for name, content in self._on_disk.items()}
            left._folders = set(self._folders)
        return left

    def flip(self, name: str, offset: int, bits: int = 0xFF) -> None:
        """Change bits of one byte on the platter."""
        content = self._files[name]
        content.now[offset] ^= bits
        if offset < len(content.synced):
            content.synced[offset] ^= bits

    def cut_off(self, name: str, size_bytes: int) -> None:
        """Shorten a file on the platter."""
        content = self._files[name]
        del content.now[size_bytes:], content.synced[size_bytes:]

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all files that begin so."""
        return sorted(name for name in self._files if name.startswith(prefix))

    def _settle_name(self, name: str, *, keep: bool) -> None:
        source = self._files if keep else self._on_disk
        if name in source:
            self._on_disk[name] = source[name]
        else:
            self._on_disk.pop(name, None)


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]
