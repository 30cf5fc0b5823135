"""What the meta-server can be measured by, as samples: its state, sessions, inodes, the database's times and space.

Called by the service for whoever shows metrics. Reads memory, two counters of the database, and the space of its disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dfs.core.messages.cluster import MetaStatus, Space
from dfs.core.meters import CallCounts
from dfs.core.metrics import (
    META_DATABASE_SECONDS,
    META_DISK_FREE,
    META_DISK_SIZE,
    META_INODES,
    META_RECLAIMING,
    META_SESSIONS,
    META_SILENCE,
    META_STATE,
    Sample,
)

STATES: Final = ("ok", "waiting to format", "waiting for sessions", "read-only", "disk full", "rolled back")
"""How MetaStatus.state begins."""


def status_samples(status: MetaStatus) -> Iterator[Sample]:
    """Yield what tools are told, too."""
    for state in STATES:
        yield Sample(META_STATE, (state,), status.state.startswith(state))
    yield Sample(META_SESSIONS, (), len(status.mounts))
    yield Sample(META_SILENCE, (), max((mount.age_s for mount in status.mounts), default=0.0))
    yield Sample(META_INODES, (), status.inodes)
    yield Sample(META_RECLAIMING, (), status.reclaiming)


def database_samples(times: Iterable[CallCounts]) -> Iterator[Sample]:
    """Yield how long the database took."""
    for counts in times:
        yield Sample(META_DATABASE_SECONDS, counts.key, counts.duration)


def space_samples(space: Space) -> Iterator[Sample]:
    """Yield the size of the disk under the state folder and what is free there."""
    yield Sample(META_DISK_SIZE, (), space.total_bytes)
    yield Sample(META_DISK_FREE, (), space.free_bytes)
