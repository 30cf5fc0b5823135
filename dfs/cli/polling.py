"""Waiting for what another process brings about and tells nobody: asked again and again, with a deadline.

The only wait of its kind in the programs. Called by the tools that start or look at servers from outside; a service waits for its
own tasks by signals and never polls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dfs.host.clock import SystemClock

POLL_S: Final = 0.05


def poll_until(condition: Callable[[], bool], timeout_s: float, interval_s: float = POLL_S) -> bool:
    """Return True as soon as `condition` holds, False if it does not within `timeout_s` seconds; what it raises ends the wait."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + timeout_s
    while not condition():
        if clock.monotonic_s() > deadline_s:
            return False
        clock.sleep(interval_s)
    return True
