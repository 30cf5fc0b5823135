"""A mount from its beginning to its end, in bounded time (I7).

Owns libfuse's options and the thread that holds libfuse's loop. The loop has a thread of its own so that the main thread stays
free for signals: libfuse blocks the thread that runs it, and Python's signal handlers run in the main thread only. The file system
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
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final

from dfs.core.events import FILES_HIDDEN, Event
from dfs.core.interfaces import EventSink
from dfs.core.meters import CallMeter
from dfs.core.metrics import OPERATION_BYTES, OPERATION_SECONDS, OPERATIONS, OPERATIONS_UNDER_WAY, Sample
from dfs.core.start_errors import MountPointError
from dfs.fusefs.binding import NAME_ENCODING, Binding
from dfs.fusefs.filesystem_api import FileSystemApi
from dfs.fusefs.mount_point import check_mount_point, find_device, free_mount_point, is_device_mounted, show, unmount
from dfs.fusefs.operation_context import HARD, OperationContexts, OperationTerms
from dfs.fusefs.operations import IO_SIZE_BYTES, Operations
from dfs.fusefs.page_cache import PageCache, opener_below
from dfs.fusefs.self_call import ask

LOG = logging.getLogger(__name__)

WAKE_SIGNAL: Final = signal.SIGUSR2
"""Interrupts libfuse's wait, so that it sees that it should end; the handler does nothing."""
WAKE_INTERVAL_S: Final = 0.1
MOUNT_TIMEOUT_S: Final = 10.0
UNMOUNT_TIMEOUT_S: Final = 2.0
"""For an orderly unmount, which waits for the kernel's last questions."""
IDLE_POLL_S: Final = 0.05
END_TIMEOUT_S: Final = 5.0
"""For operations in progress to notice that the mount ends."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What can be chosen about a mount."""

    source: str
    """What `mount` and `df` show as device."""
    allow_other: bool
    """Whether other users than the one who mounts may use it."""
    flags: tuple[str, ...] = ()
    """Options of mount(8) that the kernel minds: "ro", "noexec", ... Without "suid" and "dev" it honours neither."""
    is_freed_on_crash: bool = False
    """Whether the mount point is freed when this process dies, rather than left to answer with errors."""
    takes_over: bool = False
    """Whether the mount point is this file system's whatever has come upon it: what a dead client left there is taken away at the
    last moment, so that nobody writes below it, and what somebody wrote there all the same is hidden and told.
    """
    terms: OperationTerms = HARD
    shutdown_grace_s: float = 0.0
    """How long operations in progress may go on when the mount or the machine is told to end."""


def to_libfuse(options: MountOptions) -> dict[str, str | int | bool]:
    """Return libfuse's options.

    The kernel keeps no attributes or names by itself: a fresh open must see the size that another mount just wrote. The
    client's own cache knows when to ask. hard_remove stays off: it breaks fstat of an open file that is unlinked.
    """
    flags: dict[str, str | int | bool] = dict.fromkeys(options.flags, True)
    return flags | {
        "fsname": os.fsencode(options.source).decode(NAME_ENCODING).replace(",", "\\,"),
        "subtype": "dfs",
        "allow_other": options.allow_other,
        "auto_unmount": options.is_freed_on_crash,
        "nonempty": options.takes_over,
        "default_permissions": True,
        "use_ino": True,
        "big_writes": True,
        "max_read": IO_SIZE_BYTES,
        "max_write": IO_SIZE_BYTES,
        "max_readahead": IO_SIZE_BYTES,
        "attr_timeout": 0,
        "entry_timeout": 0,
        "negative_timeout": 0,
    }


class _Session:
    """libfuse's session with the kernel, from init to destroy: told to exit only while it exists, for then it is freed."""

    def __init__(self, binding: Binding, changed: threading.Condition) -> None:
        self.binding = binding
        self.begun = False
        self._changed = changed
        self._address: int | None = None

    def begin(self) -> None:
        address = self.binding.session()
        with self._changed:
            self._address = address
            self.begun = True
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._address = None

    def exit(self) -> None:
        with self._changed:
            if self._address is not None:
                self.binding.exit(self._address)


class Mount:
    """One mounted file system. `start` and `stop` belong to the main thread."""

    def __init__(
        self,
        *,
        binding: Binding,
        filesystem: FileSystemApi,
        events: EventSink,
        mount_point: bytes,
        options: MountOptions,
        request_prefix: str,
        on_end: Callable[[], None],
    ) -> None:
        """Prepare; nothing is mounted yet.

        Arguments: libfuse, what answers, where bugs are reported, a folder, the options, how request identifiers begin, and what to
        call (on another thread) once nothing is mounted any more.
        """
        self._on_end = on_end
        self._changed = threading.Condition()
        self._session = _Session(binding, self._changed)
        self._contexts = OperationContexts(binding, request_prefix, terms=options.terms)
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
            self._changed.wait_for(lambda: self._session.begun or self._ended, MOUNT_TIMEOUT_S)
            begun, failure = self._session.begun, self._failure
        if not begun and failure is not None and not isinstance(failure, RuntimeError):
            raise failure
        if not begun:
            got = "a refusal of libfuse (its own message says why)"
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

        Result: whether libfuse's threads have ended, so that the client service may be stopped.
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
        """Tell libfuse to end, until it has; it then unmounts lazily by itself."""
        self._session.exit()
        for _ in range(int(END_TIMEOUT_S / WAKE_INTERVAL_S)):
            if self.wait(0):
                return True
            # The signal may come just before the loop begins to wait: say it again.
            signal.pthread_kill(self._thread.ident or 0, WAKE_SIGNAL)
            if self.wait(WAKE_INTERVAL_S):
                return True
        return False

    def _operations(self) -> Operations:
        return Operations(
            filesystem=self._filesystem,
            contexts=self._contexts,
            events=self._events,
            connection=self._session,
            pages=PageCache(opener_below(self._mount_point)),
            meter=self._meter,
        )

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            self._session.binding.run(self._operations(), self._mount_point, to_libfuse(self._options))
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
