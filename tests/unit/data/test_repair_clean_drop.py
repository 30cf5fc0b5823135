"""Goal: Repair only ever raises a generation (I5), Clean removes for good what cuts void (I3), Fence tells how far data reaches,
Drop forgets. Method: one server on a disk in memory; every effect is looked at again after a kill and after a power cut.
"""

from __future__ import annotations

import pytest

from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, RequestTooLarge, StaleTicket
from dfs.core.ids import NO_GENERATION, Ino, Ticket
from dfs.core.messages.blocks import Copy, CopyState, Fence, Fenced, ListInodes
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer, P, S, generation

FULL = bytes(range(256)) * 2
OTHER = bytes(512)
ABSENT = Copy(CopyState.ABSENT, 0, 0, NO_GENERATION)
CORRUPT = Copy(CopyState.CORRUPT, 0, 0, NO_GENERATION)
STRIP = "strips/0000000/0000000007.p"


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


@pytest.fixture
def server(disk: MemoryDisk) -> OneServer:
    return OneServer(disk)


def lose_power(server: OneServer) -> None:
    """Cut the power and lose everything that was not synced."""
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    disk.power_cut(lambda: False)
    server.reboot()


# --- Repair ----------------------------------------------------------------------------------------------------------


def test_repair_of_an_absent_copy_stores_the_block(server: OneServer) -> None:
    server.repair(7, P, 0, ABSENT, generation(3), FULL)
    server.kill()
    assert server.one(7, P, 0).data == FULL


def test_repair_raises_a_generation_but_never_lowers_it(server: OneServer) -> None:
    server.put(7, generation(5), (P, 0, [FULL]))
    seen = server.copy(7, P, 0)
    server.repair(7, P, 0, seen, generation(4), OTHER)
    server.repair(7, P, 0, seen, generation(5), OTHER)
    assert server.one(7, P, 0).data == FULL
    server.repair(7, P, 0, seen, generation(6), OTHER)
    assert server.one(7, P, 0).data == OTHER


def test_repair_of_a_copy_that_changed_since_it_was_seen_does_nothing(server: OneServer) -> None:
    server.put(7, generation(5), (P, 0, [FULL]))
    seen = server.copy(7, P, 0)
    server.put(7, generation(6), (P, 0, [b"newer"]))
    for named in (seen, ABSENT, CORRUPT):
        server.repair(7, P, 0, named, generation(9), OTHER)
        assert server.one(7, P, 0).data == b"newer"


def test_repair_of_a_copy_that_a_cut_voided_is_known_by_its_generation(server: OneServer) -> None:
    server.put(7, generation(5), (P, 0, [FULL]))
    seen = server.copy(7, P, 0, cuts=(Cut(0, Ticket(6)),))
    assert seen.state is CopyState.ABSENT
    server.repair(7, P, 0, seen, generation(7), OTHER)
    assert server.one(7, P, 0).data == OTHER


def test_repair_of_a_corrupt_copy_takes_any_generation_and_keeps_the_bad_one(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(5), (P, 0, [FULL] * 20))
    disk.flip(STRIP, 512 + 100)
    assert server.copy(7, P, 0) == CORRUPT
    server.repair(7, P, 0, CORRUPT, generation(5), FULL)
    server.checkpoint()
    assert server.one(7, P, 0).data == FULL
    assert len(disk.names("quarantine/")) == 1


def test_repair_that_cannot_keep_the_bad_copy_changes_nothing(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(5), (P, 0, [FULL] * 20))
    disk.flip(STRIP, 512 + 100)
    disk.fail_on.add(("replace", "quarantine"))
    with pytest.raises(Exception, match="told to fail"):
        server.repair(7, P, 0, CORRUPT, generation(6), FULL)
    assert server.one(7, P, 0).state is CopyState.CORRUPT


def test_repair_below_the_floor_or_with_a_wrong_checksum_is_refused(server: OneServer) -> None:
    server.fence(7, 5)
    with pytest.raises(StaleTicket):
        server.repair(7, P, 0, ABSENT, generation(3), FULL, newest_cut=4)
    with pytest.raises(BadRequest):
        server.repair(7, P, 0, ABSENT, generation(3), b"")


# --- Clean and Fence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [6, 40], ids=["journal", "in place"])
def test_clean_drops_what_a_cut_voids_for_good(server: OneServer, count: int) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * count))
    server.clean(7, Cut(1024 + 10, Ticket(4)))
    for _ in range(2):
        first, second, *rest = server.get(7, P, 0, count)
        assert (first.data, second.data, second.generation) == (FULL, FULL[:10], generation(3))
        assert {(block.state, block.generation) for block in rest} == {(CopyState.ABSENT, 0)}
        lose_power(server)


def test_fence_tells_when_blocks_behind_the_end_can_not_be_read(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    assert server.service.call(CONTEXT, Fence(Ino(7), Ticket(4), ())).is_certain
    disk.flip(STRIP, 512 + 5 * 528 + 100)
    assert server.service.call(CONTEXT, Fence(Ino(7), Ticket(4), ())) == Fenced(39 * 512, is_certain=True)
    disk.unreadable.add((STRIP, 512 + 19 * 528, 512 + 20 * 528))
    assert server.service.call(CONTEXT, Fence(Ino(7), Ticket(4), ())) == Fenced(37 * 512, is_certain=False)


def test_block_that_can_not_be_read_when_it_is_cleaned_does_not_come_back(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.unreadable.add((STRIP, 512 + 5 * 528, 512 + 5 * 528 + 1))
    server.clean(7, Cut(0, Ticket(4)))
    disk.unreadable.clear()
    for _ in range(2):
        assert not any(block.data for block in server.get(7, P, 0, 20))
        lose_power(server)


def test_group_whose_map_is_lost_and_whose_records_can_not_be_read_when_it_is_cleaned_does_not_come_back(
    server: OneServer, disk: MemoryDisk
) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    server.checkpoint()
    disk.flip(STRIP, 40)
    disk.unreadable.add((STRIP, 512, 1 << 20))
    server.kill()
    server.clean(7, Cut(0, Ticket(4)))
    disk.unreadable.clear()
    for _ in range(2):
        assert not any(block.data for block in server.get(7, P, 0, 20))
        lose_power(server)


def test_block_that_was_cleaned_does_not_come_back_when_the_map_page_is_lost(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    server.clean(7, Cut(10 * 512, Ticket(4)))
    server.put(7, generation(4), (P, 0, [OTHER]))
    server.checkpoint()
    disk.flip(STRIP, 40)
    server.kill()
    blocks = server.get(7, P, 0, 20)
    assert blocks[0].data == OTHER
    assert {block.state for block in blocks[10:]} == {CopyState.UNKNOWN}


def test_clean_keeps_blocks_written_under_the_ticket_of_the_cut_or_later(server: OneServer) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    server.put(7, generation(4), (P, 2, [OTHER]))
    server.put(7, generation(5), (P, 4, [b"later"]))
    server.clean(7, Cut(0, Ticket(4)))
    lose_power(server)
    blocks = server.get(7, P, 0, 20)
    assert [block.data for block in blocks[:3]] == [b"", OTHER, b"later"]
    assert {block.state for block in blocks[3:]} == {CopyState.ABSENT}


def test_clean_raises_the_floor_durably_also_where_no_block_is(server: OneServer) -> None:
    server.clean(7, Cut(0, Ticket(4)))
    lose_power(server)
    with pytest.raises(StaleTicket):
        server.put(7, generation(3), (P, 0, [FULL]))


def test_clean_of_everything_removes_the_strip(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 40))
    server.put(7, generation(3), (P, 2 * 1920, [FULL] * 40))
    assert disk.names("strips/") == [STRIP]
    server.clean(7, Cut(0, Ticket(4)))
    lose_power(server)
    assert disk.names("strips/") == []


def test_clean_gives_trailing_groups_back(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 40))
    server.put(7, generation(3), (P, 2 * 1920, [FULL] * 40))
    server.clean(7, Cut(1920 * 512, Ticket(4)))
    assert len(disk.read(STRIP)) == 512 + 1920 * 528
    server.put(7, generation(5), (P, 2 * 1920, [OTHER] * 40))
    server.restart()
    assert server.one(7, P, 2 * 1920).data == OTHER


def test_clean_of_a_bad_record_keeps_it_and_makes_the_block_unknown(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.flip(STRIP, 512 + 5 * 528 + 20)
    server.clean(7, Cut(0, Ticket(4)))
    for _ in range(2):
        states = [block.state for block in server.get(7, P, 0, 20)]
        assert states == [CopyState.ABSENT] * 5 + [CopyState.UNKNOWN] + [CopyState.ABSENT] * 14
        server.kill()
    assert len(disk.names("quarantine/")) == 1


def test_fence_tells_the_end_of_the_valid_data_of_both_roles(server: OneServer) -> None:
    assert server.fence(7, 2) == 0
    server.put(7, generation(3), (P, 0, [FULL] * 40), (S, 1, [FULL, b"abc"]))
    assert server.fence(7, 3) == 39 * 2 * 512 + 512
    assert server.fence(7, 3, Cut(700, Ticket(4))) == 700
    server.put(7, generation(5), (S, 1, [b"new"]))
    assert server.fence(7, 5, Cut(0, Ticket(4))) == 512 + 3
    server.checkpoint()
    assert server.fence(7, 5, Cut(0, Ticket(4))) == 512 + 3


def test_fence_counts_the_newer_pending_block_and_not_the_longer_one_in_place(server: OneServer) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    server.put(7, generation(4), (P, 38, [b"abc"]))
    assert server.fence(7, 4) == 38 * 512 + 3


def test_fence_survives_a_power_cut_and_never_lowers_the_floor(server: OneServer) -> None:
    server.fence(7, 9)
    server.fence(7, 4)
    lose_power(server)
    server.checkpoint()
    server.restart()
    with pytest.raises(StaleTicket) as raised:
        server.get(7, P, 0, newest_cut=8)
    assert raised.value.floor == 9


# --- Drop and ListInodes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_rest", [False, True])
@pytest.mark.parametrize("count", [2, 20], ids=["journal", "in place"])
def test_drop_forgets_strips_and_floor_for_good(server: OneServer, count: int, at_rest: bool) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * count), (S, 1, [FULL] * count))
    server.fence(7, 5)
    if at_rest:
        server.checkpoint()
    server.drop(7, 8)
    for _ in range(3):
        assert {block.state for block in server.get(7, P, 0, count, newest_cut=0)} == {CopyState.ABSENT}
        assert server.service.call(CONTEXT, ListInodes(Ino(0), 10)).inos == ()
        lose_power(server)
        server.checkpoint()
    server.drop(7)


def test_drop_on_a_full_disk_frees_the_space_that_its_entry_needs(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.free_bytes = 0
    server.drop(7)
    assert server.one(7, P, 0).state is CopyState.ABSENT


def test_list_of_inodes_comes_in_pages_from_strips_and_journal(server: OneServer) -> None:
    at_rest, pending = [3, 4096, 5000, 1 << 30], [4, 4097, 1 << 31]
    for ino in at_rest:
        server.put(ino, generation(3), (P, 0, [FULL]), (S, 1, [FULL]))
    server.restart()
    for ino in pending:
        server.put(ino, generation(3), (P, 0, [FULL]))
    found: list[int] = []
    while True:
        page = server.service.call(CONTEXT, ListInodes(Ino(found[-1] if found else 0), 2))
        found += page.inos
        if not page.more:
            break
        assert len(page.inos) == 2
    assert found == sorted(at_rest + pending)


def test_requests_over_a_limit_are_refused(server: OneServer) -> None:
    with pytest.raises(RequestTooLarge):
        server.drop(*range(1, 4098))
    with pytest.raises(BadRequest):
        server.service.call(CONTEXT, ListInodes(Ino(0), 0))
    with pytest.raises(BadRequest):
        server.clean(7, Cut(-1, Ticket(4)))
