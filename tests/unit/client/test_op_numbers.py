"""Goal: meta is never told that an answer has arrived which has not. Method: random beginnings and ends against a set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs.client.metadata.op_numbers import OpNumbers
from dfs.core.ids import OpId
from tests.unit.client.parts import TASKS


@given(st.lists(st.none() | st.integers(0, 9), max_size=60))
def test_acknowledged_is_the_lowest_number_that_is_under_way_or_not_issued(steps: list[int | None]) -> None:
    ops, under_way, issued = OpNumbers(TASKS), list[OpId](), 0
    for step in steps:
        if step is None or not under_way:
            under_way.append(ops.begin())
            issued += 1
            assert under_way[-1] == issued
        else:
            ops.end(under_way.pop(step % len(under_way)))
        assert ops.acknowledged() == min(under_way, default=issued + 1)
