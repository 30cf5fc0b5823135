"""The client service without a kernel in front of it: what a large file costs in requests of 128 KiB and of 1 MiB.

A mount's client runs in this process, its servers are the cluster's. So FUSE, whose share differs from binding to binding, is out
of the figures, and so is what a kernel makes of a program's calls. Called by `make bench LINES=direct`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings
from dfs.core.contexts import PlainContext
from dfs.host.allocator import keep_freed_memory
from dfs.host.clock import SystemClock
from dfs.host.journal import JournalEvents
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from dfs.rpc.client import DataServersClient, MetaClient
from tests.bench.file_loads import Rate
from tests.bench.measuring import Cpu, Measured
from tests.bench.sizes import MIB, Sizes
from tests.harness.cluster import Cluster

REQUEST_BYTES: Final = (128 << 10, 1 << 20)
"""What libfuse 2 hands over at once, and what a channel of our own does."""
CTX: Final = PlainContext("bench-direct")


def measure_direct(cluster: Cluster, sizes: Sizes) -> Iterator[Measured]:
    """Write a large file and read it back, with each size of request."""
    with _client(cluster) as filesystem:
        for request_bytes in REQUEST_BYTES:
            size_bytes = max(sizes.sequential_bytes, request_bytes)
            path = b"/direct%d" % request_bytes
            for word, work in (("write", _write), ("read", _read)):
                before, start_s = _cpu(cluster), time.perf_counter()
                work(filesystem, path, size_bytes, request_bytes)
                seconds, after = time.perf_counter() - start_s, _cpu(cluster)
                rate = Rate(f"direct {word}, {request_bytes >> 10} KiB", "MiB/s", size_bytes / MIB, seconds)
                yield Measured(rate, Cpu(*(now - then for now, then in zip(after, before, strict=True))))
            filesystem.unlink(CTX, path)


@contextmanager
def _client(cluster: Cluster) -> Iterator[FileSystem]:
    keep_freed_memory()
    clock = SystemClock()
    meta, servers = MetaClient(address=cluster.meta_address, clock=clock), DataServersClient(clock=clock)
    settings = MountSettings(host="bench", mount_path=b"/direct", data_servers=(), attr_timeout_s=1.0, start_timeout_s=10.0)
    filesystem = FileSystem(
        settings=settings,
        meta=meta,
        servers=servers,
        clock=clock,
        random=SystemRandom(),
        tasks=ThreadTasks(),
        events=JournalEvents(),
    )
    filesystem.start(CTX)
    try:
        yield filesystem
    finally:
        filesystem.stop(CTX)
        meta.close()
        servers.close()


def _cpu(cluster: Cluster) -> Cpu:
    servers = (cluster.meta, *(cluster.data(index) for index in range(cluster.n)))
    return Cpu(time.process_time() * 1000, sum(server.cpu_s() for server in servers) * 1000)


def _write(filesystem: FileSystem, path: bytes, size_bytes: int, request_bytes: int) -> None:
    data = os.urandom(request_bytes)
    handle = filesystem.create(CTX, path, 0o600, os.O_WRONLY | os.O_CREAT)
    _each(size_bytes, request_bytes, lambda offset: filesystem.write(CTX, handle, data, offset))
    filesystem.fsync(CTX, handle)
    filesystem.flush(CTX, handle)
    filesystem.release(CTX, handle)


def _read(filesystem: FileSystem, path: bytes, size_bytes: int, request_bytes: int) -> None:
    handle = filesystem.open(CTX, path, os.O_RDONLY)
    _each(size_bytes, request_bytes, lambda offset: len(filesystem.read(CTX, handle, request_bytes, offset)))
    filesystem.release(CTX, handle)


def _each(size_bytes: int, request_bytes: int, work: Callable[[int], int]) -> None:
    for offset in range(0, size_bytes - request_bytes + 1, request_bytes):
        if (done := work(offset)) != request_bytes:
            raise AssertionError(f"expected {request_bytes} bytes at {offset}, got {done}")
