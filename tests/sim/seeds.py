"""Running many plans in a few processes at once, and the plans that have failed once: tests/sim/past/, one JSON file each.

Kept as plans and not as seeds, because a seed means another plan whenever plan.py changes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.harness.baton import Crew
from tests.sim.plan import Plan, from_json
from tests.sim.run import Result, run_plan

PAST = Path(__file__).with_name("past")
PROCESSES_MAX = 2

_crew = Crew()


class Past(NamedTuple):
    """A plan that has failed, and what was wrong then."""

    was: str
    plan: Plan


def past() -> list[Past]:
    """Return the plans that have failed once."""
    return [read_past(path) for path in sorted(PAST.glob("*.json"))]


def read_past(path: Path) -> Past:
    """Return a kept plan."""
    kept = json.loads(path.read_text())
    return Past(kept["was"], from_json(json.dumps(kept["plan"])))


def write_past(path: Path, failed: Past) -> None:
    """Keep a plan."""
    path.write_text(json.dumps({"was": failed.was, "plan": json.loads(failed.plan.to_json())}, separators=(",", ":")) + "\n")


def run_one(plan: Plan) -> Result:
    """Run one plan."""
    return run_plan(plan, _crew)


def run_plans(plans: Iterable[Plan]) -> Iterator[Result]:
    """Run plans, several at once; yield results in any order."""
    processes = min(PROCESSES_MAX, os.cpu_count() or 1)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run_one, plans, chunksize=4)
