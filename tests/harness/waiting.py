"""Waiting for a condition with a deadline: the only way in which tests with real processes wait."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.02


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Return as soon as `condition` holds.

    Raises: AssertionError that names `what` was waited for, after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"expected {what} within {timeout_s} s")
        time.sleep(POLL_S)
