"""Having logind delay a shutdown of this machine for as long as it has the only good copy of something; the service of dfs-inhibit.

Looks every LOOK_S seconds, and every HOLDING_S while it has the lock. Promises: the lock is there from the first look that finds
something to the first that finds nothing, with the present reason; a shutdown that waits for it goes on after `inhibit_max` seconds
(logind itself goes on after its InhibitDelayMaxSec=). Each of these changes is an event. Run by the host's service loop, which
hears from check() that looks are made; never stops or starts anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from dfs.cli.inhibit.login import LoginError, LoginState
from dfs.core.contexts import PlainContext
from dfs.core.errors import EndReason, Interrupted
from dfs.core.events.event import Event
from dfs.core.events.programs import ONLY_GOOD_COPY, OTHER_COPIES_BACK, SHUTDOWN_DELAYED, SHUTDOWN_UNSAFE
from dfs.core.interfaces import CallContext, Clock, EventSink, Task, Tasks

LOOK_S: Final = 5.0
HOLDING_S: Final = 2.0
"""While there is a lock: logind must be asked whether a shutdown waits."""
STOP_TIMEOUT_S: Final = 20.0

log = logging.getLogger(__name__)


class DelayLock(Protocol):
    """logind: dfs.cli.inhibit.login.Login."""

    def hold(self, reason: str) -> None:
        """Have a lock with this reason, instead of any before. Raises: LoginError."""

    def is_held(self) -> bool:
        """Tell whether there is a lock."""

    def release(self) -> None:
        """Give it back, if there is one."""

    def state(self) -> LoginState:
        """Return what logind is doing. Raises: LoginError."""


class ShutdownWatch:
    """The service. Everything but status(), check(), set_max() and stop() happens on its one task."""

    def __init__(
        self,
        *,
        look: Callable[[CallContext], str],
        lock: DelayLock,
        inhibit_s_max: float,
        clock: Clock,
        tasks: Tasks,
        events: EventSink,
    ) -> None:
        """`look` returns in words what only this machine has, empty if nothing; `inhibit_s_max` bounds delays, 0: no lock."""
        self._look = look
        self._lock = lock
        self._max_s = inhibit_s_max
        self._clock = clock
        self._tasks = tasks
        self._events = events
        self._mutex = tasks.mutex()
        self._wake = tasks.signal(self._mutex)
        self._is_ended = False
        self._task: Task | None = None
        self._looks = 0
        self._reason = ""
        """What only this machine has."""
        self._held_for = ""
        """The reason that the lock shows; empty: there is none."""
        self._since_s = 0.0
        """When it was taken."""
        self._asked_s: float | None = None
        """When it was seen that a shutdown waits."""
        self._is_let_go = False
        """A shutdown was let go on although it is not safe."""
        self._trouble = ""
        """Why there is no lock although there should be."""

    def start(self) -> None:
        """Begin to look."""
        self._task = self._tasks.spawn("shutdown watch", self._run)

    def status(self) -> str:
        """Return what is the matter, for people."""
        if not self._reason:
            return "a shutdown of this host costs no reader anything"
        if self._held_for:
            return f"delaying shutdowns: {self._reason}"
        return f"not delaying shutdowns{f' ({self._trouble})' if self._trouble else ''}, although {self._reason}"

    def check(self) -> int:
        """Return how often it has looked."""
        return self._looks

    def stop(self) -> None:
        """End the task and give the lock back."""
        with self._mutex:
            self._is_ended = True
        self._wake.notify_all()
        if self._task is not None:
            self._task.join(STOP_TIMEOUT_S)
        self._lock.release()

    def set_max(self, inhibit_s_max: float) -> None:
        """Bound delays otherwise from the next look on."""
        self._max_s = inhibit_s_max

    def step(self) -> float:
        """Look once, act, and return after how many seconds to look again."""
        self._reason = self._look(PlainContext(ending=self._ending))
        self._looks += 1
        if not self._reason or self._max_s == 0:
            self._give_back()
            return LOOK_S
        if self._is_let_go:
            return LOOK_S
        try:
            state = self._lock.state()
            self._take(state)
        except LoginError as error:
            self._note_trouble(error)
            return LOOK_S
        self._trouble = ""
        if state.is_going_down:
            return self._delay(state)
        self._asked_s = None
        return HOLDING_S

    def _take(self, state: LoginState) -> None:
        """See to it that the lock shows the present reason. Raises: LoginError."""
        if self._held_for == self._reason and self._lock.is_held():
            return
        self._lock.hold(self._reason)
        if not self._held_for:
            self._since_s = self._clock.monotonic_s()
            max_s = min(self._max_s, state.delay_s_max)
            self._events.emit(Event(ONLY_GOOD_COPY, details={"reason": self._reason, "max_s": max_s}))
        else:
            log.info("shutdowns are delayed for another reason: %s", self._reason)
        self._held_for = self._reason

    def _give_back(self) -> None:
        """Release the lock, as there is no reason for it any more."""
        self._lock.release()
        if self._held_for:
            held_s = self._clock.monotonic_s() - self._since_s
            self._events.emit(Event(OTHER_COPIES_BACK, details={"held_s": held_s}))
        self._held_for, self._asked_s, self._is_let_go, self._trouble = "", None, False, ""

    def _delay(self, state: LoginState) -> float:
        """Have a shutdown that waits for the lock wait on, or let it go on; return after how many seconds to look again."""
        now_s = self._clock.monotonic_s()
        if self._asked_s is None:
            self._asked_s = now_s
            max_s = min(self._max_s, state.delay_s_max)
            self._events.emit(Event(SHUTDOWN_DELAYED, details={"reason": self._reason, "max_s": max_s}))
        waited_s = now_s - self._asked_s
        if waited_s < self._max_s:
            return min(HOLDING_S, self._max_s - waited_s)
        self._events.emit(Event(SHUTDOWN_UNSAFE, details={"reason": self._reason, "waited_s": waited_s}))
        self._lock.release()
        self._held_for, self._is_let_go = "", True
        return LOOK_S

    def _note_trouble(self, error: LoginError) -> None:
        """Tell, once, that there is no lock."""
        if not self._trouble:
            log.warning("a shutdown can't be delayed: %s", error)
        self._trouble = str(error)
        if not self._lock.is_held():
            self._held_for = ""

    def _ending(self) -> EndReason | None:
        return EndReason.SHUTDOWN if self._is_ended else None

    def _run(self) -> None:
        while not self._is_ended:
            try:
                pause_s = self.step()
            except Interrupted:
                return  # told to stop
            with self._mutex:
                if not self._is_ended:
                    self._wake.wait(pause_s)
