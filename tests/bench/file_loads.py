"""What programs do with files, timed: each load runs on any folder and returns rates, higher is better.

Reading is cold for the mount: the kernel's pages of the file are dropped first. The servers' own disk caches stay as they are, on
a shared machine nobody else's may be dropped.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.sizes import MIB, Sizes

SMALL_BYTES: Final = 4096
APPEND_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Rate:
    """What one line of the table measured."""

    line: str
    unit: str
    amount: float
    """MiB, calls or files."""
    seconds: float

    @property
    def value(self) -> float:
        """Amount per second."""
        return self.amount / self.seconds


Load = Callable[[Path, Sizes], Iterator[Rate]]


def sequential(folder: Path, sizes: Sizes) -> Iterator[Rate]:
    """Write a large file and sync it; read it back cold."""
    path = folder / "large"
    amount = sizes.sequential_bytes / MIB
    yield Rate("sequential write", "MiB/s", amount, _timed(lambda: _write_file(path, sizes.sequential_bytes, sizes.call_bytes)))
    yield Rate("sequential cold read", "MiB/s", amount, _timed(lambda: _read_file(path, sizes.call_bytes)))
    path.unlink()


def at_random(folder: Path, sizes: Sizes) -> Iterator[Rate]:
    """Read and write 4 KiB at random places of a file."""
    path = folder / "random"
    _write_file(path, sizes.random_bytes, sizes.call_bytes)
    places = [number * SMALL_BYTES for number in range(sizes.random_bytes // SMALL_BYTES)]
    random.Random(1).shuffle(places)
    places = places[: sizes.operations]
    data = os.urandom(SMALL_BYTES)
    with _opened(path, os.O_RDWR) as fd:
        _drop_pages(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        seconds = _timed(lambda: [_expect(len(os.pread(fd, SMALL_BYTES, place)), SMALL_BYTES) for place in places])
        yield Rate("random 4 KiB read", "calls/s", len(places), seconds)
        seconds = _timed(lambda: [_expect(os.pwrite(fd, data, place), SMALL_BYTES) for place in places])
        yield Rate("random 4 KiB write", "calls/s", len(places), seconds)
    path.unlink()


def appending(folder: Path, sizes: Sizes) -> Iterator[Rate]:
    """Append 100 bytes again and again."""
    path = folder / "log"
    data = b"a" * APPEND_BYTES
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as fd:
        seconds = _timed(lambda: [_expect(os.write(fd, data), APPEND_BYTES) for _ in range(sizes.operations)])
    _expect(path.stat().st_size, sizes.operations * APPEND_BYTES)
    yield Rate("100-byte append", "calls/s", sizes.operations, seconds)
    path.unlink()


def synced(folder: Path, sizes: Sizes) -> Iterator[Rate]:
    """Write 4 KiB and sync, again and again."""
    path = folder / "synced"
    data = os.urandom(SMALL_BYTES)
    with _opened(path, os.O_WRONLY | os.O_CREAT) as fd:

        def write_and_sync() -> None:
            for number in range(sizes.syncs):
                _expect(os.pwrite(fd, data, number * SMALL_BYTES), SMALL_BYTES)
                os.fsync(fd)

        seconds = _timed(write_and_sync)
    yield Rate("4 KiB write + fsync", "calls/s", sizes.syncs, seconds)
    path.unlink()


def small_files(folder: Path, sizes: Sizes) -> Iterator[Rate]:
    """Create, stat, list, read, rename and unlink files of 4 KiB."""
    home = folder / "small"
    home.mkdir()
    data = os.urandom(SMALL_BYTES)
    old = [home / f"file{number}" for number in range(sizes.files)]
    new = [home / f"name{number}" for number in range(sizes.files)]

    def list_folder() -> None:
        with os.scandir(home) as entries:
            _expect(sum(entry.stat().st_size for entry in entries), sizes.files * SMALL_BYTES)

    def unlink_all() -> None:
        for path in new:
            path.unlink()

    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("create 4 KiB file", lambda: [path.write_bytes(data) for path in old]),
        ("stat", lambda: [_expect(path.stat().st_size, SMALL_BYTES) for path in old]),
        ("list with attributes", list_folder),
        ("read 4 KiB file", lambda: [_expect(len(path.read_bytes()), SMALL_BYTES) for path in old]),
        ("rename", lambda: [path.rename(to) for path, to in zip(old, new, strict=True)]),
        ("unlink", unlink_all),
    )
    for line, step in steps:
        yield Rate(line, "files/s", sizes.files, _timed(step))
    home.rmdir()


def together(folder: Path, sizes: Sizes) -> Iterator[Rate]:
    """Several programs write a file each at the same time; then they read them, cold."""
    paths = [folder / f"together{number}" for number in range(sizes.workers)]
    amount = sizes.workers * sizes.worker_bytes / MIB
    with ThreadPoolExecutor(sizes.workers) as pool:

        def all_do(work: Callable[[Path], None]) -> float:
            return _timed(lambda: list(pool.map(work, paths)))

        seconds = all_do(lambda path: _write_file(path, sizes.worker_bytes, sizes.call_bytes))
        yield Rate(f"{sizes.workers} writers", "MiB/s", amount, seconds)
        yield Rate(f"{sizes.workers} readers", "MiB/s", amount, all_do(lambda path: _read_file(path, sizes.call_bytes)))
    for path in paths:
        path.unlink()


LOADS: Final[tuple[Load, ...]] = (sequential, at_random, appending, synced, small_files, together)


def _write_file(path: Path, size_bytes: int, call_bytes: int) -> None:
    data = os.urandom(call_bytes)
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
        for _ in range(size_bytes // call_bytes):
            _expect(os.write(fd, data), call_bytes)
        os.fsync(fd)


def _read_file(path: Path, call_bytes: int) -> None:
    with _opened(path, os.O_RDONLY) as fd:
        _drop_pages(fd)
        left_bytes = os.fstat(fd).st_size
        while data := os.read(fd, call_bytes):
            left_bytes -= len(data)
        _expect(left_bytes, 0)


def _drop_pages(fd: int) -> None:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def _timed(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


def _expect(got: int, expected: int) -> int:
    """Return `got`; fail if a call did not do all that was asked of it: its time would mean nothing."""
    if got != expected:
        raise AssertionError(f"expected {expected}, got {got}")
    return got
