"""Snapshots of the meta-server that this data server keeps for it, each a file of its own.

`snapshots/<taken_ns, 20 digits>-<size_bytes>-<checksum, 8 hex digits>`: the compressed bytes as they came. While it arrives it
ends in `.part`. Promises: what known() names was whole, verified and durable when its last part was answered; fetch() returns
bytes that the receiver must verify again; beyond the newest few none is kept. Called by the service. Never looks inside.

Lock order: the keyed lock "snapshots" spans the I/O; nothing else is taken inside.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from dfs.core.errors import BadRequest, DiskMissing
from dfs.core.interfaces import Disk, File, Tasks
from dfs.core.limits import SNAPSHOT_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.requests import Done
from dfs.core.messages.snapshots import FetchSnapshot, Snapshot, SnapshotPart, Snapshots, StoreSnapshot

FOLDER: Final = "snapshots"
KEPT: Final = 3
PART: Final = ".part"
CHUNK_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"([0-9]{20})-([0-9]{1,11})-([0-9a-f]{8})")
_LOCK: Final = "snapshots"


class MetaSnapshots:
    """The folder `snapshots/` of one data server."""

    def __init__(self, disk: Disk, tasks: Tasks) -> None:
        self._disk = disk
        self._lock = tasks.keyed_lock()

    def store(self, request: StoreSnapshot) -> Done:
        """Keep a part. Raises: BadRequest; DiskError leaves."""
        snapshot, offset, data = request.snapshot, request.offset, request.data
        _check(snapshot, offset, len(data))
        if not data or offset + len(data) > snapshot.size_bytes:
            raise BadRequest(f"{len(data)} bytes at {offset} of a snapshot of {snapshot.size_bytes}")
        with self._lock.hold(_LOCK):
            name = f"{FOLDER}/{_name(snapshot)}"
            if snapshot in self._whole():
                return Done()  # a late duplicate
            self._disk.make_folder(FOLDER)
            file = self._disk.open(name + PART, create=True)
            try:
                if offset == 0:
                    file.truncate(0)
                elif file.size_bytes() < offset:
                    raise BadRequest(f"a part at {offset} of a snapshot of which {file.size_bytes()} bytes are here")
                file.pwrite([data], offset)
                if offset + len(data) < snapshot.size_bytes:
                    return Done()
                file.truncate(snapshot.size_bytes)
                if _checksum(file) != snapshot.checksum:
                    raise BadRequest("a snapshot whose checksum is not that of its bytes")
                file.sync()
            finally:
                file.close()
            self._disk.rename(name + PART, name)
            self._disk.sync_folder(FOLDER)
            self._drop_old()
        return Done()

    def known(self) -> Snapshots:
        """Return the whole snapshots, oldest first. Raises: DiskError leaves."""
        return Snapshots(tuple(self._whole()))

    def fetch(self, request: FetchSnapshot) -> SnapshotPart:
        """Return some bytes. Raises: BadRequest if the snapshot is not kept here; DiskError leaves."""
        _check(request.snapshot, request.offset, request.limit)
        try:
            file = self._disk.open(f"{FOLDER}/{_name(request.snapshot)}")
        except DiskMissing as error:
            raise BadRequest("a snapshot that is not kept here") from error
        try:
            return SnapshotPart(file.pread(request.limit, request.offset))
        finally:
            file.close()

    def _whole(self) -> list[Snapshot]:
        matches = [_NAME.fullmatch(name) for name in self._disk.list_folder(FOLDER)]
        return sorted(Snapshot(int(match[1]), int(match[2]), int(match[3], 16)) for match in matches if match is not None)

    def _drop_old(self) -> None:
        """Remove all but the newest whole ones, and parts that were never finished."""
        kept = {_name(snapshot) for snapshot in self._whole()[-KEPT:]}
        for name in self._disk.list_folder(FOLDER):
            if name not in kept:
                self._disk.remove(f"{FOLDER}/{name}")


def _check(snapshot: Snapshot, offset: int, part_bytes: int) -> None:
    if not 0 <= snapshot.taken_ns < 1 << 63 or not 1 <= snapshot.size_bytes <= SNAPSHOT_BYTES_MAX:
        raise BadRequest(f"a snapshot of {snapshot.size_bytes} bytes taken at {snapshot.taken_ns} ns")
    if not 0 <= snapshot.checksum < 1 << 32 or not 0 <= offset < snapshot.size_bytes:
        raise BadRequest(f"checksum {snapshot.checksum}, offset {offset}")
    if not 0 <= part_bytes <= SNAPSHOT_PART_BYTES_MAX:
        raise BadRequest(f"a part of {part_bytes} bytes, more than {SNAPSHOT_PART_BYTES_MAX}")


def _name(snapshot: Snapshot) -> str:
    return f"{snapshot.taken_ns:020d}-{snapshot.size_bytes}-{snapshot.checksum:08x}"


def _checksum(file: File) -> int:
    summed = at = 0
    while part := file.pread(CHUNK_BYTES, at):
        summed = zlib.crc32(part, summed)
        at += len(part)
    return summed
