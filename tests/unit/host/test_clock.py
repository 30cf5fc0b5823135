"""Goal: time counts suspend, and is in the units that its names say. Method: compare with the system's own clocks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dfs.core.interfaces import Clock
from dfs.host.clock import SystemClock


def test_monotonic_s_is_the_time_since_boot_with_suspend() -> None:
    clock: Clock = SystemClock()
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])  # proc(5): includes time spent in suspend
    assert clock.monotonic_s() == pytest.approx(uptime_s, abs=5)


def test_wall_ns_is_now() -> None:
    assert SystemClock().wall_ns() == pytest.approx(time.time() * 1e9, abs=5e9)


@pytest.mark.parametrize(("duration_s", "least_s"), [(0.02, 0.019), (0.0, 0.0), (-1.0, 0.0)])
def test_sleep_lasts_at_least_its_duration(duration_s: float, least_s: float) -> None:
    clock = SystemClock()
    start_s = clock.monotonic_s()
    clock.sleep(duration_s)
    assert clock.monotonic_s() - start_s >= least_s
