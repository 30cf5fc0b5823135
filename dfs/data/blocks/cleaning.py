"""Clean: durable cuts are executed, so that meta can forget them (design section 7: cleaning).

First the floor is raised: from then on nothing of an older ticket can be stored, so what a cut voids only gets less. Then pending
records are voided or shortened; those that stay are not touched, for they may be synced already and nothing written now is. Then
each group is cleaned in place, the inode's lock given back between groups. A crash in between leaves void blocks, which readers
cut off still, because meta keeps the cuts until every server has answered.

Promises: what is answered survives a power cut; blocks of a generation at or past a cut's ticket stay; a bad record in the void
range is unknown afterwards, and in quarantine if it can be read. Called by the service.
Cost: the records at or past the lowest cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dfs.core.cuts import Cut, newest_ticket, valid_length
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext
from dfs.core.messages.blocks import Clean
from dfs.core.placement import Role
from dfs.core.records import Record, checksum
from dfs.data.blocks.checks import check_cuts, check_ino
from dfs.data.blocks.fencing import raise_floor
from dfs.data.blocks.store import Store
from dfs.data.blocks.syncing import Syncing
from dfs.data.disk.geometry import RECORDS_PER_GROUP
from dfs.data.disk.journal_entries import Entry, Kind
from dfs.data.disk.overlay import Pending
from dfs.data.disk.strip import Strip
from dfs.data.disk.strips import SHARD_BITS

CHUNK_BYTES: Final = 1 << 20
"""Records read at once."""
ENTRY_RECORDS_MAX: Final = 4096
"""Records of one entry of the journal."""


class Cleaning:
    """Carries out Clean."""

    def __init__(self, store: Store, syncing: Syncing) -> None:
        self._store = store
        self._syncing = syncing

    def clean(self, ctx: CallContext, request: Clean) -> None:
        """Execute the cuts. Raises: BadRequest, NotTrusted, DiskError leaves."""
        store, ino, cuts = self._store, request.ino, request.cuts
        check_ino(ino)
        check_cuts(cuts)
        if not cuts:
            return
        store.require_issued(newest_ticket(cuts))
        store.journal.admit(ctx)
        with store.hold(ino):
            store.comparisons.disturb(ino)
            raise_floor(store, ctx, ino, newest_ticket(cuts))
            self._clean_pending(ino, cuts)
        for role in Role:
            for number in self._groups(ino, role, cuts):
                with store.hold(ino):
                    self._clean_group(ino, role, number, cuts)
            with store.hold(ino):
                self._give_up_lost_groups(ino, role)
                self._trim(ino, role)
        self._syncing.sync(ino)
        store.strips.sync_folder(ino >> SHARD_BITS)

    def _clean_pending(self, ino: Ino, cuts: tuple[Cut, ...]) -> None:
        store = self._store
        entries: list[Entry] = []
        for role in Role:
            pending = store.overlay.merged(ino, role)
            if pending is not None:
                entries += self._changes(ino, role, pending, cuts)
        store.write_journal(entries)

    def _changes(self, ino: Ino, role: Role, pending: Pending, cuts: tuple[Cut, ...]) -> list[Entry]:
        """Return the entries that make of a strip's pending records what the cuts leave of them."""
        voided: list[int] = []
        shortened: dict[int, Record] = {}
        for index, record in pending.records.items():
            kept = self._apply(ino, index, pending.residue, record, cuts)
            if kept is None:
                voided.append(index)
            elif kept is not record:
                shortened[index] = kept
        entries = [
            Entry(Kind.VOIDED, ino, role=role, residue=pending.residue, voided=voided[at : at + ENTRY_RECORDS_MAX])
            for at in range(0, len(voided), ENTRY_RECORDS_MAX)
        ]
        if shortened:  # one at most of each cut
            entries.append(Entry(Kind.RECORDS, ino, role=role, residue=pending.residue, records=shortened))
        return entries

    def _groups(self, ino: Ino, role: Role, cuts: tuple[Cut, ...]) -> list[int]:
        """Return the groups in which a cut may void something."""
        store = self._store
        first = _first_index(cuts, store.geometry.block_size, store.geometry.servers) // RECORDS_PER_GROUP
        with store.hold(ino), store.strip(ino, role) as strip:
            return [] if strip is None else sorted(number for number in strip.groups if number >= first)

    def _clean_group(self, ino: Ino, role: Role, number: int, cuts: tuple[Cut, ...]) -> None:
        """Clear the void records of a group, and store the shortened one through the journal; under hold(ino)."""
        store = self._store
        with store.strip(ino, role) as strip:
            group = None if strip is None else strip.groups.get(number)
            if strip is None or group is None:
                return
            void, bad, shortened = self._judge(strip, number, cuts)
            pending = store.overlay.merged(ino, role)
            newer = pending.records if pending is not None else {}
            records = {index: record for index, record in shortened.items() if index not in newer}
            if records:
                store.write_journal([Entry(Kind.RECORDS, ino, role=role, residue=strip.residue, records=records)])
            if void | bad:
                store.strips.note_change(strip)
                strip.write_map(group, group.present & ~void & ~bad, group.synced & ~void | bad)

    def _judge(self, strip: Strip, number: int, cuts: tuple[Cut, ...]) -> tuple[int, int, dict[int, Record]]:
        """Return which records of a group are void, which don't verify (two bitmaps), and the shortened ones."""
        store, geometry = self._store, self._store.geometry
        group = strip.groups[number]
        base = number * RECORDS_PER_GROUP
        lowest = max(0, _first_index(cuts, geometry.block_size, geometry.servers) - base)
        end = group.present.bit_length()
        step = max(1, CHUNK_BYTES // geometry.record_bytes)
        void = bad = 0
        shortened: dict[int, Record] = {}
        for start in range(lowest, end, step):
            looks = store.look(strip, (), base + start, min(step, end - start))
            for at, look in enumerate(looks, start):
                if look.record is not None:
                    kept = self._apply(strip.ino, base + at, strip.residue, look.record, cuts)
                    if kept is None:
                        void |= 1 << at
                    elif kept is not look.record:
                        shortened[base + at] = kept
                elif group.present >> at & 1:  # CORRUPT, or UNKNOWN because the disk can't read it now: later it may, and be void
                    store.bad_records.set_aside(strip.ino, strip.role, strip.block_no(base + at), look.raw)
                    bad |= 1 << at
        return void, bad, shortened

    def _apply(self, ino: Ino, index: int, residue: int, record: Record, cuts: tuple[Cut, ...]) -> Record | None:
        """Return what the cuts leave of a record: itself, a shorter one of the same generation, or None."""
        geometry = self._store.geometry
        block_no = geometry.block_no(index, residue)
        length = valid_length(cuts, block_no, geometry.block_size, record.generation, len(record.data))
        if length == len(record.data):
            return record
        if not length:
            return None
        data = record.data[:length]
        return Record(record.generation, checksum(ino, block_no, record.generation, data), data)

    def _give_up_lost_groups(self, ino: Ino, role: Role) -> None:
        """See to it that groups whose map page could not be read stay lost, for what is void in them was not cleaned."""
        store = self._store
        with store.strip(ino, role) as strip:
            if strip is not None and strip.has_unplaced:
                store.strips.note_change(strip)
                strip.give_up_lost()

    def _trim(self, ino: Ino, role: Role) -> None:
        """Cut empty groups off the strip, and remove it when nothing is left; under hold(ino)."""
        store = self._store
        with store.strip(ino, role) as strip:
            if strip is not None:
                store.strips.note_change(strip)
                if strip.trim():
                    store.strips.discard(ino, role)


def _first_index(cuts: Iterable[Cut], block_size: int, servers: int) -> int:
    """Return the lowest record that a cut may concern, whatever the strip's residue."""
    return min(cut.offset for cut in cuts) // block_size // servers
