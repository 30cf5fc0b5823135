"""The inside of a comparison: starts all targets, takes them in turn in every line of every round, and tells what was measured.

What was measured is told also when a later round fails or is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

from tests.bench.file_loads import LOADS, lines_named
from tests.bench.measuring import NULL, Target, dfs_target, measure, null_target
from tests.bench.namespace import furnish
from tests.bench.peers.comparison import Comparison
from tests.bench.peers.glusterfs import glusterfs_target
from tests.bench.peers.moosefs import moosefs_target
from tests.bench.peers.options import VARIANTS, sizes_of, targets_of

OTHERS: Final[dict[str, Callable[[Path], AbstractContextManager[Target]]]] = {
    "moosefs": moosefs_target,
    "glusterfs": glusterfs_target,
}


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Measure and print; the exit status does not judge."""
    furnish(folder)
    comparison = Comparison(*targets_of(options))
    done = 0
    try:
        with ExitStack() as stack:
            targets = _start(options, folder, stack)
            for number in range(1, options.rounds + 1):
                print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
                _take_turns(options, targets, comparison, number)
                done = number
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        if done:
            _tell(options, comparison, done)
    return 0


def _start(options: argparse.Namespace, folder: Path, stack: ExitStack) -> list[Target]:
    own, others = targets_of(options)
    targets: list[Target] = []
    for name in own:
        n, block_size, mount_options = VARIANTS[name]
        targets.append(stack.enter_context(dfs_target(name, folder / name, n=n, block_size=block_size, options=mount_options)))
    for name in others:
        begin = null_target if name == NULL else OTHERS[name]
        print(f"starting {name}", file=sys.stderr, flush=True)
        targets.append(stack.enter_context(begin(folder if name == NULL else folder / name)))
    return targets


def _take_turns(options: argparse.Namespace, targets: list[Target], comparison: Comparison, number: int) -> None:
    """Go through all lines once. Whose turn is first changes: after a pause, a disk may be quicker than behind another's writes."""
    wanted, sizes = lines_named(options.lines), sizes_of(options)
    first = number % len(targets)
    for load in LOADS:
        if wanted.intersection(load.lines):
            for target in targets[first:] + targets[:first]:
                for measured in measure(load, target, sizes, wanted):
                    comparison.add(target.name, measured)


def _tell(options: argparse.Namespace, comparison: Comparison, rounds: int) -> None:
    print(f"medians of {rounds} rounds; cpu: processor time of mount and servers together, in ms per MiB, call, file or folder")
    print(comparison.tables(), flush=True)
    if options.json is not None:
        about = {"python": platform.python_version(), "kernel": platform.release(), "processors": os.cpu_count()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"about": about, "rounds": rounds, "lines": comparison.plain()}, indent=1) + "\n")
        print(f"all values: {options.json}", flush=True)
