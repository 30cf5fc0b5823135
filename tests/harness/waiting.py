"""Waiting in tests: for a condition with a deadline, or that nothing happens for a while. The only place in tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.01


def wait_until(condition: Callable[[], bool], what: str = "the condition to hold", timeout_s: float = 20.0) -> float:
    """Return as soon as `condition` holds, and how many seconds that took.

    Raises: AssertionError that names `what` was waited for, after `timeout_s`.
    """
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > timeout_s:
            raise AssertionError(f"expected {what} within {timeout_s} s")
        time.sleep(POLL_S)
    return time.monotonic() - began_s


def assert_stays(condition: Callable[[], bool], what: str, span_s: float) -> None:
    """Watch `condition` for a span of time, for what must not happen or must go on.

    Raises: AssertionError that names `what` was expected, as soon as it does not hold.
    """
    began_s = time.monotonic()
    while time.monotonic() - began_s < span_s:
        assert condition(), f"expected {what} for {span_s} s"
        time.sleep(POLL_S)


def be_slow(span_s: float) -> None:
    """Let time pass in a stand-in whose slowness is what the test needs."""
    time.sleep(span_s)
