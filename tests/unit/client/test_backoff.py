"""Goal: retries come neither too often nor too seldom. Method: properties of the schedule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.client.blocks.backoff import delay_s
from dfs.client.blocks.patience import Patience, pause
from dfs.core.errors import EndReason, Interrupted
from dfs.core.interfaces import POLL_S
from dfs.core.limits import RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN
from tests.harness.fake_clock import FakeClock
from tests.harness.local_cluster import CallerContext
from tests.unit.client.parts import LeastChance


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_delay_stays_within_the_limits(attempt: int, chance: float) -> None:
    assert RETRY_DELAY_S_MIN <= delay_s(attempt, chance) <= RETRY_DELAY_S_MAX


@given(st.integers(0, 100), st.floats(0, 1))
def test_delay_never_shrinks_with_failures(attempt: int, chance: float) -> None:
    assert delay_s(attempt, chance) <= delay_s(attempt + 1, chance)


def test_delay_doubles_up_to_the_longest() -> None:
    assert [delay_s(attempt, 0) for attempt in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_patience_sleeps_longer_each_time_in_slices_that_can_be_ended() -> None:
    clock = FakeClock()
    patience = Patience(clock, LeastChance())
    for _ in range(4):
        patience.wait(CallerContext())
    assert sum(clock.slept) == pytest.approx(0.05 + 0.1 + 0.2 + 0.4)
    assert max(clock.slept) <= POLL_S


def test_pause_ends_when_the_caller_is_killed() -> None:
    ctx, clock = CallerContext(), FakeClock()
    ctx.end(EndReason.SIGNAL)
    with pytest.raises(Interrupted, match="signal"):
        pause(ctx, clock, 100)
    assert clock.slept == []
