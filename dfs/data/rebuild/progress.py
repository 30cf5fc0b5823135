"""How far a rebuild is and how long it will take: by inode numbers, and within a large strip by its records.

Called by a role's rebuild. Only tells; nothing depends on it.
"""

from __future__ import annotations

from dfs.core.interfaces import Clock
from dfs.core.messages.rebuild import Pulled


class RebuildProgress:
    """Progress of one role since this process began, or went on, to copy it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._first: float | None = None
        """Fraction done when it began."""
        self._fraction = 0.0

    def note(self, pulled: Pulled) -> None:
        """Note where the next batch begins."""
        within = pulled.next_index / pulled.next_end if pulled.next_end else 0.0
        self._fraction = min(1.0, (pulled.next_ino - 1 + within) / max(1, pulled.highest))
        if self._first is None:
            self._first = self._fraction
            self._began_s = self._clock.monotonic_s()

    @property
    def ratio(self) -> float:
        """How much is done, 0 .. 1."""
        return self._fraction

    def describe(self, data_bytes: int) -> str:
        """Return percent, bytes and the time left, for people."""
        text = f"{self._fraction:.0%}, {data_bytes:,} bytes copied"
        left_s = self.left_s()
        return text if left_s is None else f"{text}, about {_duration(left_s)} left"

    def left_s(self) -> float | None:
        """Return how many seconds it will still take; None: not known yet."""
        done = self._fraction - (self._first or 0.0)
        if done <= 0:
            return None
        return (self._clock.monotonic_s() - self._began_s) / done * (1 - self._fraction)


def _duration(duration_s: float) -> str:
    if duration_s < 120:
        return f"{duration_s:.0f} s"
    return f"{duration_s / 60:.0f} min" if duration_s < 7200 else f"{duration_s / 3600:.1f} h"
