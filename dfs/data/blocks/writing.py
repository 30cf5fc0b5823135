"""Put: blocks are checked whole, compared with what is stored, then stored (design sections 4 and 6).

Promises: nothing has an effect before everything was checked; a stored generation never falls; a bad record is in quarantine
before it is written over; if the disk refuses, nothing of the request is visible. New blocks of a large file go in place, the map
page last; everything else goes to the journal and the overlay. Called by the service. Never syncs.

Lock order: see Store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dfs.core.errors import Conflict
from dfs.core.ids import NO_GENERATION, BlockNo, Generation, Ino
from dfs.core.interfaces import CallContext
from dfs.core.messages.blocks import CopyState, Put
from dfs.core.messages.requests import Done
from dfs.core.records import Record, pack_run
from dfs.data.blocks.checks import Incoming, check_put
from dfs.data.blocks.store import Look, Store
from dfs.data.disk.geometry import MAP_PAGE_BYTES, pieces
from dfs.data.disk.journal_entries import Entry, Kind
from dfs.data.disk.overlay import Pending
from dfs.data.disk.strip import Strip

PAGE_BYTES: Final = 4096
"""What file systems give space out in."""


@dataclass(slots=True)
class Plan:
    """What is to be done with one segment."""

    incoming: Incoming
    strip: Strip | None
    direct: list[tuple[int, int]] = field(default_factory=list)
    """Runs of the segment to be written in place: (first, count), both counted within the segment."""
    journalled: list[int] = field(default_factory=list)
    """Blocks of the segment for the journal."""
    new_journalled: int = 0
    """How many of them nothing is stored of yet: they will need space."""
    bad: list[tuple[int, Look]] = field(default_factory=list)
    """Blocks of the segment where something stands that does not verify."""
    conflict: BlockNo | None = None
    highest: Generation = NO_GENERATION


class Writing:
    """Carries out Put."""

    def __init__(self, store: Store, direct_bytes_min: int, append_bytes_min: int) -> None:
        self._store = store
        self._direct_bytes_min = direct_bytes_min
        self._append_bytes_min = append_bytes_min

    def put(self, ctx: CallContext, request: Put) -> Done:
        """Store the blocks. Raises: BadRequest, RequestTooLarge, NotTrusted, StaleTicket, Conflict, DiskError leaves."""
        store = self._store
        segments = check_put(request, store.geometry)
        store.require_issued(request.ticket)
        store.journal.admit(ctx)
        with store.hold(request.ino):
            store.require_floor(request.ino, request.ticket, ctx)
            plans: list[Plan] = []
            try:
                for segment in segments:
                    plan = self._plan(request.ino, segment)
                    plans.append(plan)
                _raise_conflict(request.ino, plans)
                self._claim(plans)
                self._execute(request.ino, plans)
            finally:
                for plan in plans:
                    if plan.strip is not None:
                        store.strips.release(plan.strip)
        return Done()

    def _plan(self, ino: Ino, incoming: Incoming) -> Plan:
        """Compare a segment with what is stored; the plan's strip is in use."""
        store = self._store
        layers = store.overlay.find(ino, incoming.role)
        plan = Plan(incoming, store.strips.use(ino, incoming.role))
        try:
            store.require_residue(plan.strip, layers, incoming.residue)
            is_large = self._is_large(plan, layers) and not store.overlay.was_dropped(ino)
            if is_large and plan.strip is not None and plan.strip.has_leftovers(incoming.first, incoming.count):
                is_large = False
            if not _is_absent(plan.strip, layers, incoming.first, incoming.count):
                self._compare(plan, layers, is_large=is_large)
            elif is_large:
                plan.direct.append((0, incoming.count))
            else:
                plan.journalled += range(incoming.count)
                plan.new_journalled = incoming.count
        except BaseException:
            if plan.strip is not None:
                store.strips.release(plan.strip)
            raise
        return plan

    def _is_large(self, plan: Plan, layers: tuple[Pending, ...]) -> bool:
        """Tell whether the new blocks of a segment are worth going in place, with what is pending before them."""
        block_size = self._store.geometry.block_size
        size_bytes = plan.incoming.count * block_size
        if size_bytes < self._append_bytes_min:
            return False
        pending_bytes = sum(len(pending.records) for pending in layers) * block_size
        return plan.strip is not None or size_bytes + pending_bytes >= self._direct_bytes_min

    def _compare(self, plan: Plan, layers: tuple[Pending, ...], *, is_large: bool) -> None:
        """Sort the blocks of a segment, of which some are not absent."""
        incoming = plan.incoming
        records = self._store.verified(plan.strip, layers, incoming.first, incoming.count)
        if records is not None and all(record[0] < incoming.generation for record in records):
            plan.journalled += range(incoming.count)
            return
        looks = self._store.look(plan.strip, layers, incoming.first, incoming.count)
        for at, look in enumerate(looks):
            if look.state is CopyState.ABSENT and is_large:
                if plan.direct and sum(plan.direct[-1]) == at:
                    plan.direct[-1] = (plan.direct[-1][0], plan.direct[-1][1] + 1)
                else:
                    plan.direct.append((at, 1))
                continue
            if look.record is None:
                if look.state is CopyState.ABSENT:
                    plan.new_journalled += 1
                else:
                    plan.bad.append((at, look))
                plan.journalled.append(at)
                continue
            stored = look.record.generation
            plan.highest = max(plan.highest, stored)
            if stored < incoming.generation:
                plan.journalled.append(at)
            elif (stored > incoming.generation or look.record.checksum != incoming.checksums[at]) and plan.conflict is None:
                plan.conflict = self._store.geometry.block_no(incoming.first + at, incoming.residue)

    def _claim(self, plans: list[Plan]) -> None:
        """Take the space that new blocks need. Raises: DiskFull."""
        in_place = sum(self._growth_bytes(plan, sum(count for _, count in plan.direct)) for plan in plans)
        self._store.reserve.claim(in_place, sum(self._growth_bytes(plan, plan.new_journalled) for plan in plans))

    def _growth_bytes(self, plan: Plan, new_records: int) -> int:
        """Return by how much new records let a strip grow; a new strip begins with a map page and fills whole pages."""
        size_bytes = new_records * self._store.geometry.record_bytes
        if not new_records or plan.strip is not None:
            return size_bytes
        return -(-(MAP_PAGE_BYTES + size_bytes) // PAGE_BYTES) * PAGE_BYTES

    def _execute(self, ino: Ino, plans: list[Plan]) -> None:
        """Write what was planned; nothing counts before all of it is written, save the maps, which need no further space."""
        store = self._store
        for plan in plans:
            for at, look in plan.bad:
                block_no = store.geometry.block_no(plan.incoming.first + at, plan.incoming.residue)
                store.bad_records.set_aside(ino, plan.incoming.role, block_no, look.raw)
            if plan.direct:
                self._write_in_place(ino, plan)
        entries = [_entry(ino, plan) for plan in plans if plan.journalled]
        roles = {plan.incoming.role for plan in plans if plan.direct}
        entries += [Entry(Kind.CHANGED, ino, role=role) for role in roles if not store.overlay.is_noted_changed(ino, role)]
        store.write_journal(entries)
        for plan in plans:
            if plan.strip is not None:
                for first, count in plan.direct:
                    store.strips.note_change(plan.strip)
                    store.changes.note(ino, plan.incoming.role)
                    plan.strip.publish(plan.incoming.first + first, count)

    def _write_in_place(self, ino: Ino, plan: Plan) -> None:
        incoming = plan.incoming
        if plan.strip is None:
            plan.strip = self._store.strips.use_or_create(ino, incoming.role, incoming.residue)
        elif plan.strip.residue < 0:
            plan.strip.residue = incoming.residue
        for first, count in plan.direct:
            blocks, sums = incoming.blocks[first : first + count], incoming.checksums[first : first + count]
            parts = pack_run(incoming.generation, sums, blocks, self._store.geometry.block_size)
            plan.strip.write_records(incoming.first + first, parts)


def _is_absent(strip: Strip | None, layers: tuple[Pending, ...], first: int, count: int) -> bool:
    """Tell whether none of the records is there, as far as the maps say."""
    if any(pending.within(first, count) for pending in layers):
        return False
    if strip is None:
        return True
    for number, at, part in pieces(first, count):
        group = strip.groups.get(number)
        if strip.has_unplaced if group is None else (group.present | group.synced) >> at & ((1 << part) - 1):
            return False
    return True


def _raise_conflict(ino: Ino, plans: list[Plan]) -> None:
    """Raise Conflict with the highest generation seen if any block must not be stored."""
    for plan in plans:
        if plan.conflict is not None:
            raise Conflict(ino, plan.conflict, max(each.highest for each in plans))


def _entry(ino: Ino, plan: Plan) -> Entry:
    """Return the journal's entry of a segment's blocks."""
    incoming = plan.incoming
    first, generation, blocks, sums = incoming.first, incoming.generation, incoming.blocks, incoming.checksums
    records = {first + at: Record(generation, sums[at], bytes(blocks[at])) for at in plan.journalled}
    return Entry(Kind.RECORDS, ino, role=incoming.role, residue=incoming.residue, records=records)
