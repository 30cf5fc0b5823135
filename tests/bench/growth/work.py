"""The work that the experiments time beyond the lines of the bench, and what they read of processes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from tests.bench.file_loads import SMALL_BYTES
from tests.bench.measuring import DfsTarget
from tests.bench.sizes import MIB, Sizes
from tests.harness.cluster import is_answering
from tests.harness.program import Program
from tests.harness.waiting import wait_until

START_TIMEOUT_S: Final = 600.0
A = TypeVar("A")


def names_in(folder: Path, files: int) -> dict[str, float]:
    """Create, look at, rename and unlink files beside what stands in a folder; return rates."""
    old = [folder / f"new{number}" for number in range(files)]
    new = [folder / f"renamed{number}" for number in range(files)]
    return {
        "create empty file": _rate(old, Path.touch),
        "stat": _rate(old, Path.stat),
        "rename": _rate(list(zip(old, new, strict=True)), lambda pair: pair[0].rename(pair[1])),
        "unlink": _rate(new, Path.unlink),
    }


def list_entries(folder: Path) -> float:
    """List a folder with attributes; return entries per second."""
    begun_s = time.perf_counter()
    with os.scandir(folder) as entries:
        count = sum(entry.stat().st_nlink for entry in entries)
    return count / (time.perf_counter() - begun_s)


def write_large(path: Path, size_bytes: int) -> None:
    """Write a file and sync it."""
    data = os.urandom(min(MIB, size_bytes))
    with path.open("wb", buffering=0) as file:
        for _ in range(size_bytes // len(data)):
            file.write(data)
        os.fsync(file.fileno())


def places_of(target: DfsTarget, path: Path, size_bytes: int, sizes: Sizes, chance: random.Random) -> dict[str, float]:
    """Read cold and write 4 KiB at places of the file that differ each time, open it, stat it; return rates."""
    numbers = range(size_bytes // SMALL_BYTES)
    places = [number * SMALL_BYTES for number in chance.sample(numbers, min(sizes.operations, len(numbers)))]
    data = os.urandom(SMALL_BYTES)
    target.make_cold()
    fd = os.open(path, os.O_RDWR)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        return {
            "random 4 KiB cold read": _rate(places, lambda place: os.pread(fd, SMALL_BYTES, place)),
            "random 4 KiB write": _rate(places, lambda place: os.pwrite(fd, data, place)),
            "4 KiB write + fsync": _rate(places[: sizes.syncs], lambda place: _write_and_sync(fd, data, place)),
            "open and close": _rate(places, lambda place: os.close(os.open(path, os.O_RDONLY))),
        }
    finally:
        os.close(fd)


def resident_bytes(program: Program) -> int:
    """Return the memory of a process that is really there."""
    lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(kib) << 10


def start_s(program: Program, port: int) -> float:
    """Start a server and return how long it took until it answered."""
    begun_s = time.perf_counter()
    program.start()
    wait_until(lambda: is_answering(port) or not program.is_running(), f"{program.name} to answer", START_TIMEOUT_S)
    assert program.is_running(), program.log_text()
    return time.perf_counter() - begun_s


def _write_and_sync(fd: int, data: bytes, at: int) -> None:
    os.pwrite(fd, data, at)
    os.fsync(fd)


def _rate(subjects: Sequence[A], work: Callable[[A], object]) -> float:
    """Do the work with each subject; return how many per second."""
    begun_s = time.perf_counter()
    for subject in subjects:
        work(subject)
    return len(subjects) / (time.perf_counter() - begun_s)
