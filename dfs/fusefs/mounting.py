"""A mount from its beginning to its end, in bounded time (I7).

Owns the thread that runs the channel to the kernel, which is one of its own so that the main thread stays free for signals: a
channel blocks the thread that runs it, and Python's signal handlers run in the main thread only. The file system
may also be unmounted from outside (`fusermount -u`, `umount`); then the loop ends by itself. Composed by dfs/cli/mount.py; never
starts or stops the client service.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Final

from dfs.core.events.event import Event
from dfs.core.events.mount import FILES_HIDDEN
from dfs.core.interfaces import EventSink
from dfs.core.meters import CallMeter
from dfs.core.metrics import OPERATION_BYTES, OPERATION_SECONDS, OPERATIONS, OPERATIONS_UNDER_WAY, Sample
from dfs.core.start_errors import MountPointError
from dfs.fusefs.filesystem_api import FileSystemApi
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.mount_point import check_mount_point, find_device, free_mount_point, is_device_mounted, show, unmount
from dfs.fusefs.operation_context import OperationContexts
from dfs.fusefs.self_call import ask
from dfs.fusefs.serving import WAKE_SIGNAL, Channel, Served

LOG = logging.getLogger(__name__)

WAKE_INTERVAL_S: Final = 0.1
MOUNT_TIMEOUT_S: Final = 10.0
UNMOUNT_TIMEOUT_S: Final = 2.0
"""For an orderly unmount, which waits for the kernel's last questions."""
IDLE_POLL_S: Final = 0.05
END_TIMEOUT_S: Final = 5.0
"""For operations in progress to notice that the mount ends."""


class _Kernel:
    """Whether the kernel has connected."""

    def __init__(self, changed: threading.Condition) -> None:
        self.is_connected = False
        self._changed = changed

    def begin(self) -> None:
        with self._changed:
            self.is_connected = True
            self._changed.notify_all()

    def end(self) -> None:
        """run() is about to return."""


class Mount:
    """One mounted file system. `start` and `stop` belong to the main thread."""

    def __init__(
        self,
        *,
        channel: Channel,
        filesystem: FileSystemApi,
        events: EventSink,
        mount_point: bytes,
        options: MountOptions,
        request_prefix: str,
        on_end: Callable[[], None],
    ) -> None:
        """Prepare; nothing is mounted yet.

        Arguments: the way to the kernel, what answers, where bugs are reported, a folder, the options, how request identifiers
        begin, and what to call (on another thread) once nothing is mounted any more.
        """
        self._on_end = on_end
        self._changed = threading.Condition()
        self._channel = channel
        self._kernel = _Kernel(self._changed)
        self._contexts = OperationContexts(channel, request_prefix, terms=options.terms)
        self._meter = CallMeter(threading.Lock())
        self._filesystem = filesystem
        self._events = events
        self._mount_point = mount_point
        self._device: bytes | None = None
        self._options = options
        self._ended = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="dfs-fuse-loop", daemon=True)

    def start(self) -> None:
        """Mount; returns when the kernel is connected and programs can use it. Raises: MountPointError."""
        hidden = self._take_mount_point()
        signal.signal(WAKE_SIGNAL, _ignore)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._kernel.is_connected or self._ended, MOUNT_TIMEOUT_S)
            begun, failure = self._kernel.is_connected, self._failure
        if not begun and failure is not None and not isinstance(failure, RuntimeError):
            raise failure
        if not begun:
            got = "a refusal of libfuse or fusermount (its own message says why)"
            raise MountPointError(expected=f"to mount on {show(self._mount_point)}", got=got) from failure
        self._device = device = find_device(self._mount_point)
        if device is not None:
            self._contexts.watch_mount(lambda: is_device_mounted(device))
        if hidden:
            self._events.emit(Event(FILES_HIDDEN, path=self._mount_point, details={"count": hidden}))

    def _take_mount_point(self) -> int:
        """See that there is nothing in the way, and return how many entries of the folder the mount will hide.

        Raises: MountPointError.
        """
        if not self._options.takes_over:
            self._mount_point = check_mount_point(self._mount_point)
            return 0
        free_mount_point(self._mount_point)
        self._mount_point = check_mount_point(self._mount_point, may_hold_files=True)
        return len(os.listdir(self._mount_point))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is unmounted, and tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, timeout_s)

    def is_alive(self, timeout_s: float) -> bool:
        """Tell whether the mount answers within `timeout_s` seconds, asked as programs ask. Where its name does not lead to it any
        more (it was unmounted lazily, or something is mounted over it) nobody can ask, and it is believed.
        """
        return find_device(self._mount_point) != self._device or ask(self._mount_point, timeout_s)

    def measures(self) -> Iterator[Sample]:
        """Yield what programs asked for, and what came of it."""
        yield Sample(OPERATIONS_UNDER_WAY, (), self._contexts.under_way)
        for key, results, duration, size_bytes, _ in self._meter.read():
            for result, count in results.items():
                yield Sample(OPERATIONS, (*key, result), count)
            yield Sample(OPERATION_SECONDS, key, duration)
            if key in (("read",), ("write",)):
                yield Sample(OPERATION_BYTES, key, size_bytes)

    def set_shutdown_grace(self, grace_s: float) -> None:
        """Give operations in progress so long, instead of what the options say, when the mount or the machine is told to end."""
        self._options = replace(self._options, shutdown_grace_s=grace_s)

    def end_waits(self) -> None:
        """Let operations wait no longer than `shutdown_grace_s` from now on, then end with EIO: the machine is going down."""
        self._contexts.end_waits(self._options.shutdown_grace_s)

    def stop(self) -> bool:
        """Unmount: in order if no file is open, else after `shutdown_grace_s`, ending operations in progress with EIO.

        Result: whether the channel's threads have ended, so that the client service may be stopped.
        """
        if self.wait(0):
            return True
        if unmount(self._mount_point, lazily=False, timeout_s=UNMOUNT_TIMEOUT_S) and self.wait(END_TIMEOUT_S):
            return True
        if not self.wait(0):
            LOG.info("%s is in use: unmounting it under its users", show(self._mount_point))
        self._wait_until_idle()
        self._contexts.end_all()
        if self._end_loop():
            return True
        unmount(self._mount_point, lazily=True, timeout_s=UNMOUNT_TIMEOUT_S)
        return self.wait(0)

    def _wait_until_idle(self) -> None:
        """Give operations in progress their time to end well."""
        end_s = time.monotonic() + self._options.shutdown_grace_s
        while not self._contexts.is_idle() and time.monotonic() < end_s and not self.wait(IDLE_POLL_S):
            continue

    def _end_loop(self) -> bool:
        """Tell the channel to end, until it has; it then unmounts lazily by itself."""
        for _ in range(int(END_TIMEOUT_S / WAKE_INTERVAL_S)):
            if self.wait(0):
                return True
            self._channel.exit()
            if self.wait(WAKE_INTERVAL_S):
                return True
        return False

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            served = Served(self._filesystem, self._contexts, self._events, self._meter, self._kernel)
            self._channel.run(served, self._mount_point, self._options)
        except Exception as error:  # noqa: BLE001 - start() raises it on the main thread
            failure = error
        finally:
            with self._changed:
                self._failure = failure
                self._ended = True
                self._changed.notify_all()
            self._on_end()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal's work is done by interrupting a wait."""
