"""`make profile LINE=create`: for one line of the bench, where the time goes, in all programs of a cluster with one mount.

The line is run twice: once with the steps of every program timed (steps.py), once sampled by py-spy without that. Timing costs
about 2 us per span, which are in the spans around it; compare what was measured in one run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.bench import namespace
from tests.bench.file_loads import KEYS, LOADS, Line, lines_named
from tests.bench.measuring import DfsTarget, Measured, measure
from tests.bench.profile.figures import figures_of, functions_table, plain, steps_table
from tests.bench.profile.sampling import find_py_spy, sampled
from tests.bench.profile.watched import ask
from tests.bench.sizes import MIB, TINY, Sizes
from tests.harness.cluster import Cluster
from tests.harness.leftovers import remove_leftovers
from tests.harness.program import Program, module_command

KINDS: Final = {"mount": "mount0", "data server": "data", "meta-server": "meta"}


class WatchedTarget(DfsTarget):
    """A cluster whose programs time their steps."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is started."""
        cluster.mount()
        for program in cluster.programs():
            self._watch(program)
        super().__init__("dfs", cluster)
        self.spans: dict[str, dict[str, Any]] = {}
        self.samples: dict[str, Counter[str]] = {}
        self.cpu_s: dict[str, float] = {}
        self.switches: dict[str, int] = {}
        self.py_spy: str | None = None
        """Samples are taken with it instead of times."""

    @staticmethod
    def _watch(program: Program) -> None:
        at = program.command.index("-m") + 1
        program.command = tuple(module_command("tests.bench.profile.watched", f"{program.name}.sock", *program.command[at:]))

    def watched(self, line: Line) -> AbstractContextManager[object]:
        """Measure while the step lasts."""
        return self._timed() if self.py_spy is None else self._sampled(self.py_spy)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        programs = self.cluster.programs()
        cpu = {program.name: program.cpu_s() for program in programs}
        switches = {program.name: switches_of(program.pid) for program in programs}
        for program in programs:
            ask(_socket_of(program), "reset")
        yield
        for program in programs:
            self.cpu_s[program.name] = program.cpu_s() - cpu[program.name]
            self.switches[program.name] = switches_of(program.pid) - switches[program.name]
            self.spans[program.name] = ask(_socket_of(program), "show")

    @contextmanager
    def _sampled(self, py_spy: str) -> Iterator[None]:
        pids = {program.name: program.pid for program in self.cluster.programs()}
        with sampled(py_spy, pids, self.cluster.folder) as samples:
            yield
        self.samples = samples


def _socket_of(program: Program) -> Path:
    """Return where a program is asked: through its working folder, for the path of a socket must be short."""
    return Path(f"/proc/{program.pid}/cwd/{program.name}.sock")


def switches_of(pid: int) -> int:
    """Return how often the threads of a process, those alive, gave up the processor to wait."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            found = [line for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt_switches:")]
        except OSError:
            continue  # a thread that ended meanwhile
        count += int(found[0].split()[1])
    return count


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    options = _parse(argv)
    if options.inside is None and not namespace.why_impossible():
        return namespace.run_module_inside(__package__, argv, options.folder)
    if options.inside is not None:
        namespace.furnish(options.inside)
    line = options.line
    py_spy = None if options.no_samples else find_py_spy()
    with tempfile.TemporaryDirectory(prefix="dfs-profile-", dir=options.inside or options.folder) as folder:
        try:
            with Cluster(Path(folder) / "cluster", n=options.servers, block_size=options.block_size) as cluster:
                target = WatchedTarget(cluster)
                cluster.start(mounts=1)
                timed = _run(target, line, options)
                if py_spy is not None:
                    target.py_spy = py_spy
                    _run(target, line, options)
        finally:
            remove_leftovers(Path(folder))
    _tell(options, target, timed)
    if py_spy is None and not options.no_samples:
        print("\nno samples: py-spy is not installed; pip install -e .[profile]")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make profile", description="Show where the time of one line of the bench goes.")
    parser.add_argument("--line", type=_line, required=True, help=f"one of {','.join(KEYS)}")
    parser.add_argument("--servers", type=int, default=4, help="number of data servers (default: %(default)s)")
    parser.add_argument("--block-size", type=int, default=512, help="(default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="how much is done, 1: some seconds (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="do next to nothing, to see that it works")
    parser.add_argument("--no-samples", action="store_true", help="only time steps, even if py-spy is there")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--folder", type=Path, help="where the servers keep their state (default: a temporary folder)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _line(text: str) -> Line:
    if text not in KEYS:
        raise argparse.ArgumentTypeError(f"expected one of {','.join(KEYS)}, got {text!r}")
    (line,) = lines_named([text])
    return line


def _sizes(options: argparse.Namespace) -> Sizes:
    if options.tiny:
        return TINY
    scale = options.scale
    return replace(
        Sizes(),
        sequential_bytes=max(1, int(64 * scale)) * MIB,
        operations=int(1000 * scale),
        syncs=int(300 * scale),
        files=int(500 * scale),
    )


def _run(target: WatchedTarget, line: Line, options: argparse.Namespace) -> Measured:
    load = next(load for load in LOADS if line in load.lines)
    [measured] = measure(load, target, _sizes(options), [line])
    return measured


def _tell(options: argparse.Namespace, target: WatchedTarget, measured: Measured) -> None:
    rate = measured.rate
    about = f"{options.servers} data servers, blocks of {options.block_size} bytes"
    print(f"{rate.line}: {rate.value:.4g} {rate.unit} with steps timed; {about}; per op: per {rate.unit.removesuffix('s/s')}")
    figures = {}
    for kind, prefix in KINDS.items():
        names = [name for name in target.spans if name.startswith(prefix)]
        figures[kind] = figures_of(target.spans[name] for name in names)
        cpu_us = sum(target.cpu_s[name] for name in names) * 1e6 / rate.amount
        switches = sum(target.switches[name] for name in names) / rate.amount
        print(f"\n--- {kind}{'s, all together' * (len(names) > 1)}: {cpu_us:.0f} us processor time, {switches:.1f} waits per op")
        print(steps_table(figures[kind], rate.amount))
        samples = sum((target.samples.get(name, Counter()) for name in names), Counter[str]())
        if samples:
            print(functions_table(samples))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"line": rate.line, "amount": rate.amount, "seconds": rate.seconds, "cpu_s": target.cpu_s}
        document |= {"programs": {kind: plain(rows, rate.amount) for kind, rows in figures.items()}}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
