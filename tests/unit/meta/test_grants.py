"""Goal: one writer at a time, tickets that rise, cuts and sizes by the rules of the model. Method: two mounts and one file."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfs.core.cuts import Cut
from dfs.core.errors import (
    AccessDenied,
    BadRequest,
    FileTooLarge,
    GrantBusy,
    GrantLost,
    InvalidArgument,
    IsAFolder,
    SessionExpired,
    StaleFile,
)
from dfs.core.ids import ROOT_INO, Generation, Ino, OpId, Ticket, generation_of
from dfs.core.interfaces import Caller
from dfs.core.limits import FILE_BYTES_MAX, TICKET_JUMPS_INTERVAL_S, TICKETS_AHEAD_MAX
from dfs.core.messages.content import Acquire, Close, Commit, Grant, Opened, Truncate, Yield
from dfs.core.messages.inodes import AttributeChanges
from dfs.core.messages.names import MakeFolder, Open, SetAttributes
from dfs.core.messages.sessions import Heartbeat, OpenFile
from dfs.meta.state.numbers import MARK_STEP
from tests.harness.beside import beside
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount, holding

Pair = tuple[Mount, Mount]


@pytest.fixture
def pair(meta: MetaUnderTest) -> Pair:
    return meta.mount(), meta.mount()


def acquire(mount: Mount, ino: Ino, seen: int = 0) -> Grant:
    return mount.call(Acquire(mount.op(), ino, Generation(seen)))


def truncate(mount: Mount, ino: Ino, size: int, ticket: int = 0, held: int = 0, *, dirty: bool = False) -> Grant:
    return mount.call(Truncate(mount.op(), ino, b"", size, True, holding(ino, ticket, held, dirty=dirty)))


def give_back(mount: Mount, ino: Ino, ticket: int, size: int, *, dirty: bool = False) -> None:
    mount.call(Yield(mount.op(), holding(ino, ticket, size, dirty=dirty)))


def commit(mount: Mount, ino: Ino, ticket: int, size: int, mtime_ns: int = 0) -> None:
    mount.call(Commit(holding(ino, ticket, size, mtime_ns)))


def open_file(mount: Mount, ino: Ino, *, write: bool) -> Opened:
    return mount.call(Open(mount.op(), ino, b"", True, write))


def refused(mount: Mount, ino: Ino) -> bool:
    """Tell whether the grant can't be had, without parking."""
    return open_file(mount, ino, write=True).grant.ticket == 0


# --- who holds ---------------------------------------------------------------------------------------------------------------


def test_create_brings_the_grant_and_others_open_without_it(pair: Pair) -> None:
    first, second = pair
    made = first.create(b"f")
    assert made.grant.ticket > 0
    assert refused(second, made.grant.ino)
    assert open_file(second, made.grant.ino, write=False).grant.ticket == 0


def test_acquire_of_a_held_grant_answers_the_same_ticket(pair: Pair) -> None:
    made = pair[0].create(b"f")
    assert acquire(pair[0], made.grant.ino).ticket == made.grant.ticket
    assert open_file(pair[0], made.grant.ino, write=True).grant.ticket == made.grant.ticket


@pytest.mark.parametrize("above", [0, 5, 100_000])
def test_acquire_after_a_conflict_gets_a_ticket_above_what_was_seen(meta: MetaUnderTest, pair: Pair, above: int) -> None:
    made = pair[0].create(b"f")
    ino, ticket = made.grant.ino, made.grant.ticket
    seen = generation_of(Ticket(ticket + above), 7)
    renewed = acquire(pair[0], ino, seen)
    assert renewed.ticket > ticket + above
    assert acquire(pair[0], ino, generation_of(ticket, 1)).ticket == renewed.ticket  # older than what is held
    give_back(pair[0], ino, renewed.ticket, 0)
    meta.clock.advance(TICKET_JUMPS_INTERVAL_S)
    assert acquire(pair[1], ino, generation_of(Ticket(ticket + above + 10), 1)).ticket > ticket + above + 10


def test_ticket_that_was_never_issued_is_believed_within_bounds_and_seldom(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    for ticket in (made.ticket + 2 * MARK_STEP + TICKETS_AHEAD_MAX, 1 << 39):
        parked = beside(partial(acquire, pair[0], made.ino, generation_of(Ticket(ticket), 1)))
        meta.until(parked.done)
        with pytest.raises(GrantBusy):
            parked.result()
    assert pair[1].create(b"g").grant.ticket < made.ticket + 10  # nothing was used up
    jump = Ticket(made.ticket + 1000)
    assert acquire(pair[0], made.ino, generation_of(jump, 1)).ticket == jump + 1
    parked = beside(lambda: acquire(pair[0], made.ino, generation_of(Ticket(jump + 1000), 1)))
    meta.until(parked.done)
    with pytest.raises(GrantBusy):
        parked.result()
    assert pair[1].create(b"h").grant.ticket < jump + 10


def test_acquire_recalls_parks_and_gets_the_grant_when_the_holder_yields(meta: MetaUnderTest, pair: Pair) -> None:
    first, second = pair
    made = first.create(b"f")
    parked_heartbeat = beside(lambda: first.call(Heartbeat((), ())))
    parked_acquire = beside(lambda: acquire(second, made.grant.ino))
    assert parked_heartbeat.result(10).recalls == (made.grant.ino,)
    assert not parked_acquire.done()
    give_back(first, made.grant.ino, made.grant.ticket, 77)
    grant = parked_acquire.result(10)
    assert grant.ticket > made.grant.ticket
    assert grant.content.size_bytes == 77
    assert meta.running().recalls.of(first.session) == ()


def test_acquire_of_a_grant_that_stays_busy_ends_after_its_park_time(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f")
    parked = beside(lambda: acquire(pair[1], made.grant.ino))
    wait_until(lambda: meta.running().recalls.of(pair[0].session) == (made.grant.ino,))
    meta.clock.advance(1.1)
    with pytest.raises(GrantBusy):
        parked.result(10)


def test_acquire_without_a_session_or_an_inode_is_refused(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f")
    with pytest.raises(SessionExpired):
        meta.service.call(FakeContext(), Acquire(OpId(1), made.grant.ino, Generation(0)))
    with pytest.raises(StaleFile):
        acquire(pair[0], Ino(999))
    with pytest.raises(BadRequest):
        acquire(pair[0], made.grant.ino, (1 << 64) - 1)
    folder = pair[0].call(MakeFolder(pair[0].op(), ROOT_INO, b"d", 0o755))
    with pytest.raises(IsAFolder):
        acquire(pair[0], folder.ino)


# --- giving back ---------------------------------------------------------------------------------------------------------------


def test_yield_records_the_size_and_frees_the_grant(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    give_back(pair[0], made.ino, made.ticket, 1000)
    assert meta.content(made.ino).size_bytes == 1000
    assert meta.content(made.ino).cuts == ()
    assert not refused(pair[1], made.ino)


def test_yield_dirty_cuts_at_the_size_above_the_old_ticket(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    give_back(pair[0], made.ino, made.ticket, 1000, dirty=True)
    (cut,) = meta.content(made.ino).cuts
    assert cut.offset == 1000
    assert cut.ticket > made.ticket
    assert meta.content(made.ino).newest_cut == cut.ticket
    assert acquire(pair[1], made.ino).ticket > cut.ticket


def test_yield_of_a_grant_never_learned_of_frees_it_and_says_nothing(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    cut = truncate(pair[0], made.ino, 10, made.ticket, 0)
    give_back(pair[0], made.ino, made.ticket, 500)  # under a ticket below the newest cut
    assert meta.content(made.ino).size_bytes == 10
    assert cut.ticket > made.ticket
    assert not refused(pair[1], made.ino)


def test_yield_that_comes_after_a_newer_grant_to_the_same_session_does_not_take_it(pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    late = Yield(pair[0].op(), holding(made.ino, made.ticket, 5))
    acquire(pair[0], made.ino)
    pair[0].call(late)
    assert refused(pair[1], made.ino)


def test_yield_by_another_session_changes_nothing(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    give_back(pair[1], made.ino, made.ticket, 1000)
    assert meta.content(made.ino).size_bytes == 0
    assert refused(pair[1], made.ino)


def test_close_commits_yields_and_drops_the_open_in_one_call(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f")
    file = OpenFile(made.grant.ino, OpId(pair[0].ops[0]))
    pair[0].call(Close(pair[0].op(), file, holding(made.grant.ino, made.grant.ticket, 9, 123)))
    assert pair[1].look(b"f").mtime_ns == 123
    assert meta.content(made.grant.ino).size_bytes == 9
    assert not refused(pair[1], made.grant.ino)


def test_close_that_wrote_nothing_keeps_the_grant(pair: Pair) -> None:
    made = pair[0].create(b"f")
    pair[0].call(Close(pair[0].op(), OpenFile(made.grant.ino, OpId(1)), holding(Ino(0), 0, 0)))
    assert refused(pair[1], made.grant.ino)


# --- commit --------------------------------------------------------------------------------------------------------------------


def test_commit_within_a_ticket_only_grows(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    commit(pair[0], made.ino, made.ticket, 100)
    commit(pair[0], made.ino, made.ticket, 40)
    assert meta.content(made.ino).size_bytes == 100


def test_commit_below_the_newest_cut_or_without_the_grant_is_refused(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    renewed = truncate(pair[0], made.ino, 10, made.ticket, 50)
    with pytest.raises(GrantLost):
        commit(pair[0], made.ino, made.ticket, 50)
    with pytest.raises(GrantLost):
        commit(pair[1], made.ino, renewed.ticket, 50)
    give_back(pair[0], made.ino, renewed.ticket, 10)
    with pytest.raises(GrantLost):
        commit(pair[0], made.ino, renewed.ticket, 50)
    assert meta.content(made.ino).size_bytes == 10


def test_commit_repeated_late_does_not_undo_a_time_that_was_set(pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    commit(pair[0], made.ino, made.ticket, 10, 2000)
    pair[0].call(SetAttributes(pair[0].op(), made.ino, b"", AttributeChanges(mtime_ns=7)))
    commit(pair[0], made.ino, made.ticket, 10, 2000)
    assert pair[0].look(b"f").mtime_ns == 7
    commit(pair[0], made.ino, made.ticket, 10, 2001)
    assert pair[0].look(b"f").mtime_ns == 2001


def test_commit_that_says_nothing_new_costs_no_fsync(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    commit(pair[0], made.ino, made.ticket, 10, 2000)
    row = meta.running().store._writer.execute("PRAGMA data_version").fetchone()
    before = meta.running().store._writer.total_changes
    commit(pair[0], made.ino, made.ticket, 10, 2000)
    assert meta.running().store._writer.total_changes == before
    assert meta.running().store._writer.execute("PRAGMA data_version").fetchone() == row


# --- truncate --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held", "new", "at"), [(100, 30, 30), (100, 200, 100), (100, 100, 100), (0, 0, 0)])
def test_truncate_by_the_holder_cuts_at_the_smaller_of_its_size_and_the_new(
    meta: MetaUnderTest, pair: Pair, held: int, new: int, at: int
) -> None:
    made = pair[0].create(b"f").grant
    grant = truncate(pair[0], made.ino, new, made.ticket, held)
    assert grant.ticket > made.ticket
    assert grant.content == meta.content(made.ino)
    assert grant.content.cuts == (Cut(at, grant.ticket),)
    assert (grant.content.size_bytes, grant.content.newest_cut) == (new, grant.ticket)


def test_truncate_without_the_grant_takes_it_and_uses_the_committed_size(pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    give_back(pair[0], made.ino, made.ticket, 60)
    grant = truncate(pair[1], made.ino, 100, made.ticket, 90)  # a ticket that is not its own says nothing
    assert grant.content.cuts == (Cut(60, grant.ticket),)
    assert refused(pair[0], made.ino)


def test_truncate_of_a_file_held_elsewhere_recalls_and_waits(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    parked = beside(lambda: truncate(pair[1], made.ino, 5))
    wait_until(lambda: meta.running().recalls.of(pair[0].session) == (made.ino,))
    give_back(pair[0], made.ino, made.ticket, 8)
    assert parked.result(10).content.cuts[0].offset == 5


def test_truncate_by_a_tool_without_session_leaves_the_grant_free(meta: MetaUnderTest, pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    give_back(pair[0], made.ino, made.ticket, 8)
    grant = meta.service.call(FakeContext(), Truncate(OpId(0), ROOT_INO, b"f", 3, False, holding(Ino(0), 0, 0)))
    assert grant.ticket == 0
    assert meta.content(made.ino).size_bytes == 3
    assert not refused(pair[1], made.ino)


def test_truncate_asks_permission_unless_through_a_handle(pair: Pair) -> None:
    pair[0].create(b"f", 0o644)
    stranger = pair[0].acting_as(10, 20)
    request = (ROOT_INO, b"f", 0)
    with pytest.raises(AccessDenied):
        stranger.call(Truncate(stranger.op(), *request, False, holding(Ino(0), 0, 0)))
    stranger.call(Truncate(stranger.op(), *request, True, holding(Ino(0), 0, 0)))
    assert stranger.caller == Caller(10, 20)


def test_truncate_to_an_impossible_size_is_refused(pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    for size, error in ((-1, InvalidArgument), (FILE_BYTES_MAX + 1, FileTooLarge)):
        with pytest.raises(error):
            truncate(pair[0], made.ino, size)
    with pytest.raises(IsAFolder):
        truncate(pair[0], ROOT_INO, 0)


def test_truncate_that_cuts_junk_only_keeps_the_files_time(pair: Pair) -> None:
    made = pair[0].create(b"f").grant
    pair[0].call(Commit(holding(made.ino, made.ticket, 10, 5000)))
    pair[0].call(Truncate(pair[0].op(), made.ino, b"", 10, True, holding(made.ino, made.ticket, 10, 6000, dirty=True)))
    assert pair[0].look(b"f").mtime_ns == 6000


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6))
def test_cuts_of_any_truncations_are_those_of_the_pure_rule(meta: MetaUnderTest, pair: Pair, steps: list[tuple[int, int]]) -> None:
    """The clock stands still, so that nothing is cleaned meanwhile."""
    made = pair[0].create(b"f").grant
    ticket, size = acquire(pair[0], made.ino).ticket, meta.content(made.ino).size_bytes
    expected = list(meta.content(made.ino).cuts)
    for grown, new in steps:
        size = max(size, grown)
        grant = truncate(pair[0], made.ino, new, ticket, size)
        expected = [cut for cut in expected if cut.offset < min(size, new)] + [Cut(min(size, new), grant.ticket)]
        ticket, size = grant.ticket, new
        content = meta.content(made.ino)
        assert list(content.cuts) == expected
        assert content.size_bytes == new
