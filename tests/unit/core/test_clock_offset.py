"""Goal: a clock that is off is told from a network that is slow. Method: the rule with times in hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.clock_offset import clock_offset_s

S = 10**9


@pytest.mark.parametrize(("answered_s", "offset_s"), [(100, 0), (105, 0), (110, 0), (111, 1), (3710, 3600), (99, -1), (0, -100)])
def test_offset_is_the_distance_from_the_time_between_sending_and_receiving(answered_s: int, offset_s: float) -> None:
    assert clock_offset_s(100 * S, answered_s * S, 110 * S) == offset_s


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-(10**6), 10**6))
def test_offset_is_never_more_than_the_clocks_differ(sent: int, there: int, back: int, off: int) -> None:
    offset_ns = round(clock_offset_s(sent, sent + there + off, sent + there + back) * S)
    assert abs(offset_ns) <= abs(off)
    assert offset_ns * off >= 0
