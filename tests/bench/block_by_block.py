"""Writing as the original design did: one call per copy of a block, one after the other. A client of the bench, no path in dfs.

It writes into a file that was made through the mount, so that the cluster looks like any other afterwards.
"""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

from dfs.core.contexts import PlainContext
from dfs.core.ids import BlockNo, Ino, ServerIndex, Ticket, generation_of
from dfs.core.messages.blocks import Put, Segment
from dfs.core.placement import Layout, Role
from dfs.core.records import checksum, pack_checksums
from dfs.host.clock import SystemClock
from dfs.rpc.client import DataServersClient
from tests.bench.file_loads import Rate
from tests.bench.sizes import MIB, Sizes
from tests.harness.cluster import Cluster


def write_block_by_block(cluster: Cluster, folder: Path, sizes: Sizes) -> Rate:
    """Store blocks with one call for each copy."""
    path = folder / "by-block"
    path.touch()
    ino = Ino(path.stat().st_ino)
    ticket = Ticket(ino)  # of the same series as tickets and spent already: no grant of this file bears it
    layout = Layout(zlib.crc32(bytes(path)) % cluster.n, cluster.n, cluster.block_size)
    generation = generation_of(ticket, 1)
    client, ctx = DataServersClient(clock=SystemClock()), PlainContext()
    client.set_addresses({ServerIndex(index): f"127.0.0.1:{port}" for index, port in enumerate(cluster.data_ports)}, "")
    data = os.urandom(cluster.block_size)
    start_s = time.perf_counter()
    for number in map(BlockNo, range(sizes.blocks)):
        sums = pack_checksums([checksum(ino, number, generation, data)])
        for role in Role:
            put = Put(ino, ticket, generation, (Segment(role, number, 1, len(data)),), sums, data)
            client.call(ctx, layout.server_of(number, role), put)
    seconds = time.perf_counter() - start_s
    client.close()
    path.unlink()
    return Rate("write, one call per block", "MiB/s", sizes.blocks * cluster.block_size / MIB, seconds)
