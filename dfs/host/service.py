"""The life of a server process: start, open for requests, watch over, close, stop.

Owns the order of these steps and their deadlines, and tells systemd and the log about them. Promises: SIGTERM and SIGINT end
the process cleanly in bounded time, whatever step it is in (I7); READY is said only when requests are answered; SIGHUP reloads,
if there is something to reload, and never interrupts the service; a service that can't go on ends its process, so that whoever
supervises it can act. Called by dfs/cli on the main thread. Never knows what the
service does.

The main thread only waits for the end. Steps and supervision run on threads of their own, so that one that hangs can't keep a
signal from being served.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from dfs.core.errors import DfsError
from dfs.core.events.event import Event
from dfs.core.events.programs import SERVICE_READY, SERVICE_STOPPED
from dfs.core.interfaces import EventSink, Service
from dfs.host.notify import SystemdNotify
from dfs.host.stop_request import StopRequest
from dfs.host.tasks import end_process

LOOK_INTERVAL_S: Final = 1.0
"""Time between two looks at a service's status and progress."""
STOP_TIMEOUT_S: Final = 30.0
"""A stop that takes longer is given up: the process ends as if it had crashed, which loses nothing acknowledged."""
EXTENSION_S: Final = 30.0
"""How much longer systemd shall wait for a start whose status moved."""

log = logging.getLogger(__name__)


class Notify(Protocol):
    """Whoever supervises the process: dfs.host.notify.SystemdNotify."""

    def ready(self) -> None:
        """Requests are answered from now on, or again with the configuration reloaded."""

    def reloading(self) -> None:
        """The configuration is being read again; ready() comes after it."""

    def status(self, text: str) -> None:
        """What the service is doing."""

    def watchdog(self) -> None:
        """The service works."""

    def extend_timeout(self, duration_s: float) -> None:
        """The present step may take this much longer."""

    def stopping(self) -> None:
        """The service is about to end."""

    def watchdog_s(self) -> float | None:
        """Within how many seconds a proof of work is wanted, or None."""


def run_service(
    *,
    service: Service,
    what: str,
    open_for_requests: Callable[[], None],
    close_for_requests: Callable[[], None],
    events: EventSink,
    reload: Callable[[], None] | None = None,
    notify: Notify | None = None,
    stop_timeout_s: float = STOP_TIMEOUT_S,
) -> None:
    """Run a service until SIGTERM or SIGINT, then stop it and return. Main thread only.

    Arguments: `what`: its name and address, for the log. `open_for_requests`: begins to listen; called when service.start() has
    returned. `close_for_requests`: ends listening and the requests under way. `service.status()` is asked from before start().
    `reload`: what SIGHUP asks for, called on a thread of its own once requests are answered; it handles what an operator may do
    wrong. None: SIGHUP ends the process.
    Raises: what start() or open_for_requests() raises (StartError leaves), and what service.check() raised when it could not go
    on; everything is closed by then. Else the first error of stopping.
    """
    life = _Life(service, notify or SystemdNotify(), StopRequest(can_reload=reload is not None), stop_timeout_s)
    life.supervise()
    try:
        life.begin("start", service.start, service.stop)
        life.begin("open for requests", open_for_requests, close_for_requests)
        if life.goes_on():
            events.emit(Event(SERVICE_READY, details={"what": what}))
            life.live(reload)
    finally:
        life.end()
    events.emit(Event(SERVICE_STOPPED, details={"what": what}))
    if life.failure is not None:
        raise life.failure


class _Step:
    """A function on a thread of its own. Its exception is kept for the main thread."""

    def __init__(self, name: str, function: Callable[[], None], when_done: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.done = False
        self._function = function
        self._when_done = when_done
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self.error = error
        self.done = True
        self._when_done()


class _Life:
    """What run_service keeps in mind. `failure`: why the service could not go on, if it could not."""

    def __init__(self, service: Service, notify: Notify, stop: StopRequest, stop_timeout_s: float) -> None:
        self.failure: BaseException | None = None
        self._service = service
        self._notify = notify
        self._stop = stop
        self._stop_timeout_s = stop_timeout_s
        self._undo: list[Callable[[], None]] = []
        self._is_live = False
        self._is_ended = False
        self._changed = threading.Event()
        """There is something to look at before the interval is over."""
        self._status = ""
        self._proof = -1
        watchdog_s = notify.watchdog_s()
        self._interval_s = LOOK_INTERVAL_S if watchdog_s is None else min(LOOK_INTERVAL_S, watchdog_s / 3)

    def goes_on(self) -> bool:
        """Tell whether nobody has asked for the end yet."""
        return not self._stop.is_requested()

    def begin(self, name: str, function: Callable[[], None], undo: Callable[[], None]) -> None:
        """Carry out one step of beginning, and remember what undoes it; nothing happens once the end was asked for.

        A request to stop does not cut the step short, since half a start can't be undone, but bounds it.
        """
        if not self.goes_on():
            return
        step = _Step(name, function, self._stop.wake)
        while not step.done and self.goes_on():
            self._stop.wait(None)
        self._finish(step, name, time.monotonic() + self._stop_timeout_s)
        self._undo.append(undo)

    def live(self, reload: Callable[[], None] | None) -> None:
        """Say READY and wait until the end is asked for; reload when that is asked for. A reload that hangs delays no stop.

        Raises: what reload() raises, which is a bug.
        """
        self._is_live = True
        self._changed.set()
        self._notify.ready()
        running: _Step | None = None
        is_wanted = False
        while self.goes_on():
            is_wanted = self._stop.take_reload() or is_wanted
            if running is not None and running.done:
                if running.error is not None:
                    raise running.error
                running = None
                self._notify.ready()
            if is_wanted and running is None and reload is not None:
                is_wanted = False
                self._notify.reloading()
                running = _Step("reload", reload, self._stop.wake)
            self._stop.wait(None)

    def end(self) -> None:
        """Undo what was begun, last first, all within the time for a stop. Each is tried; the first failure is kept."""
        self._is_ended = True
        self._changed.set()
        self._notify.stopping()
        deadline_s = time.monotonic() + self._stop_timeout_s
        for undo in reversed(self._undo):
            try:
                self._finish(_Step("stop", undo, self._stop.wake), "stop", deadline_s)
            except Exception as error:
                log.error("stopping failed: %s", error, exc_info=not isinstance(error, DfsError))
                self.failure = self.failure or error

    def _finish(self, step: _Step, name: str, deadline_s: float) -> None:
        """Wait for a step's end and raise its error. After the deadline the process ends at once."""
        while not step.done:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                log.critical("expected to %s within %.0f s, got no end; the process ends as it is", name, self._stop_timeout_s)
                end_process()
            self._stop.wait(left_s)
        if step.error is not None:
            raise step.error

    def supervise(self) -> None:
        """Begin to look after the service, on a thread of its own."""
        threading.Thread(target=self._look_on, name="supervision", daemon=True).start()

    def _look_on(self) -> None:
        try:
            while True:
                self._look()
                self._changed.wait(self._interval_s)
                self._changed.clear()
                if self._is_ended:
                    return
        except BaseException as error:  # noqa: BLE001 - run_service raises it; a service without its watch must not go on
            if not self._is_ended:  # else the look was overtaken by the stop
                self.failure = error
                self._stop.request()

    def _look(self) -> None:
        """Pass on a changed status, and prove to systemd that the service works if it does."""
        status = self._service.status()
        if status != self._status:
            self._status = status
            self._notify.status(status)
            if not self._is_live:
                self._notify.extend_timeout(EXTENSION_S)
        if self._is_live:
            proof = self._service.check()
            if proof > self._proof:
                self._proof = proof
                self._notify.watchdog()
