"""Which server gets which blocks of a request: pure arithmetic, the same for reading and writing.

A range of blocks b0 .. b1 falls on each server as one run per role, because the blocks of a server in a role differ by N.
"""

from __future__ import annotations

from collections.abc import Sequence

from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.messages.blocks import Run, Segment
from dfs.core.placement import Layout, Role
from dfs.core.records import Buffer


def run_on(layout: Layout, server: ServerIndex, role: Role, first: BlockNo, last: BlockNo) -> Run | None:
    """Return the run of blocks first .. last (inclusive) that `server` holds in `role`, or None."""
    start = first + (layout.first_block_on(server, role) - first) % layout.servers
    if start > last:
        return None
    return Run(role, BlockNo(start), (last - start) // layout.servers + 1)


def plan_range(layout: Layout, first: BlockNo, last: BlockNo) -> dict[ServerIndex, tuple[Run, ...]]:
    """Return, for each server that holds any of the blocks first .. last, its runs: primary before secondary."""
    plan: dict[ServerIndex, tuple[Run, ...]] = {}
    for index in range(layout.servers):
        server = ServerIndex(index)
        runs = tuple(run for role in Role if (run := run_on(layout, server, role, first, last)) is not None)
        if runs:
            plan[server] = runs
    return plan


def blocks_of(run: Run | Segment, servers: int) -> range:
    """Return the block numbers of a run."""
    return range(run.first, run.first + run.blocks * servers, servers)


def segment_of(run: Run, servers: int, last: BlockNo, last_length: int, block_size: int) -> Segment:
    """Return the run as a segment to store, where block `last` of the file range has last_length bytes."""
    ends_range = run.first + (run.blocks - 1) * servers == last
    return Segment(run.role, run.first, run.blocks, last_length if ends_range else block_size)


def slices_of(run: Run, servers: int, first: BlockNo, block_size: int, data: memoryview) -> Sequence[Buffer]:
    """Return the run's blocks out of `data`, which begins with block `first`; the last block of data may be short."""
    step = servers * block_size
    start = (run.first - first) * block_size
    return [data[at : at + block_size] for at in range(start, start + run.blocks * step, step)]
