"""What this mount has locked, per inode and owner: memory only, so that meta can be told anew and an unlock of nothing is free.

Two calls of one owner may be under way at once (threads of a process), and answers may cross: then what is known here is uncertain,
and every unlock is told to meta until one of everything was. A call that ended without an answer leaves its owner `untold`: meta is
told all that the owner has locked before anything else is locked for it. The mutex is innermost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from dfs.core.ids import Ino, OpId
from dfs.core.interfaces import POLL_S, CallContext, Tasks, raise_if_cancelled
from dfs.core.locks import OFFSET_MAX, LockOwner, LockRange, without

Ranges = tuple[LockRange, ...]


class LockKey(NamedTuple):
    """Who has locked in which file."""

    ino: Ino
    owner: LockOwner


@dataclass(slots=True)
class _Owned:
    """What is known of one owner in one file."""

    ranges: Ranges = ()
    handles: set[int] = field(default_factory=set)
    """Handles through which it locked: with the last descriptor of one the kernel does not always unlock."""
    under_way: int = 0
    is_uncertain: bool = False
    is_told_anew: bool = False
    """Meta is being told everything: nothing else may begin."""
    untold: list[OpId] = field(default_factory=list)
    """Calls without an answer: they count as under way until meta was told what is locked."""
    is_told_old: bool = False
    """A restarted meta was told what is locked while calls were under way, and may have heard theirs before, or a lock was given up
    that meta may still know of: it is told again."""

    def must_tell(self) -> bool:
        return bool(self.untold or self.is_told_old)

    def is_over(self) -> bool:
        return not (self.ranges or self.under_way or self.is_uncertain or self.is_told_anew or self.must_tell())


class LockTable:
    """All locks of the mount."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._owned: dict[LockKey, _Owned] = {}
        self._losses = 0

    # --- calls that lock and unlock ------------------------------------------------------------------------------------

    def begin_lock(self, ctx: CallContext, key: LockKey, handle: int, *, gives_up: bool) -> None:
        """Note that a lock is about to be asked for; waits while meta is told anew.

        Arguments: `gives_up`: meta may drop what the owner had locked before it has the new lock, so that this counts no more from
        now on, least of all to be told to a restarted meta: others may have locked it.
        Raises: Interrupted.
        """
        with self._mutex:
            self._wait_for_telling(ctx, key)
            owned = self._owned.setdefault(key, _Owned())
            owned.handles.add(handle)
            if gives_up and owned.ranges:
                owned.ranges, owned.is_told_old = (), True
            self._begin(owned)

    def begin_unlock(self, ctx: CallContext, key: LockKey, first: int, last: int) -> bool:
        """Note that an unlock is about to be told. Result: False if there is nothing to tell. Raises: Interrupted."""
        with self._mutex:
            self._wait_for_telling(ctx, key)
            owned = self._owned.get(key)
            if owned is None:
                return False
            is_locked = any(held.first <= last and first <= held.last for held in owned.ranges)
            if not is_locked and not owned.is_uncertain and not owned.under_way and not owned.must_tell():
                return False
            self._begin(owned)
            return True

    def end(self, key: LockKey, change: Callable[[Ranges], Ranges], *, untold: OpId | None = None) -> None:
        """Note the end of a call: what it has changed, and its number if no answer came."""
        with self._mutex:
            owned = self._owned.setdefault(key, _Owned())
            owned.ranges = change(owned.ranges)
            owned.under_way = max(0, owned.under_way - 1)
            owned.is_uncertain = owned.is_uncertain or owned.under_way > 0
            if untold is not None:
                owned.untold.append(untold)
            self._tidy(key, owned)

    def end_unlock(self, key: LockKey, first: int, last: int, *, untold: OpId | None = None) -> None:
        """Note the end of an unlock, which counts here even if meta has not answered."""
        with self._mutex:
            owned = self._owned.get(key)
            if owned is not None and (first, last) == (0, OFFSET_MAX) and owned.under_way == 1:
                owned.is_uncertain = False
        self.end(key, lambda ranges: without(ranges, first, last), untold=untold)

    # --- telling meta everything ---------------------------------------------------------------------------------------

    def untold(self) -> list[LockKey]:
        """Return whom meta must be told of."""
        with self._mutex:
            return [key for key, owned in self._owned.items() if owned.must_tell()]

    def begin_telling(self, key: LockKey) -> Ranges | None:
        """Return all that an owner has locked, to be told; None if that is not due, or calls are under way."""
        with self._mutex:
            owned = self._owned.get(key)
            if owned is None or not owned.must_tell() or owned.under_way or owned.is_told_anew:
                return None
            owned.is_told_anew = True
            return owned.ranges

    def end_telling(self, key: LockKey, *, is_told: bool) -> list[OpId]:
        """Note whether meta knows. Result: the calls that need no answer any more."""
        with self._mutex:
            owned = self._owned.get(key)
            if owned is None:
                return []
            owned.is_told_anew = False
            over: list[OpId] = []
            if is_told:
                over, owned.untold = owned.untold, over
                owned.is_uncertain = owned.is_told_old = False
            self._tidy(key, owned)
            return over

    # --- looking -------------------------------------------------------------------------------------------------------

    def locked(self) -> list[LockKey]:
        """Return who has locked anything, to be told to a restarted meta."""
        with self._mutex:
            return [key for key, owned in self._owned.items() if owned.ranges]

    def to_assert(self, key: LockKey) -> Ranges:
        """Return what an owner has locked now, to be told to a restarted meta by a call that has its number already.

        So a call that begins afterwards has a higher one; what an earlier one that is under way changes is told once more.
        """
        with self._mutex:
            owned = self._owned.get(key)
            if owned is None:
                return ()
            owned.is_told_old = owned.is_told_old or (bool(owned.ranges) and owned.under_way > 0)
            return owned.ranges

    def through(self, handle: int) -> list[LockKey]:
        """Return the owners that locked through a handle."""
        with self._mutex:
            return [key for key, owned in self._owned.items() if handle in owned.handles]

    @property
    def losses(self) -> int:
        """How often all locks were lost."""
        return self._losses

    def lose_all(self) -> tuple[list[Ino], list[OpId]]:
        """Forget all locks, whose session has expired. Result: the files that had any, and calls that need no answer any more."""
        with self._mutex:
            self._losses += 1
            inos = sorted({key.ino for key, owned in self._owned.items() if owned.ranges})
            over = [op for owned in self._owned.values() for op in owned.untold]
            for key, owned in list(self._owned.items()):
                owned.ranges, owned.untold, owned.is_uncertain, owned.is_told_old = (), [], False, False
                self._tidy(key, owned)
            return inos, over

    # --- under the mutex -----------------------------------------------------------------------------------------------

    def _begin(self, owned: _Owned) -> None:
        owned.under_way += 1
        owned.is_uncertain = owned.is_uncertain or owned.under_way > 1

    def _tidy(self, key: LockKey, owned: _Owned) -> None:
        if owned.is_over():
            self._owned.pop(key, None)
        self._changed.notify_all()

    def _wait_for_telling(self, ctx: CallContext, key: LockKey) -> None:
        while (owned := self._owned.get(key)) is not None and owned.is_told_anew:
            raise_if_cancelled(ctx)
            self._changed.wait(POLL_S)
