"""Noticing that this machine's clock and the meta-server's differ: told when it begins to matter, and every hour while it lasts.

Times of files come from the machine that changes them, so a clock that is off makes files look older or newer than they are, to
make(1) for one; nothing else in dfs depends on it. Called by heartbeat.py.
"""

from __future__ import annotations

import math
from typing import Final

from dfs.core.clock_offset import CLOCK_OFF_S, clock_offset_s
from dfs.core.events.event import Event
from dfs.core.events.mount import CLOCK_OFF
from dfs.core.interfaces import CallContext, Clock, EventSink

TELL_AGAIN_S: Final = 3600.0
"""How often it is told while it lasts."""


class ClockWatch:
    """What the heartbeats' answers tell of the two clocks."""

    def __init__(self, clock: Clock, events: EventSink) -> None:
        self._clock = clock
        self._events = events
        self._tell_at_s = -math.inf
        """Not before this moment of the monotonic clock."""

    def note(self, ctx: CallContext, sent_ns: int, answered_ns: int) -> None:
        """Take the wall time of an answer that has just arrived, to a heartbeat sent at `sent_ns` of our clock; 0: not told."""
        if not answered_ns:
            return
        offset_s = clock_offset_s(sent_ns, answered_ns, self._clock.wall_ns())
        now_s = self._clock.monotonic_s()
        # A heartbeat that was parked long leaves room for a small difference, so its end can't be told, only that it lasts.
        if abs(offset_s) >= CLOCK_OFF_S and now_s >= self._tell_at_s:
            self._tell_at_s = now_s + TELL_AGAIN_S
            details = {"off_s": abs(offset_s), "direction": "behind" if offset_s > 0 else "ahead of"}
            self._events.emit(Event(CLOCK_OFF, details=details), ctx)
