"""How much a run of the bench does."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Amounts per measurement, of each line in each round."""

    sequential_bytes: int = 128 * MIB
    """Of the large file; a multiple of call_bytes."""
    call_bytes: int = MIB
    """Of one read(2) or write(2) of a large file."""
    random_bytes: int = 16 * MIB
    """Of the file that is read and written at random places."""
    operations: int = 500
    """Of each kind of single operation."""
    syncs: int = 50
    files: int = 200
    """Small files."""
    workers: int = 4
    worker_bytes: int = 16 * MIB
    """Of each worker's file."""
    wire_calls: int = 200
    blocks: int = 400
    """Written with one call per copy of a block."""


TINY = Sizes(
    sequential_bytes=256 << 10,
    call_bytes=64 << 10,
    random_bytes=64 << 10,
    operations=8,
    syncs=2,
    files=4,
    workers=2,
    worker_bytes=128 << 10,
    wire_calls=2,
    blocks=4,
)
"""Enough to see that everything runs."""
