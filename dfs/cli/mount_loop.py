"""The main thread of a mount: wait until someone wants the mount to end, then end it in bounded time.

SIGTERM, SIGINT and SIGHUP unmount; `fusermount -u` and `umount` have unmounted already. Composed by dfs/cli/mount.py; the client
service is started before and stopped after it by the caller.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

from dfs.core.events import SERVICE_READY, SERVICE_STOPPED, Event
from dfs.core.interfaces import EventSink
from dfs.fusefs.mounting import Mount
from dfs.host.notify import SystemdNotify
from dfs.host.stop_request import StopRequest

WATCHDOGS_PER_PERIOD: Final = 3


def serve_until_unmounted(mount: Mount, stop: StopRequest, notify: SystemdNotify, events: EventSink, what: str) -> bool:
    """Mount, serve, unmount; nothing is mounted afterwards.

    Arguments: a mount whose end calls `stop.wake`, the wish to end, systemd, where events go, and what is mounted
    where, in words.
    Result: whether all operations have ended; if not, the process must end without waiting for them.
    Raises: MountPointError.
    """

    def note_hangup(number: int, frame: FrameType | None) -> None:
        stop.request()

    # Before libfuse looks: it would install a handler of its own, which this thread never hears of.
    signal.signal(signal.SIGHUP, note_hangup)
    mount.start()
    try:
        notify.ready()
        notify.status(what)
        events.emit(Event(SERVICE_READY, details={"what": what}))
        _wait_for_end(mount, stop, notify)
        notify.stopping()
    finally:
        ended = mount.stop()
        events.emit(Event(SERVICE_STOPPED, details={"what": what}))
    return ended


def _wait_for_end(mount: Mount, stop: StopRequest, notify: SystemdNotify) -> None:
    period_s = notify.watchdog_s()
    while not stop.is_requested() and not mount.wait(0):
        stop.wait(None if period_s is None else period_s / WATCHDOGS_PER_PERIOD)
        if period_s is not None:
            notify.watchdog()
