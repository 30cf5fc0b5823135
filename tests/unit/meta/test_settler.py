"""Goal: what a dead holder wrote is settled before anyone writes again. Method: end a holder while servers are away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dfs.core.errors import GrantLost, SessionExpired
from dfs.core.ids import ROOT_INO, Ino, ServerIndex
from dfs.core.messages.blocks import Fence
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.content import Commit
from dfs.core.messages.data_server import Identify
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.names import ListFolder, Lookup, Open, Unlink
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import EndSession
from tests.harness.beside import beside
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount, holding


def is_free(mount: Mount, ino: Ino) -> bool:
    """Tell whether the grant can be had, and take it."""
    return mount.call(Open(mount.op(), ino, b"", True, True)).grant.ticket != 0


def is_settled(meta: MetaUnderTest, ino: Ino) -> bool:
    """Tell whether nobody's writes are being settled; what was cut for it may have been cleaned away since."""
    return not meta.running().store.read(lambda reader: reader.all("SELECT 1 FROM grant_ WHERE ino = ? AND fence != 0", ino))


def fences_done(meta: MetaUnderTest) -> int:
    return len(meta.servers.asked(Fence))


def holder_dies(meta: MetaUnderTest, ends: dict[int, int]) -> tuple[Mount, Ino]:
    """Have a session end that committed 100 bytes, while data reaches as far as `ends` says."""
    holder, other = meta.mount(), meta.mount()
    made = holder.create(b"f").grant
    holder.call(Commit(holding(made.ino, made.ticket, 100)))
    for index, end in ends.items():
        meta.servers.server(index).ends[made.ino] = end
    holder.call(EndSession())
    return other, made.ino


def retry(meta: MetaUnderTest) -> None:
    """Let the settler try once more."""
    before = len(meta.servers.asked(Identify))
    meta.clock.advance(5)
    wait_until(lambda: len(meta.servers.asked(Identify)) > before + 4)


def wait_as_time_passes(meta: MetaUnderTest, condition: Callable[[], bool]) -> None:
    """Wait until something holds; the settler may just have begun its next pause, which real time would not end."""

    def holds() -> bool:
        meta.clock.advance(1)
        return condition()

    wait_until(holds)


def test_settled_file_reaches_as_far_as_valid_data_and_is_cut_there(meta: MetaUnderTest) -> None:
    other, ino = holder_dies(meta, {1: 700, 2: 600})
    wait_until(lambda: meta.content(ino).size_bytes == 700)
    content = meta.content(ino)
    floors = {meta.servers.server(i).floors[ino] for i in range(4)}
    assert len(floors) == 1
    assert content.newest_cut > max(floors)
    assert [cut.offset for cut in content.cuts] == [700]
    assert is_free(other, ino)


def test_settled_file_never_shrinks_below_what_was_committed(meta: MetaUnderTest) -> None:
    _, ino = holder_dies(meta, {0: 30})
    wait_until(lambda: bool(meta.content(ino).cuts))
    assert meta.content(ino).size_bytes == 100


def test_fence_is_durable_before_any_server_hears_of_it(meta: MetaUnderTest) -> None:
    told: list[bool] = []

    def look(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, Fence):
            told.append(meta.content(request.ino).newest_cut == request.ticket)

    meta.servers.before_answer = look
    _, ino = holder_dies(meta, {})
    wait_until(lambda: bool(meta.content(ino).cuts))
    assert told == [True] * 4


def test_lookup_while_a_file_is_settled_waits_for_what_its_holder_wrote(meta: MetaUnderTest) -> None:
    meta.servers.take_down(1, 2)
    other, ino = holder_dies(meta, {0: 700})

    def look_until_settled() -> Attributes:
        while (shown := other.look(b"", base=ino)).is_settling:
            pass  # each is kept waiting by meta, on a clock that runs as this test looks
        return shown

    asked = beside(look_until_settled)
    meta.servers.bring_up()
    meta.until(asked.done)
    shown = asked.result(10)
    assert (shown.content.size_bytes, shown.is_settling) == (700, False)


def test_lookup_that_was_kept_as_long_as_may_be_says_that_the_file_is_settled_still(meta: MetaUnderTest) -> None:
    meta.servers.take_down(1, 2)
    other, ino = holder_dies(meta, {})
    other.create(b"free")
    asked = beside(lambda: other.look(b"", base=ino))
    meta.until(asked.done)
    assert asked.result(10).is_settling
    listed = {entry.name: entry.attributes.is_settling for entry in other.call(ListFolder(ROOT_INO, b"", b"", 10)).entries()}
    assert listed == {b"f": True, b"free": False}
    assert other.call(Open(other.op(), ino, b"", True, False)).attributes.is_settling


def test_next_session_of_a_mount_finds_everything_of_the_last_one_being_settled(meta: MetaUnderTest) -> None:
    meta.servers.take_down(1, 2)
    holder = meta.mount()
    ino = holder.create(b"f").grant.ino
    assert not holder.look(b"f").is_settling
    meta.running().sessions.remove(holder.session)  # as at the moment of its expiry, before anything has followed from that
    assert not meta.service.call(FakeContext(), Lookup(ino, b"")).is_settling
    with pytest.raises(SessionExpired):
        holder.look(b"f")
    fresh = meta.mount()
    asked = beside(lambda: fresh.look(b"f"))
    meta.until(asked.done)
    assert asked.result(10).is_settling


@pytest.mark.parametrize(
    ("down", "enough"), [((1,), True), ((0, 2), True), ((1, 2), False), ((3, 0), False), ((0, 1, 2, 3), False)]
)
def test_one_of_every_two_neighbours_must_answer(meta: MetaUnderTest, down: tuple[int, ...], enough: bool) -> None:
    meta.servers.take_down(*down)
    other, ino = holder_dies(meta, {})
    if enough:
        wait_until(lambda: bool(meta.content(ino).cuts))
        return
    retry(meta)
    assert not is_free(other, ino)
    meta.servers.bring_up()
    wait_as_time_passes(meta, lambda: is_settled(meta, ino))
    assert is_free(other, ino)


def test_server_that_rebuilds_does_not_count(meta: MetaUnderTest) -> None:
    meta.servers.lose_disk(1)
    meta.servers.take_down(2)
    other, ino = holder_dies(meta, {2: 900})
    retry(meta)
    assert not is_free(other, ino)
    meta.servers.bring_up()
    wait_as_time_passes(meta, lambda: meta.content(ino).size_bytes == 900)


def test_server_that_loses_its_disk_during_the_fence_does_not_count(meta: MetaUnderTest) -> None:
    meta.servers.take_down(2)

    def lose(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, Fence) and server == 1:
            identity = meta.servers.server(1).identity
            meta.servers.server(1).identity = replace(identity, disk="another")

    meta.servers.before_answer = lose
    other, ino = holder_dies(meta, {})
    retry(meta)
    assert not is_free(other, ino)


def test_server_that_can_not_read_its_last_blocks_does_not_decide_alone(meta: MetaUnderTest) -> None:
    meta.servers.server(1).is_unsure = True
    meta.servers.take_down(2)
    other, ino = holder_dies(meta, {1: 300, 2: 900})
    retry(meta)
    assert not is_free(other, ino)
    meta.servers.bring_up()
    wait_as_time_passes(meta, lambda: meta.content(ino).size_bytes == 900)


def test_neighbours_that_can_not_read_their_last_blocks_decide_together(meta: MetaUnderTest) -> None:
    for index in range(4):
        meta.servers.server(index).is_unsure = True
    _, ino = holder_dies(meta, {1: 300, 2: 200})
    wait_until(lambda: meta.content(ino).size_bytes == 300)


def test_settling_goes_on_after_a_crash_under_the_same_fence(meta: MetaUnderTest) -> None:
    meta.servers.take_down(0, 1, 2, 3)
    other, ino = holder_dies(meta, {})
    fence = meta.content(ino).newest_cut
    meta.crash()
    assert not is_free(other, ino)
    meta.servers.bring_up()

    wait_as_time_passes(meta, lambda: is_settled(meta, ino))
    assert meta.servers.server(0).floors[ino] == fence


def test_expired_holder_can_commit_no_more(meta: MetaUnderTest) -> None:
    meta.servers.take_down(0, 1, 2, 3)
    other, ino = holder_dies(meta, {})
    with pytest.raises(GrantLost):
        other.call(Commit(holding(ino, 1, 5000)))


def test_file_removed_while_it_is_settled_is_settled_no_more(meta: MetaUnderTest) -> None:
    meta.servers.take_down(0, 1, 2, 3)
    other, _ = holder_dies(meta, {})
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    meta.servers.bring_up()
    wait_as_time_passes(
        meta, lambda: not meta.running().store.read(lambda reader: reader.all("SELECT 1 FROM grant_ UNION SELECT 1 FROM reclaim"))
    )


def test_two_neighbours_that_lost_their_common_blocks_do_not_hold_a_file_up_for_ever(meta: MetaUnderTest) -> None:
    first, second = meta.servers.server(1), meta.servers.server(2)
    first.identity = replace(first.identity, primary=RoleState.LOST)
    second.identity = replace(second.identity, secondary=RoleState.LOST)
    _, ino = holder_dies(meta, {1: 700, 2: 300})
    wait_until(lambda: meta.content(ino).size_bytes == 700)


def test_lost_role_does_not_stand_for_a_neighbour_that_is_away(meta: MetaUnderTest) -> None:
    server = meta.servers.server(1)
    server.identity = replace(server.identity, primary=RoleState.LOST)
    meta.servers.take_down(2)
    other, ino = holder_dies(meta, {1: 700})
    retry(meta)
    assert not is_free(other, ino)
    meta.servers.bring_up()
    wait_as_time_passes(meta, lambda: is_settled(meta, ino))
