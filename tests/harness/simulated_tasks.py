"""Concurrency, time and chance of one simulated process; stands in for dfs.host.tasks, dfs.host.clock and dfs.host.randomness.

Everything goes through the baton (tests/harness/baton.py), so there are no real locks here: a lock is a note of who has it. As with
the real ones, an exception that leaves a task is a bug; here it ends the run.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any
from uuid import UUID

from tests.harness.baton import Baton, Process, SimulatedTask


class SimulatedMutex(AbstractContextManager[Any]):
    """A re-entrant lock."""

    __slots__ = ("_baton", "_count", "_owner", "_waiters")

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._owner: SimulatedTask | None = None
        self._count = 0
        self._waiters: deque[SimulatedTask] = deque()

    def __enter__(self) -> None:
        baton = self._baton
        if baton.is_polling:
            return  # a look at memory on behalf of a task that waits; whoever has the lock is not running
        if self._owner is not baton.current:
            if baton.preempt and baton.loses_turn():
                baton.pass_on()
            self._take(baton.current)
        self._count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._baton.is_polling:
            return
        self._count -= 1
        if not self._count:
            self._free()

    def release_all(self) -> int:
        """Give the lock up, however often it was taken; return how often."""
        assert self._owner is self._baton.current, "a signal is waited for without its mutex"
        count, self._count = self._count, 0
        self._free()
        return count

    def take_again(self, count: int) -> None:
        """Undo release_all()."""
        self._take(self._baton.current)
        self._count = count

    def _take(self, task: SimulatedTask) -> None:
        while self._owner is not None and task.process.is_alive:
            self._waiters.append(task)
            self._baton.wait(None)
        self._owner = task

    def _free(self) -> None:
        self._owner = None
        if self._waiters:
            self._baton.ready(self._waiters.popleft())


class SimulatedSignal:
    """A condition that belongs to a mutex."""

    def __init__(self, baton: Baton, mutex: SimulatedMutex) -> None:
        self._baton = baton
        self._mutex = mutex
        self._waiters: list[SimulatedTask] = []

    def notify_all(self) -> None:
        """Wake every task that waits now."""
        waiters, self._waiters = self._waiters, []
        for task in waiters:
            self._baton.ready(task)

    def wait(self, timeout_s: float) -> None:
        """Give the mutex up, wait at most `timeout_s` seconds, take it again."""
        baton = self._baton
        task, count = baton.current, self._mutex.release_all()
        self._waiters.append(task)
        try:
            baton.wait(baton.now_s + max(0.0, timeout_s))
        finally:
            if task in self._waiters:
                self._waiters.remove(task)
            self._mutex.take_again(count)


class _Hold(AbstractContextManager[None]):
    """Holds one key."""

    __slots__ = ("_family", "_key")

    def __init__(self, family: SimulatedKeyedLock, key: Hashable) -> None:
        self._family = family
        self._key = key

    def __enter__(self) -> None:
        self._family.take(self._key)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._family.free(self._key)


class SimulatedKeyedLock:
    """One lock per key, not re-entrant."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._held: dict[Hashable, SimulatedTask] = {}
        self._waiters: dict[Hashable, deque[SimulatedTask]] = {}

    def hold(self, key: Hashable) -> AbstractContextManager[None]:
        """Return a context in which the caller alone holds the lock of `key`."""
        return _Hold(self, key)

    def take(self, key: Hashable) -> None:
        """Wait until the key is free, and hold it."""
        baton = self._baton
        if baton.preempt and baton.loses_turn():
            baton.pass_on()
        task = baton.current
        while key in self._held:
            assert self._held[key] is not task, f"{task} takes {key!r} twice"
            self._waiters.setdefault(key, deque()).append(task)
            baton.wait(None)
        self._held[key] = task

    def free(self, key: Hashable) -> None:
        """Let the next one have it."""
        del self._held[key]
        waiters = self._waiters.get(key)
        if waiters:
            self._baton.ready(waiters.popleft())
            if not waiters:
                del self._waiters[key]


class SimulatedTasks:
    """core.interfaces.Tasks of one process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._baton = process.baton

    def spawn(self, name: str, function: Callable[[], None]) -> SimulatedTask:
        """Run `function` beside the caller."""
        return self._baton.spawn(self.process, name, function)

    def mutex(self) -> SimulatedMutex:
        """Return a new lock."""
        return SimulatedMutex(self._baton)

    def signal(self, mutex: AbstractContextManager[Any]) -> SimulatedSignal:
        """Return a new condition that belongs to `mutex`."""
        assert isinstance(mutex, SimulatedMutex)
        return SimulatedSignal(self._baton, mutex)

    def keyed_lock(self) -> SimulatedKeyedLock:
        """Return a new family of locks."""
        return SimulatedKeyedLock(self._baton)


class SimulatedClock:
    """core.interfaces.Clock of one machine: its monotonic clock began at its own time, its wall clock may be set at any time."""

    def __init__(self, baton: Baton, start_s: float, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._baton = baton
        self._start_s = start_s
        self.wall_at_start_ns = wall_ns
        """Wall time at the beginning of the run, as the machine believes now."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary moment."""
        return self._start_s + self._baton.now_s

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as this machine believes."""
        return self.wall_at_start_ns + int(self._baton.now_s * 1e9)

    def sleep(self, duration_s: float) -> None:
        """Let others run for a while."""
        self._baton.sleep(duration_s)


class SeededRandom:
    """core.interfaces.Random that draws the same numbers in every run of a seed."""

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._chance.uniform(low, high)

    def token_bytes(self, count: int) -> bytes:
        """Return bytes."""
        return self._chance.randbytes(count)

    def uuid(self) -> str:
        """Return a UUID in its usual form."""
        return str(UUID(bytes=self._chance.randbytes(16), version=4))
