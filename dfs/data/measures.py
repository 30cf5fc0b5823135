"""What a data server can be measured by, as samples: roles, blocks by state, rebuild, scrub, journal and space.

Called by the service for whoever shows metrics. Reads memory and asks the disk for its space; scans nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from dfs.core.messages.cluster import RoleState
from dfs.core.messages.scrub import ScrubStatus
from dfs.core.metrics import (
    DATA_BLOCKS,
    DATA_COPIES_REPLACED,
    DATA_JOURNAL_BYTES,
    DATA_ROLE,
    REBUILD_BYTES,
    REBUILD_RATIO,
    SCRUB_BLOCKS,
    SCRUB_LAST_PASS,
    SCRUB_RATIO,
    SCRUB_RUNNING,
    Sample,
)
from dfs.core.placement import Role
from dfs.data.blocks.opening import BlockStore
from dfs.data.disk.superblock import Superblock
from dfs.data.rebuild.rebuilding import Rebuilding

NS_PER_S = 10**9


def role_samples(block: Superblock, rebuilding: Rebuilding) -> Iterator[Sample]:
    """Yield the state of each role, and how far its copying is."""
    for role in Role:
        name, state = role.name.lower(), block.state_of(role)
        for each in RoleState:
            yield Sample(DATA_ROLE, (name, each.value), each is state)
        copied = rebuilding.copied(role)
        yield Sample(REBUILD_RATIO, (name,), 1.0 if state is RoleState.COMPLETE else copied.ratio)
        yield Sample(REBUILD_BYTES, (name,), copied.data_bytes)


def block_samples(blocks: BlockStore, damaged: int) -> Iterator[Sample]:
    """Yield how many blocks are in a state that does not last, or should not; `damaged`: as the scrub found."""
    store = blocks.store
    yield Sample(DATA_BLOCKS, ("journalled",), store.overlay.records)
    yield Sample(DATA_BLOCKS, ("damaged",), damaged)
    yield Sample(DATA_BLOCKS, ("unreadable",), store.bad_records.unreadable)
    yield Sample(DATA_JOURNAL_BYTES, (), store.journal.size_bytes)
    yield from blocks.repairing.replaced.samples(DATA_COPIES_REPLACED)


def scrub_samples(status: ScrubStatus) -> Iterator[Sample]:
    """Yield how the scrub is doing."""
    counts = status.counts
    yield Sample(SCRUB_RUNNING, (), status.is_running)
    yield Sample(SCRUB_RATIO, (), status.percent / 100)
    yield Sample(SCRUB_LAST_PASS, (), status.last_pass_ns / NS_PER_S)
    yield Sample(SCRUB_BLOCKS, ("looked_at",), counts.blocks)
    yield Sample(SCRUB_BLOCKS, ("repaired",), counts.repaired)
    yield Sample(SCRUB_BLOCKS, ("damaged",), counts.damaged)
    yield Sample(SCRUB_BLOCKS, ("not_compared",), counts.left)
