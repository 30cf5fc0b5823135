"""Concurrency on real threads, for the services' Tasks.

Promises: a task's exception is never lost: it is logged with its traceback and ends the process, because what the task was
there for would silently not happen any more. Called by the services through core.interfaces.Tasks; never knows what they do.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from dfs.core.errors import ExitCode

log = logging.getLogger(__name__)


def end_process() -> None:
    """End this process at once, as a crash would: all that it promised is on disk already.

    sys.exit() would end only the calling thread, and an orderly stop may wait for the very task that died.
    """
    logging.shutdown()
    os._exit(ExitCode.FAILED)


class ThreadTask:
    """A thread that runs one function."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end, at most `timeout_s` seconds (None: for ever); tell whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


class ThreadSignal:
    """A condition that belongs to a mutex made by ThreadTasks."""

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition

    def notify_all(self) -> None:
        """Wake every task that waits now. Takes the mutex, whether or not the caller holds it already."""
        with self._condition:
            self._condition.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Give the mutex up, wait at most `timeout_s` seconds, take it again."""
        self._condition.wait(timeout_s)


class _Entry:
    """The lock of one key and how many tasks hold it or wait for it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


class _Hold(AbstractContextManager[None]):
    """Holds one key of a ThreadKeyedLock; used for one `with` only."""

    __slots__ = ("_entry", "_family", "_key")

    def __init__(self, family: ThreadKeyedLock, key: Hashable) -> None:
        self._family = family
        self._key = key

    def __enter__(self) -> None:
        self._entry = self._family.enlist(self._key)
        try:
            self._entry.lock.acquire()
        except BaseException:  # KeyboardInterrupt while waiting
            self._family.delist(self._key, self._entry)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._entry.lock.release()
        self._family.delist(self._key, self._entry)


class ThreadKeyedLock:
    """One lock per key. A key in nobody's use takes no memory, so keys may be inode numbers.

    Not re-entrant. Lock order: the family's own mutex is never held while waiting for a key.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def hold(self, key: Hashable) -> AbstractContextManager[None]:
        """Return a context in which the caller alone holds the lock of `key`."""
        return _Hold(self, key)

    def enlist(self, key: Hashable) -> _Entry:
        """Count one more user of `key` and return its entry. For _Hold only."""
        with self._mutex:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry()
            entry.users += 1
            return entry

    def delist(self, key: Hashable, entry: _Entry) -> None:
        """Count one user less; the last one removes the entry. For _Hold only."""
        with self._mutex:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]

    def __len__(self) -> int:
        """Return how many keys are held or waited for."""
        return len(self._entries)


class ThreadTasks:
    """Tasks as daemon threads: a process that ends does not wait for them, its services' stop() does."""

    def __init__(self, on_bug: Callable[[], None] = end_process) -> None:
        self._on_bug = on_bug

    def spawn(self, name: str, function: Callable[[], None]) -> ThreadTask:
        """Run `function` on a new thread called `name`. An exception that leaves it is logged, then on_bug() is called."""

        def run() -> None:
            try:
                function()
            except BaseException:  # SystemExit too would end a thread without a word
                log.critical("a bug: the task %s died", name, exc_info=True)
                self._on_bug()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return ThreadTask(thread)

    def mutex(self) -> AbstractContextManager[Any]:
        """Return a new lock. It is re-entrant, so that Signal.notify_all may take it when the caller has it."""
        return threading.RLock()

    def signal(self, mutex: AbstractContextManager[Any]) -> ThreadSignal:
        """Return a new condition that belongs to `mutex`, which this object made."""
        return ThreadSignal(threading.Condition(mutex))  # type: ignore[arg-type]

    def keyed_lock(self) -> ThreadKeyedLock:
        """Return a new family of locks."""
        return ThreadKeyedLock()
