"""What a comparison is asked for: the arguments of `make bench-peers`, the same outside and inside of its namespaces."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.file_loads import KEYS, LOADS, lines_named
from tests.bench.measuring import NULL
from tests.bench.peers.packages import NEEDS
from tests.bench.sizes import MIB, TINY, Sizes


class Variant(NamedTuple):
    """A way in which dfs is set up."""

    n: int
    block_size: int
    options: str = ""
    """Of its mount, as in fstab."""


VARIANTS: Final = {
    "dfs-4": Variant(4, 512),
    "dfs-2": Variant(2, 512),
    "dfs-4-64k": Variant(4, 65_536),
    "dfs-2-64k": Variant(2, 65_536),
    "dfs-4-writeback": Variant(4, 512, "writeback"),
    "dfs-4-64k-writeback": Variant(4, 65_536, "writeback"),
    "dfs-4-fusepy": Variant(4, 512, "fuse_channel=fusepy"),
    "dfs-4-64k-fusepy": Variant(4, 65_536, "fuse_channel=fusepy"),
}
NO_PEERS: Final = "none"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; ends the program if they are wrong."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description="Measure dfs beside MooseFS and GlusterFS.")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: %(default)s)")
    parser.add_argument("--lines", type=_lines, default="", help=f"some of {','.join(KEYS)}, or of {_load_names()} (default: all)")
    parser.add_argument("--peers", type=_peers, default="", help=f"some of {','.join(NEEDS)}, or {NO_PEERS} (default: all)")
    parser.add_argument("--variants", type=_variants, default="", help=f"some of {','.join(VARIANTS)} (default: all)")
    parser.add_argument("--mib", type=int, default=64, help="size of the large file (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="do next to nothing, to see that it works")
    parser.add_argument("--json", type=Path, help="also write all values to this file")
    parser.add_argument("--folder", type=Path, help="where all of them keep their state (default: a temporary folder)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return how much is done."""
    return TINY if options.tiny else Sizes(sequential_bytes=options.mib * MIB, operations=1000, syncs=100, files=300)


def targets_of(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the names of the targets that are dfs, and of those that it is compared with."""
    return list(options.variants), [NULL, *options.peers]


def _load_names() -> str:
    return ",".join(load.name for load in LOADS)


def _lines(text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else KEYS
    try:
        lines_named(names)
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(KEYS)} or of {_load_names()}, got {error}") from error
    return names


def _peers(text: str) -> tuple[str, ...]:
    return () if text == NO_PEERS else _some_of(tuple(NEEDS), text)


def _variants(text: str) -> tuple[str, ...]:
    return _some_of(tuple(VARIANTS), text)


def _some_of(known: tuple[str, ...], text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, got {','.join(unknown)}")
    return names
