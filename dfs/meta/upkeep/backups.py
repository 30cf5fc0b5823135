"""Backups on demand: a gzipped copy of the whole database, handed out in parts (`dfsctl meta backup`).

One at a time is kept, in memory, for KEEP_S after it was last asked for. Promises: all parts belong to one consistent state;
changes go on meanwhile. Called by the service for administrators; a worker lets go of what nobody fetches.

Lock order: the keyed lock "backup" spans the copying; the mutex is innermost.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dfs.core.errors import BadRequest, NotPermitted
from dfs.core.interfaces import CallContext, Clock, Tasks
from dfs.core.limits import SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.inspection import FetchBackup, TakeBackup
from dfs.core.messages.snapshots import Snapshot, SnapshotPart
from dfs.meta.state.store import Store

KEEP_S: Final = 60.0
_LEVEL: Final = 1
"""As for snapshots (dfs/meta/upkeep/snapshots.py)."""
_GZIP: Final = 16 + zlib.MAX_WBITS
"""zlib's word for its own format inside gzip's: any gunzip makes the database of it."""
_LOCK: Final = "backup"


@dataclass(frozen=True, slots=True)
class _Kept:
    name: Snapshot
    packed: bytes


class Backups:
    """The backup that is being fetched."""

    def __init__(self, store: Store, tasks: Tasks, clock: Clock, on_taken: Callable[[], None]) -> None:
        """`on_taken` is called when there is a new one."""
        self._store = store
        self._clock = clock
        self._on_taken = on_taken
        self._lock = tasks.keyed_lock()
        self._mutex = tasks.mutex()
        self._kept: _Kept | None = None
        self._asked_s = 0.0

    def take(self, ctx: CallContext, request: TakeBackup) -> Snapshot:
        """Make a backup and name it. Raises: NotPermitted; ReadOnly if the database can't be read."""
        _require_root(ctx)
        with self._lock.hold(_LOCK):
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            packed = packer.compress(self._store.copy()) + packer.flush()
            kept = _Kept(Snapshot(self._clock.wall_ns(), len(packed), zlib.crc32(packed)), packed)
        with self._mutex:
            self._kept, self._asked_s = kept, self._clock.monotonic_s()
        self._on_taken()
        return kept.name

    def fetch(self, ctx: CallContext, request: FetchBackup) -> SnapshotPart:
        """Return some bytes. Raises: NotPermitted; BadRequest if another backup was taken, or nobody asked for too long."""
        _require_root(ctx)
        if request.offset < 0 or not 1 <= request.limit <= SNAPSHOT_PART_BYTES_MAX:
            raise BadRequest(f"{request.limit} bytes at {request.offset}: expected 1 to {SNAPSHOT_PART_BYTES_MAX}, from 0 on")
        with self._mutex:
            kept, self._asked_s = self._kept, self._clock.monotonic_s()
        if kept is None or kept.name != request.backup:
            raise BadRequest("a backup that is not kept any more: take another one")
        return SnapshotPart(kept.packed[request.offset : request.offset + request.limit])

    def step(self, ctx: CallContext) -> bool:
        """Let go of a backup that nobody asks for; tell whether none is kept."""
        with self._mutex:
            if self._clock.monotonic_s() - self._asked_s > KEEP_S:
                self._kept = None
            return self._kept is None


def _require_root(ctx: CallContext) -> None:
    if ctx.caller.uid != 0:
        raise NotPermitted(b"/")
