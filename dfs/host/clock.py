"""The time of this machine, for the services' Clock. Owns nothing; built once by dfs/cli."""

from __future__ import annotations

import time


class SystemClock:
    """Clock of the operating system."""

    def monotonic_s(self) -> float:
        """Return seconds since boot. They count suspend: a lease must run out while the machine sleeps (design section 7)."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, which may jump."""
        return time.time_ns()

    def sleep(self, duration_s: float) -> None:
        """Do nothing for `duration_s` seconds; not at all for zero or less."""
        if duration_s > 0:
            time.sleep(duration_s)
