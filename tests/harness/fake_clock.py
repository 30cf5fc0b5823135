"""A clock that moves only when a test says so, or when somebody sleeps on it."""

from __future__ import annotations

import threading


class FakeClock:
    """core.interfaces.Clock without waiting. `slept` lists the durations of all sleeps. Safe to use from several threads."""

    def __init__(self, monotonic_s: float = 1000.0, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self.slept: list[float] = []
        self._mutex = threading.Lock()
        self._elapsed_s = 0.0
        self._start_s = monotonic_s
        self._start_ns = wall_ns

    def monotonic_s(self) -> float:
        """Return the seconds at which the test has put the clock."""
        with self._mutex:
            return self._start_s + self._elapsed_s

    def wall_ns(self) -> int:
        """Return the wall time, which moves with monotonic_s()."""
        with self._mutex:
            return self._start_ns + round(self._elapsed_s * 1e9)

    def sleep(self, duration_s: float) -> None:
        """Advance by `duration_s` at once."""
        self.slept.append(duration_s)
        self.advance(max(0.0, duration_s))

    def advance(self, duration_s: float) -> None:
        """Let time pass."""
        with self._mutex:
            self._elapsed_s += duration_s

    def set_wall(self, ahead_s: float) -> None:
        """Set the wall clock so much ahead, or back if it is negative; the monotonic clock goes on."""
        with self._mutex:
            self._start_ns += round(ahead_s * 1e9)
