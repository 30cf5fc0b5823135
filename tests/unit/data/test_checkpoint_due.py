"""Goal: the background task makes everything durable at every tick, and puts small files in place only when that is worth it.

Method: one server on a disk in memory; the test says when a tick comes and what time it is. Where a block stands is seen from the
strip's file. What ticks promise in any history is drawn in test_against_model.py.
"""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from dfs.core.errors import DiskMissing
from dfs.core.events.data_server import DISK_GOES_ON, DISK_TROUBLE
from dfs.core.ids import Ino
from dfs.core.messages.blocks import CopyState
from dfs.data.disk.strips import strip_name
from dfs.data.settings import JOURNAL_AGE_S_MAX, SYNC_INTERVAL_S
from tests.harness.memory_disk import Killed, MemoryDisk
from tests.unit.data.one_server import OneServer, P, generation

FULL = bytes(range(256)) * 2


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


@pytest.fixture
def server(disk: MemoryDisk) -> OneServer:
    return OneServer(disk)


def is_in_place(disk: MemoryDisk, ino: int) -> bool:
    try:
        return FULL in disk.read(strip_name(Ino(ino), P))
    except DiskMissing:
        return False


def test_small_files_stay_in_the_journal_while_others_follow_and_survive_a_power_cut(server: OneServer, disk: MemoryDisk) -> None:
    for number in range(3):
        server.put(10 + number, generation(3), (P, 0, [FULL]))
        server.tick(number * SYNC_INTERVAL_S)
    assert not any(is_in_place(disk, ino) for ino in (10, 11, 12))
    disk.power_cut(lambda: False)
    server.reboot()
    assert [server.one(ino, P, 0).data for ino in (10, 11, 12)] == [FULL] * 3


def test_small_file_is_put_in_place_when_the_journal_is_quiet(server: OneServer, disk: MemoryDisk) -> None:
    server.put(10, generation(3), (P, 0, [FULL]))
    server.tick(0.0)
    assert not is_in_place(disk, 10)
    server.tick(SYNC_INTERVAL_S)
    assert is_in_place(disk, 10)


def test_small_file_is_put_in_place_when_the_journal_is_old_though_never_quiet(server: OneServer, disk: MemoryDisk) -> None:
    now_s = 0.0
    while not is_in_place(disk, 10):
        assert now_s <= JOURNAL_AGE_S_MAX
        server.put(10 + int(now_s), generation(3), (P, 0, [FULL]))
        server.tick(now_s)
        now_s += SYNC_INTERVAL_S
    assert now_s > JOURNAL_AGE_S_MAX
    server.put(90, generation(3), (P, 0, [FULL]))
    server.tick(now_s)
    assert not is_in_place(disk, 90)  # the age counts anew


def test_file_removed_before_the_journal_is_quiet_never_has_a_strip(server: OneServer, disk: MemoryDisk) -> None:
    server.put(10, generation(3), (P, 0, [FULL]))
    server.tick(0.0)
    server.drop(10)
    for number in range(1, 4):
        server.tick(number * SYNC_INTERVAL_S)
        assert not is_in_place(disk, 10)
    assert server.one(10, P, 0).state is CopyState.ABSENT


def test_large_file_is_durable_after_one_tick_that_puts_nothing_in_place(server: OneServer, disk: MemoryDisk) -> None:
    server.put(10, generation(3), (P, 0, [FULL] * 20))
    server.put(11, generation(3), (P, 0, [FULL]))
    server.tick(0.0)
    assert not is_in_place(disk, 11)
    disk.power_cut(lambda: False)
    server.reboot()
    assert server.get(10, P, 0, 20)[19].data == FULL


def test_put_in_place_that_failed_is_tried_again_at_the_next_tick(server: OneServer, disk: MemoryDisk) -> None:
    server.put(10, generation(3), (P, 0, [FULL]))
    server.tick(0.0)
    disk.free_bytes = 0
    server.tick(SYNC_INTERVAL_S)
    disk.free_bytes = None
    server.put(11, generation(3), (P, 0, [FULL]))
    server.tick(2 * SYNC_INTERVAL_S)
    assert is_in_place(disk, 10)
    assert [len(server.events.of(kind)) for kind in (DISK_TROUBLE, DISK_GOES_ON)] == [1, 1]


@pytest.mark.parametrize("chance", [random.Random(seed) for seed in range(6)])
def test_block_overwritten_is_its_old_or_new_content_wherever_the_power_goes_in_a_checkpoint(chance: random.Random) -> None:
    old, new = b"old!" * 128, b"new!" * 128
    for operations in range(40):
        disk = MemoryDisk()
        server = OneServer(disk)
        server.put(7, generation(3), (P, 0, [old] * 20))
        server.checkpoint()
        server.put(7, generation(4), (P, 6, [new] * 3))
        disk.operations_left = operations
        with suppress(Killed):
            server.checkpoint()
        disk.operations_left = None
        disk.power_cut(lambda: chance.random() < 0.5)
        server.reboot()
        assert {block.data for block in server.get(7, P, 6, 3)} <= {old, new}
