"""Making a failing plan smaller: steps and faults are left out as long as it still fails.

The rest of a plan runs on a schedule of its own, so a smaller plan may fail in another way or not at all; what still fails in any
way is kept. Leaves out halves first, then quarters, down to single ones (Zeller's ddmin without complements).
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.plan import Plan

RUNS_MAX = 400


def reduce_plan(plan: Plan, is_wrong: Callable[[Plan], bool]) -> tuple[Plan, frozenset[int]]:
    """Return a smaller plan that is still wrong, and the numbers of what was left out."""
    left_out: frozenset[int] = frozenset()
    runs = 0
    size = max(1, _count(plan) // 2)
    while size:
        is_smaller = False
        everything = [fault.number for fault in plan.faults] + [step.number for step in plan.steps]
        numbers = [number for number in everything if number not in left_out]
        for start in range(0, len(numbers), size):
            candidate = left_out | frozenset(numbers[start : start + size])
            runs += 1
            if runs > RUNS_MAX:
                return plan.without(left_out), left_out
            if is_wrong(plan.without(candidate)):
                left_out, is_smaller = candidate, True
        if not is_smaller or size > 1:
            size //= 2
    return plan.without(left_out), left_out


def _count(plan: Plan) -> int:
    return len(plan.steps) + len(plan.faults)
