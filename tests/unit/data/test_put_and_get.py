"""Goal: Put stores what it promises and nothing else; Get answers only what it verified. Method: one server on a disk in memory,
driven by hand: each rule of the two requests once, through the journal (small) and in place (large).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, Conflict, NotTrusted, RequestTooLarge, StaleTicket
from dfs.core.events.data_server import BLOCKS_UNREADABLE, CORRUPT_RECORD
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.limits import TICKETS_AHEAD_MAX
from dfs.core.messages.blocks import CopyState, Get, Put, Run, Segment
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer, P, S, generation

FULL = bytes(range(256)) * 2
OTHER = bytes(512)


@pytest.fixture
def server() -> OneServer:
    return OneServer(MemoryDisk())


def strip_of(server: OneServer, ino: int = 7, letter: str = "p") -> str:
    return f"strips/0000000/{ino:010x}.{letter}"


def record_offset(index: int) -> int:
    return 512 + index * 528


def test_put_of_both_roles_is_read_back_in_each(server: OneServer) -> None:
    server.put(7, generation(3), (P, 0, [FULL, b"tail"]), (S, 1, [FULL]))
    assert [block.data for block in server.get(7, P, 0, 3)] == [FULL, b"tail", b""]
    assert [block.state for block in server.get(7, S, 1, 2)] == [CopyState.PRESENT, CopyState.ABSENT]


def test_get_answers_runs_in_order_and_sends_only_what_was_asked(server: OneServer) -> None:
    server.put(
        7,
        generation(3),
        (
            P,
            0,
            [
                b"a",
            ],
        ),
        (S, 1, [b"bb"]),
    )
    runs = (Run(S, BlockNo(1), 1), Run(P, BlockNo(0), 1))
    answer = server.service.call(CONTEXT, Get(Ino(7), Ticket(0), (), runs, (Run(P, BlockNo(2), 1),)))
    assert answer.data == b"bba"
    assert len(answer.copies) == 3 * 20


@pytest.mark.parametrize("count", [1, 20], ids=["journal", "in place"])
def test_put_repeated_is_a_success_without_a_change(server: OneServer, count: int) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * count))
    server.put(7, generation(3), (P, 0, [FULL] * count))
    assert server.one(7, P, 0).generation == generation(3)


@pytest.mark.parametrize("count", [1, 20], ids=["journal", "in place"])
def test_put_of_other_bytes_under_the_same_generation_is_a_conflict(server: OneServer, count: int) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * count))
    with pytest.raises(Conflict) as raised:
        server.put(7, generation(3), (P, 0, [OTHER] * count))
    assert (raised.value.block_no, raised.value.highest) == (0, generation(3))
    assert server.one(7, P, 0).data == FULL


def test_put_below_a_stored_generation_is_a_conflict_naming_the_highest_and_stores_nothing(server: OneServer) -> None:
    server.put(7, generation(3, 5), (P, 2, [FULL]))
    server.put(7, generation(3, 9), (S, 1, [FULL]))
    with pytest.raises(Conflict) as raised:
        server.put(7, generation(3, 4), (P, 0, [OTHER, OTHER]), (S, 1, [OTHER]))
    assert (raised.value.block_no, raised.value.highest) == (2, generation(3, 9))
    assert server.one(7, P, 0).state is CopyState.ABSENT


def test_put_below_the_floor_is_stale(server: OneServer) -> None:
    server.fence(7, 5)
    with pytest.raises(StaleTicket) as raised:
        server.put(7, generation(4), (P, 0, [FULL]))
    assert raised.value.floor == 5
    server.put(7, generation(5), (P, 0, [FULL]))


def test_get_below_the_floor_is_stale(server: OneServer) -> None:
    server.fence(7, 5)
    with pytest.raises(StaleTicket):
        server.get(7, P, 0, newest_cut=4)
    assert server.get(7, P, 0, newest_cut=5)[0].state is CopyState.ABSENT


def test_get_applies_cuts_to_blocks_of_older_tickets_only(server: OneServer) -> None:
    server.put(7, generation(3), (P, 0, [FULL, FULL, FULL]))
    server.put(7, generation(6), (P, 4, [OTHER]))
    for at_rest in (False, True):
        if at_rest:
            server.checkpoint()
        first, second, third = server.get(7, P, 0, 3, cuts=(Cut(1024 + 100, Ticket(5)),))
        assert (first.data, second.data, third.data) == (FULL, FULL[:100], OTHER)
        void = server.one(7, P, 2, cuts=(Cut(0, Ticket(5)),))
        assert (void.state, void.generation) == (CopyState.ABSENT, generation(3))


def test_get_of_a_block_on_the_wrong_residue_is_refused(server: OneServer) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    for _ in range(2):
        with pytest.raises(BadRequest):
            server.get(7, P, 1)
        server.checkpoint()


def bad_puts() -> list[tuple[str, type[Exception], dict[str, object]]]:
    segment = Segment(P, BlockNo(0), 2, 512)
    return [
        ("inode 0", BadRequest, {"ino": 0}),
        ("inode too high", BadRequest, {"ino": 1 << 40}),
        ("ticket 0", BadRequest, {"ticket": 0}),
        ("generation of another ticket", BadRequest, {"ticket": 4}),
        ("no segments", BadRequest, {"segments": ()}),
        ("no blocks", BadRequest, {"segments": (segment._replace(blocks=0),)}),
        ("negative first block", BadRequest, {"segments": (segment._replace(first=BlockNo(-2)),)}),
        ("block past the largest file", BadRequest, {"segments": (segment._replace(first=BlockNo(1 << 50)),)}),
        ("last length 0", BadRequest, {"segments": (segment._replace(last_length=0),)}),
        ("last length over a block", BadRequest, {"segments": (segment._replace(last_length=513),)}),
        ("data too short", BadRequest, {"data": FULL + FULL[:-1]}),
        ("data too long", BadRequest, {"data": FULL + FULL + b"x"}),
        ("checksums too short", BadRequest, {"checksums": bytes(4)}),
        ("wrong checksum", BadRequest, {"data": FULL + OTHER}),
        ("a block twice", BadRequest, {"segments": (segment._replace(blocks=1), segment._replace(blocks=1))}),
        ("residues differ", BadRequest, {"segments": (segment._replace(blocks=1), Segment(P, BlockNo(3), 1, 512))}),
        ("too many blocks", RequestTooLarge, {"segments": (segment._replace(blocks=16_385),)}),
    ]


@pytest.mark.parametrize(("error", "change"), [case[1:] for case in bad_puts()], ids=[case[0] for case in bad_puts()])
def test_put_that_breaks_a_rule_is_refused_and_stores_nothing(
    server: OneServer, error: type[Exception], change: dict[str, object]
) -> None:
    request: Put = replace(server.put_request(7, generation(3), (P, 0, [FULL, FULL])), **change)  # type: ignore[arg-type]
    with pytest.raises(error):
        server.service.call(CONTEXT, request)
    assert server.get(7, P, 0)[0].state is CopyState.ABSENT
    assert server.get(7, P, 2)[0].state is CopyState.ABSENT


def test_small_file_created_and_dropped_between_checkpoints_never_has_a_strip(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    for ino in range(10, 200):
        server.put(ino, generation(3), (P, 0, [FULL]), (S, 1, [b"x"]))
    server.drop(*range(10, 200))
    server.checkpoint()
    assert disk.names("strips/") == []
    assert server.one(10, P, 0).state is CopyState.ABSENT


def test_large_new_put_goes_in_place_and_an_overwrite_does_not(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    before = disk.read(strip_of(server))
    assert before.count(FULL) == 20
    server.put(7, generation(4), (P, 0, [OTHER] * 20))
    assert disk.read(strip_of(server)) == before
    assert server.one(7, P, 0).data == OTHER


@pytest.mark.parametrize("at_rest", [False, True])
@pytest.mark.parametrize("offset", [0, 4, 8, 16, 100], ids=["length", "checksum", "generation", "data", "middle"])
def test_flipped_byte_of_a_record_is_corrupt_told_once_and_kept(server: OneServer, offset: int, at_rest: bool) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    if at_rest:
        server.restart()
    disk.flip(strip_of(server), record_offset(2) + offset)
    for _ in range(3):
        states = [block.state for block in server.get(7, P, 0, 20)]
        assert states == [CopyState.PRESENT] * 2 + [CopyState.CORRUPT] + [CopyState.PRESENT] * 17
    (event,) = server.events.of(CORRUPT_RECORD)
    assert (event.ino, event.block) == (7, 4)
    (kept,) = disk.names("quarantine/")
    assert kept == event.details["quarantine"]
    assert len(disk.read(kept)) == 528


def test_record_at_the_wrong_place_is_corrupt(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    file = disk.open(strip_of(server))
    file.pwrite([file.pread(528, record_offset(3))], record_offset(4))
    assert server.one(7, P, 8).state is CopyState.CORRUPT


def test_zeroed_record_is_corrupt_and_no_hole(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.open(strip_of(server)).pwrite([bytes(528)], record_offset(4))
    assert server.one(7, P, 8).state is CopyState.CORRUPT


def test_strip_that_was_cut_off_has_corrupt_blocks_and_no_holes(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    server.restart()
    disk.cut_off(strip_of(server), record_offset(10))
    assert [block.state for block in server.get(7, P, 0, 20)] == [CopyState.PRESENT] * 10 + [CopyState.CORRUPT] * 10


def test_put_over_a_corrupt_record_keeps_it_in_quarantine_and_is_taken(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(9), (P, 0, [FULL] * 20))
    disk.flip(strip_of(server), record_offset(2) + 30)
    server.put(7, generation(9, 2), (P, 4, [b"new"]))
    assert server.one(7, P, 4).data == b"new"
    assert len(disk.names("quarantine/")) == 1


def test_unreadable_sector_makes_its_blocks_unknown_and_no_others(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.unreadable.add((strip_of(server), record_offset(5), record_offset(5) + 512))
    for _ in range(2):
        states = [block.state for block in server.get(7, P, 0, 20)]
        assert states == [CopyState.PRESENT] * 5 + [CopyState.UNKNOWN] + [CopyState.PRESENT] * 14
    assert [event.block for event in server.events.of(BLOCKS_UNREADABLE)] == [10]
    server.put(7, generation(4), (P, 10, [b"new"]))
    assert server.one(7, P, 10).data == b"new"


def test_disk_that_fails_to_write_is_an_answer_that_asks_to_try_again(server: OneServer) -> None:
    disk = server.disk
    assert isinstance(disk, MemoryDisk)
    disk.fail_on.add(("write", "journal/"))
    with pytest.raises(NotTrusted):
        server.put(7, generation(3), (P, 0, [FULL]))
    disk.fail_on.clear()
    server.put(7, generation(3), (P, 0, [FULL]))
    assert server.one(7, P, 0).data == FULL


def test_generation_is_kept_to_its_full_width(server: OneServer) -> None:
    highest = Generation((1 << 64) - 1)
    server.note_mark((1 << 40) - 1)
    server.put(7, highest, (P, 0, [FULL]))
    server.checkpoint()
    assert server.get(7, P, 0, newest_cut=(1 << 40) - 1)[0].generation == highest


def test_ticket_that_meta_can_not_have_issued_is_refused_until_meta_says_so(server: OneServer) -> None:
    server.note_mark(10_000)
    far = Ticket(10_000 + TICKETS_AHEAD_MAX)
    server.put(7, generation(far), (P, 0, [FULL]))  # issued a moment ago, perhaps
    beyond = Ticket(far + 1)
    for refused in (
        lambda: server.put(7, generation(beyond), (P, 0, [OTHER])),
        lambda: server.fence(8, beyond),
        lambda: server.clean(8, Cut(0, beyond)),
        lambda: server.repair(9, P, 0, server.copy(9, P, 0), generation(beyond), FULL),
    ):
        with pytest.raises(NotTrusted, match="was told of numbers up to 10000"):
            refused()
    assert server.get(7, P, 0)[0].data == FULL
    server.put(8, generation(3), (P, 0, [FULL]))  # no floor was raised
    assert server.get(9, P, 0)[0].state is CopyState.ABSENT
    server.note_mark(10_001)
    server.put(7, generation(beyond), (P, 0, [OTHER]))
    assert server.get(7, P, 0)[0].data == OTHER
