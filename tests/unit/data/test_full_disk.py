"""Goal: a full disk refuses new blocks only; what is stored can be overwritten, repaired, truncated and removed as before.
Method: one server on a small disk in memory, filled with new blocks until it refuses.
"""

from __future__ import annotations

import pytest

from dfs.core.cuts import Cut
from dfs.core.errors import DiskFull, NoSpace
from dfs.core.events.data_server import DISK_NEARLY_FULL, NEW_BLOCKS_FIT, NO_NEW_BLOCKS
from dfs.core.ids import Ticket
from dfs.core.messages.blocks import CopyState
from dfs.core.messages.data_server import ShowData
from dfs.data.disk.reserve import RESERVE_BYTES_MAX, nearly_full_bytes, reserve_bytes
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer, P, S, generation

FREE_BYTES = 1 << 20
BLOCK = b"b" * 512
RUN = [BLOCK] * 64


def filled_server(blocks: list[bytes]) -> tuple[OneServer, list[int]]:
    """Return a server that has just refused a new file, and the files that it took before."""
    disk = MemoryDisk()
    disk.total_bytes = disk.free_bytes = FREE_BYTES
    server = OneServer(disk)
    taken: list[int] = []
    for ino in range(10, 10_000):
        try:
            server.put(ino, generation(2), (P, 0, blocks))
        except NoSpace:
            return server, taken
        taken.append(ino)
        if ino % 20 == 0:
            server.checkpoint()
    raise AssertionError("the disk never filled up")


@pytest.mark.parametrize("blocks", [RUN, [BLOCK]], ids=["in place", "journalled"])
def test_full_disk_refuses_new_blocks_and_keeps_what_was_acknowledged(blocks: list[bytes]) -> None:
    server, taken = filled_server(blocks)
    assert len(taken) * len(blocks) * 528 > FREE_BYTES // 16
    assert server.one(taken[-1] + 1, P, 0).state is CopyState.ABSENT
    server.checkpoint()
    server.restart()
    for ino in taken:
        assert [block.data for block in server.get(ino, P, 0, len(blocks))] == blocks
    assert len(server.events.of(NO_NEW_BLOCKS)) == 1
    assert server.events.of(DISK_NEARLY_FULL)


@pytest.mark.parametrize("blocks", [RUN, [BLOCK]], ids=["in place", "journalled"])
def test_full_disk_still_overwrites_every_block_again_and_again(blocks: list[bytes]) -> None:
    server, taken = filled_server(blocks)
    newer = [b"n" * 512] * len(blocks)
    for round_number in range(3, 6):
        for ino in taken:
            server.put(ino, generation(round_number), (P, 0, newer))
            if server.service._blocks is not None and server.service._blocks.store.journal.wants_checkpoint:
                server.checkpoint()  # what the background task does, and what a Put waits for
    for ino in taken:
        assert [block.data for block in server.get(ino, P, 0, len(blocks))] == newer


def test_full_disk_still_repairs_truncates_and_removes_and_then_takes_new_blocks() -> None:
    server, taken = filled_server(RUN)
    first, second, *rest = taken
    server.repair(first, P, 0, server.copy(first, P, 0), generation(3), b"r" * 512)
    assert server.one(first, P, 0).data == b"r" * 512
    server.clean(second, Cut(512, Ticket(9)))
    assert server.get(second, P, 0, 1)[0].data == BLOCK
    assert server.one(second, P, 2).state is CopyState.ABSENT
    server.drop(*rest)
    server.checkpoint()
    server.put(9_999, generation(4), (S, 1, RUN))
    assert server.one(9_999, S, 1).data == BLOCK
    assert len(server.events.of(NEW_BLOCKS_FIT)) == 1


def test_disk_is_called_nearly_full_once_until_there_is_room_again() -> None:
    disk = MemoryDisk()
    disk.total_bytes = disk.free_bytes = 1 << 30
    server = OneServer(disk)
    disk.free_bytes = reserve_bytes(1 << 30) + nearly_full_bytes(1 << 30) - 1
    for ino in (10, 11):
        server.put(ino, generation(2), (P, 0, RUN))
        server.checkpoint()
    (event,) = server.events.of(DISK_NEARLY_FULL)
    assert event.details == {"free": nearly_full_bytes(1 << 30) - 1, "total": 1 << 30}
    disk.free_bytes = 1 << 30
    server.put(12, generation(2), (P, 0, RUN))
    server.checkpoint()
    disk.free_bytes = reserve_bytes(1 << 30) + 100_000
    server.put(13, generation(2), (P, 0, RUN))
    assert len(server.events.of(DISK_NEARLY_FULL)) == 2


def test_reserve_takes_little_of_a_small_disk_and_no_more_than_needed_of_a_large_one() -> None:
    assert reserve_bytes(8 << 20) == 1 << 20
    assert reserve_bytes(1 << 40) == RESERVE_BYTES_MAX


def test_space_that_is_told_leaves_the_reserve_out() -> None:
    server, _ = filled_server(RUN)
    free = server.disk.space().free_bytes
    assert free > 0
    with pytest.raises(DiskFull):
        server.service._blocks.store.reserve.claim(free, 0)  # type: ignore[union-attr]
    assert server.service.call(CONTEXT, ShowData()).space.free_bytes < 64 * 528 * 2
