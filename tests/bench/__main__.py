"""`make bench`: measures dfs and, beside it in every round, the null file system and the stock XML-RPC server.

The rounds go through all lines and take dfs and its ceiling in turn, so that what else the machine does falls on both. A real
cluster of one meta-server, four data servers with blocks of 512 bytes and one mount, in a temporary folder. With `--with key` (make
bench WITH=key) a second one has a cluster key, and each of its lines stands beside the same line without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.bench import namespace
from tests.bench.block_by_block import write_block_by_block
from tests.bench.direct import measure_direct
from tests.bench.file_loads import KEYS, LOADS, SEQUENTIAL, Line, Load, Rate, lines_named
from tests.bench.measuring import NULL, DfsTarget, Target, dfs_target, measure, null_target
from tests.bench.report import WITHOUT, Report
from tests.bench.sizes import MIB, TINY, Sizes
from tests.bench.wire_loads import KEY, OURS, STOCK, TlsWire, Wire
from tests.harness.certificates import Certificates
from tests.harness.leftovers import remove_leftovers
from tests.harness.signing import SECRET

PLAIN: Final = "plain"
"""What TLS is compared with: the same without it."""
EXTRA_LOADS: Final = ("block_by_block", "direct", "wire", "tls", "tls_files")
VARIANTS: Final = ("", KEY)
LOAD_NAMES: Final = (*(load.name for load in LOADS), *EXTRA_LOADS)


def main(argv: Sequence[str]) -> int:
    """Measure and print; the exit status does not judge."""
    options = _parse(argv)
    if options.inside is None and not namespace.why_impossible():
        return namespace.run_module_inside("tests.bench", argv, options.folder)
    if options.inside is not None:
        namespace.furnish(options.inside)
    sizes = TINY if options.tiny else Sizes(sequential_bytes=options.mib * MIB)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="dfs-bench-", dir=options.inside or options.folder) as folder:
        try:
            _measure(Path(folder), report, options.lines, options.rounds, sizes, options.variant)
        finally:
            left = remove_leftovers(Path(folder))
    if left:
        print("left behind: " + "; ".join(left), file=sys.stderr)
    print(f"medians of {options.rounds} rounds; processor time per MiB, call or file, of the mount and of all servers together")
    print(report.table())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        about = {"python": platform.python_version(), "kernel": platform.release(), "processors": os.cpu_count()}
        options.json.write_text(json.dumps({"about": about, "rounds": options.rounds, "lines": report.plain()}, indent=1) + "\n")
        print(f"all values: {options.json}")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure dfs beside the ceilings of this machine.")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: %(default)s)")
    parser.add_argument(
        "--lines",
        type=_load_names,
        default=LOAD_NAMES,
        help=f"some of {','.join(LOAD_NAMES)}, or of {','.join(KEYS)} (default: all)",
    )
    parser.add_argument("--mib", type=int, default=128, help="size of the large file (default: %(default)s)")
    parser.add_argument("--with", dest="variant", choices=VARIANTS, help="also measure a cluster that has this switched on")
    parser.add_argument("--tiny", action="store_true", help="do next to nothing, to see that it works")
    parser.add_argument("--json", type=Path, help="also write all values to this file")
    parser.add_argument("--folder", type=Path, help="where the servers keep their state (default: a temporary folder)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _load_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else LOAD_NAMES
    unknown = [name for name in names if name not in (*LOAD_NAMES, *KEYS)]
    if unknown:
        raise argparse.ArgumentTypeError(f"expected some of {','.join((*LOAD_NAMES, *KEYS))}, got {','.join(unknown)}")
    return names


def _measure(folder: Path, report: Report, names: Sequence[str], rounds: int, sizes: Sizes, variant: str | None) -> None:
    wanted = lines_named(name for name in names if name not in EXTRA_LOADS)
    loads = [load for load in LOADS if wanted.intersection(load.lines)]
    with ExitStack() as stack:
        wire = stack.enter_context(closing(Wire())) if "wire" in names else None
        tls_wire = stack.enter_context(closing(TlsWire(folder))) if "tls" in names else None
        dfs: DfsTarget | None = None
        secured: DfsTarget | None = None
        if "tls_files" in names:
            files = Certificates(folder / "cluster-ca").host("localhost", "127.0.0.1")
            secured = stack.enter_context(dfs_target("secured", folder / "secured", tls=files))
        if not set(names) <= {"wire", "tls"}:
            dfs = stack.enter_context(dfs_target("dfs", folder / "cluster"))
            null = stack.enter_context(null_target(folder))
            other = stack.enter_context(dfs_target("other", folder / "other", secret=SECRET)) if variant else None
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            if dfs is not None:
                for load in loads:
                    rates = _measure_files(report, dfs, null, load, sizes, wanted)
                    if other is not None:
                        for (rate, cpu), without in zip(measure(load, other, sizes, wanted), rates, strict=True):
                            _add_other(report, rate, without, f"with {variant}", cpu)
                if "block_by_block" in names:
                    report.add(write_block_by_block(dfs.cluster, dfs.path, sizes), beside=NULL, is_ceiling=False)
                if "direct" in names:
                    for rate, cpu in measure_direct(dfs.cluster, sizes):
                        report.add(rate, beside=NULL, is_ceiling=False, cpu_ms=cpu)
                if secured is not None:
                    _measure_tls_files(report, secured, dfs, sizes)
            if wire is not None:
                _measure_wire(report, wire, sizes, variant)
            if tls_wire is not None:
                for kind, rate in tls_wire.measure(sizes):
                    report.add(rate, beside=PLAIN, is_ceiling=kind == OURS)


def _measure_wire(report: Report, wire: Wire, sizes: Sizes, variant: str | None) -> None:
    ours = list(wire.measure(OURS, sizes))
    for rate in ours:
        report.add(rate, beside=STOCK, is_ceiling=False)
    if variant == KEY:
        for rate, without in zip(wire.measure(KEY, sizes), ours, strict=True):
            _add_other(report, rate, without, f"with {variant}")
    for rate in wire.measure(STOCK, sizes):
        report.add(rate, beside=STOCK, is_ceiling=True)


def _add_other(report: Report, rate: Rate, without: Rate, words: str, cpu_ms: tuple[float, float] | None = None) -> None:
    name = f"{rate.line}, {words}"
    report.add(replace(rate, line=name), beside=WITHOUT, is_ceiling=False, cpu_ms=cpu_ms)
    report.add(replace(without, line=name), beside=WITHOUT, is_ceiling=True)


def _measure_files(report: Report, dfs: Target, null: Target, load: Load, sizes: Sizes, wanted: frozenset[Line]) -> list[Rate]:
    rates = []
    for rate, cpu in measure(load, dfs, sizes, wanted):
        report.add(rate, beside=NULL, is_ceiling=False, cpu_ms=cpu)
        rates.append(rate)
    for rate, _ in measure(load, null, sizes, wanted):
        report.add(rate, beside=NULL, is_ceiling=True)
    return rates


def _measure_tls_files(report: Report, secured: Target, plain: Target, sizes: Sizes) -> None:
    """Copy a large file to and fro over TLS, and beside it without."""
    for target in (secured, plain):
        for rate, cpu in measure(SEQUENTIAL, target, sizes, SEQUENTIAL.lines):
            is_plain = target is plain
            report.add(replace(rate, line=f"TLS {rate.line}"), beside=PLAIN, is_ceiling=is_plain, cpu_ms=None if is_plain else cpu)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
