"""Goal: the meta-server grants locks to one owner at a time, forgets them with their session, and is not fooled by late calls.

Method: requests of several sessions to a meta-server in this process; those that wait run in threads.
"""

from __future__ import annotations

import pytest

from dfs.core.errors import DuplicateRefused, LockBusy, SessionExpired, StaleFile, WouldBlock, WouldDeadlock
from dfs.core.ids import Ino
from dfs.core.interfaces import Signal
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, LockFound, Unlock
from dfs.core.messages.sessions import AssertOpens, EndSession, OpenFile
from tests.harness.beside import beside
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import MetaUnderTest, Mount

A, B = LockOwner(LockKind.RECORD, -1), LockOwner(LockKind.RECORD, 2)
WHOLE_A, WHOLE_B = LockOwner(LockKind.WHOLE, 1), LockOwner(LockKind.WHOLE, 2)


def span(first: int, last: int, *, shared: bool = False) -> LockRange:
    return LockRange(first, last, not shared, 77)


def lock(mount: Mount, ino: Ino, owner: LockOwner, wanted: LockRange, *, wait: bool = False) -> None:
    mount.call(Lock(mount.op(), ino, owner, wanted, wait))


def unlock(mount: Mount, ino: Ino, owner: LockOwner, first: int = 0, last: int = OFFSET_MAX) -> None:
    mount.call(Unlock(mount.op(), ino, owner, first, last))


def is_parked(meta: MetaUnderTest, mount: Mount) -> bool:
    """Tell whether an owner of this mount waits for a record lock."""
    return any(holder.session == mount.session for holder in list(meta.running().locks._blocked))


@pytest.fixture
def two(meta: MetaUnderTest) -> tuple[Mount, Mount]:
    return meta.mount(), meta.mount()


@pytest.fixture
def ino(two: tuple[Mount, Mount]) -> Ino:
    return two[0].create(b"f").attributes.ino


def test_exclusive_lock_keeps_others_out_until_it_is_unlocked(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(10, 19))
    for mount, owner in ((one, B), (other, A)):
        with pytest.raises(WouldBlock):
            lock(mount, ino, owner, span(19, 30))
        lock(mount, ino, owner, span(20, 30, shared=True))
    unlock(one, ino, A, 15, 19)
    lock(other, ino, A, span(15, 19))


def test_locks_of_fcntl_and_flock_do_not_meet(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(0, OFFSET_MAX))
    lock(other, ino, WHOLE_A, span(0, OFFSET_MAX))
    with pytest.raises(WouldBlock):
        lock(one, ino, WHOLE_A, span(0, OFFSET_MAX))


def test_find_lock_tells_range_and_whether_its_pid_means_something(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(5, 9))
    assert one.call(FindLock(ino, A, span(0, 100))) == LockFound()
    assert one.call(FindLock(ino, B, span(0, 100))) == LockFound(span(5, 9), is_own_mount=True)
    assert other.call(FindLock(ino, A, span(0, 100))) == LockFound(span(5, 9), is_own_mount=False)


def test_waiting_lock_is_granted_when_the_holder_unlocks(meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    waiting = beside(lambda: lock(other, ino, A, span(0, 9), wait=True))
    wait_until(lambda: is_parked(meta, other))
    unlock(one, ino, A)
    waiting.result(10)


def test_waiting_lock_is_told_to_ask_again_after_a_while(meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    waiting = beside(lambda: lock(other, ino, A, span(0, 9), wait=True))
    meta.until(waiting.done)
    assert isinstance(waiting.exception(), LockBusy)


def test_owners_that_wait_for_each_other_are_refused(meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    lock(other, ino, A, span(10, 19))
    waiting = beside(lambda: lock(one, ino, A, span(10, 19), wait=True))
    wait_until(lambda: is_parked(meta, one))
    with pytest.raises(WouldDeadlock):
        lock(other, ino, A, span(0, 9), wait=True)
    unlock(other, ino, A)
    waiting.result(10)


class CountingSignal:
    """Counts what happens to a signal."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self.waits = self.wakes = 0

    def wait(self, timeout_s: float) -> None:
        self.waits += 1
        self._signal.wait(timeout_s)

    def notify_all(self) -> None:
        self.wakes += 1
        self._signal.notify_all()


def test_flocks_that_wait_do_not_wake_each_other(meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, WHOLE_A, span(0, OFFSET_MAX))
    locks = meta.running().locks
    locks._freed = signal = CountingSignal(locks._freed)
    waiting = [
        beside(lambda owner=owner: lock(other, ino, owner, span(0, OFFSET_MAX), wait=True))  # type: ignore[misc]
        for owner in (WHOLE_A, WHOLE_B)
    ]
    wait_until(lambda: signal.waits >= 6)
    assert signal.wakes == 0
    unlock(one, ino, WHOLE_A)
    wait_until(lambda: any(future.done() for future in waiting))
    unlock(other, ino, WHOLE_A)
    unlock(other, ino, WHOLE_B)
    wait_until(lambda: all(future.done() for future in waiting))


def test_two_shared_flocks_that_both_upgrade_do_not_wait_for_each_other(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    for mount, owner in ((one, WHOLE_A), (other, WHOLE_B)):
        lock(mount, ino, owner, span(0, OFFSET_MAX, shared=True))
    waiting = beside(lambda: lock(one, ino, WHOLE_A, span(0, OFFSET_MAX), wait=True))
    wait_until(lambda: other.call(FindLock(ino, WHOLE_B, span(0, 9))) == LockFound())  # the first has given its old lock up
    lock(other, ino, WHOLE_B, span(0, OFFSET_MAX), wait=True)
    assert not waiting.done()
    unlock(other, ino, WHOLE_B)
    waiting.result(10)


def test_locks_end_with_their_session(meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    one.call(EndSession())
    lock(other, ino, A, span(0, 9))
    with pytest.raises(SessionExpired):
        lock(one, ino, A, span(20, 29))
    third = meta.mount()
    meta.age(31, third)
    meta.until(lambda: not meta.running().sessions.is_live(other.session))
    lock(third, ino, A, span(0, 9))


def test_late_lock_is_refused_after_an_unlock_and_after_the_locks_were_asserted(two: tuple[Mount, Mount], ino: Ino) -> None:
    """Its caller was interrupted, or its answer lost: what it locked nobody would unlock."""
    one, other = two
    for release in (
        lambda op: Unlock(op, ino, A, 0, OFFSET_MAX),
        lambda op: AssertLocks(op, ino, A, ()),
    ):
        late = Lock(one.op(), ino, A, span(0, 9), wait=False)
        one.call(release(one.op()))
        with pytest.raises(DuplicateRefused):
            one.call(late)
    lock(other, ino, A, span(0, 9))


@pytest.mark.parametrize("wait", [False, True])
def test_late_duplicate_of_a_lock_that_was_refused_locks_nothing(
    meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino, *, wait: bool
) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    refused = Lock(other.op(), ino, A, span(0, 9), wait)
    answer = beside(lambda: other.call(refused))
    meta.until(answer.done)
    assert isinstance(answer.exception(), LockBusy if wait else WouldBlock)
    unlock(one, ino, A)
    with pytest.raises(DuplicateRefused):
        other.call(refused)
    lock(one, ino, A, span(0, 9))
    unlock(one, ino, A)
    lock(other, ino, A, span(0, 9))


def test_late_duplicates_undo_nothing_that_their_owner_has_locked_since(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    shared, unlocked = Lock(one.op(), ino, A, span(0, 9, shared=True), wait=False), Unlock(one.op(), ino, A, 0, 9)
    one.call(shared)
    one.call(unlocked)
    granted = Lock(one.op(), ino, A, span(0, 9), wait=False)
    one.call(granted)
    for late in (shared, unlocked):
        with pytest.raises(DuplicateRefused):
            one.call(late)
    one.call(granted)
    with pytest.raises(WouldBlock):
        lock(other, ino, A, span(0, 9, shared=True))


def test_late_duplicate_of_a_shared_lock_takes_no_exclusive_one_away(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    shared = Lock(one.op(), ino, A, span(0, 9, shared=True), wait=False)
    one.call(shared)
    lock(one, ino, A, span(0, 9))
    with pytest.raises(DuplicateRefused):
        one.call(shared)
    with pytest.raises(WouldBlock):
        lock(other, ino, A, span(0, 9, shared=True))


def test_lock_that_waits_is_refused_when_its_owner_asserts_without_it(
    meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino
) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    waiting = beside(lambda: lock(other, ino, A, span(0, 9), wait=True))
    wait_until(lambda: is_parked(meta, other))
    other.call(AssertLocks(other.op(), ino, A, ()))
    assert isinstance(waiting.exception(10), DuplicateRefused)


def test_nothing_is_locked_after_a_restart_until_all_sessions_have_asserted(
    meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino
) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    meta.crash()
    other.call(AssertOpens(()))
    for busy in (Lock(other.op(), ino, A, span(0, 9), False), FindLock(ino, B, span(0, 9))):
        refused = beside(lambda busy=busy: other.call(busy))  # type: ignore[misc]
        meta.until(refused.done)
        assert isinstance(refused.exception(), LockBusy)
    one.call(AssertLocks(one.op(), ino, A, (span(0, 9),)))
    one.call(AssertOpens((OpenFile(ino, one.op()),)))
    with pytest.raises(WouldBlock):
        lock(other, ino, A, span(0, 9))
    lock(other, ino, A, span(10, 19))


def test_asserted_bytes_that_others_have_locked_since_are_left_out_and_no_more(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(other, ino, A, span(10, 19))
    lock(other, ino, B, span(22, 23, shared=True))
    one.call(AssertLocks(one.op(), ino, A, (span(0, 9), span(15, 25), span(30, 39))))
    unlock(other, ino, A)
    unlock(other, ino, B)
    for at in (0, 9, 20, 21, 24, 25, 30, 39):
        with pytest.raises(WouldBlock):
            lock(other, ino, A, span(at, at))
    for first, last in ((10, 19), (22, 23), (26, 29)):
        lock(other, ino, A, span(first, last))


def test_asserted_bytes_that_are_shared_stay_shared(two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(other, ino, A, span(10, 19, shared=True))
    one.call(AssertLocks(one.op(), ino, A, (span(0, 29, shared=True),)))
    assert other.call(FindLock(ino, A, span(0, 100))) == LockFound(span(0, 29, shared=True), is_own_mount=False)


def test_lock_of_what_does_not_exist_is_refused(two: tuple[Mount, Mount]) -> None:
    with pytest.raises(StaleFile):
        lock(two[0], Ino(999), A, span(0, 9))


def test_heartbeats_keep_locks(meta: MetaUnderTest, two: tuple[Mount, Mount], ino: Ino) -> None:
    one, other = two
    lock(one, ino, A, span(0, 9))
    meta.age(40, one, other)
    with pytest.raises(WouldBlock):
        lock(other, ino, A, span(0, 9))
