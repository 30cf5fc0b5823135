"""Background work: a task that runs one step when woken, again with a growing delay while something is left to do.

It never spins: between two steps it waits on its signal. A step may call other servers; its context ends when the service stops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError, EndReason, Interrupted
from dfs.core.interfaces import POLL_S, CallContext, Clock, Task, Tasks

log = logging.getLogger(__name__)

STOP_TIMEOUT_S: Final = 15.0
"""How long stop() waits for a step under way: longer than a call to a server that does not answer."""
_IDLE_S: Final = 60.0


class Worker:
    """One background task."""

    def __init__(
        self,
        name: str,
        step: Callable[[CallContext], bool],
        tasks: Tasks,
        clock: Clock,
        *,
        gather_s: float = 0.0,
        period_s: float | None = None,
        retry_s_min: float = 0.2,
        retry_s_max: float = 15.0,
    ) -> None:
        """Make a worker; it runs after start().

        Arguments: `step`: does what there is to do and tells whether all is done; `gather_s`: delay between being woken
        and the step, so that one step does the work of many wakes; `period_s`: run at least so often, None: only when woken.
        """
        self._name = name
        self._step = step
        self._tasks = tasks
        self._clock = clock
        self._gather_s = gather_s
        self._period_s = period_s
        self._retry_s_min = retry_s_min
        self._retry_s_max = retry_s_max
        self._mutex = tasks.mutex()
        self._signal = tasks.signal(self._mutex)
        self._is_woken = True
        self._is_stopping = False
        self._task: Task | None = None
        self._ctx = PlainContext(f"meta-{name}", self._ending)
        """Of its calls in other servers' journals."""

    def _ending(self) -> EndReason | None:
        """Calls end when the service stops."""
        return EndReason.SHUTDOWN if self._is_stopping else None

    def start(self) -> None:
        """Begin, with one step at once."""
        self._task = self._tasks.spawn(f"meta-{self._name}", self._run)

    def wake(self) -> None:
        """Have a step run soon; while it is retried, at its next try."""
        if self._is_woken:
            return
        with self._mutex:
            self._is_woken = True
            self._signal.notify_all()

    def ask_to_stop(self) -> None:
        """Let the step under way be the last."""
        with self._mutex:
            self._is_stopping = True
            self._signal.notify_all()

    def join(self) -> None:
        """Wait for the end, STOP_TIMEOUT_S at most."""
        if self._task is not None and not self._task.join(STOP_TIMEOUT_S):
            log.warning("the task %s did not end within %.0f s", self._name, STOP_TIMEOUT_S)

    def _run(self) -> None:
        retry_s = 0.0
        while self._wait(retry_s):
            try:
                is_done = self._step(self._ctx)
            except Interrupted:
                is_done = False
            except DfsError as error:
                log.debug("%s: tried again later: %s", self._name, error)
                is_done = False
            retry_s = 0.0 if is_done else min(max(2 * retry_s, self._retry_s_min), self._retry_s_max)

    def _wait(self, retry_s: float) -> bool:
        """Wait for the time of the next step; False when stopping."""
        if retry_s:
            self._pause(retry_s)
        else:
            self._wait_for_wake()
            self._pause(self._gather_s)
        with self._mutex:
            self._is_woken = False
            return not self._is_stopping

    def _wait_for_wake(self) -> None:
        period_s = self._period_s
        until_s = None if period_s is None else self._clock.monotonic_s() + period_s
        with self._mutex:
            while not self._is_woken and not self._is_stopping:
                left_s = _IDLE_S if until_s is None else until_s - self._clock.monotonic_s()
                if left_s <= 0:
                    return
                self._signal.wait(left_s if until_s is None else min(left_s, max(POLL_S, left_s / 2)))

    def _pause(self, duration_s: float) -> None:
        """Wait, whether woken or not."""
        until_s = self._clock.monotonic_s() + duration_s
        with self._mutex:
            while not self._is_stopping and (left_s := until_s - self._clock.monotonic_s()) > 0:
                self._signal.wait(min(left_s, POLL_S))
