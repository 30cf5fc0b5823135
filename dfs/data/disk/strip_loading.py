"""Opening a strip file: reading its map pages, and making the best of what a crash or a rotten sector left.

Promises: what can be verified is used, what can't is said to be unknown, and nothing is said to be absent without a map page
that verifies. Without its map page a record below the inode's floor is unknown too, for a cut may have voided it. A page that the
disk can't read today may be good tomorrow: nothing is decided about its group meanwhile, and it is read again before it is given up
for lost beside records that can be read. Called by Strips when a strip is first used. Never changes a record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import Final

from dfs.core.errors import DiskError
from dfs.core.events.data_server import MAP_PAGE_LOST
from dfs.core.events.event import Event
from dfs.core.ids import Ino, ServerIndex, ticket_of
from dfs.core.interfaces import EventSink, File
from dfs.core.placement import Role
from dfs.core.records import Record, parse_record
from dfs.data.disk.floors import Floors
from dfs.data.disk.geometry import ALL_RECORDS, MAP_PAGE_BYTES, RECORDS_PER_GROUP, Geometry
from dfs.data.disk.map_page import MapPage, parse_map_page
from dfs.data.disk.quarantine import ROLE_LETTERS, Quarantine
from dfs.data.disk.strip import Group, Strip

log = logging.getLogger(__name__)

PROBES: Final = 4
"""Records that are tried against each group number that a group without map page might have."""
CANDIDATES_BEYOND: Final = 64
"""Group numbers tried past the highest one that the file can be expected to hold."""


class StripLoader:
    """Reads strip files of one data server."""

    def __init__(
        self,
        geometry: Geometry,
        server: ServerIndex,
        quarantine: Quarantine,
        events: EventSink,
        floors: Floors,
        is_suspect: Callable[[Role], bool],
    ) -> None:
        """`is_suspect` tells whether a role calls nothing absent before it was compared: then what is torn is absent in it."""
        self._is_suspect = is_suspect
        self._geometry = geometry
        self._server = server
        self._quarantine = quarantine
        self._events = events
        self._floors = floors

    def load(self, ino: Ino, role: Role, file: File, *, check_unsynced: bool) -> Strip:
        """Return the strip in `file`.

        Arguments: `check_unsynced`: the file may have been through a stop: records that were not synced are verified now,
        and those that don't are torn, so unknown from here on, on a suspect server until it has compared itself.
        Raises: DiskError leaves.
        """
        geometry = self._geometry
        strip = Strip(geometry, ino, role, -1, file)
        size_bytes = file.size_bytes()
        strip.end_bytes = size_bytes
        strip.slots = -(-size_bytes // geometry.group_bytes)
        lost = []
        for slot in range(strip.slots):
            raw, error = self._read_page(file, slot)
            if not self._take_page(strip, slot, raw):
                lost.append((slot, raw, error))
        is_suspect = check_unsynced and self._is_suspect(role)
        new = [slot for slot, raw, _ in lost if is_suspect and raw and not any(raw)]
        for slot, raw, error in lost:
            if slot not in new:
                self._recover(strip, slot, raw, error)
        self._recover_new(strip, new)
        if check_unsynced:
            for group in strip.groups.values():
                self._check_unsynced(strip, group)
        return strip

    def _read_page(self, file: File, slot: int) -> tuple[bytes, DiskError | None]:
        """Return a map page, or nothing and why the disk can't read it."""
        try:
            return file.pread(MAP_PAGE_BYTES, slot * self._geometry.group_bytes), None
        except DiskError as error:
            return b"", error

    def _take_page(self, strip: Strip, slot: int, raw: bytes) -> bool:
        """Believe a map page if it can be; tell whether."""
        page = parse_map_page(raw)
        if page is None or not self._belongs(page, strip):
            return False
        strip.residue = page.residue
        strip.groups[page.group] = Group(page.group, slot, page.present, page.synced)
        return True

    def _belongs(self, page: MapPage, strip: Strip) -> bool:
        """Tell whether a page is this strip's and is the only one of its group."""
        geometry = self._geometry
        mine = (page.ino, page.role, page.servers, page.block_size)
        return (
            mine == (strip.ino, strip.role, geometry.servers, geometry.block_size)
            and strip.residue in (-1, page.residue)
            and page.group not in strip.groups
        )

    def _recover(self, strip: Strip, slot: int, raw: bytes, error: DiskError | None) -> None:
        """Find out by its records which group stands in a slot whose map page is lost.

        If neither page nor records can be read (`error`), the strip is unreadable rather than changed: a second page for the
        same group would hide the first one's records, or they it, once the disk can read both.
        """
        records = self._read_records(strip, Group(-1, slot), RECORDS_PER_GROUP)
        found = self._identify(strip, slot, records)
        if found is None and error is not None:
            strip.unreadable, strip.has_unplaced = error, True
            return
        if error is not None:  # the disk reads the records, and may just have become well
            raw, _ = self._read_page(strip.file, slot)
            if self._take_page(strip, slot, raw):
                return
        kept = self._keep(f"{strip.ino:010x}.{ROLE_LETTERS[strip.role]}.map{slot}", raw)
        details = {"role": strip.role.name.lower(), "slot": slot, "quarantine": kept, "group": found[0] if found else "not known"}
        self._events.emit(Event(MAP_PAGE_LOST, server=self._server, ino=strip.ino, details=details))
        if found is None:
            strip.has_unplaced = True
            return
        number, strip.residue = found
        present = self._still_valid(strip, number, records)
        group = strip.groups[number] = Group(number, slot)
        self._set_map(strip, group, present, ALL_RECORDS & ~present)

    def _recover_new(self, strip: Strip, slots: list[int]) -> None:
        """Take what is left of groups that were new when the machine stopped: their map pages are zeros, as before any sync.

        On a suspect server only, which calls nothing absent before it was compared.
        """
        empty = []
        for slot in slots:
            records = self._read_records(strip, Group(-1, slot), RECORDS_PER_GROUP)
            found = self._identify(strip, slot, records)
            if found is None:
                empty.append(slot)
                continue
            number, strip.residue = found
            present = self._still_valid(strip, number, records)
            group = strip.groups[number] = Group(number, slot)
            self._set_map(strip, group, present, 0)
        try:
            self._empty_slots(strip, empty)
        except DiskError as error:
            log.warning("inode %d: %d new groups stay as they are: %s", strip.ino, len(empty), error)
            strip.has_unplaced = True

    def _empty_slots(self, strip: Strip, slots: list[int]) -> None:
        """Say on disk that nothing stands in these slots."""
        if slots and strip.residue < 0:
            if len(slots) < strip.slots or strip.unreadable is not None:
                strip.has_unplaced = True
                return
            strip.file.truncate(0)  # not one page or record in the whole file verifies
            strip.slots = 0
            return
        for slot in slots:
            number = next(number for number in count(slot) if number not in strip.groups)
            strip.take_slot(number, slot)

    def _keep(self, what: str, raw: bytes) -> str:
        try:
            return self._quarantine.keep(what, raw)
        except DiskError as error:
            return f"nothing ({error})"

    def _set_map(self, strip: Strip, group: Group, present: int, synced: int) -> None:
        """Set a group's map, on disk if the disk takes it: a strip must be readable on a full or read-only disk too."""
        try:
            strip.write_map(group, present, synced)
        except DiskError as error:
            log.warning("inode %d: the map page of group %d stays as it is: %s", strip.ino, group.number, error)
            group.present, group.synced = present, synced

    def _identify(self, strip: Strip, slot: int, records: list[bytes]) -> tuple[int, int] | None:
        """Return the (group number, residue) under which the first records verify: identity is inside their sums."""
        probes = [at for at, raw in enumerate(records) if any(raw[:16])][:PROBES]
        residues = range(self._geometry.servers) if strip.residue < 0 else (strip.residue,)
        top = max(strip.groups, default=0) + strip.slots + CANDIDATES_BEYOND
        for number in (slot, *range(top)):
            if number in strip.groups:
                continue
            for residue in residues:
                if any(self._parse(strip.ino, number, residue, at, records[at]) for at in probes):
                    return number, residue
        return None

    def _check_unsynced(self, strip: Strip, group: Group) -> None:
        bits = group.unsynced
        if not bits:
            return
        records = self._read_records(strip, group, bits.bit_length())
        torn = bits & ~self._verified(strip, group.number, strip.residue, records, bits)
        if torn:
            role = strip.role.name.lower()
            log.warning("inode %d, %s: %d records of group %d are torn", strip.ino, role, torn.bit_count(), group.number)
            synced = group.synced if self._is_suspect(strip.role) else group.synced | torn
            self._set_map(strip, group, group.present & ~torn, synced)

    def _verified(self, strip: Strip, number: int, residue: int, records: list[bytes], bits: int) -> int:
        """Return the bitmap of those of `bits` whose records verify."""
        good = 0
        for at, raw in enumerate(records):
            if bits >> at & 1 and self._parse(strip.ino, number, residue, at, raw):
                good |= 1 << at
        return good

    def _still_valid(self, strip: Strip, number: int, records: list[bytes]) -> int:
        """Return the bitmap of the records that verify and that no cut has voided: what Clean voids it only unlists in the map."""
        floor = self._floors.get(strip.ino)
        if self._floors.lost:
            return 0
        good = 0
        for at, raw in enumerate(records):
            record = self._parse(strip.ino, number, strip.residue, at, raw)
            if record is not None and ticket_of(record.generation) >= floor:
                good |= 1 << at
        return good

    def _parse(self, ino: Ino, number: int, residue: int, at: int, raw: bytes) -> Record | None:
        geometry = self._geometry
        block_no = geometry.block_no(number * RECORDS_PER_GROUP + at, residue)
        return parse_record(raw, ino, block_no, geometry.block_size)

    def _read_records(self, strip: Strip, group: Group, count: int) -> list[bytes]:
        """Return the first records of a group, one by one where the disk can't read them all."""
        size_bytes = self._geometry.record_bytes
        try:
            raw = strip.read(group, 0, count)
        except DiskError:
            return [self._read_record(strip, group, at) for at in range(count)]
        return [raw[at : at + size_bytes] for at in range(0, len(raw), size_bytes)]

    def _read_record(self, strip: Strip, group: Group, at: int) -> bytes:
        try:
            return strip.read(group, at, 1)
        except DiskError as error:
            log.debug("record %d of slot %d: %s", at, group.slot, error)  # counts as one that does not verify
            return b""
