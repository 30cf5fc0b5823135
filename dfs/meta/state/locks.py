"""Locks of fcntl(2) and flock(2): who has locked what, between all mounts (design sections 7 and 10).

Memory only: a session's locks vanish with it, and after our restart each session asserts its own; until all have, or expired,
nothing new is locked. A Lock waits here for at most LOCK_PARK_S at a time. What an owner has changed makes all its earlier calls
late, and an answer that was no makes that very Lock late, so that a duplicate, or one whose caller has gone, has no effect
afterwards (I6). The mutex is innermost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dfs.core.errors import DuplicateRefused, LockBusy, SessionExpired, TooManyLocks, WouldBlock, WouldDeadlock
from dfs.core.ids import NO_OP, Ino, OpId, SessionId
from dfs.core.interfaces import POLL_S, CallContext, Clock, Tasks
from dfs.core.limits import LOCK_PARK_S, LOCKS_MAX
from dfs.core.locks import LockKind, LockOwner, LockRange, conflict, with_range, without
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, LockFound, Unlock

_LAST_KEPT: Final = 256
"""Owners per session whose last calls are remembered before those that matter no more are forgotten."""


class _Holder(NamedTuple):
    """An owner, among those of all sessions."""

    session: SessionId
    owner: LockOwner


class _Last(NamedTuple):
    """The last calls of an owner in a file that were answered; duplicates of earlier ones may still come."""

    changed: OpId = NO_OP
    """It locked, unlocked or asserted: done once more it changes nothing, and any before it would undo it."""
    refused: OpId = NO_OP
    """It was not granted its lock: its caller does not rely on it, and asks anew with another number."""


class Locks:
    """All locks."""

    def __init__(self, tasks: Tasks, clock: Clock, is_live: Callable[[SessionId], bool], is_waiting: Callable[[], bool]) -> None:
        """Arguments: whether a session may call; whether sessions from before our start have yet to assert their locks."""
        self._mutex = tasks.mutex()
        self._freed = tasks.signal(self._mutex)
        self._clock = clock
        self._is_live = is_live
        self._is_waiting = is_waiting
        self._is_closed = False
        self._held: dict[Ino, dict[_Holder, tuple[LockRange, ...]]] = {}
        self._blocked: dict[_Holder, set[_Holder]] = {}
        """Owners that wait -> those in their way; records only."""
        self._last: dict[SessionId, dict[tuple[Ino, LockOwner], _Last]] = {}

    def lock(self, ctx: CallContext, request: Lock) -> None:
        """Lock a range, waiting if that is asked for.

        Raises: WouldBlock, LockBusy, WouldDeadlock, TooManyLocks, DuplicateRefused, SessionExpired.
        """
        holder = _Holder(ctx.session, request.owner)
        until_s = self._clock.monotonic_s() + LOCK_PARK_S
        with self._mutex:
            try:
                while not self._is_locked(holder, request):
                    left_s = until_s - self._clock.monotonic_s()
                    if left_s <= 0 or self._is_closed or ctx.cancelled() is not None:
                        raise LockBusy(request.ino)
                    self._freed.wait(min(left_s, POLL_S))
                self._note(ctx, request, _Last(changed=request.op))
            except (WouldBlock, LockBusy, WouldDeadlock, TooManyLocks):
                self._note(ctx, request, _Last(refused=request.op))
                raise
            finally:
                self._blocked.pop(holder, None)

    def unlock(self, ctx: CallContext, request: Unlock) -> None:
        """Free a range. Raises: SessionExpired, DuplicateRefused."""
        holder = _Holder(ctx.session, request.owner)
        with self._mutex:
            self._require_last(ctx, request)
            self._put(request.ino, holder, without(self._ranges(request.ino, holder), request.first, request.last))

    def assert_all(self, ctx: CallContext, request: AssertLocks) -> None:
        """Set what an owner has locked, save the bytes that others have locked since. Raises: SessionExpired, DuplicateRefused."""
        holder = _Holder(ctx.session, request.owner)
        with self._mutex:
            self._require_last(ctx, request)
            ranges: tuple[LockRange, ...] = ()
            for wanted in request.ranges:
                for free in self._parts_left(request.ino, holder, wanted):
                    ranges = with_range(ranges, free)
            self._put(request.ino, holder, ranges)

    def find(self, ctx: CallContext, request: FindLock) -> LockFound:
        """Return a lock in the way. Raises: LockBusy before all sessions have asserted theirs."""
        holder = _Holder(ctx.session, request.owner)
        with self._mutex:
            if self._is_waiting():
                raise LockBusy(request.ino)
            for other, found in self._in_the_way(request.ino, holder, request.range):
                return LockFound(found, other.session == ctx.session)
            return LockFound()

    def end(self, session: SessionId) -> None:
        """Free everything of a session that lives no more."""
        with self._mutex:
            self._last.pop(session, None)
            for ino in list(self._held):
                for holder in [holder for holder in self._held[ino] if holder.session == session]:
                    self._put(ino, holder, ())
            self._freed.notify_all()

    def close(self) -> None:
        """End all parked calls; none parks from now on."""
        with self._mutex:
            self._is_closed = True
            self._freed.notify_all()

    # --- under the mutex ---------------------------------------------------------------------------------------------

    def _is_locked(self, holder: _Holder, request: Lock) -> bool:
        """Try once; False if the caller has to wait."""
        ino, owner = request.ino, request.owner
        if not self._is_live(holder.session):
            raise SessionExpired(holder.session)
        last = self._last.get(holder.session, {}).get((ino, owner), _Last())
        if request.op < last.changed or request.op <= last.refused:
            raise DuplicateRefused(request.op)
        if self._is_waiting():
            return False
        others = {other for other, _ in self._in_the_way(ino, holder, request.range)}
        if not others:
            ranges = with_range(self._ranges(ino, holder), request.range)
            if len(ranges) > LOCKS_MAX:
                raise TooManyLocks(b"inode %d" % ino)
            self._put(ino, holder, ranges)
            return True
        if not request.wait:
            raise WouldBlock(b"inode %d" % ino)
        if owner.kind is LockKind.WHOLE:
            self._put(ino, holder, ())  # flock(2) gives the old lock up before it waits: two who upgrade don't block each other
        else:
            self._blocked[holder] = others
            if self._waits_for_itself(holder):
                raise WouldDeadlock(b"inode %d" % ino)
        return False

    def _waits_for_itself(self, holder: _Holder) -> bool:
        seen: set[_Holder] = set()
        todo = list(self._blocked[holder])
        while todo:
            other = todo.pop()
            if other == holder:
                return True
            if other not in seen:
                seen.add(other)
                todo += self._blocked.get(other, ())
        return False

    def _ranges(self, ino: Ino, holder: _Holder) -> tuple[LockRange, ...]:
        return self._held.get(ino, {}).get(holder, ())

    def _in_the_way(self, ino: Ino, holder: _Holder, wanted: LockRange) -> Iterator[tuple[_Holder, LockRange]]:
        for other, ranges in self._held.get(ino, {}).items():
            if other != holder and other.owner.kind is holder.owner.kind and (found := conflict(ranges, wanted)) is not None:
                yield other, found

    def _parts_left(self, ino: Ino, holder: _Holder, wanted: LockRange) -> tuple[LockRange, ...]:
        """Return the parts of a range that nobody else's lock is in the way of."""
        parts: tuple[LockRange, ...] = (wanted,)
        for other, ranges in self._held.get(ino, {}).items():
            if other != holder and other.owner.kind is holder.owner.kind:
                for held in ranges:
                    if conflict((held,), wanted) is not None:
                        parts = without(parts, held.first, held.last)
        return parts

    def _put(self, ino: Ino, holder: _Holder, ranges: tuple[LockRange, ...]) -> None:
        if ranges == self._ranges(ino, holder):
            return  # who waits must not be woken by others who wait: they would wake each other without end
        holders = self._held.setdefault(ino, {})
        if ranges:
            holders[holder] = ranges
        else:
            holders.pop(holder, None)
        if not holders:
            del self._held[ino]
        self._freed.notify_all()

    def _require_last(self, ctx: CallContext, request: Unlock | AssertLocks) -> None:
        """Raise SessionExpired, or DuplicateRefused if the owner has changed its locks by a later call."""
        if not self._is_live(ctx.session):
            raise SessionExpired(ctx.session)
        # What was only refused does not count: what is asserted after our restart may come behind a Lock that had to wait for it.
        if request.op < self._last.get(ctx.session, {}).get((request.ino, request.owner), _Last()).changed:
            raise DuplicateRefused(request.op)
        self._note(ctx, request, _Last(changed=request.op))

    def _note(self, ctx: CallContext, request: Lock | Unlock | AssertLocks, answered: _Last) -> None:
        known = self._last.setdefault(ctx.session, {})
        key = request.ino, request.owner
        last = known.get(key, _Last())
        if len(known) >= _LAST_KEPT:
            # What is acknowledged can't be repeated any more: such a call is refused before it comes here.
            for old in [old for old, calls in known.items() if max(calls) < ctx.acknowledged]:
                del known[old]
        known[key] = _Last(max(last.changed, answered.changed), max(last.refused, answered.refused))
