"""Goal: a data server says that it knows nothing of what its disk cannot read, decides nothing, and is as before once it is well.
Method: ranges of the disk in memory that can't be read, for a time; then what is answered, told and stored.
"""

from __future__ import annotations

import pytest

from dfs.core.errors import NotTrusted
from dfs.core.events.data_server import BLOCKS_UNREADABLE, MAP_PAGE_LOST, STRIP_UNREADABLE
from dfs.core.ids import NO_GENERATION, BlockNo, Ino, Ticket
from dfs.core.messages.blocks import Copy, CopyState, Repair
from dfs.core.messages.data_server import ShowData
from dfs.core.records import checksum
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer, P, generation

FULL = bytes(range(256)) * 2
STRIP = "strips/0000000/0000000007.p"
WHOLE = (STRIP, 0, 1 << 30)
GROUP_BYTES = 512 + 1920 * 528


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


@pytest.fixture
def server(disk: MemoryDisk) -> OneServer:
    """Return a server with ten blocks of inode 7 in place and nothing of it in memory."""
    server = OneServer(disk)
    server.put(7, generation(3), (P, 0, [FULL] * 10))
    server.restart()
    return server


def states(server: OneServer, first: int, count: int) -> list[CopyState]:
    return [block.state for block in server.get(7, P, first, count)]


def trouble(server: OneServer) -> str:
    return server.service.call(CONTEXT, ShowData()).trouble


def test_strip_that_cannot_be_read_is_unknown_and_told_once(server: OneServer, disk: MemoryDisk) -> None:
    disk.unreadable.add(WHOLE)
    for _ in range(3):
        assert states(server, 0, 12) == [CopyState.UNKNOWN] * 12
    (event,) = server.events.of(STRIP_UNREADABLE)
    assert event.ino == 7
    assert not server.events.of(MAP_PAGE_LOST)
    assert not disk.names("quarantine/")
    assert STRIP in trouble(server)


def test_strip_that_could_not_be_read_takes_no_write_and_hides_none_afterwards(server: OneServer, disk: MemoryDisk) -> None:
    """A second map page for a group of which the first can't be read would show old blocks again once it can (I3)."""
    disk.unreadable.add(WHOLE)
    assert states(server, 0, 1) == [CopyState.UNKNOWN]
    with pytest.raises(NotTrusted):
        server.put(7, generation(4), (P, 0, [b"newer"]))
    disk.unreadable.clear()
    assert server.one(7, P, 0).data == FULL
    assert trouble(server).count("can't read") == 0
    server.put(7, generation(4), (P, 0, [b"newer"]))
    server.restart()
    server.kill()
    assert server.one(7, P, 0).data == b"newer"
    assert trouble(server) == ""


def test_strip_that_cannot_be_read_tells_no_end_of_data_and_no_count(server: OneServer, disk: MemoryDisk) -> None:
    disk.unreadable.add(WHOLE)
    with pytest.raises(NotTrusted):
        server.fence(7, 5)
    disk.unreadable.clear()
    assert server.fence(7, 5) == 19 * 512


def test_repair_of_a_strip_that_cannot_be_read_changes_nothing(server: OneServer, disk: MemoryDisk) -> None:
    unknown = Copy(CopyState.UNKNOWN, 0, 0, NO_GENERATION)
    summed = checksum(Ino(7), BlockNo(0), generation(4), FULL)
    repair = Repair(Ino(7), Ticket(0), P, BlockNo(0), unknown, generation(4), summed, FULL)
    disk.unreadable.add(WHOLE)
    server.service.call(CONTEXT, repair)
    disk.unreadable.clear()
    server.restart()
    assert server.one(7, P, 0).generation == generation(3)


def test_group_that_cannot_be_read_leaves_the_others_to_be_read(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 2 * 1920, [b"second group"]))
    server.restart()
    disk.unreadable.add((STRIP, 0, GROUP_BYTES))
    assert states(server, 0, 3) == [CopyState.UNKNOWN] * 3
    assert server.one(7, P, 2 * 1920).data == b"second group"
    disk.unreadable.clear()
    assert states(server, 0, 3) == [CopyState.PRESENT] * 3


def test_map_page_that_can_be_read_again_with_its_records_is_not_lost(server: OneServer, disk: MemoryDisk) -> None:
    disk.unreadable_once.add((STRIP, 0, 512))
    assert states(server, 0, 12) == [CopyState.PRESENT] * 10 + [CopyState.ABSENT] * 2
    assert not disk.unreadable_once
    assert not server.events.of(MAP_PAGE_LOST)
    assert not disk.names("quarantine/")
    assert trouble(server) == ""


def test_map_page_that_stays_unreadable_beside_its_records_is_lost_and_made_again(server: OneServer, disk: MemoryDisk) -> None:
    disk.unreadable.add((STRIP, 0, 512))
    assert states(server, 0, 12) == [CopyState.PRESENT] * 10 + [CopyState.UNKNOWN] * 2
    (event,) = server.events.of(MAP_PAGE_LOST)
    assert (event.ino, event.details["slot"], event.details["group"]) == (7, 0, 0)


def test_dropped_inode_is_no_trouble_any_more(server: OneServer, disk: MemoryDisk) -> None:
    disk.unreadable.add(WHOLE)
    states(server, 0, 1)
    server.drop(7)
    assert trouble(server) == ""


def test_record_that_could_be_read_again_is_no_trouble_any_more(server: OneServer, disk: MemoryDisk) -> None:
    assert states(server, 0, 1) == [CopyState.PRESENT]
    disk.unreadable.add((STRIP, 512 + 3 * 528, 512 + 4 * 528))
    assert states(server, 0, 10)[3] is CopyState.UNKNOWN
    assert len(server.events.of(BLOCKS_UNREADABLE)) == 1
    assert "can't read 1 record" in trouble(server)
    disk.unreadable.clear()
    assert states(server, 0, 10) == [CopyState.PRESENT] * 10
    assert trouble(server) == ""
