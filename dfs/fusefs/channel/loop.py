"""The threads that read the kernel's requests and answer them, each request by the thread that has read it.

Promises: there is always a thread that reads, however many others wait for servers, so one blocked call never stops another; as
many are started as it takes. READERS wait in the kernel, which wakes one of them for each request: with two, a program that does
one small thing after another costs no further wake-up, because the second reads while the first answers. When all readers are at
work, one more is taken from those that wait here, the last one first, for its caches are warm; WAITING_MAX are kept so, the others
end.

A thread has a buffer of its own, in which a request lies until it is answered: nothing of it is copied on the way. Called by
own_channel.py.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import signal
import threading
from collections.abc import Callable
from typing import Final

from dfs.fusefs.channel.device import Device
from dfs.fusefs.channel.request import Request
from dfs.fusefs.serving import WAKE_SIGNAL

LOG = logging.getLogger(__name__)

READERS: Final = 2
WAITING_MAX: Final = 6
BUFFER_ROOM_BYTES: Final = 8192
"""For what stands before the data of the largest write: the kernel reads into no less than 8 KiB in any case."""


class _Thread:
    """One thread of the loop: its buffer, and what it waits for while it is not needed."""

    def __init__(self, size_bytes: int) -> None:
        buffer = bytearray(size_bytes)
        self.size_bytes = size_bytes
        self.view = memoryview(buffer)
        self.address = ctypes.addressof((ctypes.c_char * size_bytes).from_buffer(buffer))
        self.ident = 0
        self.wanted = threading.Lock()
        self.wanted.acquire()


class Loop:
    """Serves one device until nothing is mounted any more, or it is told to end."""

    def __init__(self, device: Device, answer: Callable[[Request], None], io_size_bytes: int) -> None:
        """Arguments: the device, what answers a request and raises nothing, and the largest write."""
        self._device = device
        self._answer = answer
        self._size_bytes = io_size_bytes + BUFFER_ROOM_BYTES
        self._lock = threading.Lock()
        self._over = threading.Condition(self._lock)
        self._threads = 0
        self._reading: set[_Thread] = set()
        self._coming = 0
        """Threads that will read as soon as they run."""
        self._waiting: list[_Thread] = []
        self._ending = False

    def run(self) -> None:
        """Serve, and return when all threads have ended."""
        with self._lock:
            self._call_readers()
            while self._threads:
                self._over.wait()

    def exit(self) -> None:
        """Tell all threads to end as soon as they have answered what they are at; to be said again until run() has returned."""
        with self._lock:
            self._ending = True
            self._dismiss()
            for thread in self._reading:
                # It may come just before the thread begins to wait.
                signal.pthread_kill(thread.ident, WAKE_SIGNAL)

    # --- one thread ----------------------------------------------------------------------------------------------------------

    def _run(self, thread: _Thread) -> None:
        thread.ident = threading.get_ident()
        with self._lock:
            self._coming -= 1
            self._reading.add(thread)
        try:
            while self._is_needed(thread):
                length = self._read(thread)
                if length:
                    self._serve(thread, length)
        finally:
            with self._lock:
                self._reading.discard(thread)
                self._threads -= 1
                if not self._ending:
                    self._call_readers()
                self._over.notify_all()

    def _read(self, thread: _Thread) -> int:
        try:
            return self._device.read(thread.address, thread.size_bytes)
        except OSError as error:
            if error.errno != errno.ENODEV:
                LOG.critical("the kernel's requests can't be read any more: %s", error.strerror)
            with self._lock:
                self._ending = True
                self._dismiss()
            return 0

    def _serve(self, thread: _Thread, length: int) -> None:
        with self._lock:
            self._reading.discard(thread)
            if not self._reading and not self._coming:
                self._call_readers()
        self._answer(Request(thread.view[:length]))

    def _is_needed(self, thread: _Thread) -> bool:
        """Return when this thread shall read: True, or shall end."""
        with self._lock:
            if self._ending:
                return False
            if thread in self._reading:
                return True
            if len(self._reading) + self._coming < READERS:
                self._reading.add(thread)
                return True
            if len(self._waiting) >= WAITING_MAX:
                return False
            self._waiting.append(thread)
        thread.wanted.acquire()
        with self._lock:
            if self._ending:
                return False
            self._coming -= 1
            self._reading.add(thread)
            return True

    # --- under the lock ------------------------------------------------------------------------------------------------------

    def _call_readers(self) -> None:
        """See that somebody reads."""
        if self._reading or self._coming:
            return
        self._coming += 1
        if self._waiting:
            self._waiting.pop().wanted.release()
            return
        thread = _Thread(self._size_bytes)
        self._threads += 1
        try:
            threading.Thread(target=self._run, args=(thread,), name="dfs-fuse", daemon=True).start()
        except RuntimeError as error:
            self._threads -= 1
            self._coming -= 1
            # Whoever finds this is about to answer a request, and reads again after that.
            LOG.error("no thread can be started for the kernel's next request: %s", error)

    def _dismiss(self) -> None:
        """Let those that wait end."""
        while self._waiting:
            self._waiting.pop().wanted.release()
