"""The wish that this process ends: SIGTERM, SIGINT, or a word from one of its own threads; and the wish that it reloads.

Promises: the main thread learns of it at once wherever it waits in wait(), and no signal is lost or breaks a stop under way.
A handler that set a threading.Event could find the event's own lock taken by the code that it interrupted and wait for ever;
therefore the signal only writes a byte into a pipe (signal.set_wakeup_fd). Called by dfs/host/service.py on the main thread.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL: Final = signal.SIGHUP
_WAKE: Final = b"\0"
"""Byte in the pipe that is no signal's number: look again."""


class StopRequest:
    """Becomes true once and stays so. Made on the main thread; the process keeps its signal handlers until it ends, so that a
    further signal between the clean stop and the exit cannot turn success into death by signal.

    Without `can_reload` SIGHUP keeps its meaning: the terminal that the program was started from is gone.
    """

    def __init__(self, *, can_reload: bool = False) -> None:
        self._requested = False
        self._reload_wanted = False
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, RELOAD_SIGNAL) if can_reload else STOP_SIGNALS:
            signal.signal(number, _note_nothing)

    def is_requested(self) -> bool:
        """Tell whether there was a request; a signal counts once wait() has seen it."""
        return self._requested

    def take_reload(self) -> bool:
        """Tell whether wait() has seen a wish to reload since the last call. Main thread only."""
        wanted, self._reload_wanted = self._reload_wanted, False
        return wanted

    def request(self) -> None:
        """Ask for the end, from any thread."""
        self._requested = True
        self.wake()

    def wake(self) -> None:
        """Make a wait() under way, or else the next one, return, from any thread."""
        try:
            os.write(self._write_end, _WAKE)
        except BlockingIOError:  # full: whoever waits will return anyway
            return

    def wait(self, timeout_s: float | None) -> None:
        """Wait at most `timeout_s` seconds (None: for ever) for a request or a wake(). Main thread only."""
        ready, _, _ = select.select([self._read_end], [], [], timeout_s)
        if ready:
            numbers = os.read(self._read_end, 4096)
            self._requested = self._requested or any(number in STOP_SIGNALS for number in numbers)
            self._reload_wanted = self._reload_wanted or RELOAD_SIGNAL in numbers


def _note_nothing(_number: int, _frame: object) -> None:
    """Handle a signal whose number is already in the pipe."""
