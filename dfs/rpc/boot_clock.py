"""Time for the wire: the same clock as the services' (it counts suspend), where no Clock is handed in."""

from __future__ import annotations

import time
from typing import Protocol


class MonotonicClock(Protocol):
    """The part of dfs.core.interfaces.Clock that the wire needs."""

    def monotonic_s(self) -> float:
        """Return seconds that count suspend and never jump."""


class BootClock:
    """Seconds since boot."""

    def monotonic_s(self) -> float:
        """Return seconds since boot, including suspend."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
