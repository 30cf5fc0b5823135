"""Goal: a snapshot that a data server lists is whole, verified and survives a power cut; only the newest few are kept.
Method: one server on a disk in memory; parts in and out of order, wrong sums, power cuts.
"""

from __future__ import annotations

import zlib

import pytest

from dfs.core.errors import BadRequest
from dfs.core.limits import SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.snapshots import FetchSnapshot, ListSnapshots, Snapshot, StoreSnapshot
from dfs.data.disk.snapshots import KEPT
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer

RAW = bytes(range(256)) * 40


def named(taken_ns: int, raw: bytes = RAW) -> Snapshot:
    return Snapshot(taken_ns, len(raw), zlib.crc32(raw))


def store(server: OneServer, snapshot: Snapshot, raw: bytes = RAW, part_bytes: int = 3000) -> None:
    for offset in range(0, len(raw), part_bytes):
        server.service.call(CONTEXT, StoreSnapshot(snapshot, offset, raw[offset : offset + part_bytes]))


def listed(server: OneServer) -> list[Snapshot]:
    return list(server.service.call(CONTEXT, ListSnapshots()).snapshots)


def test_snapshot_in_parts_is_listed_when_whole_and_fetched_byte_for_byte_after_a_power_cut() -> None:
    disk = MemoryDisk()
    server = OneServer(disk)
    snapshot = named(5)
    server.service.call(CONTEXT, StoreSnapshot(snapshot, 0, RAW[:3000]))
    assert listed(server) == []
    store(server, snapshot)
    store(server, snapshot)  # a late duplicate
    disk.power_cut(lambda: False)
    server.reboot()
    assert listed(server) == [snapshot]
    parts = [server.service.call(CONTEXT, FetchSnapshot(snapshot, at, 4000)).data for at in range(0, len(RAW), 4000)]
    assert b"".join(parts) == RAW


def test_only_the_newest_are_kept_and_unfinished_ones_go() -> None:
    disk = MemoryDisk()
    server = OneServer(disk)
    server.service.call(CONTEXT, StoreSnapshot(named(1), 0, RAW[:10]))
    for taken_ns in range(2, 8):
        store(server, named(taken_ns))
    assert listed(server) == [named(taken_ns) for taken_ns in range(8 - KEPT, 8)]
    assert len(disk.names("snapshots/")) == KEPT


@pytest.mark.parametrize(
    ("snapshot", "offset", "data"),
    [
        (named(1), 0, b""),
        (named(1), 1, b"x"),
        (named(1), len(RAW) - 1, b"xx"),
        (named(1), -1, b"x"),
        (named(-1), 0, RAW),
        (Snapshot(1, len(RAW), 0), 0, RAW),
        (Snapshot(1, 0, 0), 0, b"x"),
        (Snapshot(1, 1 << 40, 0), 0, b"x"),
        (Snapshot(1, 1 << 30, 0), 0, bytes(SNAPSHOT_PART_BYTES_MAX + 1)),
    ],
)
def test_parts_that_make_no_whole_are_refused(snapshot: Snapshot, offset: int, data: bytes) -> None:
    server = OneServer(MemoryDisk())
    with pytest.raises(BadRequest):
        server.service.call(CONTEXT, StoreSnapshot(snapshot, offset, data))
    assert listed(server) == []


def test_fetching_what_is_not_kept_is_refused() -> None:
    server = OneServer(MemoryDisk())
    with pytest.raises(BadRequest):
        server.service.call(CONTEXT, FetchSnapshot(named(1), 0, 10))
