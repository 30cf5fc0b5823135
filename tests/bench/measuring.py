"""Running a load on a file system and timing its steps, with the processor time that the file system's own programs took.

What is measured is a Target: dfs and the null file system here, others in tests/bench/peers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from dfs.core.config import TlsConfig
from tests.bench.file_loads import Line, Load, Rate
from tests.bench.sizes import Sizes
from tests.harness.cluster import Cluster, MountProgram
from tests.harness.program import module_command

NULL: Final = "null"


class Cpu(NamedTuple):
    """Processor time that was used so far, in ms."""

    mount_ms: float
    servers_ms: float


class Target(Protocol):
    """A file system that is measured."""

    name: str
    path: Path
    """Where it is mounted."""

    def make_cold(self) -> None:
        """Forget all that the mount keeps of files and names."""

    def cpu(self) -> Cpu:
        """Return the processor time of its programs."""

    def watched(self, line: Line) -> AbstractContextManager[object]:
        """Return what lasts exactly as long as the step of that line."""


class Measured(NamedTuple):
    """A rate, and the processor time it took."""

    rate: Rate
    cpu: Cpu


def measure(load: Load, target: Target, sizes: Sizes, wanted: Iterable[Line]) -> Iterator[Measured]:
    """Run the load and yield what its wanted lines measured."""
    left = set(wanted).intersection(load.lines)
    for step in load.steps(target.path, sizes):
        if step.line not in left:
            step.work()
            continue
        if step.is_cold:
            target.make_cold()
        with target.watched(step.line):
            before = target.cpu()
            start_s = time.perf_counter()
            step.work()
            seconds = time.perf_counter() - start_s
            after = target.cpu()
        rate = Rate(step.line.title, step.line.unit, step.amount, seconds)
        yield Measured(rate, Cpu(*(now - then for now, then in zip(after, before, strict=True))))


class DfsTarget:
    """A cluster of dfs."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.path = cluster.mount().path
        self.cluster = cluster

    def make_cold(self) -> None:
        """Mount it anew."""
        mount = self.cluster.mount()
        status = mount.unmount()
        assert status == 0, mount.log_text()
        mount.start()
        mount.wait_ready()

    def cpu(self) -> Cpu:
        """Return the processor time of its programs."""
        mount, *servers = self.cluster.programs()
        return Cpu(mount.cpu_s() * 1000, sum(server.cpu_s() for server in servers) * 1000)

    def watched(self, line: Line) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()


class NullTarget:
    """The null file system, which keeps nothing that could be forgotten: all it knows is in its one process."""

    def __init__(self, mount: MountProgram) -> None:
        self.name = NULL
        self.path = mount.path
        self._mount = mount

    def make_cold(self) -> None:
        """Do nothing: the kernel keeps no names and attributes of it, and pages only while a file is open."""

    def cpu(self) -> Cpu:
        """Return the processor time of its program."""
        return Cpu(self._mount.cpu_s() * 1000, 0.0)

    def watched(self, line: Line) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()


@contextmanager
def dfs_target(
    name: str,
    folder: Path,
    *,
    n: int = 4,
    block_size: int = 512,
    secret: bytes | None = None,
    tls: TlsConfig | None = None,
    options: str = "",
) -> Iterator[DfsTarget]:
    """Start a cluster in a folder, with a cluster key and TLS or without, and mount it with `options`; afterwards its logs must be
    quiet.
    """
    with Cluster(folder, n=n, block_size=block_size, secret=secret, tls=tls) as cluster:
        cluster.mount(0, options)
        cluster.start(mounts=1)
        yield DfsTarget(name, cluster)
        cluster.assert_quiet()


@contextmanager
def null_target(folder: Path) -> Iterator[NullTarget]:
    """Mount the null file system."""
    path = folder / NULL
    command = module_command("tests.bench.null_filesystem", path)
    mount = MountProgram(NULL, command, folder / "null.log", folder, path)
    try:
        mount.start()
        mount.wait_ready()
        yield NullTarget(mount)
    finally:
        mount.end_for_sure()
