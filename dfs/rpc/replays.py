"""Which messages were seen already: a sliding window of counters per sending process, in bounded memory.

A process counts its messages up and sends them over many connections, so they arrive a little out of order: within WINDOW of the
newest each counter is good once, and older ones never. A process that fell silent is forgotten when there is no room; a floor keeps
what it said before from being taken for new when it comes back: a process that is not known begins after it. Called by
dfs/rpc/verifier.py, which has checked signature and time before.
"""

from __future__ import annotations

import threading
from typing import Final

WINDOW: Final = 1024
"""How far a counter may be behind the newest of its process."""
PROCESSES_MAX: Final = 4096
"""Processes that are remembered."""

_MASK: Final = (1 << WINDOW) - 1


class ReplayWindows:
    """The windows of all processes. Used by any number of threads."""

    def __init__(self, processes_max: int = PROCESSES_MAX) -> None:
        self._max = processes_max
        self._mutex = threading.Lock()
        self._windows: dict[str, tuple[int, int, int, int]] = {}
        """Process -> newest counter, the counters seen (bit 0: the newest), newest time, and the time up to which what it said is
        taken for seen; the longest silent process first.
        """
        self._floor_ms = 0

    def take(self, process: str, counter: int, time_ms: int) -> bool:
        """Take note of a message; False: it was seen before, or may have been."""
        with self._mutex:
            window = self._windows.get(process)
            floor_ms = self._floor_ms if window is None else window[3]
            if time_ms <= floor_ms:
                return False
            if window is None:
                self._make_room()
                self._windows[process] = (counter, 1, time_ms, floor_ms)
                return True
            newest, seen, newest_ms, _ = self._windows.pop(process)
            ahead = counter - newest
            if ahead > 0:
                seen = 1 if ahead >= WINDOW else (seen << ahead | 1) & _MASK
                is_new, newest = True, counter
            else:
                is_new = -ahead < WINDOW and not seen >> -ahead & 1
                seen |= 1 << -ahead if is_new else 0
            self._windows[process] = (newest, seen, max(newest_ms, time_ms), floor_ms)
            return is_new

    def _make_room(self) -> None:
        if len(self._windows) >= self._max:
            silent = next(iter(self._windows))
            self._floor_ms = max(self._floor_ms, self._windows.pop(silent)[2])

    def __len__(self) -> int:
        return len(self._windows)
