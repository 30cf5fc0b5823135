"""The retry schedule (pure): how long to wait before trying once more. Used by everything that waits for another process."""

from __future__ import annotations

from dfs.core.limits import RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN

_DOUBLINGS_MAX = 16


def delay_s(attempt: int, chance: float) -> float:
    """Return the seconds to wait after failure number `attempt` (from 0).

    The delay doubles up to RETRY_DELAY_S_MAX. `chance`, 0 .. 1, takes away up to half of it, so that many who wait for the same
    server do not come back all at once; it never falls below RETRY_DELAY_S_MIN.
    """
    longest: float = min(RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN * 2 ** min(attempt, _DOUBLINGS_MAX))
    return max(RETRY_DELAY_S_MIN, longest * (1 - chance / 2))
