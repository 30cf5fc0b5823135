"""Goal: a mount's locks cost what they should, and survive restarts, lost answers and interrupted callers as promised.
Method: two FileSystems on an in-process cluster of real services.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dfs.core.errors import EndReason, Interrupted, StaleFile, WouldBlock
from dfs.core.events.mount import LEASE_LOST
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.locks import AssertLocks, Lock, Unlock
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount
from tests.harness.waiting import wait_until

O_RDWR, O_CREAT = 0o2, 0o100
CTX = CallerContext()
A, B = LockOwner(LockKind.RECORD, 1), LockOwner(LockKind.RECORD, 2)
ALL = LockRange(0, OFFSET_MAX, is_exclusive=True, pid=7)
PART = LockRange(0, 9, is_exclusive=True, pid=7)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, 2, 512) as cluster:
        yield cluster


@pytest.fixture
def two(cluster: LocalCluster) -> tuple[Mount, Mount]:
    return cluster.mount(), cluster.mount()


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def opened(mount: Mount) -> int:
    return mount.fs.create(CTX, b"/file", 0o644, O_RDWR | O_CREAT)


def lock(mount: Mount, handle: int, owner: LockOwner = A, wanted: LockRange = ALL, *, wait: bool = False) -> None:
    mount.fs.lock(CTX, handle, owner, wanted, wait=wait)


def unlock(mount: Mount, handle: int, owner: LockOwner = A) -> None:
    mount.fs.unlock(CTX, handle, owner, 0, OFFSET_MAX)


def is_free(mount: Mount, handle: int) -> bool:
    """Tell whether a new owner can lock the file."""
    try:
        lock(mount, handle, LockOwner(LockKind.RECORD, 99))
    except WouldBlock:
        return False
    unlock(mount, handle, LockOwner(LockKind.RECORD, 99))
    return True


def test_lock_and_unlock_make_one_call_each_and_an_unlock_of_nothing_none(two: tuple[Mount, Mount]) -> None:
    one, _ = two
    handle = opened(one)
    with one.counting() as calls:
        unlock(one, handle)
    assert calls == {}
    with one.counting() as calls:
        lock(one, handle)
        unlock(one, handle)
        unlock(one, handle)
    assert calls == {"Lock": 1, "Unlock": 1}


def test_write_makes_no_call_for_extended_attributes_or_locks(two: tuple[Mount, Mount]) -> None:
    one, _ = two
    handle = opened(one)
    lock(one, handle)
    with one.counting() as calls:
        one.fs.write(CTX, handle, b"x" * 512, 0)
    assert calls == {"Put": 2}


def test_size_is_committed_before_an_unlock_and_known_with_the_next_lock(two: tuple[Mount, Mount]) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    lock(one, first)
    one.fs.write(CTX, first, b"x" * 700, 0)
    assert other.fs.getattr(CTX, b"/file", second).content.size_bytes == 0
    unlock(one, first)
    lock(other, second)
    assert other.fs.getattr(CTX, b"/file", second).content.size_bytes == 700


def test_locks_through_a_handle_go_with_its_release(two: tuple[Mount, Mount]) -> None:
    one, other = two
    first, again, second = opened(one), opened(one), opened(other)
    lock(one, first)
    one.fs.release(CTX, again)
    assert not is_free(other, second)
    one.fs.release(CTX, first)
    assert is_free(other, second)


def test_interrupted_wait_locks_nothing_and_leaves_what_was_locked(
    cluster: LocalCluster, two: tuple[Mount, Mount], beside: Any
) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    lock(one, first, A, PART)
    elsewhere = LockRange(100, 199, is_exclusive=True, pid=7)
    lock(other, second, A, elsewhere)
    ctx = CallerContext()
    waiting = beside(lambda: other.fs.lock(ctx, second, A, ALL, wait=True))
    parts = cluster.meta._parts
    assert parts is not None
    wait_until(lambda: bool(parts.locks._blocked), "the lock to wait", 10)
    ctx.end()
    with pytest.raises(Interrupted):
        waiting.result(10)
    unlock(one, first)
    other.fs._own.upkeep.work(CTX)
    lock(one, first, A, PART)
    with pytest.raises(WouldBlock):
        lock(one, first, A, elsewhere)


class EndsWhen(CallerContext):
    """A caller that is killed as soon as something has happened."""

    def __init__(self, has_happened: Callable[[], bool]) -> None:
        super().__init__()
        self._has_happened = has_happened

    def cancelled(self) -> EndReason | None:
        return EndReason.SIGNAL if self._has_happened() else None


def test_process_that_is_killed_has_unlocked_when_it_has_ended(two: tuple[Mount, Mount]) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    lock(one, first)
    one.fs.unlock(EndsWhen(lambda: True), first, A, 0, OFFSET_MAX)
    assert is_free(other, second)


def test_killed_process_waits_no_longer_than_a_while_for_a_meta_server_that_is_away(
    cluster: LocalCluster, two: tuple[Mount, Mount]
) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    lock(one, first)
    cluster.meta_wire.is_down = True
    with pytest.raises(Interrupted):
        one.fs.unlock(EndsWhen(lambda: True), first, A, 0, OFFSET_MAX)
    cluster.meta_wire.is_down = False
    one.fs._own.upkeep.work(CTX)
    assert is_free(other, second)


def test_lock_granted_to_a_caller_that_is_gone_is_freed(cluster: LocalCluster, two: tuple[Mount, Mount]) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    parts = cluster.meta._parts
    assert parts is not None
    with pytest.raises(Interrupted):
        one.fs.lock(EndsWhen(lambda: bool(parts.locks._held)), first, A, ALL, wait=False)
    wait_until(lambda: is_free(other, second), "the mount's own task to tell meta", 10)


@pytest.mark.parametrize("kind", [Lock, Unlock])
def test_lock_call_whose_answer_was_lost_has_one_effect(two: tuple[Mount, Mount], kind: type[Any]) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    one.meta.lose_answers(kind)
    lock(one, first)
    assert not is_free(other, second)
    unlock(one, first)
    assert is_free(other, second)


def test_locks_are_held_again_after_a_restart_of_meta(cluster: LocalCluster, two: tuple[Mount, Mount]) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    lock(one, first, A, PART)
    cluster.stop_meta()
    cluster.start_meta()
    assert not is_free(other, second)
    unlock(one, first)
    assert is_free(other, second)


@pytest.mark.parametrize("comes_first", ["unlock", "assertion"])
def test_unlock_under_way_when_a_restarted_meta_is_told_the_locks_frees_them(two: tuple[Mount, Mount], comes_first: str) -> None:
    one, other = two
    handle, opposite = opened(one), opened(other)
    lock(one, handle)

    def tell_all(request: Any) -> None:
        if isinstance(request, Unlock):
            one.meta.hook = one.meta.before_answer = None
            one.fs._session._assert_locks(CTX)

    if comes_first == "unlock":
        one.meta.before_answer = tell_all
    else:
        one.meta.hook = tell_all
    unlock(one, handle)
    assert one.meta.hook is one.meta.before_answer is None, "no Unlock was made"
    assert is_free(other, opposite)


def test_lock_that_is_unlocked_while_a_restarted_meta_is_told_of_another_is_free(two: tuple[Mount, Mount]) -> None:
    one, other = two
    handle, opposite = opened(one), opened(other)
    one.fs.lock(CTX, handle, A, LockRange(0, 9, is_exclusive=True, pid=1), wait=False)
    one.fs.lock(CTX, handle, B, LockRange(10, 19, is_exclusive=True, pid=2), wait=False)

    def unlock_the_other(request: Any) -> None:
        if isinstance(request, AssertLocks):
            one.meta.hook = None
            unlock(one, handle, B if request.owner == A else A)
            unlock(one, handle, request.owner)

    one.meta.hook = unlock_the_other
    one.fs._session._assert_locks(CTX)
    assert one.meta.hook is None, "nothing was asserted"
    assert is_free(other, opposite)


def test_rest_of_a_lock_of_which_a_part_is_unlocked_while_a_restarted_meta_is_told_stays_locked(
    cluster: LocalCluster, two: tuple[Mount, Mount]
) -> None:
    one, other = two
    handle, opposite = opened(one), opened(other)
    lock(one, handle)
    parts: list[object] = []

    def unlock_a_part(request: Any) -> None:
        if isinstance(request, AssertLocks) and not parts:
            parts.append(request)
            one.fs.unlock(CTX, handle, A, 0, 9)

    one.meta.hook = unlock_a_part
    cluster.stop_meta()
    cluster.start_meta()
    assert not is_free(other, opposite)
    assert parts
    other.fs.lock(CTX, opposite, A, LockRange(0, 9, is_exclusive=True, pid=1), wait=False)


def test_flock_that_was_given_up_for_another_is_not_asserted_in_the_place_of_who_got_it(
    cluster: LocalCluster, two: tuple[Mount, Mount], beside: Callable[[Callable[[], Any]], Any]
) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    owner, shared = LockOwner(LockKind.WHOLE, 1), ALL._replace(is_exclusive=False)
    for mount, handle in ((one, first), (other, second)):
        lock(mount, handle, owner, shared)

    def holders() -> set[tuple[int, bool]]:
        """Return the sessions that have locked the file, and whether for themselves alone."""
        parts = cluster.meta._parts
        assert parts is not None
        held = list(parts.locks._held.values())
        return {(holder.session, ranges[0].is_exclusive) for holders in held for holder, ranges in list(holders.items())}

    waiting = beside(lambda: lock(other, second, owner, wait=True))
    wait_until(lambda: holders() == {(one.fs.session, False)}, "the old lock to be given up")
    lock(one, first, owner)
    told = other.background["AssertOpens"]

    def come_last(request: Any) -> None:
        if isinstance(request, AssertLocks):
            wait_until(lambda: other.background["AssertOpens"] > told, "the other mount to tell what it has", 10)

    one.meta.hook = come_last
    cluster.stop_meta()
    cluster.start_meta()
    wait_until(lambda: holders() == {(one.fs.session, True)}, "the lock to be known again", 15)
    assert not waiting.done()
    unlock(one, first, owner)
    waiting.result(10)
    unlock(other, second, owner)
    wait_until(lambda: not holders(), "all to be free")


def test_flock_that_is_interrupted_while_it_waits_for_another_kind_leaves_nothing(
    cluster: LocalCluster, two: tuple[Mount, Mount]
) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    owner, shared = LockOwner(LockKind.WHOLE, 1), ALL._replace(is_exclusive=False)
    for mount, handle in ((one, first), (other, second)):
        lock(mount, handle, owner, shared)
    asked = other.calls["Lock"]
    with pytest.raises(Interrupted):
        other.fs.lock(EndsWhen(lambda: other.calls["Lock"] > asked), second, owner, ALL, wait=True)
    unlock(other, second, owner)
    lock(one, first, owner)


def test_unlock_that_a_later_one_of_another_range_overtook_frees_its_own(two: tuple[Mount, Mount]) -> None:
    one, other = two
    handle, opposite = opened(one), opened(other)
    lock(one, handle)

    def overtake(request: Any) -> None:
        if isinstance(request, Unlock):
            one.meta.hook = None
            one.fs.unlock(CTX, handle, A, 100, OFFSET_MAX)

    one.meta.hook = overtake
    one.fs.unlock(CTX, handle, A, 0, 99)
    assert one.meta.hook is None, "no Unlock was made"
    assert is_free(other, opposite)


def test_restarted_meta_waits_for_the_word_of_an_idle_mount_and_no_longer(cluster: LocalCluster, two: tuple[Mount, Mount]) -> None:
    """Not for the 30 s after which it would expire."""
    handle = opened(two[0])
    cluster.stop_meta()
    cluster.start_meta()
    until_s = cluster.clock.monotonic_s() + 15
    two[0].fs.lock(EndsWhen(lambda: cluster.clock.monotonic_s() > until_s), handle, A, ALL, wait=False)


def test_file_locked_in_a_session_that_expired_must_be_opened_again(cluster: LocalCluster, two: tuple[Mount, Mount]) -> None:
    """Another may have locked and changed it meanwhile."""
    one, other = two
    first, second = opened(one), opened(other)
    lock(one, first)
    cluster.expire(one)
    assert is_free(other, second)
    wait_until(lambda: bool(one.events.of(LEASE_LOST)), "the mount to notice", 10)
    with pytest.raises(StaleFile):
        one.fs.write(CTX, first, b"x", 0)
    one.fs.release(CTX, first)
    again = opened(one)
    assert one.fs.write(CTX, again, b"x", 0) == 1


def test_wait_for_a_lock_goes_on_in_the_next_session_and_what_it_gets_can_be_unlocked(
    cluster: LocalCluster, two: tuple[Mount, Mount], beside: Callable[[Callable[[], Any]], Any]
) -> None:
    one, other = two
    first, second = opened(one), opened(other)
    lock(other, second, B)
    waiting = beside(lambda: lock(one, first, wait=True))
    wait_until(lambda: one.calls["Lock"] > 0, "the lock to be asked for")
    cluster.expire(one)
    wait_until(lambda: bool(one.events.of(LEASE_LOST)), "the mount to notice", 10)
    unlock(other, second, B)
    waiting.result(10)
    assert not is_free(other, second)
    unlock(one, first)
    assert is_free(other, second)
