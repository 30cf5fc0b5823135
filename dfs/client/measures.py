"""What a mount's client can be measured by, as samples: writes that wait, servers that do not answer, lease and grants.

Called by the client service for whoever shows metrics. Reads memory only.
"""

from __future__ import annotations

from collections.abc import Iterator

from dfs.client.blocks.server_health import ServerHealth
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.meta_retry import PatientMeta
from dfs.core.meters import Waits
from dfs.core.metrics import (
    BUFFERED_BYTES,
    GRANTS,
    LEASE_VALID,
    META_DOWN_SECONDS,
    SERVERS_DOWN,
    WRITE_WAIT_SECONDS,
    WRITE_WAITS,
    WRITES_WAITING,
    Sample,
)


def client_samples(
    waits: Waits, health: ServerHealth, meta: PatientMeta, lease: Lease, grants: int, buffered_bytes: int, now_s: float
) -> Iterator[Sample]:
    """Yield them; `now_s`: of the clock by which the waits were noted."""
    began_s = waits.under_way()
    yield Sample(WRITES_WAITING, (), len(began_s))
    yield Sample(WRITE_WAIT_SECONDS, (), now_s - min(began_s) if began_s else 0.0)
    yield Sample(WRITE_WAITS, (), waits.count)
    yield Sample(SERVERS_DOWN, (), health.down)
    yield Sample(META_DOWN_SECONDS, (), meta.silent_s())
    yield Sample(LEASE_VALID, (), lease.is_valid())
    yield Sample(GRANTS, (), grants)
    yield Sample(BUFFERED_BYTES, (), buffered_bytes)
