"""The main thread of a mount: wait until someone wants the mount to end, then end it in bounded time.

SIGTERM and SIGINT unmount, so does SIGHUP unless the mount is a service, which then reads its configuration again; `fusermount -u`
and `umount` have unmounted already. SIGUSR1 says that the machine is going down: the mount stays, but nothing waits long any more.
Composed by dfs/cli/mount.py; the client service is started before and stopped after it by the caller.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

from dfs.cli.mount_watchdog import MountWatchdog
from dfs.core.events.event import Event
from dfs.core.events.programs import SERVICE_READY, SERVICE_STOPPED
from dfs.core.interfaces import EventSink
from dfs.fusefs.mounting import Mount
from dfs.host.service import Notify
from dfs.host.stop_request import StopRequest

LOG = logging.getLogger(__name__)

SHUTDOWN_SIGNAL: Final = signal.SIGUSR1
"""Sent by dfs-shutdown.service."""


def serve_until_unmounted(
    mount: Mount, stop: StopRequest, notify: Notify, events: EventSink, what: str, reload: Callable[[], None] | None = None
) -> bool:
    """Mount, serve, unmount; nothing is mounted afterwards.

    Arguments: a mount whose end calls `stop.wake`, the wish to end, who supervises, where events go, what is mounted where, in
    words, and what SIGHUP does to a mount whose `stop` can reload (None: it unmounts).
    Result: whether all operations have ended; if not, the process must end without waiting for them.
    Raises: MountPointError.
    """
    is_going_down = False

    def note_hangup(number: int, frame: FrameType | None) -> None:
        stop.request()

    def note_shutdown(number: int, frame: FrameType | None) -> None:
        nonlocal is_going_down
        is_going_down = True

    def reloaded() -> None:
        if reload is not None and stop.take_reload():
            notify.reloading()
            reload()
            notify.ready()

    # Before libfuse looks: it would install a handler of its own, which this thread never hears of.
    if reload is None:
        signal.signal(signal.SIGHUP, note_hangup)
    signal.signal(SHUTDOWN_SIGNAL, note_shutdown)
    mount.start()
    period_s = notify.watchdog_s()
    watchdog = None if period_s is None else MountWatchdog(notify, mount.is_alive, period_s)
    try:
        if watchdog is not None:
            watchdog.start()
        notify.ready()
        notify.status(what)
        events.emit(Event(SERVICE_READY, details={"what": what}))
        _wait_for_end(mount, stop, reloaded, lambda: is_going_down)
        if is_going_down and not stop.is_requested() and not mount.wait(0):
            LOG.info("the machine is going down: what still waits for a server ends with EIO after shutdown_grace")
            mount.end_waits()
            _wait_for_end(mount, stop, reloaded)
        notify.stopping()
    finally:
        if watchdog is not None:
            watchdog.stop()
        ended = mount.stop()
        events.emit(Event(SERVICE_STOPPED, details={"what": what}))
    return ended


def _wait_for_end(
    mount: Mount, stop: StopRequest, reloaded: Callable[[], None], is_over: Callable[[], bool] = lambda: False
) -> None:
    """Wait until the mount ends, shall end, or `is_over` says so; whatever woke it, see whether a reload is wanted."""
    while not stop.is_requested() and not mount.wait(0) and not is_over():
        stop.wait(None)
        reloaded()
