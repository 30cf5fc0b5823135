"""Storing what a neighbour handed over: records whose generation is higher than what stands here, and floors (I5).

Promises: a record is stored only after it verified, and only to raise a generation, so nothing newer that was put meanwhile is
undone, or to shorten one of the same generation, for then a cut was executed there that is yet to come here, or left no trace
here; what the neighbour can't vouch for is unknown here, never absent; a bad record is in quarantine before it is written over.
Called by a role's rebuild. Never syncs, and never decides whether a role is complete.
"""

from __future__ import annotations

import struct
from itertools import groupby

from dfs.core.crc32 import crc32
from dfs.core.errors import BadRequest
from dfs.core.ids import GENERATION_MAX, BlockNo, Generation, Ino, Ticket
from dfs.core.interfaces import CallContext
from dfs.core.messages.blocks import CopyState
from dfs.core.messages.rebuild import PulledStrip
from dfs.core.placement import Role
from dfs.core.records import HEADER, IDENTITY, Record, pack_record
from dfs.data.blocks.checks import check_ino, check_number
from dfs.data.blocks.store import Look, Store
from dfs.data.disk.floors import ENTRY as FLOOR
from dfs.data.disk.geometry import Geometry
from dfs.data.disk.journal_entries import Entry, Kind


class Absorbing:
    """Stores what was pulled."""

    def __init__(self, store: Store, direct_bytes_min: int) -> None:
        self._store = store
        self._direct_bytes_min = direct_bytes_min

    def absorb_floors(self, packed: bytes) -> None:
        """Raise the floors that are lower here. Raises: BadRequest: they make no sense; DiskError leaves."""
        if len(packed) % FLOOR.size:
            raise BadRequest(f"{len(packed)} bytes of floors")
        for number, ticket in FLOOR.iter_unpack(packed):
            ino = Ino(number)
            check_ino(ino)
            check_number("floor", ticket)
            with self._store.hold(ino):
                if self._store.floors.get(ino) < ticket:
                    self._store.write_journal([Entry(Kind.FLOOR, ino, Ticket(ticket))])

    def absorb(self, ctx: CallContext, role: Role, pulled: PulledStrip) -> list[BlockNo]:
        """Store a strip's records; return the blocks of which there is no good copy, neither there nor here.

        Raises: BadRequest: the records do not verify, so nothing of them is stored; DiskError leaves; Interrupted.
        """
        store, ino = self._store, pulled.ino
        records, bad = parse_strip(pulled, store.geometry)
        store.journal.admit(ctx)
        with store.hold(ino):
            layers = store.overlay.find(ino, role)
            with store.strip(ino, role) as strip:
                store.require_residue(strip, layers, pulled.residue)
                looks: dict[int, Look] = {}
                for first, count in _runs(sorted([*records, *bad])):
                    looks.update(enumerate(store.look(strip, layers, first, count), first))
            for index, look in looks.items():
                if index in records and look.raw:
                    store.bad_records.set_aside(ino, role, store.geometry.block_no(index, pulled.residue), look.raw)
            self._store_records(ino, role, pulled.residue, {i: r for i, r in records.items() if _is_older(looks[i], r)}, looks)
            missing = [index for index in bad if looks[index].record is None]
            unknown = [index for index in missing if looks[index].state is CopyState.ABSENT]
            if unknown or not pulled.is_known:
                self._mark_unknown(ino, role, pulled, unknown)
        return [store.geometry.block_no(index, pulled.residue) for index in missing]

    def _store_records(self, ino: Ino, role: Role, residue: int, records: dict[int, Record], looks: dict[int, Look]) -> None:
        """Store records; new ones go in place if they are many, all others to the journal. Under hold(ino)."""
        store, block_size = self._store, self._store.geometry.block_size
        new = {index for index in records if looks[index].state is CopyState.ABSENT}
        if len(new) * block_size < self._direct_bytes_min or store.overlay.was_dropped(ino):
            new = set()
        journalled = {index: record for index, record in records.items() if index not in new}
        entries = [Entry(Kind.RECORDS, ino, role=role, residue=residue, records=journalled)] if journalled else []
        if not new:
            store.write_journal(entries)
            return
        if not store.overlay.is_noted_changed(ino, role):
            entries.append(Entry(Kind.CHANGED, ino, role=role))
        strip = store.strips.use_or_create(ino, role, residue)
        try:
            runs = _runs(sorted(new))
            for first, count in runs:
                packed = b"".join([pack_record(records[index], block_size) for index in range(first, first + count)])
                strip.write_records(first, [packed])
            store.write_journal(entries)
            store.strips.note_change(strip)
            store.changes.note(ino, role)
            for first, count in runs:
                strip.publish(first, count)
        finally:
            store.strips.release(strip)

    def _mark_unknown(self, ino: Ino, role: Role, pulled: PulledStrip, indexes: list[int]) -> None:
        """Note durably, with the next sync, that records are not absent; under hold(ino)."""
        store = self._store
        strip = store.strips.use_or_create(ino, role, pulled.residue)
        try:
            if not store.overlay.is_noted_changed(ino, role):
                store.write_journal([Entry(Kind.CHANGED, ino, role=role)])
            store.strips.note_change(strip)
            for index in indexes:
                strip.mark_unknown(index)
            if not pulled.is_known:
                strip.lose_place()
        finally:
            store.strips.release(strip)


def parse_strip(pulled: PulledStrip, geometry: Geometry) -> tuple[dict[int, Record], list[int]]:
    """Return the records of a pulled strip by index, and the bad ones' indexes. Raises: BadRequest unless all verify."""
    check_ino(pulled.ino)
    if not 0 <= pulled.residue < geometry.servers:
        raise BadRequest(f"residue {pulled.residue} of inode {pulled.ino}")
    if len(pulled.indexes) % 8 or len(pulled.bad) % 8 or len(pulled.headers) != len(pulled.indexes) // 8 * HEADER.size:
        raise BadRequest(f"records of inode {pulled.ino} that can't be taken apart")
    identity, block_size = IDENTITY.pack, geometry.block_size
    records: dict[int, Record] = {}
    at = 0
    for (index,), (length, summed, generation) in zip(
        struct.iter_unpack("<Q", pulled.indexes), HEADER.iter_unpack(pulled.headers), strict=True
    ):
        data = pulled.data[at : at + length]
        at += length
        block_no = geometry.block_no(index, pulled.residue)
        if index > geometry.index_max or generation > GENERATION_MAX:
            raise BadRequest(f"block {block_no} of inode {pulled.ino} at generation {generation} can't be")
        if not 1 <= length <= block_size or crc32(data, crc32(identity(pulled.ino, block_no, generation, length))) != summed:
            raise BadRequest(f"block {block_no} of inode {pulled.ino} does not verify")
        records[index] = Record(Generation(generation), summed, data)
    if at != len(pulled.data):
        raise BadRequest(f"{len(pulled.data)} bytes of data for records of {at}")
    bad = [index for (index,) in struct.iter_unpack("<Q", pulled.bad)]
    if max(bad, default=0) > geometry.index_max:
        raise BadRequest(f"a bad record {max(bad)} of inode {pulled.ino} can't be")
    return records, bad


def _is_older(look: Look, record: Record) -> bool:
    """Tell whether what stands here must give way."""
    own = look.record
    return own is None or (own.generation, -len(own.data)) < (record.generation, -len(record.data))


def _runs(indexes: list[int]) -> list[tuple[int, int]]:
    """Return rising numbers as runs of neighbours: (first, count)."""
    runs = []
    for _, group in groupby(enumerate(indexes), lambda pair: pair[1] - pair[0]):
        members = [index for _, index in group]
        runs.append((members[0], len(members)))
    return runs
