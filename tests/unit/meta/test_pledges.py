"""Goal: what a session was pledged holds: nobody else's name is added, and no folder moved, before the pledge has ended. Method:
two mounts, a clock that tests move and that notes who sleeps, and transactions that are stopped half-way.
"""

from __future__ import annotations

import stat
from collections.abc import Callable

import pytest

from dfs.core.errors import AccessDenied, BadRequest, NotAFolder, SessionExpired
from dfs.core.ids import ROOT_INO, Ino, SessionId
from dfs.core.interfaces import Caller
from dfs.core.limits import PLEDGE_S
from dfs.core.messages.names import Create, Link, ListNames, MakeFolder, MakeNode, MakeSymlink, RemoveFolder, Rename, Unlink
from dfs.core.messages.requests import Change
from dfs.host.tasks import ThreadTasks
from dfs.meta.state.pledges import FOLDERS_MAX, MARGIN_S, SHARED_S, Pledges
from dfs.meta.state.store import Transaction
from tests.harness.fake_clock import FakeClock
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount

TASKS = ThreadTasks()

ADDS: dict[str, Callable[[Mount], Change[object]]] = {
    "create": lambda by: Create(by.op(), ROOT_INO, b"d/new", 0o644, True),
    "mkdir": lambda by: MakeFolder(by.op(), ROOT_INO, b"d/new", 0o755),
    "mknod": lambda by: MakeNode(by.op(), ROOT_INO, b"d/new", stat.S_IFIFO | 0o644, 0),
    "symlink": lambda by: MakeSymlink(by.op(), ROOT_INO, b"d/new", b"target"),
    "link": lambda by: Link(by.op(), ROOT_INO, b"d/old", ROOT_INO, b"d/new"),
    "rename": lambda by: Rename(by.op(), ROOT_INO, b"d/old", ROOT_INO, b"d/new", 0),
    "rename into": lambda by: Rename(by.op(), ROOT_INO, b"outside", ROOT_INO, b"d/new", 0),
    "rename of a folder above": lambda by: Rename(by.op(), ROOT_INO, b"d", ROOT_INO, b"e", 0),
    "rmdir": lambda by: RemoveFolder(by.op(), ROOT_INO, b"d/empty"),
}


@pytest.fixture
def mounts(meta: MetaUnderTest) -> tuple[Mount, Mount]:
    one, other = meta.mount(), meta.mount()
    for name in (b"d", b"d/empty"):
        one.call(MakeFolder(one.op(), ROOT_INO, name, 0o755))
    for name in (b"d/old", b"outside"):
        one.call(MakeNode(one.op(), ROOT_INO, name, stat.S_IFREG | 0o644, 0))
    return one, other


def pledge(mount: Mount, path: bytes = b"d", limit: int = 100) -> tuple[bytes, ...] | None:
    found = mount.call(ListNames(ROOT_INO, path, limit))
    return tuple(sorted(found.names)) if found.is_pledged else None


@pytest.mark.parametrize("what", ADDS)
def test_change_by_another_session_waits_for_the_end_of_a_pledge(
    meta: MetaUnderTest, mounts: tuple[Mount, Mount], what: str
) -> None:
    one, other = mounts
    assert pledge(one, b"d/empty" if what == "rmdir" else b"d") is not None
    ends_s = meta.clock.monotonic_s() + PLEDGE_S
    other.call(ADDS[what](other))
    assert meta.clock.monotonic_s() > ends_s
    assert len(meta.clock.slept) == 1


@pytest.mark.parametrize("what", ADDS)
def test_change_by_the_session_itself_waits_for_nothing(meta: MetaUnderTest, mounts: tuple[Mount, Mount], what: str) -> None:
    one, _ = mounts
    assert pledge(one) == (b"empty", b"old")
    one.call(ADDS[what](one))
    assert meta.clock.slept == []


def test_removing_and_other_folders_wait_for_nothing(meta: MetaUnderTest, mounts: tuple[Mount, Mount]) -> None:
    one, other = mounts
    assert pledge(one) is not None
    other.call(Unlink(other.op(), ROOT_INO, b"d/old", False))
    other.call(MakeFolder(other.op(), ROOT_INO, b"beside", 0o755))
    assert meta.clock.slept == []


def test_folder_that_two_sessions_change_is_not_pledged_for_a_while(meta: MetaUnderTest, mounts: tuple[Mount, Mount]) -> None:
    one, other = mounts
    assert pledge(one) is not None
    assert pledge(other) is None
    other.call(ADDS["create"](other))
    assert pledge(one) is None
    one.call(ADDS["rename into"](one))
    assert len(meta.clock.slept) == 1
    meta.clock.advance(SHARED_S)
    assert pledge(one) == (b"empty", b"new", b"old")


def test_folder_with_more_names_is_not_pledged(mounts: tuple[Mount, Mount]) -> None:
    assert pledge(mounts[0], limit=1) is None
    assert pledge(mounts[0], limit=2) is not None


def test_pledge_asks_for_what_a_listing_asks_for(meta: MetaUnderTest, mounts: tuple[Mount, Mount]) -> None:
    one, _ = mounts
    one.call(MakeFolder(one.op(), ROOT_INO, b"closed", 0o711))
    with pytest.raises(AccessDenied):
        meta.service.call(FakeContext(one.session, Caller(1000, 1000)), ListNames(ROOT_INO, b"closed", 10))
    with pytest.raises(NotAFolder):
        pledge(one, b"outside")
    with pytest.raises(BadRequest):
        pledge(one, limit=0)
    with pytest.raises(SessionExpired):
        meta.service.call(FakeContext(), ListNames(ROOT_INO, b"d", 10))


def test_pledge_of_before_a_crash_holds(meta: MetaUnderTest, mounts: tuple[Mount, Mount]) -> None:
    one, other = mounts
    assert pledge(one) is not None
    ends_s = meta.clock.monotonic_s() + PLEDGE_S
    meta.crash()
    other.call(ADDS["create"](other))
    assert meta.clock.monotonic_s() > ends_s


def test_no_pledge_is_given_while_a_name_is_being_added_or_a_folder_moved() -> None:
    pledges = Pledges(TASKS, FakeClock(), follows_others=False)
    one, folder = SessionId(2), Ino(7)
    begins: tuple[Callable[[Transaction], None], ...] = (
        lambda tx: pledges.adds(tx, one, folder),
        lambda tx: pledges.moves(tx, one),
    )
    for begin in begins:
        for end in (Transaction.take_back, Transaction.finish):
            tx = Transaction(None)  # type: ignore[arg-type]
            begin(tx)
            assert not pledges.give(one, folder)
            end(tx)
            assert pledges.give(one, folder)


def test_pledges_are_bounded_and_old_ones_make_room() -> None:
    clock = FakeClock()
    pledges = Pledges(TASKS, clock, follows_others=False)
    assert all(pledges.give(SessionId(2), Ino(10 + number)) for number in range(FOLDERS_MAX))
    assert not pledges.give(SessionId(2), Ino(5))
    clock.advance(PLEDGE_S + MARGIN_S)
    assert pledges.give(SessionId(2), Ino(5))
