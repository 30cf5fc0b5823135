"""Room on the meta-server's own disk: space held back for what must always be possible, and the way back from a full disk.

The idea is that of the data servers (decision record 8): what makes something new is refused with ENOSPC while less than the
reserve is free; removing, truncating, committing and closing are never asked, and find the reserve. Another program may eat that
too: then a transaction fails, the store is read-only, and is tried again here until a durable write succeeds.

Promises: a refusal follows a look at the disk at this moment; each change of state is told once. Called inside transactions
(require), by a worker (step) and by the service's status. The reasons are in decision record 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dfs.core.errors import DiskError, NoSpace
from dfs.core.events.event import Event
from dfs.core.events.meta_server import META_DISK_FITS, META_DISK_FULL, META_WRITES_AGAIN
from dfs.core.interfaces import CallContext, EventSink
from dfs.core.messages.cluster import Space
from dfs.meta.state.store import Store

RESERVE_BYTES_MAX: Final = 64 << 20
"""Twice what SQLite's log and its way into the database take between two checkpoints, and as much again for long readers."""
DISK_SHARE: Final = 8
"""At most one part in so many of a small disk."""
LOOK_INTERVAL_S: Final = 5.0

Look = Callable[[], Space]


def no_limit() -> Space:
    """Say that there is room, where nobody measures."""
    return Space(1 << 62, 1 << 62, "")


class Room:
    """The room on one meta-server's disk."""

    def __init__(
        self, look: Look, store: Store, events: EventSink, on_refusal: Callable[[], None], on_recovery: Callable[[], None]
    ) -> None:
        """Arguments: `look`: measures the disk; `on_refusal`: called when step() has something to tell; `on_recovery`: when
        changes are served again.
        """
        self._look = look
        self._store = store
        self._events = events
        self._on_refusal = on_refusal
        self._on_recovery = on_recovery
        self._is_full = False
        """As last told."""

    def require(self, path: bytes) -> None:
        """Raise NoSpace if nothing new may be made."""
        if self._shortage() is not None:
            self._on_refusal()
            raise NoSpace(path)

    def step(self, ctx: CallContext) -> bool:
        """Lift what a full disk caused if that is over, and tell changes; tell whether all is well. Raises: Stopping."""
        failure = self._store.failure
        if failure is not None and failure.is_full and self._store.recover():
            self._events.emit(Event(META_WRITES_AGAIN), ctx)
            self._on_recovery()
        short = self._shortage()
        is_full = short is not None
        if is_full != self._is_full:
            self._is_full = is_full
            space = short or self._measure()
            details = {"free": space.free_bytes, "held": _held(space)}
            self._events.emit(Event(META_DISK_FULL if is_full else META_DISK_FITS, details=details), ctx)
        failure = self._store.failure
        return not is_full and (failure is None or not failure.is_full)

    def describe(self) -> str:
        """Return what is wrong and what to do, for people; empty when there is room."""
        short = self._shortage()
        if short is None:
            return ""
        return (
            f"disk full: {short.free_bytes} bytes free, {_held(short)} held in reserve; "
            "nothing new can be made until there is room on the meta-server's disk again"
        )

    def _shortage(self) -> Space | None:
        """Return the disk's space if less than the reserve is free."""
        space = self._measure()
        return space if space.free_bytes < _held(space) else None

    def _measure(self) -> Space:
        try:
            return self._look()
        except DiskError:
            return no_limit()  # a disk that can't be asked is not full; what is wrong with it, the next transaction tells


def _held(space: Space) -> int:
    return min(RESERVE_BYTES_MAX, space.total_bytes // DISK_SHARE)
