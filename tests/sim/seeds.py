"""Running many seeds in a few processes at once, as `make test` does."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.harness.baton import Crew
from tests.sim.plan import make_plan
from tests.sim.run import Result, run_plan

PAST_SEEDS = Path(__file__).with_name("past_seeds")
PROCESSES_MAX = 2

_crew = Crew()


def past_seeds() -> list[int]:
    """Return the seeds that have failed once."""
    lines = PAST_SEEDS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def run_seed(seed: int) -> Result:
    """Run one seed."""
    return run_plan(make_plan(seed), _crew)


def run_seeds(seeds: Iterable[int]) -> Iterator[Result]:
    """Run seeds, several at once; yield results in any order."""
    processes = min(PROCESSES_MAX, os.cpu_count() or 1)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=4)
