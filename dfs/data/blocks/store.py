"""What all operations on blocks share: the parts of the block store, its locks, and the verified look at a stored record.

Promises: a record counts as present only if checksum and identity verify (I2); one that does not is kept in quarantine and told
once. The operations stand in reading, writing, repairing, fencing, cleaning and dropping. Never decides what a caller is told of
a block that is absent in a role which is not complete: the operations do.

Lock order, outermost first: the checkpoint's lock; the keyed lock "sync" of an inode; the keyed lock of an inode; the journal's
writing(); then the mutexes, for memory only. No task ever holds the keyed locks of two inodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from dfs.core.crc32 import crc32
from dfs.core.errors import BadRequest, DiskFailed, NotTrusted, StaleTicket
from dfs.core.events.data_server import FLOORS_LOST
from dfs.core.events.event import Event
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, EventSink, KeyedLock
from dfs.core.limits import TICKETS_AHEAD_MAX
from dfs.core.messages.blocks import CopyState
from dfs.core.messages.cluster import RoleState
from dfs.core.placement import Role
from dfs.core.records import IDENTITY, Buffer, Record, identity_sums, parse_record, unpack_run
from dfs.data.blocks.comparisons import Comparisons
from dfs.data.disk.bad_records import BadRecords
from dfs.data.disk.change_log import ChangeLog
from dfs.data.disk.condition import Condition
from dfs.data.disk.floors import Floors
from dfs.data.disk.geometry import RECORDS_PER_GROUP, Geometry, pieces
from dfs.data.disk.journal import Journal
from dfs.data.disk.journal_entries import Entry, Kind
from dfs.data.disk.overlay import Overlay, Pending
from dfs.data.disk.reserve import Reserve
from dfs.data.disk.strip import Group, Strip
from dfs.data.disk.strips import Strips
from dfs.data.disk.superblock import Identification
from dfs.data.disk.sync_moments import SyncMoments

PlainRecord = tuple[int, int, bytes]
"""Generation, checksum and data of a verified record; a Record is one too."""


class Run(NamedTuple):
    """Verified records that stand in place one after the other."""

    headers: list[Buffer]
    generations: list[int]
    checksums: list[int]
    blocks: list[Buffer]

    def records(self) -> list[PlainRecord]:
        """Return them one by one."""
        return list(zip(self.generations, self.checksums, map(bytes, self.blocks), strict=True))


class Look(NamedTuple):
    """What stands where a block belongs."""

    state: CopyState
    """ABSENT: in the map; what that is worth depends on the role's state."""
    record: Record | None = None
    """Verified; if PRESENT."""
    raw: bytes = b""
    """What does not verify; if CORRUPT, or UNKNOWN and readable."""


ABSENT: Final = Look(CopyState.ABSENT)
UNKNOWN: Final = Look(CopyState.UNKNOWN)


@dataclass(slots=True)
class Store:
    """The parts of one data server's block store."""

    geometry: Geometry
    server: ServerIndex
    identification: Identification
    strips: Strips
    overlay: Overlay
    journal: Journal
    floors: Floors
    condition: Condition
    events: EventSink
    bad_records: BadRecords
    inode_locks: KeyedLock
    reserve: Reserve
    changes: ChangeLog
    moments: SyncMoments
    comparisons: Comparisons

    def inos_above(self, after: Ino, limit: int) -> list[Ino]:
        """Return up to `limit` inodes above `after` of which there is a record in any role, rising. Raises: DiskError leaves."""
        pending = self.overlay.inos_above(after, limit)  # first: a checkpoint moves inodes from here to the strips
        return sorted({*pending, *self.strips.inos_above(after, limit)})[:limit]

    def hold(self, ino: Ino) -> AbstractContextManager[None]:
        """Hold the keyed lock of an inode."""
        return self.inode_locks.hold(ino)

    @contextmanager
    def strip(self, ino: Ino, role: Role, *, partly: bool = False) -> Iterator[Strip | None]:
        """Have a strip open, None if there is none; under hold(ino). `partly` and errors: as Strips.use()."""
        strip = self.strips.use(ino, role, partly=partly)
        try:
            yield strip
        finally:
            if strip is not None:
                self.strips.release(strip)

    def is_complete(self, role: Role) -> bool:
        """Tell whether what this server does not hold in a role was never written (I4)."""
        return self.identification.current.state_of(role) is RoleState.COMPLETE and not self.floors.lost

    def is_suspect(self, role: Role) -> bool:
        """Tell whether what this server holds in a role may be older than what it acknowledged."""
        return self.identification.current.state_of(role) is RoleState.SUSPECT

    def absence(self, role: Role) -> CopyState:
        """Return what this server has to say of a block of which it holds nothing."""
        if self.is_complete(role):
            return CopyState.ABSENT
        return CopyState.UNDECIDED if self.is_suspect(role) else CopyState.UNKNOWN

    def floor(self, ino: Ino, ctx: CallContext) -> Ticket:
        """Return the inode's floor; under hold(ino). Raises: DiskError leaves."""
        floor = self.floors.get(ino)
        if self.floors.lost:
            self._distrust(ctx)
        return floor

    def require_floor(self, ino: Ino, ticket: Ticket, ctx: CallContext) -> None:
        """Raise StaleTicket if `ticket` is below the inode's floor; under hold(ino). Raises: DiskError leaves."""
        floor = self.floor(ino, ctx)
        if ticket < floor:
            raise StaleTicket(ino, floor)

    def require_issued(self, ticket: Ticket) -> None:
        """Raise NotTrusted if `ticket` is too far above the mark that meta told us to have been issued (decision record 19).

        Whoever has it from meta all the same asks again: meta tells every server its mark as soon as it can be reached.
        """
        mark = self.identification.current.mark
        if ticket > mark + TICKETS_AHEAD_MAX:
            raise NotTrusted(f"data server {self.server} was told of numbers up to {mark}, ticket {ticket} is not one of them")

    def require_residue(self, strip: Strip | None, layers: tuple[Pending, ...], residue: int) -> None:
        """Raise BadRequest if the blocks asked for are not those of this strip."""
        known = layers[0].residue if layers else -1 if strip is None else strip.residue
        if known not in (-1, residue):
            raise BadRequest(f"the blocks of this strip are {known} modulo N, not {residue}")

    def verified(self, strip: Strip | None, layers: tuple[Pending, ...], first: int, count: int) -> list[PlainRecord] | None:
        """Return a run of which every record is present and verifies; None: it is not so simple, look() tells.

        The quick way for what nearly all calls ask for: one read per group, and no object per record but a tuple.
        """
        pending = self._pending(layers, first, count)
        if len(pending) == count:
            return [pending[index] for index in range(first, first + count)]
        run = None if strip is None else self._verified_in_place(strip, first, count)
        if run is None:
            return None
        records = run.records()
        for index, record in pending.items():
            records[index - first] = record
        return records

    def verified_in_place(self, strip: Strip | None, layers: tuple[Pending, ...], first: int, count: int) -> Run | None:
        """Return a run of which every record stands in place, none is pending, and each verifies; None: verified() or look() tell.

        The quickest way: nothing is made for each record but what the caller hands on.
        """
        if strip is None or any(pending.within(first, count) for pending in layers):
            return None
        return self._verified_in_place(strip, first, count)

    def _pending(self, layers: tuple[Pending, ...], first: int, count: int) -> dict[int, Record]:
        """Return the newest pending records of a run by index."""
        found: dict[int, Record] = {}
        for pending in reversed(layers):
            records = pending.records
            for index in pending.within(first, count):
                found[index] = records[index]
        return found

    def _verified_in_place(self, strip: Strip, first: int, count: int) -> Run | None:
        block_size, step = self.geometry.block_size, self.geometry.servers
        run = Run([], [], [], [])
        for number, slot, part in pieces(first, count):
            group = strip.groups.get(number)
            mask = (1 << part) - 1
            if group is None or group.present >> slot & mask != mask:
                return None
            try:
                raw = strip.read(group, slot, part)
            except DiskFailed:
                return None  # look() reads record by record, and tells which can't be read
            headers, lengths, sums, generations, blocks = unpack_run(raw, block_size)
            start = strip.block_no(first + len(run.blocks))
            numbers = range(start, start + part * step, step)
            identities = identity_sums(strip.ino, numbers, generations, block_size)
            if lengths.count(block_size) != part:
                for at in [at for at, length in enumerate(lengths) if length != block_size]:
                    length = lengths[at]
                    if not 0 < length < block_size:
                        return None
                    blocks[at] = blocks[at][:length]
                    identities[at] = crc32(IDENTITY.pack(strip.ino, numbers[at], generations[at], length))
            if tuple(map(crc32, blocks, identities)) != sums:
                return None
            run.headers.extend(headers)
            run.generations.extend(generations)
            run.checksums.extend(sums)
            run.blocks.extend(blocks)
        return run

    def look(self, strip: Strip | None, layers: tuple[Pending, ...], first: int, count: int) -> list[Look]:
        """Return what stands in records first .. first + count - 1, verified; pending records before those in place.

        An error of the disk is told and answered as UNKNOWN.
        """
        looks: list[Look] = []
        for number, at, part in pieces(first, count):
            group = None if strip is None else strip.groups.get(number)
            if strip is None or group is None:
                looks += [UNKNOWN if strip is not None and strip.has_unplaced else ABSENT] * part
            else:
                looks += self._look_in_place(strip, group, at, part)
        for index, record in self._pending(layers, first, count).items():
            looks[index - first] = Look(CopyState.PRESENT, record)
        return looks

    def _look_in_place(self, strip: Strip, group: Group, at: int, count: int) -> list[Look]:
        mask = (1 << count) - 1
        present, unknown = group.present >> at & mask, group.unknown >> at & mask
        if not present | unknown:
            return [ABSENT] * count
        records = self._read(strip, group, at, count, present | unknown)
        first = group.number * RECORDS_PER_GROUP + at
        looks = []
        for index, raw in enumerate(records):
            is_present = present >> index & 1
            if not is_present and not unknown >> index & 1:
                looks.append(ABSENT)
                continue
            block_no = strip.block_no(first + index)
            record = parse_record(raw, strip.ino, block_no, self.geometry.block_size) if is_present else None
            if record is not None:
                looks.append(Look(CopyState.PRESENT, record))
            elif is_present and raw:
                looks.append(Look(CopyState.CORRUPT, None, raw))
            else:
                looks.append(Look(CopyState.UNKNOWN, None, raw if any(raw) else b""))
        return looks

    def _read(self, strip: Strip, group: Group, at: int, count: int, wanted: int) -> list[bytes]:
        """Return records as they stand in the file, b"" for those that the disk can't read or that are not `wanted`."""
        size_bytes = self.geometry.record_bytes
        try:
            raw = strip.read(group, at, count)
        except DiskFailed:
            return [self._read_one(strip, group, at + index) if wanted >> index & 1 else b"" for index in range(count)]
        return [raw[start : start + size_bytes] for start in range(0, len(raw), size_bytes)]

    def _read_one(self, strip: Strip, group: Group, at: int) -> bytes:
        try:
            return strip.read(group, at, 1)
        except DiskFailed as error:
            self.bad_records.tell_unreadable(strip.ino, strip.role, strip.block_no(group.number * RECORDS_PER_GROUP + at), error)
            return b""

    def write_journal(self, entries: Sequence[Entry]) -> None:
        """Append entries to the journal and let the overlay and the floors follow, so that a checkpoint sees both or neither.

        Under hold() of their inode. Raises: DiskError leaves; nothing is changed then.
        """
        if not entries:
            return
        with self.journal.writing():
            self.journal.append(entries)
            for entry in entries:
                self.apply(entry)

    def apply(self, entry: Entry) -> None:
        """Let overlay and floors follow an entry of the journal. Raises: DiskError leaves."""
        if entry.kind is Kind.RECORDS and entry.role is not None:
            self.overlay.add(entry.ino, entry.role, entry.residue, entry.records)
            self.changes.note(entry.ino, entry.role)
        elif entry.kind is Kind.VOIDED and entry.role is not None:
            self.overlay.void(entry.ino, entry.role, entry.voided)
        elif entry.kind is Kind.FLOOR:
            self.floors.raise_to(entry.ino, entry.ticket)
        elif entry.kind is Kind.DROPPED:
            self.overlay.drop(entry.ino)
            self.floors.forget(entry.ino)
        elif entry.kind is Kind.CHANGED and entry.role is not None:
            self.overlay.note_changed(entry.ino, entry.role)
            self.changes.note(entry.ino, entry.role)

    def _distrust(self, ctx: CallContext) -> None:
        lost, self.floors.lost = self.floors.lost, []
        self.moments.forget()  # first: whoever is suspect and has moments is believed to know its floors
        self.identification.distrust()
        for kept in lost:
            self.events.emit(Event(FLOORS_LOST, server=self.server, details={"quarantine": kept}), ctx)
