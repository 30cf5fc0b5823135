"""Goal: a seed replays exactly, so that what a search finds can be looked at. Method: trace hashes, twice here and once in a fresh
process with another hash seed.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness.baton import Crew
from tests.sim.plan import make_plan
from tests.sim.run import run_plan

SEEDS = (3, 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_seed_run_twice_and_in_a_fresh_process_has_the_same_trace(seed: int) -> None:
    crew = Crew()
    first, second = (run_plan(make_plan(seed), crew) for _ in range(2))
    crew.dismiss()
    assert first.trace_hash == second.trace_hash
    command = [sys.executable, "-m", "tests.sim", str(seed)]
    fresh = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "77"}, capture_output=True, text=True, timeout=120, check=True
    )
    assert first.trace_hash in fresh.stdout


def test_seeds_differ() -> None:
    crew = Crew()
    first, second = (run_plan(make_plan(seed), crew) for seed in SEEDS)
    crew.dismiss()
    assert first.trace_hash != second.trace_hash
