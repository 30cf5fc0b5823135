"""What programs do with files: each load runs on any folder and yields steps, whose work measuring.py times.

A cold step finds nothing in the mount's memory: the file system is mounted anew before it, and what the kernel may still keep of
a file's pages is dropped as it is opened. The servers' own disk caches stay as they are: on a shared machine nobody else's may
be dropped, and all file systems that are compared have theirs.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.sizes import MIB, Sizes
from tests.harness.waiting import wait_until

SMALL_BYTES: Final = 4096
APPEND_BYTES: Final = 100


class Line(NamedTuple):
    """One line of the tables."""

    key: str
    """What LINES= calls it."""
    title: str
    unit: str


WRITE: Final = Line("write", "sequential write", "MiB/s")
READ: Final = Line("read", "sequential cold read", "MiB/s")
RANDOM_READ: Final = Line("random-read", "random 4 KiB cold read", "calls/s")
RANDOM_WRITE: Final = Line("random-write", "random 4 KiB write", "calls/s")
WRITERS: Final = Line("writers", "4 writers", "MiB/s")
READERS: Final = Line("readers", "4 cold readers", "MiB/s")
APPEND: Final = Line("append", "100-byte append", "calls/s")
FSYNC: Final = Line("fsync", "4 KiB write + fsync", "calls/s")
CREATE: Final = Line("create", "create 4 KiB file", "files/s")
LIST: Final = Line("list", "cold list with attributes", "files/s")
STAT: Final = Line("stat", "cold stat", "files/s")
READ_SMALL: Final = Line("read-small", "cold read of 4 KiB file", "files/s")
RENAME: Final = Line("rename", "rename", "files/s")
UNLINK: Final = Line("unlink", "unlink", "files/s")
MKDIR: Final = Line("mkdir", "mkdir + rmdir", "folders/s")


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be timed."""

    line: Line
    amount: float
    """MiB, calls, files or folders."""
    work: Callable[[], object]
    is_cold: bool = False
    """Whether the file system must be mounted anew first; no file of it is open then."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one line of the table measured."""

    line: str
    unit: str
    amount: float
    """MiB, calls, files or folders."""
    seconds: float

    @property
    def value(self) -> float:
        """Amount per second."""
        return self.amount / self.seconds


class Load(NamedTuple):
    """Steps that need each other."""

    name: str
    lines: tuple[Line, ...]
    steps: Callable[[Path, Sizes], Iterator[Step]]


def sequential(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Write a large file and sync it; read it back cold."""
    path = folder / "large"
    amount = sizes.sequential_bytes / MIB
    yield Step(WRITE, amount, lambda: _write_file(path, sizes.sequential_bytes, sizes.call_bytes))
    yield Step(READ, amount, lambda: _read_file(path, sizes.call_bytes), is_cold=True)
    path.unlink()


def at_random(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Read and write 4 KiB at random places of a file."""
    path = folder / "random"
    _write_file(path, sizes.random_bytes, sizes.call_bytes)
    places = [number * SMALL_BYTES for number in range(sizes.random_bytes // SMALL_BYTES)]
    random.Random(1).shuffle(places)
    places = places[: sizes.operations]
    data = os.urandom(SMALL_BYTES)

    def read() -> None:
        with _opened(path, os.O_RDONLY) as fd:
            _drop_pages(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            for place in places:
                _expect(len(os.pread(fd, SMALL_BYTES, place)), SMALL_BYTES)

    def write() -> None:
        with _opened(path, os.O_RDWR) as fd:
            for place in places:
                _expect(os.pwrite(fd, data, place), SMALL_BYTES)

    yield Step(RANDOM_READ, len(places), read, is_cold=True)
    yield Step(RANDOM_WRITE, len(places), write)
    path.unlink()


def appending(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Append 100 bytes again and again."""
    path = folder / "log"
    data = b"a" * APPEND_BYTES

    def append() -> None:
        with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as fd:
            for _ in range(sizes.operations):
                _expect(os.write(fd, data), APPEND_BYTES)

    yield Step(APPEND, sizes.operations, append)
    _expect(path.stat().st_size, sizes.operations * APPEND_BYTES)
    path.unlink()


def synced(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Write 4 KiB and sync, again and again."""
    path = folder / "synced"
    data = os.urandom(SMALL_BYTES)

    def write_and_sync() -> None:
        with _opened(path, os.O_WRONLY | os.O_CREAT) as fd:
            for number in range(sizes.syncs):
                _expect(os.pwrite(fd, data, number * SMALL_BYTES), SMALL_BYTES)
                os.fsync(fd)

    yield Step(FSYNC, sizes.syncs, write_and_sync)
    path.unlink()


def small_files(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Create files of 4 KiB, list, stat and read them cold, rename and unlink them."""
    home = folder / "small"
    home.mkdir()
    data = os.urandom(SMALL_BYTES)
    old = [home / f"file{number}" for number in range(sizes.files)]
    new = [home / f"name{number}" for number in range(sizes.files)]

    def list_folder() -> None:
        with os.scandir(home) as entries:
            _expect(sum(entry.stat().st_size for entry in entries), sizes.files * SMALL_BYTES)

    def for_each(work: Callable[[Path], object]) -> Callable[[], object]:
        return lambda: [work(path) for path in old]

    yield Step(CREATE, sizes.files, for_each(lambda path: path.write_bytes(data)))
    yield Step(LIST, sizes.files, list_folder, is_cold=True)
    yield Step(STAT, sizes.files, for_each(lambda path: _expect(path.stat().st_size, SMALL_BYTES)), is_cold=True)
    yield Step(READ_SMALL, sizes.files, for_each(lambda path: _expect(len(path.read_bytes()), SMALL_BYTES)), is_cold=True)
    yield Step(RENAME, sizes.files, lambda: [path.rename(to) for path, to in zip(old, new, strict=True)])
    yield Step(UNLINK, sizes.files, lambda: _each(Path.unlink, new))
    # libfuse hides what is removed before it has heard of the last close, which nobody waits for.
    wait_until(lambda: not any(home.iterdir()), f"{home} to be empty")
    home.rmdir()


def folders(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Make empty folders and remove them."""
    home = folder / "folders"
    home.mkdir()
    paths = [home / f"folder{number}" for number in range(sizes.files)]

    def make_and_remove() -> None:
        _each(Path.mkdir, paths)
        _each(Path.rmdir, paths)

    yield Step(MKDIR, sizes.files, make_and_remove)
    home.rmdir()


def together(folder: Path, sizes: Sizes) -> Iterator[Step]:
    """Several programs write a file each at the same time; then they read them, cold."""
    paths = [folder / f"together{number}" for number in range(sizes.workers)]
    amount = sizes.workers * sizes.worker_bytes / MIB
    with ThreadPoolExecutor(sizes.workers) as pool:

        def all_do(work: Callable[[Path], None]) -> Callable[[], object]:
            return lambda: list(pool.map(work, paths))

        yield Step(WRITERS, amount, all_do(lambda path: _write_file(path, sizes.worker_bytes, sizes.call_bytes)))
        yield Step(READERS, amount, all_do(lambda path: _read_file(path, sizes.call_bytes)), is_cold=True)
    _each(Path.unlink, paths)


SEQUENTIAL: Final = Load("sequential", (WRITE, READ), sequential)
LOADS: Final[tuple[Load, ...]] = (
    SEQUENTIAL,
    Load("at_random", (RANDOM_READ, RANDOM_WRITE), at_random),
    Load("together", (WRITERS, READERS), together),
    Load("appending", (APPEND,), appending),
    Load("synced", (FSYNC,), synced),
    Load("small_files", (CREATE, LIST, STAT, READ_SMALL, RENAME, UNLINK), small_files),
    Load("folders", (MKDIR,), folders),
)
KEYS: Final = tuple(line.key for load in LOADS for line in load.lines)


def lines_named(names: Iterable[str]) -> frozenset[Line]:
    """Return the lines that names of loads or of single lines stand for. Raises: KeyError that carries an unknown name."""
    known = {load.name: load.lines for load in LOADS} | {line.key: (line,) for load in LOADS for line in load.lines}
    return frozenset(line for name in names for line in known[name])


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


def _each(work: Callable[[Path], object], paths: Iterable[Path]) -> None:
    for path in paths:
        work(path)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def _expect(got: int, expected: int) -> int:
    """Return `got`; fail if a call did not do all that was asked of it: its time would mean nothing."""
    if got != expected:
        raise AssertionError(f"expected {expected}, got {got}")
    return got
