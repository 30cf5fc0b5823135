"""What happens at the same time: mounts that all work, and programs that read while a data server is rebuilt."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.file_loads import SMALL_BYTES
from tests.bench.growth.outcome import Finding
from tests.bench.growth.population import AWAY
from tests.bench.growth.work import write_large
from tests.bench.measuring import DfsTarget
from tests.bench.sizes import MIB, Sizes
from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until

REBUILD_TIMEOUT_S: Final = 3600.0
LOST: Final = 1
"""Index of the data server that loses its disk."""
COMPLETE: Final = ("primary strips are complete", "secondary strips are complete")
TOLD: Final = rf"are copied from server|{AWAY}"
"""What programs say of a server that is away and then rebuilt."""


class _Work(NamedTuple):
    """What every mount does in a folder of its own."""

    what: str
    unit: str
    amount: float
    """Done by one mount."""
    do: Callable[[Path], None]


def crowd(target: DfsTarget, mounts: int, rounds: int, sizes: Sizes) -> Iterator[Finding]:
    """Compare what 2, 4, ... up to `mounts` mounts do in all, each with files of its own, with what one does alone."""
    cluster = target.cluster
    for number in range(1, mounts):
        cluster.mount(number).start()
    for number in range(1, mounts):
        cluster.mount(number).wait_ready()
    homes = [cluster.mount(number).path / f"of{number}" for number in range(mounts)]
    for home in homes:
        home.mkdir()
    counts = [count for count in (1, 2, 4, 8) if count <= mounts]
    rates: dict[str, dict[int, list[float]]] = {}
    works = _works(sizes)
    with ThreadPoolExecutor(mounts) as pool:
        for _ in range(rounds):
            for count in counts:
                for work in works:
                    begun_s = time.perf_counter()
                    list(pool.map(work.do, homes[:count]))
                    rate = count * work.amount / (time.perf_counter() - begun_s)
                    rates.setdefault(work.what, {}).setdefault(count, []).append(rate)
    for work in works:
        alone, *others = rates[work.what].items()
        for count, values in others:
            yield Finding(f"{work.what}, all together", work.unit, "1 mount", alone[1], f"{count} mounts", values)


def rebuild(target: DfsTarget, size_bytes: int, rounds: int) -> Iterator[Finding]:
    """Lose a data server's disk: how fast it is rebuilt beside how fast was written, and what programs can read meanwhile."""
    cluster, path = target.cluster, target.path / "large"
    writing = [_rate(size_bytes, lambda: write_large(path, size_bytes)) for _ in range(rounds)]
    alone, beside, reading, read_beside = [], [], [], []
    stored = sum(file.stat().st_size for file in cluster.state_folder(LOST).rglob("*") if file.is_file())
    for _ in range(rounds):
        alone.append(_rate(stored, _lose_disk(cluster)))
        reading.append(_rate(size_bytes, lambda: _read_through(path)))
        rebuilt = _lose_disk(cluster)
        with _Reader(path) as reader:
            beside.append(_rate(stored, rebuilt))
        read_beside.append(reader.rate())
    cluster.allow(TOLD)
    yield Finding("sequential write; rebuild", "MiB/s", "writing", writing, "rebuilding", alone)
    yield Finding("rebuild", "MiB/s", "nothing", alone, "a reader", beside)
    yield Finding("sequential read", "MiB/s", "nothing", reading, "a rebuild", read_beside)


class _Reader:
    """Reads a file again and again, from the servers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self._read_bytes = 0
        self._seconds = 0.0
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> _Reader:
        self._run = self._pool.submit(self._read)
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._run.result()
        self._pool.shutdown()

    def rate(self) -> float:
        """Return MiB per second."""
        return self._read_bytes / MIB / self._seconds

    def _read(self) -> None:
        begun_s = time.perf_counter()
        while not self._ended.is_set():
            self._read_bytes += _read_through(self._path, self._ended.is_set)
        self._seconds = time.perf_counter() - begun_s


def _works(sizes: Sizes) -> list[_Work]:
    def files(home: Path, name: str) -> list[Path]:
        return [home / f"{name}{number}" for number in range(sizes.files)]

    def create(home: Path) -> None:
        data = os.urandom(SMALL_BYTES)
        for path in files(home, "old"):
            path.write_bytes(data)

    def rename(home: Path) -> None:
        for old, new in zip(files(home, "old"), files(home, "new"), strict=True):
            old.rename(new)

    def unlink(home: Path) -> None:
        for path in files(home, "new"):
            path.unlink()

    mib = sizes.worker_bytes / MIB
    return [
        _Work("sequential write", "MiB/s", mib, lambda home: write_large(home / "large", sizes.worker_bytes)),
        _Work("sequential read", "MiB/s", mib, lambda home: _expect_all(home / "large", sizes.worker_bytes)),
        _Work("create 4 KiB file", "files/s", sizes.files, create),
        _Work("rename", "files/s", sizes.files, rename),
        _Work("unlink", "files/s", sizes.files, unlink),
    ]


def _lose_disk(cluster: Cluster) -> Callable[[], object]:
    """Let a data server run again without what it had stored. Result: what waits until it is complete in both roles."""
    server = cluster.data(LOST)

    def times_complete() -> int:
        log = server.log_text()
        return min(log.count(words) for words in COMPLETE)

    before = times_complete()
    server.kill()
    shutil.rmtree(cluster.state_folder(LOST))
    cluster.restart(server)
    return lambda: wait_until(lambda: times_complete() > before, "the data server to be rebuilt", REBUILD_TIMEOUT_S)


def _read_through(path: Path, is_ended: Callable[[], bool] = lambda: False) -> int:
    """Read a file as its mount does when the kernel has none of its pages, until its end or told to end; return the bytes."""
    size_bytes = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while not is_ended() and (data := os.read(fd, MIB)):
            size_bytes += len(data)
    finally:
        os.close(fd)
    return size_bytes


def _expect_all(path: Path, size_bytes: int) -> None:
    read_bytes = _read_through(path)
    assert read_bytes == size_bytes, f"expected {size_bytes}, got {read_bytes}"


def _rate(size_bytes: int, work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return size_bytes / MIB / (time.perf_counter() - begun_s)
