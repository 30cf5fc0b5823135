"""Snapshots: a compressed copy of the whole store goes to two data servers every hour and at each clean stop.

So that a meta-server whose disk is lost can be brought back (`dfsctl meta restore --from-servers`) with what it knew an hour ago
at most. Nothing is sent while nothing has changed. Promises: what is sent is one consistent state; the two servers are not
neighbours where there are enough of them. Called by a worker and by stop(). The reasons are in decision record 10.
"""

from __future__ import annotations

import logging
import zlib
from typing import Final

from dfs.core.contexts import GuardedContext, PlainContext
from dfs.core.errors import DfsError, EndReason
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers
from dfs.core.limits import SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.snapshots import Snapshot, StoreSnapshot
from dfs.meta.state.cluster import Cluster, Phase
from dfs.meta.state.store import Store

log = logging.getLogger(__name__)

SNAPSHOT_INTERVAL_S: Final = 3600.0
COPIES: Final = 2
STOP_S_MAX: Final = 5.0
"""How long a clean stop may take for its snapshot."""
_LEVEL: Final = 1
"""zlib's: tables of names shrink to a fifth already, and higher levels take five times as long."""


class SnapshotSender:
    """Sends snapshots."""

    def __init__(self, store: Store, cluster: Cluster, servers: DataServers, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._servers = servers
        self._clock = clock
        self._sent_changes = -1
        """Changes of the store when the newest snapshot was taken that all copies of were stored."""
        self._taken_ns = 0

    def step(self, ctx: CallContext) -> bool:
        """Send a snapshot if anything changed; tell whether COPIES servers have the newest state. Raises: DfsError leaves."""
        record = self._cluster.record
        changes = self._store.counts.changes
        if record is None or record.phase is not Phase.CONFIRMED or changes == self._sent_changes:
            return True
        packed = zlib.compress(self._store.copy(), _LEVEL)
        self._taken_ns = max(self._clock.wall_ns(), self._taken_ns + 1)
        snapshot = Snapshot(self._taken_ns, len(packed), zlib.crc32(packed))
        stored: list[ServerIndex] = []
        for server in self._order():
            if self._send(ctx, server, snapshot, packed):
                stored.append(server)
            if len(stored) == COPIES:
                self._sent_changes = changes
                break
        log.debug("snapshot of %d bytes is on the data servers %s", snapshot.size_bytes, stored)
        return len(stored) == COPIES

    def send_last(self) -> None:
        """Send a snapshot before a clean stop, in bounded time; one that can't be sent is only told."""
        ends_s = self._clock.monotonic_s() + STOP_S_MAX

        def is_over() -> bool:
            return self._clock.monotonic_s() > ends_s

        try:
            is_sent = self.step(GuardedContext(PlainContext("meta-stop"), is_over, EndReason.DEADLINE))
        except DfsError as error:
            log.info("no snapshot at this stop: %s", error)
        else:
            if not is_sent:
                log.info("the snapshot of this stop is on fewer than %d data servers", COPIES)

    def _order(self) -> list[ServerIndex]:
        """Return the servers in the order in which they are asked: the first two are as far apart as they can be."""
        indexes = self._cluster.indexes()
        far = len(indexes) // 2
        return [indexes[0], indexes[far], *(index for index in indexes if index not in (indexes[0], indexes[far]))]

    def _send(self, ctx: CallContext, server: ServerIndex, snapshot: Snapshot, packed: bytes) -> bool:
        for offset in range(0, len(packed), SNAPSHOT_PART_BYTES_MAX):
            part = packed[offset : offset + SNAPSHOT_PART_BYTES_MAX]
            answer = self._servers.call_all(ctx, {server: StoreSnapshot(snapshot, offset, part)})[server]
            if isinstance(answer, DfsError):
                log.debug("data server %d does not take the snapshot: %s", server, answer)
                return False
        return True
