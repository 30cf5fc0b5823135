"""Filling a cluster through its API, quicker than through a mount: names at the meta-server, strips at a data server.

Each is made by the server's own service on its own state folder, in this process and without a wire, while the server is away.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final
from unittest import mock

from dfs.cli.state_names import STORE_NAME
from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings
from dfs.core.contexts import PlainContext
from dfs.core.ids import BlockNo, Ino, ServerIndex, Ticket, generation_of
from dfs.core.limits import TICKETS_AHEAD_MAX
from dfs.core.messages.blocks import Put, Segment
from dfs.core.placement import Role
from dfs.core.records import checksum, pack_checksums
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.clock import SystemClock
from dfs.host.disk import LocalDisk
from dfs.host.randomness import SystemRandom
from dfs.host.state_folder import boot_id
from dfs.host.tasks import ThreadTasks
from dfs.meta.service import MetaService
from dfs.meta.settings import MetaSettings
from dfs.rpc.client import DataServersClient
from tests.harness.cluster import Cluster
from tests.harness.recorded_events import RecordedEvents

THREADS: Final = 16
"""Concurrent calls share transactions and their syncs."""
FILES_PER_FOLDER: Final = 100
FILES_AT_ONCE: Final = 10_000
"""Handed to the threads: a million at once would take 2 GiB."""
AWAY: Final = "meta-server|data server|no answer|cannot be reached|Connection refused"
"""What programs may say of a server that was away for a moment."""
STRIP_INO: Final = 1 << 39
"""Far above what the meta-server has issued, so that no file of the cluster is harmed."""
STRIP_TICKET: Final = Ticket(TICKETS_AHEAD_MAX)
"""One that a data server believes although nobody was granted it."""


@contextmanager
def filling(cluster: Cluster) -> Iterator[FileSystem]:
    """Put a mount's client service right on the meta-server's service, whose program is stopped meanwhile."""
    assert cluster.meta.stop() == 0, cluster.meta.log_text()
    clock, tasks, random, events = SystemClock(), ThreadTasks(), SystemRandom(), RecordedEvents()
    servers = DataServersClient(clock=clock)
    settings = MetaSettings(block_size=cluster.block_size, data_servers=_addresses(cluster))
    meta = MetaService(settings, str(cluster.folder / "meta" / STORE_NAME), clock, random, tasks, servers, events)
    meta.start()
    filesystem = FileSystem(
        settings=MountSettings(os.uname().nodename, b"/none"),
        meta=meta,
        servers=servers,
        clock=clock,
        random=random,
        tasks=tasks,
        events=events,
    )
    filesystem.start(PlainContext("growth"))
    try:
        yield filesystem
    finally:
        filesystem.stop(PlainContext("growth"))
        meta.stop()
        servers.close()
        cluster.restart(cluster.meta)
        cluster.allow(AWAY)


def make_files(cluster: Cluster, folder: bytes, files: int, *, spread: bool) -> None:
    """Make empty files in a folder that exists; `spread`: in sub-folders of FILES_PER_FOLDER each."""
    ctx = PlainContext("growth")
    with filling(cluster) as filesystem, ThreadPoolExecutor(THREADS) as pool:

        def make_folder(number: int) -> None:
            filesystem.mkdir(ctx, b"%s/folder%d" % (folder, number), 0o755)

        def make_file(number: int) -> None:
            below = b"%s/folder%d" % (folder, number // FILES_PER_FOLDER) if spread else folder
            filesystem.mknod(ctx, b"%s/filled%d" % (below, number), stat.S_IFREG | 0o644, 0)

        if spread:
            list(pool.map(make_folder, range(-(-files // FILES_PER_FOLDER))))
        for first in range(0, files, FILES_AT_ONCE):
            list(pool.map(make_file, range(first, min(files, first + FILES_AT_ONCE))))


def make_strips(cluster: Cluster, index: int, strips: int) -> None:
    """Store a block in each of so many strips of a data server: of inodes that the meta-server does not know."""
    server, ctx, clock = cluster.data(index), PlainContext("growth"), SystemClock()
    assert server.stop() == 0, server.log_text()
    neighbours, tasks = DataServersClient(clock=clock), ThreadTasks()
    settings = DataSettings(index=ServerIndex(index), boot_id=boot_id(), addresses=_addresses(cluster))
    disk = LocalDisk(cluster.state_folder(index))
    service = DataService(
        settings=settings,
        disk=disk,
        neighbours=neighbours,
        clock=clock,
        random=SystemRandom(),
        tasks=tasks,
        events=RecordedEvents(),
    )
    service.start()
    data = b"d" * cluster.block_size
    # No power cut is part of the experiment, and a million files synced one by one would take an hour.
    with mock.patch("os.fdatasync"), mock.patch("os.fsync"):
        for number in range(strips // 2):
            ino, block = Ino(STRIP_INO + number), BlockNo(0)
            generation = generation_of(STRIP_TICKET, 1)
            sums = pack_checksums([checksum(ino, block, generation, data)])
            segments = tuple(Segment(role, block, 1, len(data)) for role in Role)
            service.call(ctx, Put(ino, STRIP_TICKET, generation, segments, sums * 2, data * 2))
        service.stop()
    neighbours.close()
    cluster.restart(server)
    cluster.allow(AWAY)


def _addresses(cluster: Cluster) -> tuple[str, ...]:
    return tuple(f"{host}:{port}" for host, port in zip(cluster.data_hosts, cluster.data_ports, strict=True))
