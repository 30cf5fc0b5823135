"""Goal: the promises of design section 5 (I1 to I8) hold whatever goes wrong, in whatever order.
Method: random plans on a simulated cluster of real services (tests/sim/run.py). `make sim SEED=n` replays one.
"""

from __future__ import annotations

import pytest

from tests.sim.plan import from_json, make_plan
from tests.sim.run import Result
from tests.sim.seeds import past, run_plans

SEEDS = range(1, 301)


def told(results: list[Result]) -> str:
    return "\n".join(f"make sim SEED={result.plan.seed}: {result.wrong[0][:500]}" for result in results)


@pytest.mark.timeout(900)
def test_seeds_are_right() -> None:
    wrong = [result for result in run_plans(map(make_plan, SEEDS)) if result.wrong]
    assert not wrong, f"{len(wrong)} of {len(SEEDS)} seeds are wrong\n{told(wrong)}"


@pytest.mark.timeout(300)
def test_plans_that_failed_once_are_right() -> None:
    wrong = [result for result in run_plans(kept.plan for kept in past()) if result.wrong]
    assert not wrong, told(wrong)


def test_plan_read_back_is_the_same() -> None:
    for seed in SEEDS:
        assert from_json(make_plan(seed).to_json()) == make_plan(seed)
