"""Goal: a server whose disk was lost gets all of it back from its neighbours, undoes nothing newer, and never calls absent what it
does not know (R7, I3, I4, I5).

Method: all servers of a file system in one process, on disks in memory; the background work moves step by step, and servers are
killed, taken down and robbed of their disks in between.
"""

from __future__ import annotations

import pytest

from dfs.core.choose import Verdict
from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, NotFormatted, NotTrusted, StaleTicket
from dfs.core.events.data_server import DATA_LOST, DISK_FAILED, REBUILD_FINISHED, REBUILD_PROGRESS, REBUILD_STARTED
from dfs.core.events.wire import SERVER_REFUSED
from dfs.core.ids import BlockNo, Ino, ServerIndex, Ticket
from dfs.core.messages.blocks import CopyState, Drop, Fence, Get, ListInodes, Run, Sync
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import ShowData
from dfs.core.messages.rebuild import AcceptLoss, ListFloors, Pull
from dfs.core.placement import Role, twin_of
from dfs.data.rebuild import role_rebuild
from dfs.data.rebuild.role_rebuild import Course, course_of
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import P, S, generation
from tests.unit.data.ring import BLOCK_SIZE, Ring

COMPLETE = (RoleState.COMPLETE, RoleState.COMPLETE)
REBUILDING = (RoleState.REBUILDING, RoleState.REBUILDING)


def blocks_of(count: int, salt: int = 0, last: int = BLOCK_SIZE) -> list[bytes]:
    """Return the blocks of a file, all different."""
    blocks = [bytes([salt, block % 256, block // 256]) * 200 for block in range(count)]
    return [block[:BLOCK_SIZE] for block in blocks[:-1]] + [blocks[-1][:last]]


def filled(n: int, inos: int = 3, count: int = 40) -> Ring:
    """Return a ring with some files: large ones, a one-block one, and one inode with a floor and no blocks."""
    ring = Ring(n)
    for ino in range(2, 2 + inos):
        ring.write_file(ino, blocks_of(count, ino, last=100), generation(5))
    ring.write_file(50, [b"tiny"], generation(6))
    for index in ring.indexes:
        ring.call(index, Fence(Ino(60), Ticket(77), ()))
    return ring


def assert_all_there(ring: Ring, inos: int = 3, count: int = 40) -> None:
    for ino in range(2, 2 + inos):
        expected = blocks_of(count, ino, last=100)
        assert [ring.read(ino, block) for block in range(count)] == expected
        assert not ring.differences(ino, count + ring.n)
    assert ring.read(50, 0) == b"tiny"


# --- who am I ----------------------------------------------------------------------------------------------------------


def test_blank_server_with_formatted_neighbours_is_again_who_it_was_on_a_new_disk() -> None:
    ring = filled(4)
    before = ring.identity(1)
    ring.service(0)._identification.note_mark(900)
    ring.lose_disk(1)
    assert ring.states(1) == (RoleState.BLANK, RoleState.BLANK)
    ring.step(1, P)
    after = ring.identity(1)
    assert (after.shape, after.index) == (before.shape, before.index)
    assert after.disk != before.disk
    assert after.mark == 900
    assert ring.states(1) == REBUILDING


def test_blank_server_with_blank_neighbours_waits_to_be_formatted() -> None:
    ring = Ring(3, is_formatted=False)
    ring.rebuild()
    assert [ring.identity(index).shape.cluster for index in ring.indexes] == ["", "", ""]


def test_blank_server_beside_prepared_neighbours_waits_until_they_are_formatted() -> None:
    from dfs.core.messages.data_server import CommitFormat, PrepareFormat

    ring = Ring(3, is_formatted=False)
    for index in (0, 1):
        ring.call(index, PrepareFormat(ring.shape, ServerIndex(index)))
    ring.rebuild(2)
    assert ring.identity(2).shape.cluster == ""
    ring.call(0, CommitFormat(ring.shape.cluster))
    ring.step(2, P)
    assert ring.states(2) == REBUILDING


def test_prepared_server_does_not_take_itself_for_one_that_lost_its_disk() -> None:
    from dfs.core.messages.data_server import CommitFormat, PrepareFormat

    ring = Ring(2, is_formatted=False)
    for index in ring.indexes:
        ring.call(index, PrepareFormat(ring.shape, index))
    ring.call(0, CommitFormat(ring.shape.cluster))
    ring.rebuild(1)
    assert ring.states(1) == (RoleState.BLANK, RoleState.BLANK)
    ring.call(1, CommitFormat(ring.shape.cluster))
    assert ring.states(1) == COMPLETE


def test_neighbours_of_another_number_of_servers_are_refused_with_both_values() -> None:
    ring = filled(3)
    ring.disks[ServerIndex(1)] = MemoryDisk()
    ring.n = 4
    ring.start(1)
    ring.n = 3
    ring.rebuild(1)
    assert ring.identity(1).shape.cluster == ""
    (event,) = ring.events[ServerIndex(1)].of(SERVER_REFUSED)
    assert "4" in event.message()
    assert "3" in event.message()


def test_neighbours_of_two_file_systems_are_refused() -> None:
    ring = Ring(3, is_formatted=False)
    from dfs.core.messages.data_server import CommitFormat, PrepareFormat

    for index, cluster in ((0, "one"), (2, "two")):
        ring.call(index, PrepareFormat(Shape(cluster, 3, 512), ServerIndex(index)))
        ring.call(index, CommitFormat(cluster))
    ring.rebuild(1)
    assert ring.identity(1).shape.cluster == ""
    assert ring.events[ServerIndex(1)].of(SERVER_REFUSED)


def test_server_that_was_told_of_no_neighbours_stays_blank() -> None:
    ring = filled(2)
    ring.down = {1}
    ring.lose_disk(0)
    ring.rebuild(0)
    with pytest.raises(NotFormatted):
        ring.call(0, Pull(P, Ino(1), 0, 1000))


# --- all of it comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_r7_lost_disk_is_rebuilt_and_serves_when_each_neighbour_is_down(n: int) -> None:
    for victim in range(n):
        ring = filled(n)
        ring.lose_disk(victim)
        ring.rebuild()
        assert ring.states(victim) == COMPLETE
        assert_all_there(ring)
        for neighbour in {(victim - 1) % n, (victim + 1) % n}:
            ring.down = {neighbour}
            assert [ring.read(2, block) for block in range(40)] == blocks_of(40, 2, last=100)
            assert ring.read(2, 40) == b""
            ring.down = set()
        with pytest.raises(StaleTicket):
            ring.call(victim, Get(Ino(60), Ticket(76), (), (), ()))


def test_pulled_from_the_right_neighbours_only() -> None:
    ring = filled(5)
    ring.lose_disk(2)
    ring.asked.clear()
    ring.rebuild(2)
    pulls = {(server, request.role) for server, request in ring.asked if isinstance(request, Pull)}
    assert pulls == {twin_of(ServerIndex(2), P, 5), twin_of(ServerIndex(2), S, 5)} == {(3, S), (1, P)}


def test_unknown_until_complete_then_absent() -> None:
    ring = filled(4)
    ring.lose_disk(1)
    ring.step(1, P)
    block, role = next((b, role) for b in range(100, 104) for role in Role if ring.servers_of(2, b)[role] == 1)
    assert ring.state_of(2, block, role) is CopyState.UNKNOWN
    ring.rebuild(1)
    assert ring.state_of(2, block, role) is CopyState.ABSENT


def test_rebuilding_server_listens_and_takes_writes_which_are_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 1024)
    ring = filled(4)
    ring.lose_disk(1)
    for _ in range(5):
        for role in Role:
            ring.step(1, role)
    assert ring.states(1) == REBUILDING
    newer = {block: bytes([200, block]) * 100 for block in (0, 1, 2, 3, 20, 21, 38, 39)}
    for block, data in newer.items():
        assert ring.put(3, block, generation(9), data)
    ring.rebuild()
    expected = blocks_of(40, 3, last=100)
    assert [ring.read(3, block) for block in range(40)] == [newer.get(block, expected[block]) for block in range(40)]
    assert not ring.differences(3, 40)


def test_nothing_is_stored_before_the_floors_are_known() -> None:
    ring = filled(3)
    ring.lose_disk(1)
    ring.step(1, P)
    block, role = next((b, role) for b in range(3) for role in Role if ring.servers_of(60, b)[role] == 1)
    with pytest.raises(NotTrusted):
        ring.put_run(60, role, block, generation(76), [b"late"])
    while not ring.service(1)._rebuilding._roles[role].has_floors:
        ring.step(1, role)
    with pytest.raises(StaleTicket):
        ring.put_run(60, role, block, generation(76), [b"late"])
    ring.put_run(60, role, block, generation(78), [b"in time"])


@pytest.mark.parametrize("is_source", [True, False])
def test_rebuild_survives_a_kill_of_either_side_and_does_not_start_over(monkeypatch: pytest.MonkeyPatch, is_source: bool) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 2048)
    monkeypatch.setattr(role_rebuild, "SAVE_INTERVAL_S", 0.0)
    ring = filled(4, inos=6)
    ring.lose_disk(1)
    for _ in range(12):
        ring.step(1, P)
    ring.start(2 if is_source else 1)
    ring.asked.clear()
    ring.rebuild(1)
    pulls = [request for server, request in ring.asked if isinstance(request, Pull) and server == 2]
    assert pulls[0].ino > 2
    assert not [request for server, request in ring.asked if isinstance(request, ListFloors) and server == 2]
    assert ring.states(1) == COMPLETE
    assert_all_there(ring, inos=6)


def test_power_cut_during_a_rebuild_loses_only_what_the_cursor_does_not_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 2048)
    ring = filled(4, inos=6)
    ring.lose_disk(1)
    for _ in range(12):
        ring.step(1, P)
    ring.disks[ServerIndex(1)].power_cut(lambda: False)
    ring.start(1)
    ring.rebuild(1)
    assert ring.states(1) == COMPLETE
    assert_all_there(ring, inos=6)


def test_neighbour_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 2048)
    ring = filled(4)
    ring.lose_disk(1)
    for _ in range(6):
        ring.step(1, P)
    ring.down = {2}
    ring.rebuild(1)
    assert ring.states(1) == (RoleState.REBUILDING, RoleState.COMPLETE)
    assert "connection refused" in ring.call(1, ShowData()).progress
    ring.down = set()
    ring.rebuild(1)
    assert ring.states(1) == COMPLETE
    assert_all_there(ring)


def test_start_progress_and_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 2048)
    ring = filled(4, inos=6)
    ring.lose_disk(1)
    seen = set()
    for _ in range(200):
        ring.clock.advance(role_rebuild.PROGRESS_INTERVAL_S)
        ring.step(1, P)
        seen.add(ring.call(1, ShowData()).progress.partition(";")[0])
    events = ring.events[ServerIndex(1)]
    assert "primary" in events.of(REBUILD_STARTED)[0].message()
    assert "left" in events.of(REBUILD_PROGRESS)[-1].message()
    assert "complete" in events.of(REBUILD_FINISHED)[0].message()
    assert any("%" in text and "left" in text for text in seen)


# --- what happens meanwhile ------------------------------------------------------------------------------------------------


def test_file_dropped_during_a_rebuild_is_confirmed_only_when_it_can_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 1024)
    ring = filled(3)
    ring.lose_disk(1)
    for _ in range(4):
        ring.step(1, P)
    with pytest.raises(NotTrusted):
        ring.call(1, Drop((Ino(4),)))
    ring.rebuild(1)  # the neighbours have not been told yet: it is copied back
    for index in ring.indexes:
        ring.call(index, Drop((Ino(4),)))
        assert 4 not in ring.call(index, ListInodes(Ino(0), 100)).inos


def test_cut_executed_during_a_rebuild_does_not_count_as_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 1024)
    ring = filled(3)
    ring.lose_disk(1)
    ring.step(1, P)
    cut = Cut(600, Ticket(20))
    assert ring.clean(1, 2, cut).primary is RoleState.REBUILDING
    ring.rebuild(1)  # the neighbours still hold the void blocks
    for index in ring.indexes:
        assert ring.clean(index, 2, cut).primary is RoleState.COMPLETE
    assert ring.read(2, 0) == blocks_of(40, 2)[0]
    assert ring.read(2, 1) == blocks_of(40, 2)[1][: 600 - BLOCK_SIZE]
    assert [ring.read(2, block) for block in range(2, 40)] == [b""] * 38


def test_clean_that_overlaps_the_end_of_a_rebuild_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = filled(2)
    ring.lose_disk(1)
    ring.step(1, P)
    blocks = ring.service(1)._blocks
    assert blocks is not None
    sync = blocks.syncing.sync

    def sync_and_finish(ino: Ino) -> None:
        sync(ino)
        ring.rebuild(1)

    monkeypatch.setattr(type(blocks.syncing), "sync", lambda self, ino: sync_and_finish(ino))
    with pytest.raises(NotTrusted):
        ring.clean(1, 2, Cut(0, Ticket(20)))


def test_sync_works_on_a_rebuilding_server() -> None:
    ring = filled(2)
    ring.lose_disk(0)
    ring.step(0, P)
    ring.call(0, Sync(Ino(2)))


# --- damage on the other side ------------------------------------------------------------------------------------------------


def test_record_that_is_bad_at_the_neighbour_is_unknown_here_and_never_a_hole() -> None:
    ring = filled(3)
    for index in ring.indexes:
        ring.checkpoint(index)
    ino, block = 2, 7
    servers = ring.servers_of(ino, block)
    source = servers[S]
    disk = ring.disks[ServerIndex(source)]
    name = f"strips/0000000/{ino:010x}.s"
    disk.flip(name, 512 + (block // 3) * (16 + BLOCK_SIZE) + 100)
    ring.lose_disk(servers[P])
    ring.rebuild()
    assert ring.states(servers[P]) == COMPLETE
    assert ring.state_of(ino, block, P) is CopyState.UNKNOWN
    assert ring.choice(ino, block).verdict is Verdict.LOST
    (event,) = ring.events[ServerIndex(servers[P])].of(DATA_LOST)
    assert (event.ino, event.block) == (ino, block)
    assert ring.read(ino, block + 3) == blocks_of(40, ino)[block + 3]
    ring.start(servers[P])
    assert ring.state_of(ino, block, P) is CopyState.UNKNOWN
    assert ring.put(ino, block, generation(30), b"anew")
    assert ring.read(ino, block) == b"anew"


def test_group_that_is_lost_at_the_neighbour_makes_nothing_absent_here() -> None:
    ring = filled(2)
    for index in ring.indexes:
        ring.checkpoint(index)
    name = "strips/0000000/0000000002.s"
    disk = ring.disks[ServerIndex(1)]
    disk.unreadable.add((name, 0, 1 << 30))
    ring.start(1)
    primary_on_0 = next(b for b in range(2) if ring.servers_of(2, b)[P] == 0)
    ring.lose_disk(0)
    ring.rebuild(0)
    assert ring.states(0) == COMPLETE
    assert ring.state_of(2, primary_on_0, P) is CopyState.UNKNOWN
    assert ring.choice(2, primary_on_0).verdict is Verdict.LOST
    ring.start(0)
    assert ring.state_of(2, primary_on_0 + 2 * 500, P) is CopyState.UNKNOWN
    assert ring.read(3, primary_on_0) == blocks_of(40, 3)[primary_on_0]


# --- two neighbours lost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_two_adjacent_lost_disks_lose_their_common_blocks_only_and_never_read_as_zeros(order: tuple[int, int]) -> None:
    ring = filled(4)
    for index in order:
        ring.lose_disk(index)
    ring.rebuild(*order)
    assert ring.states(1) == (RoleState.LOST, RoleState.COMPLETE)
    assert ring.states(2) == (RoleState.COMPLETE, RoleState.LOST)
    for ino in (2, 3, 4):
        expected = blocks_of(40, ino, last=100)
        for block in range(40):
            is_lost = ring.servers_of(ino, block)[P] == 1
            assert ring.read(ino, block) == (None if is_lost else expected[block])
    assert ring.events[ServerIndex(1)].of(DATA_LOST)
    assert "lost" in ring.call(1, ShowData()).progress


def test_lost_block_is_readable_again_once_it_is_overwritten() -> None:
    ring = filled(4)
    for index in (1, 2):
        ring.lose_disk(index)
    ring.rebuild()
    block = next(b for b in range(4) if ring.servers_of(2, b)[P] == 1)
    assert ring.put(2, block, generation(30), b"anew")
    assert ring.read(2, block) == b"anew"
    assert ring.read(2, block + 4) is None


def test_loss_accepted_on_one_side_ends_on_both() -> None:
    ring = filled(4)
    for index in (1, 2):
        ring.lose_disk(index)
    ring.rebuild()
    block = next(b for b in range(4) if ring.servers_of(2, b)[P] == 1)
    assert ring.put(2, block, generation(30), b"anew")
    assert ring.call(1, AcceptLoss()).primary is RoleState.COMPLETE
    ring.rebuild()
    assert ring.states(1) == ring.states(2) == COMPLETE
    assert ring.read(2, block) == b"anew"
    assert ring.read(2, block + 4) == b""
    assert not ring.differences(2, 40)


def test_second_disk_lost_in_the_middle_of_a_rebuild_leaves_what_was_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 1024)
    ring = filled(3)
    ring.lose_disk(1)
    for _ in range(7):
        ring.step(1, P)
    ring.lose_disk(2)
    ring.rebuild()
    assert ring.states(1) == (RoleState.LOST, RoleState.COMPLETE)
    assert ring.states(2) == (RoleState.COMPLETE, RoleState.LOST)
    common = [block for block in range(40) if ring.servers_of(2, block)[P] == 1]
    found = [ring.read(2, block) for block in common]
    expected = [blocks_of(40, 2, last=100)[block] for block in common]
    assert found[0] == expected[0]
    assert set(found) <= {*expected, None}
    assert not [b for b in common if ring.state_of(2, b, P) is not ring.state_of(2, b, S)]


def test_both_servers_of_two_lost_at_once_wait_to_be_formatted() -> None:
    ring = filled(2)
    ring.lose_disk(0)
    ring.lose_disk(1)
    ring.rebuild()
    assert ring.states(0) == ring.states(1) == (RoleState.BLANK, RoleState.BLANK)


@pytest.mark.parametrize(
    ("own", "source", "course"),
    [
        (RoleState.REBUILDING, RoleState.COMPLETE, Course.COPY),
        (RoleState.LOST, RoleState.COMPLETE, Course.COPY),
        (RoleState.REBUILDING, RoleState.REBUILDING, Course.SALVAGE),
        (RoleState.REBUILDING, RoleState.LOST, Course.SALVAGE),
        (RoleState.LOST, RoleState.LOST, Course.SALVAGE),
        (RoleState.REBUILDING, RoleState.SUSPECT, Course.WAIT),
        (RoleState.SUSPECT, RoleState.COMPLETE, Course.COPY),
        (RoleState.SUSPECT, RoleState.SUSPECT, Course.COPY),
        (RoleState.SUSPECT, RoleState.REBUILDING, Course.COPY),
    ],
)
def test_course_follows_from_both_states(own: RoleState, source: RoleState, course: Course) -> None:
    assert course_of(own, source) is course


# --- the disk itself -----------------------------------------------------------------------------------------------------------


def test_failed_sync_is_told_ends_the_server_and_is_compared_before_it_is_trusted_again() -> None:
    ring = filled(3)
    disk = ring.disks[ServerIndex(0)]
    disk.fail_on.add(("sync", "journal"))
    ring.write_file(70, blocks_of(6, 70), generation(8))
    with pytest.raises(NotTrusted):
        ring.call(0, Sync(Ino(70)))
    assert len(ring.events[ServerIndex(0)].of(DISK_FAILED)) == 1
    with pytest.raises(Exception, match="told to fail"):
        ring.service(0).check()
    disk.fail_on.clear()
    disk.power_cut(lambda: False)
    ring.start(0)
    assert ring.states(0) == (RoleState.SUSPECT, RoleState.SUSPECT)
    ring.rebuild()
    assert ring.states(0) == COMPLETE
    assert [ring.read(70, block) for block in range(6)] == blocks_of(6, 70)
    assert not ring.differences(70, 6)


def test_read_only_disk_is_told_once_and_shown_until_it_takes_writes_again() -> None:
    from dfs.core.errors import ReadOnly

    ring = filled(3)
    ring.disks[ServerIndex(0)].is_read_only = True
    block, role = next((b, role) for b in range(3) for role in Role if ring.servers_of(2, b)[role] == 0)
    ring.disks[ServerIndex(0)].fail_on.add(("write", "journal"))
    for _ in range(3):
        with pytest.raises((ReadOnly, NotTrusted)):
            ring.put_run(2, role, block, generation(9), [b"x"])
    assert len(ring.events[ServerIndex(0)].of(DISK_FAILED)) == 1
    assert "disk fails" in ring.call(0, ShowData()).trouble
    assert ring.read(2, block) == blocks_of(40, 2)[block]
    ring.disks[ServerIndex(0)].is_read_only = False
    ring.disks[ServerIndex(0)].fail_on.clear()
    ring.put_run(2, role, block, generation(9), [b"x"])
    assert ring.call(0, ShowData()).trouble == ""


def test_unreadable_file_is_unknown_and_the_other_copy_is_read() -> None:
    ring = filled(3)
    for index in ring.indexes:
        ring.checkpoint(index)
    server = ring.servers_of(2, 0)[P]
    ring.disks[ServerIndex(server)].unreadable.add(("strips/0000000/0000000002.p", 0, 1 << 30))
    assert ring.state_of(2, 0, P) is CopyState.UNKNOWN
    assert ring.read(2, 0) == blocks_of(40, 2)[0]


# --- requests ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [Pull(P, Ino(0), 0, 1000), Pull(P, Ino(1), -1, 1000), Pull(P, Ino(1), 0, 0)])
def test_pull_out_of_range_is_refused(request_: Pull) -> None:
    with pytest.raises(BadRequest):
        filled(2).call(0, request_)


def test_pull_of_everything_in_small_bits_names_every_record_once() -> None:
    ring = filled(3)
    ino, index, found = Ino(1), 0, []
    while True:
        answer = ring.call(0, Pull(P, ino, index, 700))
        for strip in answer.strips:
            width = len(strip.indexes) // 8
            found += [(strip.ino, int.from_bytes(strip.indexes[8 * at : 8 * at + 8], "little")) for at in range(width)]
        if not answer.more:
            break
        ino, index = answer.next_ino, answer.next_index
    assert len(found) == len(set(found))
    expected = {(i, b // 3) for i in (2, 3, 4) for b in range(40) if ring.servers_of(i, b)[P] == 0}
    expected |= {(50, 0)} if ring.servers_of(50, 0)[P] == 0 else set()
    assert set(found) == expected
    assert found == sorted(found)


def test_floors_are_listed_in_pages() -> None:
    ring = Ring(2)
    inos = [3, 9, 5000, 9000, 9001]
    for ino in inos:
        ring.call(0, Fence(Ino(ino), Ticket(ino + 1), ()))
    ring.checkpoint(0)
    ring.start(0)
    found, after = [], Ino(0)
    while True:
        answer = ring.call(0, ListFloors(after, 2))
        found += [int.from_bytes(answer.floors[at : at + 8], "little") for at in range(0, len(answer.floors), 16)]
        if not answer.more:
            break
        after = answer.last
    assert found == inos


def test_run_is_not_needed_to_know_a_floor() -> None:
    ring = filled(2)
    ring.lose_disk(1)
    ring.rebuild(1)
    with pytest.raises(StaleTicket):
        ring.call(1, Get(Ino(60), Ticket(1), (), (Run(P, BlockNo(1 - ring.layout(60).start), 1),), ()))
