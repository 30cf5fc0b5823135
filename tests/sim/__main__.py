"""`python -m tests.sim SEED...` replays runs of the simulator; `--runs N` searches for seeds that fail. `make sim` calls it.

A failing seed is printed with what was wrong and how to replay it; `--reduce` leaves out as much of its plan as it can, `--keep`
writes what is left where test_seeds.py finds it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.harness.baton import Crew
from tests.sim.plan import Plan, make_plan
from tests.sim.reducing import reduce_plan
from tests.sim.run import Result, run_plan
from tests.sim.seeds import Past, read_past, write_past


def main() -> int:
    """Run what the arguments say; return 1 if a run was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED")
    parser.add_argument("--runs", type=int, default=0, help="run so many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--without", default="", metavar="N,N", help="leave steps and faults out, by number")
    parser.add_argument("--reduce", action="store_true", help="leave out of a failing run what it fails without")
    parser.add_argument("--keep", metavar="FILE", help="write the plan of a run that fails, reduced or not, to FILE")
    parser.add_argument("--plan", metavar="FILE", help="run the plan in FILE instead of a seed's")
    parser.add_argument("--stop", action="store_true", help="end with the first run that is wrong")
    parser.add_argument("--trace", action="store_true", help="print plan and trace even of a good run")
    arguments = parser.parse_args()
    seeds = arguments.seeds or range(arguments.first, arguments.first + (arguments.runs or 1))
    without = frozenset(int(number) for number in arguments.without.split(",") if number)
    plans: Iterator[Plan] = (make_plan(seed).without(without) for seed in seeds)
    total = len(seeds)
    if arguments.plan:
        plans, total = iter([read_past(Path(arguments.plan)).plan.without(without)]), 1
    crew, failed, began_s = Crew(), 0, time.monotonic()
    for count, plan in enumerate(plans, 1):
        result = run_plan(plan, crew)
        if result.wrong or arguments.trace:
            show(result, is_long=total < 10)
        if result.wrong and arguments.reduce:
            plan, left_out = reduce_plan(plan, lambda plan: bool(run_plan(plan, crew).wrong))
            result = run_plan(plan, crew)
            show(result, is_long=True, without=without | left_out)
        if result.wrong and arguments.keep:
            write_past(Path(arguments.keep), Past(result.wrong[0][:200], plan))
        failed += bool(result.wrong)
        if failed and arguments.stop:
            break
        if count % 100 == 0 or count == total:
            elapsed_s = time.monotonic() - began_s
            print(f"{count} runs, {failed} failed, {count / elapsed_s:.1f} runs/s; last hash {result.trace_hash}", flush=True)
    return 1 if failed else 0


def show(result: Result, *, is_long: bool, without: frozenset[int] = frozenset()) -> None:
    """Print a run."""
    seed = result.plan.seed
    if is_long:
        print(result.plan.describe())
        print("\n".join(result.trace))
    print(f"seed {seed}: {result.simulated_s:.1f} s simulated, {result.switches} switches, hash {result.trace_hash}")
    for text in result.wrong[:20]:
        print(f"  wrong: {text[:3000]}")
    if result.wrong:
        left_out = f" WITHOUT={','.join(map(str, sorted(without)))}" if without else ""
        print(f"  replay: make sim SEED={seed}{left_out}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
