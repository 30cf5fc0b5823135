"""Goal: of a failing plan, what matters is left. Method: plans that count as wrong while certain parts are in them."""

from __future__ import annotations

from tests.sim.plan import Plan, make_plan
from tests.sim.reducing import reduce_plan


def test_plan_is_reduced_to_the_parts_that_matter() -> None:
    plan = make_plan(5)
    matter = {plan.steps[3].number, plan.steps[17].number}

    def is_wrong(tried: Plan) -> bool:
        return matter <= {step.number for step in tried.steps}

    smaller, left_out = reduce_plan(plan, is_wrong)
    assert {step.number for step in smaller.steps} == matter
    assert smaller.faults == ()
    assert plan.without(left_out) == smaller
