"""A MemoryDisk under a simulated process: syncing takes time, every operation is a place to be killed at, and reads may fall short.

Stands in for dfs.host.disk.LocalDisk in the simulator. The disk outlives the processes that use it; `process` is the present one.
"""

from __future__ import annotations

import random

from dfs.core.errors import DiskMissing
from tests.harness.baton import Process
from tests.harness.memory_disk import SECTOR_BYTES, Killed, MemoryDisk, MemoryFile

SYNC_S_MEAN = 0.002


class SimulatedFile(MemoryFile):
    """An open file of a SimulatedDisk."""

    def pread(self, size_bytes: int, offset: int) -> bytes:
        data = super().pread(size_bytes, offset)
        disk = self._disk
        assert isinstance(disk, SimulatedDisk)
        if disk.short_reads and len(data) > 1:
            disk.short_reads -= 1
            return data[: disk.chance.randrange(len(data))]
        return data


class SimulatedDisk(MemoryDisk):
    """Disk of one simulated machine."""

    file_class = SimulatedFile

    def __init__(self, seed: str) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.process: Process | None = None
        self.pass_on_chance = 0.0
        """How often others get a turn, and a killer his chance, between two operations that do not sync."""
        self.short_reads = 0
        """So many reads from now on return less than there is."""

    def check(self, operation: str, name: str, growth_bytes: int = 0) -> None:
        """Raise what the disk was told to refuse. Raises: Killed."""
        process = self.process
        assert process is not None
        if not process.is_alive:
            raise Killed(operation, name)
        super().check(operation, name, growth_bytes)
        if operation == "sync":
            process.baton.sleep(self.chance.expovariate(1 / SYNC_S_MEAN))
        elif self.pass_on_chance and self.chance.random() < self.pass_on_chance:
            process.baton.pass_on()

    def list_folder(self, name: str) -> list[str]:
        process = self.process
        if process is None or not process.is_alive:
            raise Killed("list", name)
        return super().list_folder(name)

    # --- what only faults do ---------------------------------------------------------------------------------------------

    def misdirect(self, source: str, offset: int, target: str, target_offset: int, size_bytes: int = SECTOR_BYTES) -> None:
        """Do what a disk does that writes sectors to another place than it was told."""
        found, hit = self._files.get(source), self._files.get(target)
        if found is None or hit is None:
            raise DiskMissing("misdirect", source, "no such file")
        data = bytes(found.now[offset : offset + size_bytes])
        for content in (hit.now, hit.synced):
            end = min(len(content), target_offset + len(data))
            if target_offset < end:
                content[target_offset:end] = data[: end - target_offset]

    def length(self, name: str) -> int:
        """Return a file's size, without the process's noticing."""
        return len(self._files[name].now)

    def mend(self) -> None:
        """Do from now on what is asked."""
        self.fail_on.clear()
        self.unreadable.clear()
        self.free_bytes, self.is_read_only, self.short_reads = None, False, 0

    def wipe(self) -> None:
        """Lose everything: a new disk is in its place."""
        self._files.clear()
        self._on_disk.clear()
        self._folders = {""}
