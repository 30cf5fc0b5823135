"""The experiments. Each starts what it needs in a folder, and compares the same work beside little and beside much, in turn.

Rates that fall and times or bytes that rise beside much are what is looked for: nothing of what there is more of is touched.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.file_loads import LOADS, lines_named
from tests.bench.growth.outcome import Finding
from tests.bench.growth.population import AWAY, make_files, make_strips
from tests.bench.growth.together import crowd, rebuild
from tests.bench.growth.work import list_entries, names_in, places_of, resident_bytes, start_s, write_large
from tests.bench.measuring import DfsTarget, dfs_target, measure
from tests.bench.sizes import MIB, Sizes
from tests.harness.program import Program

NAMES: Final = ("create", "list", "stat", "rename", "unlink", "mkdir")
ALL: Final = ("sequential", "at_random", "append", "fsync", "create", "stat", "rename")


class Extent(NamedTuple):
    """How much there is of what is not touched, and how much is done beside it."""

    files: int
    """In the tree, and in the wide folder."""
    file_bytes: int
    rebuilt_bytes: int
    """Of the file that a data server has half of when it loses its disk."""
    servers: tuple[int, ...]
    mounts: int
    inodes: int
    strips: int
    rounds: int
    sizes: Sizes


def tree(folder: Path, extent: Extent) -> Iterator[Finding]:
    """Names, with many files elsewhere in the tree."""
    with ExitStack() as stack:
        empty, full = (stack.enter_context(dfs_target(name, folder / name)) for name in ("empty", "full"))
        make_files(full.cluster, b"", extent.files, spread=True)
        yield from _compare({"nothing": empty, f"{extent.files} files": full}, NAMES, extent)


def wide_folder(folder: Path, extent: Extent) -> Iterator[Finding]:
    """Names in a folder of many entries, and in an empty one; listing it, per entry."""
    with dfs_target("wide", folder / "wide") as target:
        few, many = target.path / "few", target.path / "many"
        few.mkdir()
        many.mkdir()
        mount = target.cluster.mount()
        fresh = resident_bytes(mount)
        make_files(target.cluster, b"/many", extent.files, spread=False)
        make_files(target.cluster, b"/few", extent.sizes.files, spread=False)
        rounds = [[names_in(place, extent.sizes.files) for place in (few, many)] for _ in range(extent.rounds)]
        little, much = f"folder of {extent.sizes.files}", f"folder of {extent.files}"
        for what in rounds[0][0]:
            yield Finding(what, "files/s", little, [pair[0][what] for pair in rounds], much, [pair[1][what] for pair in rounds])
        listed: list[list[float]] = [[], []]
        for _ in range(extent.rounds):
            for place, rates in zip((few, many), listed, strict=True):
                target.make_cold()
                rates.append(list_entries(place))
        yield Finding("cold list with attributes", "entries/s", little, listed[0], much, listed[1])
        yield Finding("mount's memory after it", "MiB", "nothing", [fresh / MIB], much, [resident_bytes(mount) / MIB])


def large_file(folder: Path, extent: Extent) -> Iterator[Finding]:
    """Calls in a large file and in a small one; memory before it was written and after."""
    with dfs_target("large", folder / "large") as target:
        programs = {"mount's memory": target.cluster.mount(), "data server's memory": target.cluster.data(0)}
        small, large = target.path / "small", target.path / "large"
        sizes = {small: min(16 * MIB, extent.file_bytes // 2), large: extent.file_bytes}
        write_large(small, sizes[small])
        before = {name: resident_bytes(program) / MIB for name, program in programs.items()}
        write_large(large, sizes[large])
        little, much = (f"file of {size / MIB:g} MiB" for size in sizes.values())
        rounds = []
        for number in range(extent.rounds):
            calls = random.Random(number)
            rounds.append([places_of(target, path, size, extent.sizes, calls) for path, size in sizes.items()])
        for what in rounds[0][0]:
            yield Finding(what, "calls/s", little, [pair[0][what] for pair in rounds], much, [pair[1][what] for pair in rounds])
        for name, program in programs.items():
            yield Finding(name, "MiB", little, [before[name]], much, [resident_bytes(program) / MIB])


def servers(folder: Path, extent: Extent) -> Iterator[Finding]:
    """All lines with more data servers."""
    with ExitStack() as stack:
        targets = {f"{n} servers": stack.enter_context(dfs_target(f"n{n}", folder / f"n{n}", n=n)) for n in extent.servers}
        yield from _compare(targets, ALL, extent)


def mounts(folder: Path, extent: Extent) -> Iterator[Finding]:
    """All lines on one mount, with other mounts that do nothing."""
    with ExitStack() as stack:
        alone = stack.enter_context(dfs_target("alone", folder / "alone"))
        beside = stack.enter_context(dfs_target("beside", folder / "beside"))
        for number in range(1, extent.mounts):
            beside.cluster.mount(number).start()
        for number in range(1, extent.mounts):
            beside.cluster.mount(number).wait_ready()
        yield from _compare({"1 mount": alone, f"{extent.mounts} mounts": beside}, ALL, extent)


def working_mounts(folder: Path, extent: Extent) -> Iterator[Finding]:
    """What several mounts do in all when all work at the same time."""
    with dfs_target("crowd", folder / "crowd") as target:
        yield from crowd(target, extent.mounts, extent.rounds, extent.sizes)


def lost_disk(folder: Path, extent: Extent) -> Iterator[Finding]:
    """A rebuild, and what goes on beside it."""
    with dfs_target("rebuild", folder / "rebuild") as target:
        yield from rebuild(target, extent.rebuilt_bytes, extent.rounds)


def inodes(folder: Path, extent: Extent) -> Iterator[Finding]:
    """The meta-server's memory and start with many inodes."""
    with dfs_target("inodes", folder / "inodes") as target:
        meta = target.cluster.meta
        before = resident_bytes(meta)
        first = _starts(target, meta, target.cluster.meta_port, extent.rounds)
        fresh = resident_bytes(meta)
        make_files(target.cluster, b"", extent.inodes, spread=True)
        after = resident_bytes(meta)
        then = _starts(target, meta, target.cluster.meta_port, extent.rounds)
        much = f"{extent.inodes} inodes"
        yield Finding("meta-server's memory, after making them", "MiB", "no files", [before / MIB], much, [after / MIB])
        yield Finding("meta-server's memory, started anew", "MiB", "no files", [fresh / MIB], much, [resident_bytes(meta) / MIB])
        yield Finding("meta-server's start", "s", "no files", first, much, then)


def strips(folder: Path, extent: Extent) -> Iterator[Finding]:
    """A data server's memory and start with many strips."""
    with dfs_target("strips", folder / "strips") as target:
        data, port = target.cluster.data(0), target.cluster.data_ports[0]
        before = resident_bytes(data)
        first = _starts(target, data, port, extent.rounds)
        make_strips(target.cluster, 0, extent.strips)
        after = resident_bytes(data)
        then = _starts(target, data, port, extent.rounds)
        much = f"{extent.strips} strips"
        yield Finding("data server's memory, after storing them", "MiB", "no files", [before / MIB], much, [after / MIB])
        yield Finding("data server's memory, started anew", "MiB", "no files", [before / MIB], much, [resident_bytes(data) / MIB])
        yield Finding("data server's start", "s", "no files", first, much, then)


EXPERIMENTS: Final[dict[str, Callable[[Path, Extent], Iterator[Finding]]]] = {
    "tree": tree,
    "folder": wide_folder,
    "file": large_file,
    "servers": servers,
    "mounts": mounts,
    "crowd": working_mounts,
    "rebuild": lost_disk,
    "inodes": inodes,
    "strips": strips,
}


def _compare(targets: dict[str, DfsTarget], names: Sequence[str], extent: Extent) -> Iterator[Finding]:
    """Take the targets in turn in every line of every round; compare each of the others with the first."""
    wanted = lines_named(names)
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in targets}
    units: dict[str, str] = {}
    for number in range(extent.rounds):
        order = list(targets.items())
        for load in LOADS:
            if wanted.intersection(load.lines):
                for name, target in order if number % 2 else reversed(order):
                    for measured in measure(load, target, extent.sizes, wanted):
                        units[measured.rate.line] = measured.rate.unit
                        rates[name].setdefault(measured.rate.line, []).append(measured.rate.value)
    little, *others = targets
    for line, unit in units.items():
        for much in others:
            yield Finding(line, unit, little, rates[little][line], much, rates[much][line])


def _starts(target: DfsTarget, program: Program, port: int, rounds: int) -> list[float]:
    """Return how long a server takes from its start until it answers."""
    seconds = []
    for _ in range(rounds):
        assert program.stop() == 0, program.log_text()
        seconds.append(start_s(program, port))
    target.cluster.allow(AWAY)
    return seconds
