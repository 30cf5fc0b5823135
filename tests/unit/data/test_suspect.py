"""Goal: a server whose machine stopped without warning vouches for nothing until it has compared what may be missing with its
neighbours, and then has everything that was acknowledged (I1, I3, I4, I5, design section 8).

Method: all servers of a file system in one process, on disks in memory that lose what was not synced; the background work moves
step by step, and neighbours are killed, robbed of their disks, and struck by the same power cut.
"""

from __future__ import annotations

import json
import random

import pytest

from dfs.core.choose import Verdict
from dfs.core.cuts import Cut
from dfs.core.errors import NotTrusted, Unreachable
from dfs.core.events.data_server import DATA_LOST, JOURNAL_DAMAGED, REBUILD_FINISHED, REBUILD_STARTED, UNCLEAN_START
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.messages.blocks import CopyState, Drop, ListInodes, Sync
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify, ShowData
from dfs.core.messages.rebuild import AskMoment, Pull
from dfs.core.placement import Role
from dfs.data.disk import change_log
from dfs.data.rebuild.role_rebuild import SAVE_INTERVAL_S
from tests.unit.data.one_server import P, S, generation
from tests.unit.data.ring import BLOCK_SIZE, Ring

COMPLETE = (RoleState.COMPLETE, RoleState.COMPLETE)
SUSPECT = (RoleState.SUSPECT, RoleState.SUSPECT)
OLD, NEW = generation(5), generation(8)


def blocks_of(count: int, salt: int) -> list[bytes]:
    """Return the blocks of a file, all different."""
    return [bytes([salt, block % 256]) * (BLOCK_SIZE // 2) for block in range(count)]


def seen(ring: Ring, ino: int, count: int, role: Role) -> list[bytes]:
    """Return what the servers of one role by themselves have of a file."""
    return [ring.copy(ino, block, role)[1] for block in range(count)]


def synced(n: int = 3, inos: int = 4, count: int = 24) -> Ring:
    """Return a ring with files that are known to be synced everywhere."""
    ring = Ring(n)
    for ino in range(2, 2 + inos):
        ring.write_file(ino, blocks_of(count, ino), OLD)
    ring.sync_all()
    return ring


def quiet(ring: Ring) -> None:
    """Let some time pass in which only small files are written, and everything is synced."""
    for number in range(3):
        ring.write_file(90, blocks_of(6, 90), generation(20 + number))
        ring.sync_all()


def compared_bytes(ring: Ring, index: int) -> int:
    """Return how much a server was handed when it compared itself, in both roles."""
    finished = ring.events[ServerIndex(index)].of(REBUILD_FINISHED)
    return sum(int(str(event.details["progress"]).split()[0].replace(",", "")) for event in finished)


def compared_up_to(ring: Ring, index: int) -> int:
    """Return the inode at which a server goes on to compare its primary strips after a kill."""
    return int(json.loads(ring.disks[ServerIndex(index)].read("rebuild"))["primary"]["ino"])


def first_block_of(ring: Ring, ino: int, server: int, role: Role) -> int:
    return next(block for block in range(ring.n) if ring.servers_of(ino, block)[role] == server)


# --- suspect in everything -------------------------------------------------------------------------------------------------


def test_machine_that_stopped_makes_its_server_suspect_until_it_has_compared_itself() -> None:
    ring = synced()
    ring.power_cut(0)
    assert ring.states(0) == SUSPECT
    assert [event.details["what"] for event in ring.events[ServerIndex(0)].of(UNCLEAN_START)] == ["the machine stopped"]
    with pytest.raises(NotTrusted):
        ring.call(0, Sync(Ino(2)))
    assert "suspect" in ring.service(0).status()
    assert "suspect" in ring.call(0, ShowData()).progress
    assert ring.identity(0).doubts == 1
    ring.start(0)  # killed: the disk remembers that it is suspect
    assert ring.states(0) == SUSPECT
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE
    ring.call(0, Sync(Ino(2)))
    events = ring.events[ServerIndex(0)]
    assert {event.details["state"] for event in events.of(REBUILD_FINISHED)} == {"complete"}
    assert len(events.of(REBUILD_STARTED)) == len(events.of(REBUILD_FINISHED)) == 2
    ring.start(0)
    assert ring.states(0) == COMPLETE


@pytest.mark.parametrize("is_clean", [True, False])
def test_stop_that_lost_nothing_makes_nobody_suspect(is_clean: bool) -> None:
    ring = synced()
    if is_clean:
        ring.service(0).stop()
        ring.boots[ServerIndex(0)] += 1
    ring.start(0)
    assert ring.states(0) == COMPLETE


def test_suspect_server_says_undecided_for_what_it_lacks_and_doubts_what_it_has() -> None:
    ring = synced()
    mine = {role: first_block_of(ring, 2, 0, role) for role in Role}
    hole = mine[P] + 30 * ring.n
    ring.power_cut(0)
    assert ring.state_of(2, mine[P], P) is CopyState.DOUBTED
    assert ring.state_of(2, hole, P) is CopyState.UNDECIDED
    assert ring.choice(2, mine[P]).verdict is Verdict.COPY
    assert ring.choice(2, hole).verdict is Verdict.HOLE  # the other server is complete, and has none
    ring.down.add(1)
    assert ring.choice(2, mine[P]).verdict is Verdict.WAIT
    assert ring.choice(2, hole).verdict is Verdict.WAIT
    ring.down.clear()
    ring.power_cut(1)
    assert ring.choice(2, mine[P]).verdict is Verdict.COPY
    assert ring.choice(2, hole).verdict is Verdict.WAIT
    ring.rebuild()
    assert ring.choice(2, hole).verdict is Verdict.HOLE


def test_suspect_server_takes_puts_and_keeps_them() -> None:
    ring = synced()
    ring.power_cut(0)
    ring.write_file(2, blocks_of(24, 99), NEW)
    assert ring.states(0) == SUSPECT
    ring.rebuild()
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 99)


# --- what comes back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
def test_everything_that_a_power_cut_took_comes_back_from_the_neighbours(n: int) -> None:
    ring = synced(n)
    ring.write_file(2, blocks_of(24, 77), NEW)
    ring.write_file(3, blocks_of(60, 88), NEW)
    ring.write_file(70, blocks_of(30, 70), NEW)
    ring.power_cut(0)
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 77)
        assert seen(ring, 3, 60, role) == blocks_of(60, 88)
        assert seen(ring, 70, 30, role) == blocks_of(30, 70)
        assert seen(ring, 4, 24, role) == blocks_of(24, 4)
    assert not ring.events[ServerIndex(0)].of(DATA_LOST)


def test_only_strips_that_changed_since_the_last_sync_are_compared() -> None:
    ring = synced(count=400)
    quiet(ring)
    ring.write_file(3, blocks_of(6, 33), NEW)
    ring.power_cut(0)
    ring.rebuild(0)
    whole_strips = sum(len(block) for block in blocks_of(400, 3)) * 2 // 3
    assert 0 < compared_bytes(ring, 0) <= whole_strips + 6 * BLOCK_SIZE


@pytest.mark.parametrize("is_clean", [True, False])
def test_neighbour_that_was_restarted_meanwhile_still_knows_what_changed(is_clean: bool) -> None:
    ring = synced(count=400)
    quiet(ring)
    ring.write_file(3, blocks_of(6, 33), NEW)
    ring.checkpoint(1)
    ring.write_file(4, blocks_of(6, 44), NEW)
    for neighbour in (1, 2):
        if is_clean:
            ring.service(neighbour).stop()
        ring.start(neighbour)
    ring.power_cut(0)
    ring.rebuild(0)
    assert 0 < compared_bytes(ring, 0) <= 2 * sum(len(block) for block in blocks_of(400, 3)) * 2 // 3 + 6 * BLOCK_SIZE
    for role in Role:
        assert seen(ring, 3, 6, role) == blocks_of(6, 33)
        assert seen(ring, 4, 6, role) == blocks_of(6, 44)


@pytest.mark.parametrize("damage", ["lost", "rotten", "overflown"])
def test_neighbour_that_does_not_know_what_changed_hands_over_everything(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = synced()
    ring.write_file(3, blocks_of(24, 33), NEW)
    if damage == "overflown":
        monkeypatch.setattr(change_log, "STRIPS_MAX", 1)
        for ino in range(2, 6):
            ring.write_file(ino, blocks_of(24, ino + 90), generation(9))
    for neighbour in (1, 2):
        ring.checkpoint(neighbour)
        ring.checkpoint(neighbour)
        if damage == "lost":
            ring.disks[ServerIndex(neighbour)].remove("changes")
        elif damage == "rotten":
            ring.disks[ServerIndex(neighbour)].flip("changes", 30)
        if damage != "overflown":
            ring.start(neighbour)
    ring.power_cut(0)
    ring.rebuild(0)
    assert compared_bytes(ring, 0) >= sum(len(block) for ino in range(2, 6) for block in blocks_of(24, ino)) * 2 // 3
    assert not ring.differences(3, 24)
    assert ring.states(0) == COMPLETE


def test_server_that_never_synced_anything_compares_everything() -> None:
    ring = Ring(3)
    ring.write_file(2, blocks_of(24, 2), OLD)
    ring.power_cut(0)
    ring.rebuild(0)
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 2)


def test_put_that_reaches_one_server_after_its_moment_and_the_other_one_before_is_compared() -> None:
    ring = synced(2)
    block = first_block_of(ring, 2, 0, P)
    ring.clock.advance(10)
    ring.call(1, AskMoment())  # a tick begins
    ring.put_run(9, P, first_block_of(ring, 9, 0, P), OLD, [b"something to sync"])
    ring.clock.advance(4)
    ring.put_run(2, S, block, NEW, [b"late"])
    ring.clock.advance(2)
    ring.step(0, P)  # asks
    ring.checkpoint(0)
    ring.step(0, P)
    ring.clock.advance(1)
    ring.put_run(2, P, block, NEW, [b"late"])
    ring.power_cut(0)
    assert ring.copy(2, block, P)[1] != b"late"
    ring.rebuild(0)
    assert ring.copy(2, block, P)[1] == b"late"


def test_moment_counts_only_after_a_sync_that_began_behind_it() -> None:
    ring = synced(2)
    ring.write_file(2, blocks_of(24, 55), NEW)
    for _ in range(3):
        ring.clock.advance(6)
        ring.call(1, AskMoment())
    for _ in range(3):
        for role in Role:
            ring.step(0, role)
    ring.power_cut(0)
    ring.rebuild(0)
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 55)


def test_server_with_nothing_new_asks_its_neighbours_nothing() -> None:
    ring = synced()
    ring.asked.clear()
    for _ in range(3):
        ring.sync_all()
    assert not ring.asked


# --- what stays gone -------------------------------------------------------------------------------------------------------


def test_what_was_truncated_and_removed_does_not_come_back() -> None:
    ring = synced()
    cut = Cut(5 * BLOCK_SIZE, Ticket(20))
    for index in ring.indexes:
        ring.clean(index, 2, cut)
        ring.call(index, Drop((Ino(3),)))
    ring.power_cut(0)
    ring.rebuild(0)
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 2)[:5] + [b""] * 19
        assert seen(ring, 3, 24, role) == [b""] * 24
    assert Ino(3) not in ring.call(0, ListInodes(Ino(0), 100)).inos


def test_newer_bytes_of_the_suspect_server_itself_are_kept() -> None:
    ring = synced()
    block = first_block_of(ring, 2, 0, P)
    ring.put_run(2, P, block, NEW, [b"here alone"])
    ring.call(0, Sync(Ino(2)))
    ring.power_cut(0)
    ring.rebuild(0)
    assert ring.copy(2, block, P)[1] == b"here alone"


# --- the neighbours have troubles of their own -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_power_cut_of_all_machines_keeps_what_was_synced_and_ends_with_equal_copies(n: int, seed: int) -> None:
    chance = random.Random(f"{n}/{seed}")
    ring = synced(n)
    ring.write_file(3, blocks_of(24, 33), NEW)
    for index in ring.indexes:
        ring.call(index, Sync(Ino(3)))
    ring.write_file(4, blocks_of(50, 44), NEW)
    ring.write_file(80, blocks_of(60, 80), NEW)
    ring.power_cut(*ring.indexes, keep=lambda: chance.random() < 0.6)
    assert {ring.states(index) for index in ring.indexes} == {SUSPECT}
    ring.rebuild()
    assert {ring.states(index) for index in ring.indexes} == {COMPLETE}
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 2)
        assert seen(ring, 3, 24, role) == blocks_of(24, 33)
    for ino, allowed in ((4, blocks_of(50, 44) + blocks_of(50, 4)), (80, blocks_of(60, 80))):
        assert not ring.differences(ino, 60)
        for block in range(60):
            assert ring.read(ino, block) in (b"", *allowed), (ino, block)
    assert not any(ring.events[index].of(DATA_LOST) for index in ring.indexes)


def test_suspect_server_waits_for_a_neighbour_that_is_away_and_goes_on_when_it_is_back() -> None:
    ring = synced()
    ring.write_file(2, blocks_of(24, 77), NEW)
    ring.down.add(1)
    ring.power_cut(0)
    ring.rebuild(0)
    assert ring.states(0) == (RoleState.SUSPECT, RoleState.COMPLETE)
    assert "connection refused" in ring.call(0, ShowData()).progress
    with pytest.raises(NotTrusted):
        ring.call(0, Sync(Ino(2)))
    with pytest.raises(Unreachable):
        ring.call(1, Identify())
    ring.down.clear()
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 77)


@pytest.mark.parametrize("n", [2, 3])
def test_neighbour_that_lost_its_disk_has_no_say_and_is_rebuilt_from_the_suspect_server(n: int) -> None:
    ring = synced(n)
    ring.power_cut(0)
    ring.lose_disk(1)
    ring.rebuild()
    assert {ring.states(index) for index in ring.indexes} == {COMPLETE}
    for ino in range(2, 6):
        for role in Role:
            assert seen(ring, ino, 24, role) == blocks_of(24, ino)


def test_second_power_cut_while_it_compares_makes_it_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfs.data.rebuild.role_rebuild.PULL_BYTES", 2048)
    monkeypatch.setattr("dfs.data.rebuild.role_rebuild.SAVE_INTERVAL_S", 0.0)
    ring = synced()
    for ino in range(2, 6):
        ring.write_file(ino, blocks_of(24, ino + 90), NEW)
    ring.power_cut(0)
    for _ in range(100):
        ring.step(0, P)
        if ring.disks[ServerIndex(0)].names("rebuild") and compared_up_to(ring, 0) >= 4:
            break
    assert compared_up_to(ring, 0) >= 4
    ring.write_file(2, blocks_of(24, 88), generation(9))  # behind the cursor
    ring.power_cut(0)
    ring.rebuild(0)
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 88)
        assert seen(ring, 5, 24, role) == blocks_of(24, 95)


def test_kill_while_it_compares_does_not_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfs.data.rebuild.role_rebuild.PULL_BYTES", 2048)
    monkeypatch.setattr("dfs.data.rebuild.role_rebuild.SAVE_INTERVAL_S", 0.0)
    ring = synced()
    quiet(ring)
    for ino in range(2, 6):
        ring.write_file(ino, blocks_of(24, ino + 90), NEW)
    ring.power_cut(0)
    for _ in range(6):
        ring.step(0, P)
    ring.start(0)
    ring.asked.clear()
    ring.rebuild(0)
    pulls = [request for server, request in ring.asked if isinstance(request, Pull) and request.role is S]
    assert pulls[0].ino > 2
    assert pulls[0].since > 0
    for ino in range(2, 6):
        for role in Role:
            assert seen(ring, ino, 24, role) == blocks_of(24, ino + 90)


def test_journal_that_rots_after_its_sync_is_not_taken_for_torn_by_the_power_cut_that_follows() -> None:
    ring = synced()
    for ino in (70, 71):
        ring.write_file(ino, blocks_of(3, ino), NEW)
    ring.clock.advance(6)
    for role in Role:
        ring.step(0, role)  # asks for the moment
    blocks = ring.service(0)._blocks
    assert blocks is not None
    blocks.checkpoint.run_if_due(ring.clock.monotonic_s())  # puts nothing in place yet
    for role in Role:
        ring.step(0, role)  # notes it
    disk = ring.disks[ServerIndex(0)]
    (segment,) = [name for name in disk.names("journal/") if disk.read(name)]
    disk.flip(segment, 8)
    ring.power_cut(0)
    assert len(ring.events[ServerIndex(0)].of(JOURNAL_DAMAGED)) == 1
    ring.rebuild(0)
    for role in Role:
        assert seen(ring, 70, 3, role) == blocks_of(3, 70)
        assert seen(ring, 71, 3, role) == blocks_of(3, 71)


@pytest.mark.parametrize("is_in_place", [False, True])
@pytest.mark.parametrize("offset", [3 * BLOCK_SIZE, 2 * BLOCK_SIZE + 100, 4 * BLOCK_SIZE + 100])
def test_cut_whose_traces_rot_in_the_journal_is_not_undone(offset: int, is_in_place: bool) -> None:
    ring = synced()
    ring.write_file(70, blocks_of(6, 70), OLD)
    if is_in_place:
        ring.sync_all()
    disk = ring.disks[ServerIndex(0)]
    segment = max(disk.names("journal/"))
    whole = len(disk.read(segment))
    for index in ring.indexes:
        ring.clean(index, 70, Cut(offset, Ticket(9)))
    for at in range(whole, len(disk.read(segment)), 20):
        disk.flip(segment, at)
    ring.start(0)
    assert len(ring.events[ServerIndex(0)].of(JOURNAL_DAMAGED)) == 1
    assert not any(any(seen(ring, 70, 6, role)[offset // BLOCK_SIZE + 1 :]) for role in Role)
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE
    left = b"".join(blocks_of(6, 70))[:offset]
    for role in Role:
        assert b"".join(seen(ring, 70, 6, role)) == left
    assert not ring.differences(70, 6)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("steps", [1, 4])
def test_journal_that_rots_while_a_server_compares_itself_makes_it_compare_anew(n: int, steps: int) -> None:
    ring = synced(n)
    for ino in range(2, 26):
        ring.write_file(ino, blocks_of(400, ino), NEW)
    ring.power_cut(0)
    for _ in range(steps):
        ring.clock.advance(SAVE_INTERVAL_S + 1)
        for role in Role:
            ring.step(0, role)
    assert ring.states(0) == SUSPECT
    ring.write_file(2, blocks_of(2, 99), generation(9))  # was already compared, or not yet
    disk = ring.disks[ServerIndex(0)]
    segment = max(name for name in disk.names("journal/") if disk.read(name))
    disk.flip(segment, len(disk.read(segment)) - 1)
    ring.start(0)
    assert len(ring.events[ServerIndex(0)].of(JOURNAL_DAMAGED)) == 1
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE
    for role in Role:
        assert seen(ring, 2, 2, role) == blocks_of(2, 99)


# --- the disk --------------------------------------------------------------------------------------------------------------


def test_full_disk_that_can_not_note_the_doubt_leaves_it_to_the_next_start() -> None:
    ring = synced()
    disk = ring.disks[ServerIndex(0)]
    disk.free_bytes = 0
    ring.power_cut(0)
    assert ring.states(0) == SUSPECT
    ring.start(0)
    assert ring.states(0) == SUSPECT
    ring.service(0).stop()
    ring.start(0)
    assert ring.states(0) == SUSPECT
    disk.free_bytes = None
    ring.start(0)
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE


@pytest.mark.parametrize("size_bytes", [0, 5, 20, 60])
def test_moments_that_can_not_be_read_mean_that_all_is_compared(size_bytes: int) -> None:
    ring = synced()
    ring.write_file(2, blocks_of(24, 77), NEW)
    ring.disks[ServerIndex(0)].cut_off("synced", size_bytes)
    ring.power_cut(0)
    ring.rebuild(0)
    for role in Role:
        assert seen(ring, 2, 24, role) == blocks_of(24, 77)


# --- the log of changes by itself ------------------------------------------------------------------------------------------


def test_ticks_told_before_a_kill_are_below_those_told_after_it() -> None:
    ring = synced()
    told = []
    for _ in range(5):
        ring.clock.advance(6)
        told.append(ring.call(1, AskMoment()).tick)
        ring.start(1)
    assert told == sorted(set(told))


def test_tick_lasts_as_long_as_the_two_copies_of_a_block_may_be_apart() -> None:
    ring = synced()
    first = ring.call(1, AskMoment())
    ring.clock.advance(4.9)
    assert ring.call(1, AskMoment()) == first
    ring.clock.advance(0.2)
    assert ring.call(1, AskMoment()).tick == first.tick + 1
