"""Goal: the promises of design section 5 (I1 to I8) hold whatever goes wrong, in whatever order.
Method: random plans on a simulated cluster of real services (tests/sim/run.py). `make sim SEED=n` replays one.
"""

from __future__ import annotations

import pytest

from tests.sim.seeds import past_seeds, run_seeds

SEEDS = range(1, 301)


@pytest.mark.timeout(900)
def test_seeds_and_those_that_failed_once_are_right() -> None:
    wrong = [result for result in run_seeds([*past_seeds(), *SEEDS]) if result.wrong]
    told = "\n".join(f"make sim SEED={result.plan.seed}: {result.wrong[0][:500]}" for result in wrong)
    assert not wrong, f"{len(wrong)} of {len(SEEDS)} seeds are wrong\n{told}"
