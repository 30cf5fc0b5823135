"""`make bench-growth`: whether operations take longer, or servers more memory, for what is not touched.

By default scaled down to some minutes; `EXTENT=full` has 100,000 files in the tree and in a folder, a file of 8 GiB, up to 8 data
servers, 8 mounts, a million inodes and a million strips, in an hour or two. `GROWTH=tree,inodes` runs some of the experiments.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import namespace
from tests.bench.growth.experiments import EXPERIMENTS, Extent
from tests.bench.growth.outcome import Finding, plain, table
from tests.bench.sizes import MIB, Sizes
from tests.harness.leftovers import remove_leftovers

DONE: Final = Sizes(
    sequential_bytes=16 * MIB, random_bytes=4 * MIB, operations=300, syncs=40, files=150, workers=4, worker_bytes=4 * MIB
)
TINY_DONE: Final = Sizes(sequential_bytes=MIB, random_bytes=MIB, operations=8, syncs=2, files=4, workers=2, worker_bytes=MIB)
EXTENTS: Final = {
    "tiny": Extent(20, 2 * MIB, MIB, (2, 3), 2, 20, 20, 1, TINY_DONE),
    "small": Extent(3000, 128 * MIB, 128 * MIB, (2, 4, 8), 8, 10_000, 10_000, 3, DONE),
    "full": Extent(100_000, 8192 * MIB, 1024 * MIB, (2, 4, 8), 8, 1_000_000, 1_000_000, 3, DONE),
}


def main(argv: Sequence[str]) -> int:
    """Measure and print; the exit status does not judge."""
    options = _parse(argv)
    extent = EXTENTS[options.extent]._replace(rounds=options.rounds) if options.rounds else EXTENTS[options.extent]
    if options.inside is None and not namespace.why_impossible():
        return namespace.run_module_inside(__package__, argv, options.folder)
    if options.inside is not None:
        namespace.furnish(options.inside)
    findings: dict[str, list[Finding]] = {}
    with tempfile.TemporaryDirectory(prefix="dfs-growth-", dir=options.inside or options.folder) as folder:
        try:
            for name in options.experiments:
                findings[name] = list(EXPERIMENTS[name](Path(folder), extent))
                print(f"--- {name}: medians of {extent.rounds} rounds, and the median of the rounds' ratios")
                print(table(findings[name]), flush=True)
        finally:
            remove_leftovers(Path(folder))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({name: plain(rows) for name, rows in findings.items()}, indent=1) + "\n")
        print(f"all values: {options.json}")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-growth", description="Show what grows with what is not touched.")
    parser.add_argument("--experiments", type=_experiments, default="", help=f"some of {','.join(EXPERIMENTS)} (default: all)")
    parser.add_argument("--extent", choices=EXTENTS, default="small", help="how much there is (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=0, help="how often everything is measured (default: 3, tiny 1)")
    parser.add_argument("--json", type=Path, help="also write all values to this file")
    parser.add_argument("--folder", type=Path, help="where the servers keep their state (default: a temporary folder)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _experiments(text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else tuple(EXPERIMENTS)
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(EXPERIMENTS)}, got {','.join(unknown)}")
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
