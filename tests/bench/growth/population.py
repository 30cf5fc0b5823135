"""Filling a cluster through its API, quicker than through a mount: names at the meta-server, strips at a data server."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings
from dfs.core.contexts import PlainContext
from dfs.core.ids import BlockNo, Ino, ServerIndex, Ticket, generation_of
from dfs.core.limits import TICKETS_AHEAD_MAX
from dfs.core.messages.blocks import Put, Segment
from dfs.core.placement import Role
from dfs.core.records import checksum, pack_checksums
from dfs.host.clock import SystemClock
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from dfs.rpc.client import DataServersClient, MetaClient
from tests.harness.cluster import Cluster
from tests.harness.recorded_events import RecordedEvents

THREADS: Final = 16
"""Concurrent calls share transactions and their syncs."""
FILES_PER_FOLDER: Final = 100
STRIP_INO: Final = 1 << 39
STRIP_TICKET: Final = Ticket(TICKETS_AHEAD_MAX)
"""One that a data server believes although nobody was granted it."""
"""Far above what the meta-server has issued, so that no file of the cluster is harmed."""


@contextmanager
def client_of(cluster: Cluster) -> Iterator[FileSystem]:
    """Connect a mount's client service, without a mount."""
    clock = SystemClock()
    meta, servers = MetaClient(address=cluster.meta_address, clock=clock), DataServersClient(clock=clock)
    filesystem = FileSystem(
        settings=MountSettings(os.uname().nodename, b"/none"),
        meta=meta,
        servers=servers,
        clock=clock,
        random=SystemRandom(),
        tasks=ThreadTasks(),
        events=RecordedEvents(),
    )
    filesystem.start(PlainContext("growth"))
    try:
        yield filesystem
    finally:
        filesystem.stop(PlainContext("growth"))
        meta.close()
        servers.close()


def make_files(cluster: Cluster, folder: bytes, files: int, *, spread: bool) -> None:
    """Make empty files in a folder that exists; `spread`: in sub-folders of FILES_PER_FOLDER each."""
    ctx = PlainContext("growth")
    with client_of(cluster) as filesystem, ThreadPoolExecutor(THREADS) as pool:

        def make_folder(number: int) -> None:
            filesystem.mkdir(ctx, b"%s/folder%d" % (folder, number), 0o755)

        def make_file(number: int) -> None:
            below = b"%s/folder%d" % (folder, number // FILES_PER_FOLDER) if spread else folder
            filesystem.mknod(ctx, b"%s/filled%d" % (below, number), stat.S_IFREG | 0o644, 0)

        if spread:
            list(pool.map(make_folder, range(-(-files // FILES_PER_FOLDER))))
        list(pool.map(make_file, range(files), chunksize=1))


def make_strips(cluster: Cluster, index: int, strips: int) -> None:
    """Store a block in each of so many strips of a data server: of inodes that the meta-server does not know."""
    ctx, client = PlainContext("growth"), DataServersClient(clock=SystemClock())
    client.set_addresses({ServerIndex(index): f"127.0.0.1:{cluster.data_ports[index]}"}, "")
    data = b"d" * cluster.block_size

    def store(number: int) -> None:
        ino, block = Ino(STRIP_INO + number), BlockNo(0)
        generation = generation_of(STRIP_TICKET, 1)
        sums = pack_checksums([checksum(ino, block, generation, data)])
        segments = tuple(Segment(role, block, 1, len(data)) for role in Role)
        client.call(ctx, ServerIndex(index), Put(ino, STRIP_TICKET, generation, segments, sums * 2, data * 2))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store, range(strips // 2)))
    client.close()
