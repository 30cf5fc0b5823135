"""Grants that are asked back, and the one signal that parked calls wait on: heartbeats for recalls, Acquire for a release.

Memory only: after a restart those who wait ask again. Its mutex is innermost; nobody waits while a transaction runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from dfs.core.ids import Ino, SessionId
from dfs.core.interfaces import POLL_S, CallContext, Clock, Tasks


class Recalls:
    """Which holders must yield what."""

    def __init__(self, tasks: Tasks, clock: Clock) -> None:
        self._mutex = tasks.mutex()
        self._signal = tasks.signal(self._mutex)
        self._clock = clock
        self._holder: dict[Ino, SessionId] = {}
        self._of_session: dict[SessionId, set[Ino]] = {}
        self._releases = 0
        self._is_closed = False

    def ask(self, ino: Ino, holder: SessionId) -> None:
        """Ask the holder for the grant of an inode."""
        with self._mutex:
            if self._holder.get(ino) == holder:
                return
            self._forget(ino)
            self._holder[ino] = holder
            self._of_session.setdefault(holder, set()).add(ino)
            self._signal.notify_all()

    def released(self, ino: Ino) -> None:
        """Note that a grant is free, or held anew, and wake those who wait for it."""
        if ino not in self._holder:
            return
        with self._mutex:
            self._forget(ino)
            self._wake()

    def wake_all(self) -> None:
        """Make every parked call look again: something was settled, a session ended, or the service stops."""
        with self._mutex:
            self._wake()

    def close(self) -> None:
        """End all parked calls; none parks from now on."""
        with self._mutex:
            self._is_closed = True
            self._wake()

    def of(self, session: SessionId) -> tuple[Ino, ...]:
        """Return the grants asked of a session."""
        with self._mutex:
            return tuple(sorted(self._of_session.get(session, ())))

    def releases(self) -> int:
        """Return a number that changes whenever a grant may have become free; for wait_for_release."""
        with self._mutex:
            return self._releases

    def wait_for_release(self, ctx: CallContext, seen: int, until_s: float) -> bool:
        """Wait until releases() is no longer `seen`; False at `until_s` (Clock.monotonic_s) or when ctx is cancelled."""
        with self._mutex:
            while self._releases == seen:
                if not self._wait(ctx, until_s):
                    return False
            return True

    def wait_for_recall(
        self, ctx: CallContext, session: SessionId, known: Collection[Ino], until_s: float, is_over: Callable[[], bool]
    ) -> None:
        """Wait until something outside `known` is asked of the session, is_over(), `until_s`, or ctx is cancelled."""
        known = set(known)
        with self._mutex:
            while not self._of_session.get(session, set()) - known and not is_over():
                if not self._wait(ctx, until_s):
                    return

    def _wait(self, ctx: CallContext, until_s: float) -> bool:
        left_s = until_s - self._clock.monotonic_s()
        if self._is_closed or left_s <= 0 or ctx.cancelled() is not None:
            return False
        self._signal.wait(min(left_s, POLL_S))
        return True

    def _wake(self) -> None:
        self._releases += 1
        self._signal.notify_all()

    def _forget(self, ino: Ino) -> None:
        holder = self._holder.pop(ino, None)
        if holder is None:
            return
        asked = self._of_session[holder]
        asked.discard(ino)
        if not asked:
            del self._of_session[holder]
