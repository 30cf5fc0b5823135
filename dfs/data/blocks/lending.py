"""Pull, ListFloors and AskMoment: handing a neighbour that lost its disk, or power, what this server holds of the same blocks (R7).

Promises: every record that leaves was verified in this call (I2); what can't be verified is named as bad, so that the neighbour
never takes it for absent (I4); records come in rising order of inode and record, so a place in between is all that the neighbour
has to remember. Called by the service. Never changes anything but the quarantine.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import Final, NamedTuple

from dfs.core.errors import BadRequest, NotTrusted
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext
from dfs.core.limits import BATCH_INODES_MAX, FILE_BYTES_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.messages.blocks import CopyState
from dfs.core.messages.rebuild import FloorList, ListFloors, Moment, Pull, Pulled, PulledStrip
from dfs.core.placement import Role
from dfs.core.records import HEADER
from dfs.data.blocks.checks import check_ino, check_number
from dfs.data.blocks.store import Store
from dfs.data.disk.floors import ENTRY as FLOOR
from dfs.data.disk.overlay import Pending
from dfs.data.disk.record_spans import record_spans, runs_of
from dfs.data.disk.strip import Strip

STRIPS_MAX: Final = 1024
"""Strips looked at for one Pull."""
CHUNK_BYTES: Final = 128 << 10
"""Records read at once."""


class _Part(NamedTuple):
    """What a Pull takes of one strip."""

    strip: PulledStrip | None
    """None: nothing of it in this role."""
    next_index: int
    """Where to go on in this strip; -1: it is finished."""
    end: int
    """Records of the strip."""


class _Records:
    """What is collected of one strip."""

    __slots__ = ("bad", "data", "data_bytes", "headers", "indexes")

    def __init__(self) -> None:
        self.indexes: list[int] = []
        self.headers: list[bytes] = []
        self.data: list[bytes] = []
        self.data_bytes = 0
        self.bad: list[int] = []

    def add(self, index: int, generation: int, summed: int, block: bytes) -> None:
        self.indexes.append(index)
        self.headers.append(HEADER.pack(len(block), summed, generation))
        self.data.append(block)
        self.data_bytes += len(block)


class Lending:
    """Answers Pull and ListFloors."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pull(self, ctx: CallContext, request: Pull) -> Pulled:
        """Return the next records of a role. Raises: BadRequest, DiskError leaves."""
        store = self._store
        check_ino(request.ino)
        if not 0 <= request.index <= FILE_BYTES_MAX or not 1 <= request.data_bytes <= REQUEST_DATA_BYTES_MAX:
            raise BadRequest(f"record {request.index}, {request.data_bytes} bytes of data")
        if request.since and not store.changes.is_sure(request.role):
            raise NotTrusted(f"data server {store.server} still looks at what it stored before its machine stopped")
        changed = store.changes.since(request.role, request.since) if request.since else None
        block = store.identification.current  # before anything is read: a role that was not complete then does not count as one
        inos = self._inos_from(request.ino, STRIPS_MAX + 1, changed)
        more = len(inos) > STRIPS_MAX
        strips: list[PulledStrip] = []
        left = request.data_bytes
        next_ino, next_index, next_end = request.ino, request.index, 0
        for ino in inos[:STRIPS_MAX]:
            if left <= 0:
                more = True
                break
            part = self._part(ctx, ino, request.role, request.index if ino == request.ino else 0, left)
            if part.strip is not None:
                strips.append(part.strip)
                left -= len(part.strip.data) + len(part.strip.headers)
            if part.next_index >= 0:
                next_ino, next_index, next_end, more = ino, part.next_index, part.end, True
                break
            next_ino, next_index = Ino(ino + 1), 0
        state = block.state_of(request.role)
        highest = max(store.strips.highest, next_ino - 1)
        return Pulled(block.disk, state, tuple(strips), next_ino, next_index, next_end, Ino(highest), more)

    def moment(self) -> Moment:
        """Return the present, by which this server can be asked later what has changed. Raises: DiskError leaves."""
        store = self._store
        return Moment(store.identification.current.disk, store.changes.tick())

    def list_floors(self, ctx: CallContext, request: ListFloors) -> FloorList:
        """Return the next floors. Raises: BadRequest, DiskError leaves."""
        check_number("inode", request.after)
        if not 1 <= request.limit <= BATCH_INODES_MAX:
            raise BadRequest(f"a limit of {request.limit} floors")
        found = self._store.floors.above(request.after, request.limit + 1)
        taken = found[: request.limit]
        disk = self._store.identification.current.disk
        packed = b"".join([FLOOR.pack(*floor) for floor in taken])
        return FloorList(disk, packed, taken[-1][0] if taken else request.after, len(found) > request.limit)

    def _inos_from(self, ino: Ino, limit: int, changed: list[Ino] | None) -> list[Ino]:
        """Return the inodes from `ino` on of which there is a strip in any role, rising; only `changed` ones if these are known."""
        if changed is not None:
            start = bisect_left(changed, ino)
            return changed[start : start + limit]
        return self._store.inos_above(Ino(ino - 1), limit)

    def _part(self, ctx: CallContext, ino: Ino, role: Role, start: int, data_bytes: int) -> _Part:
        """Return records of one strip from `start` on, until there are `data_bytes` of them."""
        store, found = self._store, _Records()
        with store.hold(ino):
            layers = store.overlay.find(ino, role)
            with store.strip(ino, role, partly=True) as strip:
                if strip is not None and strip.unreadable is not None:
                    store.bad_records.tell_unreadable_strip(ino, role, strip.unreadable)
                if strip is None and not layers:
                    return _Part(None, -1, 0)
                residue = layers[0].residue if layers else strip.residue if strip is not None else 0
                spans = record_spans(strip, layers)
                end = max((top for _, top in spans), default=0)
                next_index = -1
                for first, count in runs_of(spans, start, max(1, min(CHUNK_BYTES, data_bytes) // store.geometry.record_bytes)):
                    if found.data_bytes >= data_bytes:
                        next_index = first
                        break
                    self._collect(ctx, ino, role, strip, layers, first, count, found)
                is_known = strip is None or not strip.has_unplaced
        if not found.indexes and not found.bad and is_known:
            return _Part(None, next_index, end)
        packed = PulledStrip(
            ino, max(residue, 0), _pack(found.indexes), b"".join(found.headers), b"".join(found.data), _pack(found.bad), is_known
        )
        return _Part(packed, next_index, end)

    def _collect(
        self,
        ctx: CallContext,
        ino: Ino,
        role: Role,
        strip: Strip | None,
        layers: tuple[Pending, ...],
        first: int,
        count: int,
        found: _Records,
    ) -> None:
        store = self._store
        records = store.verified(strip, layers, first, count)
        if records is not None:
            for index, (generation, summed, block) in enumerate(records, first):
                found.add(index, generation, summed, block)
            return
        for index, look in enumerate(store.look(strip, layers, first, count), first):
            if look.record is not None:
                found.add(index, *look.record)
            elif look.state is not CopyState.ABSENT:
                found.bad.append(index)
                if look.state is CopyState.CORRUPT and strip is not None:
                    store.bad_records.tell_corrupt(ino, role, strip.block_no(index), look.raw, ctx)


def _pack(numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)
