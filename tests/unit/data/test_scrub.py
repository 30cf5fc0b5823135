"""Goal: what rots, or differs from the neighbour's copy, is found and mended without anybody reading the file, at a set pace, and
what can't be mended is told.
Method: several servers in one process with a clock that moves only when the test says so; disks are damaged behind their backs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, NotTrusted, StaleTicket
from dfs.core.events.copies import COPIES_DIFFER, NO_GOOD_COPY, SCRUB_REPAIRED
from dfs.core.events.data_server import CORRUPT_RECORD, SCRUB_FINISHED, SCRUB_LATE
from dfs.core.events.event import EventKind
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.messages.blocks import CopyState, Drop, Fence, Get, ListInodes, pack_copies
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify, ShowData
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import EVERYTHING, Mend, Scrub, ScrubCounts, ScrubStatus, ShowScrub
from dfs.core.placement import Role
from dfs.data.scrub.mending import UNKNOWN_S
from dfs.data.scrub.scrubbing import EXCHANGE_BYTES, PASS_NS_MAX, SAVE_INTERVAL_S
from dfs.data.scrub.walk import BLOCKS_MAX
from dfs.data.settings import SCRUB_BYTES_PER_S
from tests.unit.data.one_server import P, S, generation
from tests.unit.data.ring import Ring

INO: Final = 12
DAY_S: Final = 86_400.0
STEPS_MAX: Final = 20_000


def block(number: int, byte: int = 0) -> bytes:
    return bytes([(number + byte) % 251 + 1]) * 512


def ring_with_file(servers: int = 3, blocks: int = 30, ino: int = INO) -> Ring:
    """Return servers with one file, all of it in place."""
    ring = Ring(servers)
    ring.write_file(ino, [block(number) for number in range(blocks)], generation(5))
    for index in ring.indexes:
        ring.checkpoint(index)
    return ring


def order(ring: Ring, index: int, ino: int = EVERYTHING) -> int:
    return ring.call(index, Scrub(Ino(ino))).number


def run(ring: Ring, index: int, number: int) -> ScrubCounts:
    """Let a server work, time passing as it asks for, until an order is done; return what came of it."""
    for _ in range(STEPS_MAX):
        ring.clock.advance(ring.service(index)._scrubbing.step())
        result = ring.service(index)._scrubbing.show(number)
        if result.is_done:
            return result.counts
    raise AssertionError(f"the scrub of server {index} never ends")


def scrub(ring: Ring, index: int, ino: int = EVERYTHING) -> ScrubCounts:
    return run(ring, index, order(ring, index, ino))


def rot(ring: Ring, number: int, role: Role, ino: int = INO) -> int:
    """Damage a copy of a block in place; return the server that holds it."""
    server = ring.layout(ino).server_of(BlockNo(number), role)
    strip = ring.disks[server]._files[f"strips/{ino >> 12:07x}/{ino:010x}.{'p' if role is P else 's'}"]
    index = number // ring.n
    strip.now[512 + index * 528 + 16 + 3] ^= 0xFF
    return server


def put_one(ring: Ring, number: int, role: Role, gen: Generation, data: bytes, ino: int = INO) -> None:
    """Store a block on one server only."""
    ring.put_run(ino, role, number, gen, [data])


def status(ring: Ring, index: int) -> ScrubStatus:
    return ring.call(index, ShowData()).scrub


def told(ring: Ring, kind: EventKind) -> list[tuple[int | None, int | None]]:
    return [(event.ino, event.block) for events in ring.events.values() for event in events.of(kind)]


def calls_of(ring: Ring, kind: type[Request[object]]) -> int:
    return sum(isinstance(request, kind) for _, request in ring.asked)


# --- finding and mending ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("servers", [2, 3])
@pytest.mark.parametrize("role", list(Role))
def test_scrub_repairs_a_rotten_copy_and_keeps_what_stood_there(servers: int, role: Role) -> None:
    ring = ring_with_file(servers)
    server = rot(ring, 7, role)
    assert scrub(ring, server).repaired == 1
    assert ring.state_of(INO, 7, role) is CopyState.PRESENT
    assert ring.copy(INO, 7, role)[1] == block(7)
    assert told(ring, CORRUPT_RECORD) == [(INO, 7)]
    assert any(name.startswith("quarantine/") for name in ring.disks[ring.indexes[server]].names())
    assert scrub(ring, server)._replace(blocks=0) == ScrubCounts()
    assert len(told(ring, SCRUB_REPAIRED)) == 1


def test_scrub_of_one_server_has_the_neighbours_rotten_copy_repaired_too() -> None:
    ring = ring_with_file()
    server = rot(ring, 7, S)
    other = ring.servers_of(INO, 7)[P]
    assert other != server
    assert scrub(ring, other).repaired == 1
    assert ring.copy(INO, 7, S)[1] == block(7)
    assert not ring.differences(INO, 30)


def test_scrub_raises_an_older_copy_that_verifies_on_either_side() -> None:
    ring = ring_with_file()
    put_one(ring, 4, P, generation(6), block(4, 1))
    put_one(ring, 5, S, generation(6), block(5, 1))
    put_one(ring, 31, P, generation(6), block(31))  # of which the other server has nothing at all
    repaired = sum(scrub(ring, index).repaired for index in ring.indexes)
    assert repaired == 3
    assert [ring.copy(INO, number, role)[1] for number in (4, 5) for role in Role] == [block(4, 1)] * 2 + [block(5, 1)] * 2
    assert not ring.differences(INO, 32)


def test_scrub_does_not_report_a_put_that_is_on_its_way() -> None:
    ring = ring_with_file()
    server = ring.servers_of(INO, 4)[P]
    put_one(ring, 4, P, generation(6), block(4, 1))
    number = order(ring, server)
    while ring.service(server)._scrubbing._doubtful is None:
        ring.clock.advance(ring.service(server)._scrubbing.step())
    put_one(ring, 4, S, generation(6), block(4, 1))
    assert run(ring, server, number)._replace(blocks=0) == ScrubCounts()
    assert not calls_of(ring, Mend)
    assert not told(ring, SCRUB_REPAIRED)


def test_scrub_leaves_alone_what_is_another_difference_at_the_second_look() -> None:
    ring = ring_with_file()
    server = ring.servers_of(INO, 4)[P]
    put_one(ring, 4, P, generation(6), block(4, 1))
    number = order(ring, server)
    while ring.service(server)._scrubbing._doubtful is None:
        ring.clock.advance(ring.service(server)._scrubbing.step())
    put_one(ring, 4, P, generation(7), block(4, 2))  # the file is being written: this put has not arrived at the other one either
    assert run(ring, server, number)._replace(blocks=0) == ScrubCounts()
    assert ring.copy(INO, 4, S)[1] == block(4)


def test_mend_takes_only_the_very_copy_that_was_seen() -> None:
    ring = ring_with_file()
    put_one(ring, 4, P, generation(6), block(4, 1))
    seen = pack_copies([ring.copy(INO, 4, S)[0], ring.copy(INO, 4, P)[0]])
    put_one(ring, 4, P, generation(7), block(4, 2))
    request = Mend(Ino(INO), Ticket(0), S, BlockNo(4), 1, seen)
    assert ring.call(ring.servers_of(INO, 4)[S], request).repaired == 0
    assert ring.copy(INO, 4, S)[1] == block(4)


def test_mend_leaves_alone_what_has_changed_since_it_was_seen() -> None:
    ring = ring_with_file()
    server = ring.servers_of(INO, 4)[S]
    put_one(ring, 4, P, generation(6), block(4, 1))

    def overwrite(request: Request[object]) -> None:
        if isinstance(request, Get) and request.send:
            ring.on_the_way = lambda request: None
            put_one(ring, 4, S, generation(7), block(4, 2))

    ring.on_the_way = overwrite
    scrub(ring, server)
    assert ring.copy(INO, 4, S)[1] == block(4, 2)


def test_copy_that_the_neighbours_scrub_mends_at_the_same_time_is_not_left() -> None:
    ring = ring_with_file()
    server = rot(ring, 7, P)
    request = Mend(Ino(INO), Ticket(0), P, BlockNo(7), 1, pack_copies([ring.copy(INO, 7, P)[0], ring.copy(INO, 7, S)[0]]))

    def mend(sent: Request[object]) -> None:
        if isinstance(sent, Get) and sent.send:
            ring.on_the_way = lambda sent: None
            assert ring.call(server, request).repaired == 1

    ring.on_the_way = mend
    assert scrub(ring, server)._replace(blocks=0) == ScrubCounts()


def test_copy_that_cannot_be_mended_is_left() -> None:
    ring = ring_with_file()
    server = rot(ring, 7, P)
    ring.service(server)._scrubbing._mending.mend = lambda ctx, request: 0  # type: ignore[union-attr,method-assign]
    assert scrub(ring, server).left == 1


def test_mend_on_a_server_that_is_not_complete_is_refused() -> None:
    ring = ring_with_file()
    ring.lose_disk(1)
    for role in Role:
        ring.step(1, role)
    assert RoleState.REBUILDING in ring.states(1)
    with pytest.raises(NotTrusted):
        ring.call(1, Mend(Ino(INO), Ticket(0), P, BlockNo(1), 1, b"\0" * 40))


def test_two_copies_of_one_generation_that_differ_are_told_and_none_is_touched() -> None:
    ring = ring_with_file()
    put_one(ring, 4, P, generation(6), block(4, 1))
    put_one(ring, 4, S, generation(6), block(4, 2))
    server = ring.servers_of(INO, 4)[P]
    assert scrub(ring, server).damaged == 1
    assert told(ring, COPIES_DIFFER) == [(INO, 4)]
    assert ring.copy(INO, 4, P)[1] != ring.copy(INO, 4, S)[1]


def test_block_with_two_bad_copies_is_told_with_its_number_shown_in_status_and_does_not_end_the_pass() -> None:
    ring = ring_with_file()
    server = rot(ring, 1, P)
    rot(ring, 1, S)
    rot(ring, 7, P)
    rot(ring, 25, P)
    counts = scrub(ring, server)
    assert (counts.damaged, counts.repaired) == (1, 2)
    assert (INO, 1) in told(ring, NO_GOOD_COPY)
    assert f"block 1 of inode {INO}" in ring.call(server, ShowData()).trouble
    ring.put(INO, 1, generation(8), block(1, 1))
    assert scrub(ring, server).damaged == 0
    assert ring.call(server, ShowData()).trouble == ""


def test_block_with_two_bad_copies_of_which_both_servers_say_the_same_is_told() -> None:
    ring = ring_with_file()
    server = rot(ring, 1, P)
    rot(ring, 1, S)
    assert scrub(ring, server).damaged == 1


def test_strip_that_cannot_be_read_is_passed_over() -> None:
    ring = ring_with_file()
    ring.write_file(INO + 1, [block(number) for number in range(30)], generation(5))
    for index in ring.indexes:
        ring.checkpoint(index)
    ring.service(0)._blocks.store.strips.close()  # type: ignore[union-attr]
    real = ring.service(0)._scrubbing._comparing.look  # type: ignore[union-attr]

    def look(ctx: object, batch: object) -> object:
        if batch.ino == INO:  # type: ignore[attr-defined]
            raise BadRequest("a bug in this one object")
        return real(ctx, batch)  # type: ignore[arg-type]

    ring.service(0)._scrubbing._comparing.look = look  # type: ignore[union-attr,method-assign]
    counts = scrub(ring, 0)
    assert counts.blocks == 20
    assert counts.left == 2


# --- cuts ------------------------------------------------------------------------------------------------------------------


def test_copy_below_the_floor_is_repaired_too() -> None:
    ring = ring_with_file()
    for index in ring.indexes:
        ring.call(index, Fence(Ino(INO), Ticket(9), ()))
    server = rot(ring, 7, P)
    before = ring.identity(server).doubts
    assert scrub(ring, server).repaired == 1
    assert ring.copy(INO, 7, P)[1] == block(7)
    assert ring.identity(server).doubts > before  # meta may not forget a cut by what this server confirmed before


def test_nothing_below_the_floor_is_taken_from_a_neighbour_with_another_floor() -> None:
    ring = ring_with_file()
    server, other = ring.servers_of(INO, 7)[P], ring.servers_of(INO, 7)[S]
    ring.clean(server, INO, Cut(3 * 512, Ticket(9)))  # the neighbour was away, and has all that is void
    assert ring.state_of(INO, 7, P) is CopyState.ABSENT
    assert scrub(ring, server).repaired == 0
    counts = scrub(ring, other)
    assert (counts.repaired, counts.left) == (0, 10)
    seen = pack_copies([ring.copy(INO, 7, P)[0], ring.copy(INO, 7, S)[0]])
    # Not StaleTicket, for whoever asks knows of the cut: a client would ask meta anew, and again, until the neighbour was told.
    assert ring.call(server, Mend(Ino(INO), Ticket(9), P, BlockNo(7), 1, seen)).repaired == 0
    assert ring.state_of(INO, 7, P) is CopyState.ABSENT
    with pytest.raises(StaleTicket):
        ring.call(server, Mend(Ino(INO), Ticket(8), P, BlockNo(7), 1, seen))


def test_nothing_is_taken_before_a_cut_that_the_neighbour_knows_of_has_come_here_too() -> None:
    ring = ring_with_file()
    server, other = ring.servers_of(INO, 7)[P], ring.servers_of(INO, 7)[S]
    cut = Cut(20 * 512, Ticket(9))
    ring.clean(other, INO, cut)  # this server did not hear of it
    put_one(ring, 7, S, generation(10), block(7, 1))
    seen = pack_copies([ring.copy(INO, 7, P)[0], ring.copy(INO, 7, S)[0]])
    mend = Mend(Ino(INO), Ticket(9), P, BlockNo(7), 1, seen)
    assert ring.call(server, mend).repaired == 0
    ring.clean(server, INO, cut)
    assert ring.call(server, mend).repaired == 1
    assert ring.copy(INO, 7, P)[1] == block(7, 1)


def test_nothing_is_stored_that_a_cut_voided_after_the_neighbour_was_asked() -> None:
    ring = ring_with_file()
    put_one(ring, 31, P, generation(6), block(31))  # never arrived at the other server
    server = ring.servers_of(INO, 31)[S]
    for index in ring.indexes:
        ring.call(index, Fence(Ino(INO), Ticket(9), ()))  # so that the clean does not raise the floor
    cleaned: list[Request[object]] = []

    def clean(request: Request[object]) -> None:
        if isinstance(request, Get) and request.send:
            ring.on_the_way = lambda request: None
            cleaned.append(request)
            ring.clean(server, INO, Cut(3 * 512, Ticket(9)))

    ring.on_the_way = clean
    scrub(ring, ring.servers_of(INO, 31)[P])
    assert cleaned
    assert ring.state_of(INO, 31, S) is CopyState.ABSENT


def test_clean_during_which_something_was_taken_from_a_neighbour_does_not_count() -> None:
    ring = ring_with_file()
    identification = ring.service(1)._identification
    cleaning = ring.service(1)._blocks.cleaning  # type: ignore[union-attr]
    real = cleaning._syncing.sync

    def sync(ino: Ino) -> None:
        identification.note_taking()
        real(ino)

    cleaning._syncing.sync = sync  # type: ignore[method-assign]
    with pytest.raises(NotTrusted):
        ring.clean(1, INO, Cut(3 * 512, Ticket(9)))
    cleaning._syncing.sync = real  # type: ignore[method-assign]
    assert ring.clean(1, INO, Cut(3 * 512, Ticket(9))).doubts == ring.identity(1).doubts


def test_removed_file_is_not_taken_back_from_a_neighbour_that_was_away() -> None:
    ring = ring_with_file()
    ring.call(1, Drop((Ino(INO),)))
    for index in ring.indexes:
        assert scrub(ring, index).repaired == 0
    assert ring.call(1, ListInodes(Ino(0), 10)).inos == ()


def test_file_of_which_nothing_is_here_is_taken_when_the_neighbour_still_has_it_a_minute_later() -> None:
    ring = ring_with_file(blocks=0)
    put_one(ring, 7, P, generation(5), block(7))  # the other server had it too, and lost its disk before this one was there
    holder, other = (ring.servers_of(INO, 7)[role] for role in (P, S))
    assert scrub(ring, holder).left == 1
    ring.clock.advance(UNKNOWN_S)
    assert scrub(ring, holder).repaired == 1
    assert ring.copy(INO, 7, S)[1] == block(7)
    ring.call(other, Drop((Ino(INO),)))
    assert scrub(ring, holder).left == 1


def test_half_executed_cut_of_one_block_is_not_taken_for_damage() -> None:
    ring = ring_with_file()
    for index in ring.indexes:
        ring.call(index, Fence(Ino(INO), Ticket(9), ()))
    server = ring.servers_of(INO, 7)[P]
    ring.clean(server, INO, Cut(7 * 512 + 100, Ticket(9)))
    number = order(ring, server, INO)
    counts = run(ring, server, number)
    assert counts.damaged == 0
    assert counts.left


# --- neighbours ------------------------------------------------------------------------------------------------------------


def test_neighbour_that_is_away_is_left_for_the_next_pass_and_own_records_are_read_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "dfs.data.scrub.neighbour_watch")
    ring = ring_with_file(blocks=3 * 600)
    server = rot(ring, 7, P)
    away = ring.servers_of(INO, 7)[S]
    ring.down.add(away)
    counts = scrub(ring, server)
    assert counts.blocks == 1200
    assert counts.left == 600
    assert counts.repaired == 0
    assert told(ring, CORRUPT_RECORD) == [(INO, 7)]
    assert len(caplog.records) == 1
    assert "not compared" in caplog.text
    ring.down.clear()
    ring.clock.advance(10)
    counts = scrub(ring, server)
    assert (counts.left, counts.repaired) == (0, 1)
    assert len(caplog.records) == 2
    assert "compared again" in caplog.records[1].message


def test_role_that_is_not_complete_compares_nothing_and_says_so() -> None:
    ring = ring_with_file()
    ring.power_cut(1, keep=lambda: True)
    assert ring.states(1) == (RoleState.SUSPECT, RoleState.SUSPECT)
    rot(ring, 1, next(role for role, server in ring.servers_of(INO, 1).items() if server == 1))
    number = order(ring, 1)
    ring.service(1)._scrubbing.step()
    assert "suspect here" in status(ring, 1).trouble
    counts = run(ring, 1, number)
    assert counts.left == counts.blocks
    assert not counts.repaired
    number = order(ring, 0)  # nor does its neighbour believe it
    while "on server 1 are suspect" not in status(ring, 0).trouble:
        ring.clock.advance(ring.service(0)._scrubbing.step())
    counts = run(ring, 0, number)
    assert counts.left
    assert not counts.repaired


# --- pace, place and time ---------------------------------------------------------------------------------------------------


def test_scrub_reads_no_faster_than_set() -> None:
    ring = ring_with_file(2, blocks=6000)
    began_s = ring.clock.monotonic_s()
    number = order(ring, 0)
    read = 0
    for _ in range(STEPS_MAX):
        for _ in range(3):
            delay_s = ring.service(0)._scrubbing.step()  # also if it is asked too early
        blocks = ring.service(0)._scrubbing.show(number).counts.blocks
        read = blocks * 528
        batch = BLOCKS_MAX * 528
        assert read <= (ring.clock.monotonic_s() - began_s) * SCRUB_BYTES_PER_S + batch
        if ring.service(0)._scrubbing.show(number).is_done:
            break
        ring.clock.advance(delay_s)
    assert blocks == 6000
    took_s = ring.clock.monotonic_s() - began_s
    assert took_s < 2 * read / SCRUB_BYTES_PER_S + 1


def test_pace_that_is_set_while_a_pass_runs_counts_from_the_next_batch_on() -> None:
    ring = ring_with_file(2, blocks=6000)
    number = order(ring, 0)
    ring.service(0).set_scrub_pace(SCRUB_BYTES_PER_S // 10)
    began_s = ring.clock.monotonic_s()
    run(ring, 0, number)
    assert ring.clock.monotonic_s() - began_s > 5 * 6000 * 528 / SCRUB_BYTES_PER_S


def test_pace_of_nought_begins_no_pass_and_status_says_that_scrubbing_is_off() -> None:
    ring = ring_with_file(2)
    ring.service(0).set_scrub_pace(0)
    ring.clock.advance(ring.service(0)._scrubbing.step())
    assert not status(ring, 0).is_on
    assert not status(ring, 0).is_running


def test_small_files_keep_to_a_pace_too() -> None:
    ring = Ring(2)
    for ino in range(1, 101):
        ring.put(ino, 0, generation(5), b"x")
    began_s = ring.clock.monotonic_s()
    assert scrub(ring, 0).blocks == 100
    assert ring.clock.monotonic_s() - began_s >= 99 * EXCHANGE_BYTES / SCRUB_BYTES_PER_S


def test_cost_of_a_pass_is_one_call_per_batch_and_now_and_then_one_for_the_neighbour_itself() -> None:
    ring = ring_with_file(2, blocks=4000)
    ring.asked.clear()
    scrub(ring, 0)
    assert calls_of(ring, Get) == 2 * -(-2000 // (128 * 1024 // 528))
    assert calls_of(ring, Identify) <= 4


def test_scrub_goes_on_after_a_restart_where_the_cursor_was_saved() -> None:
    ring = ring_with_file(2, blocks=6000, ino=1)
    order(ring, 0)
    ring.service(0)._scrubbing.step()
    ring.service(0)._scrubbing._saved_s = ring.clock.monotonic_s() - SAVE_INTERVAL_S + 0.15
    while status(ring, 0).percent < 60:
        ring.clock.advance(ring.service(0)._scrubbing.step())
    done = status(ring, 0).counts.blocks
    ring.start(0)
    for _ in range(STEPS_MAX):
        ring.clock.advance(ring.service(0)._scrubbing.step())
        if status(ring, 0).is_running:
            break
        assert ring.clock.monotonic_s() < 2000
    resumed = status(ring, 0).counts.blocks
    assert 1000 < resumed <= done
    while status(ring, 0).is_running:
        ring.clock.advance(ring.service(0)._scrubbing.step())
    assert status(ring, 0).counts.blocks == 6000  # none left out, none twice
    assert status(ring, 0).last_pass_ns > 0


def test_cursor_that_cannot_be_read_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    ring = ring_with_file()
    ring.disks[ring.indexes[0]].replace("scrub", b"{")
    ring.start(0)
    assert "scrubbing begins anew" in caplog.text
    assert scrub(ring, 0).blocks == 20


def test_passes_begin_by_themselves_a_day_after_the_last_one_and_status_tells_when_it_ended() -> None:
    ring = ring_with_file()
    scrubbing = ring.service(0)._scrubbing
    scrubbing.step()
    ring.clock.advance(DAY_S - 1)
    scrubbing.step()
    assert status(ring, 0).is_running is False
    ring.clock.advance(2)
    scrubbing.step()
    shown = status(ring, 0)
    assert shown.is_running
    for _ in range(100):
        ring.clock.advance(scrubbing.step())
    shown = status(ring, 0)
    assert not shown.is_running
    assert 0 <= ring.clock.wall_ns() - shown.last_pass_ns < 120 * 10**9
    assert shown.counts.blocks == 20
    assert len(told(ring, SCRUB_FINISHED)) == 1


def test_clock_that_is_set_back_before_the_first_start_leads_to_one_pass_at_most_and_the_next_a_day_later() -> None:
    ring = ring_with_file()
    scrub(ring, 0)
    ring.clock.set_wall(-30 * DAY_S)
    for _ in range(200):
        ring.clock.advance(ring.service(0)._scrubbing.step())
    assert len(told(ring, SCRUB_FINISHED)) <= 2
    assert not status(ring, 0).is_running
    ring.clock.advance(DAY_S + 1)
    ring.service(0)._scrubbing.step()
    assert status(ring, 0).is_running


def test_alarm_comes_again_after_the_clock_was_set_back_to_before_the_last_one() -> None:
    ring = ring_with_file()
    scrubbing = ring.service(0)._scrubbing
    scrub(ring, 0)
    scrubbing._comparing.look = stuck  # type: ignore[union-attr,method-assign]
    scrubbing._free_s = float("inf")
    ring.clock.advance(PASS_NS_MAX / 1e9 + 10)
    scrubbing.step()
    ring.clock.set_wall(-100 * DAY_S)
    scrubbing.step()
    ring.clock.advance(PASS_NS_MAX / 1e9 + 10)
    scrubbing.step()
    assert len(ring.events[ring.indexes[0]].of(SCRUB_LATE)) == 2


def test_status_tells_percent_rate_and_time_left() -> None:
    ring = ring_with_file(2, blocks=6000, ino=1)
    order(ring, 0)
    while status(ring, 0).percent < 30:
        ring.clock.advance(ring.service(0)._scrubbing.step())
    shown = status(ring, 0)
    assert shown.is_on
    assert 0.5 * SCRUB_BYTES_PER_S < shown.bytes_per_s <= 1.1 * SCRUB_BYTES_PER_S
    assert shown.left_s is not None
    assert 0 < shown.left_s < 5


def test_alarm_when_no_full_pass_has_ended_for_14_days_and_once_only() -> None:
    ring = ring_with_file()
    scrubbing = ring.service(0)._scrubbing
    scrub(ring, 0)
    scrubbing._comparing.look = stuck  # type: ignore[union-attr,method-assign]
    scrubbing._free_s = float("inf")
    ring.clock.advance(PASS_NS_MAX / 1e9 - 10)
    scrubbing.step()
    assert not told(ring, SCRUB_LATE)
    ring.clock.advance(20)
    scrubbing.step()
    ring.clock.advance(DAY_S)
    scrubbing.step()
    (event,) = ring.events[ring.indexes[0]].of(SCRUB_LATE)
    assert "14 days" in event.message()


def stuck(ctx: object, batch: object) -> object:
    raise AssertionError("nothing is read")


# --- orders ----------------------------------------------------------------------------------------------------------------


def test_scrub_of_one_file_looks_at_that_alone_and_goes_before_the_pass() -> None:
    ring = ring_with_file(2, blocks=600)
    ring.write_file(INO + 1, [block(number) for number in range(10)], generation(5))
    everything = order(ring, 0)
    ring.service(0)._scrubbing.step()
    ring.clock.advance(1)
    counts = scrub(ring, 0, INO + 1)
    assert counts.blocks == 10
    assert not ring.service(0)._scrubbing.show(everything).is_done
    assert run(ring, 0, everything).blocks == 610


def test_file_that_was_asked_for_after_everything_goes_before_it() -> None:
    ring = ring_with_file(2, blocks=600)
    everything, file = order(ring, 0), order(ring, 0, INO)
    run(ring, 0, file)
    assert ring.service(0)._scrubbing.show(everything).counts.blocks == 0


def test_order_of_everything_during_a_pass_begins_it_anew_and_ends_both() -> None:
    ring = ring_with_file(2, blocks=3000)
    first = order(ring, 0)
    for _ in range(5):
        ring.clock.advance(ring.service(0)._scrubbing.step())
    second = order(ring, 0)
    assert run(ring, 0, second).blocks == 3000
    assert ring.service(0)._scrubbing.show(first).is_done


def test_order_of_an_earlier_process_is_unknown() -> None:
    ring = ring_with_file()
    number = order(ring, 0)
    ring.clock.advance(1)
    ring.start(0)
    with pytest.raises(BadRequest):
        ring.call(0, ShowScrub(number))


def test_damaged_request_to_mend_is_refused() -> None:
    ring = ring_with_file()
    bad: list[Callable[[], object]] = [
        lambda: ring.call(0, Mend(Ino(0), Ticket(0), P, BlockNo(0), 1, b"")),
        lambda: ring.call(0, Mend(Ino(INO), Ticket(0), P, BlockNo(0), 1, b"x")),
        lambda: ring.call(0, Mend(Ino(INO), Ticket(0), P, BlockNo(0), 2, b"\0" * 40)),
        lambda: ring.call(0, Mend(Ino(INO), Ticket(0), P, BlockNo(0), 1, b"\xff" * 40)),
    ]
    for call in bad:
        with pytest.raises(BadRequest):
            call()
