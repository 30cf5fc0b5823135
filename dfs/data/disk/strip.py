"""One open strip file: its groups, and reading and writing records in place.

The format stands in dfs/data/disk/map_page.py. Promises: a record counts as present only after its map page was written, and what
the map in memory says of a record was said to the disk before. Called by the block store under the keyed lock of the inode;
never decides which copy is right, and never syncs by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dfs.core.errors import DiskError
from dfs.core.ids import BlockNo, Ino
from dfs.core.interfaces import File
from dfs.core.placement import Role
from dfs.core.records import HEADER_BYTES, Buffer
from dfs.data.disk.geometry import ALL_RECORDS, MAP_PAGE_BYTES, RECORDS_PER_GROUP, Geometry, pieces
from dfs.data.disk.map_page import MapPage, pack_map_page

NO_PAGE: Final = b"\xff" * MAP_PAGE_BYTES
"""A map page that does not verify, nor looks as if it had never been written."""


class Group:
    """What the map page in one slot says of its records."""

    __slots__ = ("number", "present", "rewritten", "slot", "synced")

    def __init__(self, number: int, slot: int, present: int = 0, synced: int = 0) -> None:
        self.number = number
        self.slot = slot
        self.present = present
        self.synced = synced
        self.rewritten = 0
        """Records written since the last sync of the strip began: that sync says nothing of them."""

    @property
    def unsynced(self) -> int:
        """Bitmap of the records that are present and perhaps not synced."""
        return self.present & ~self.synced

    @property
    def unknown(self) -> int:
        """Bitmap of the records of which nothing is known."""
        return self.synced & ~self.present


class Strip:
    """All blocks of one inode on this server in one role, as far as they are in place."""

    __slots__ = (
        "end_bytes",
        "file",
        "geometry",
        "gone",
        "groups",
        "has_unplaced",
        "ino",
        "pins",
        "residue",
        "role",
        "slots",
        "unreadable",
    )

    def __init__(self, geometry: Geometry, ino: Ino, role: Role, residue: int, file: File) -> None:
        self.geometry = geometry
        self.ino = ino
        self.role = role
        self.residue = residue
        self.file = file
        self.groups: dict[int, Group] = {}
        self.end_bytes = 0
        """Past it nothing was ever written, or a sync made the end durable after it was cut off."""
        self.slots = 0
        """Groups that the file has room for, those of unknown number included."""
        self.has_unplaced = False
        """A map page is lost and its group's number too: nothing can be said of any group that is not in `groups`."""
        self.unreadable: DiskError | None = None
        """Why a map page could not be read, if its group is not known for that reason: the strip then serves for reading only."""
        self.pins = 0
        """Users that rely on the file being open; counted by Strips."""
        self.gone = False
        """The last user closes the file: it was removed, or the strip is unreadable."""

    def block_no(self, index: int) -> BlockNo:
        """Return the block number of record `index`."""
        return self.geometry.block_no(index, self.residue)

    def read(self, group: Group, at: int, count: int) -> bytes:
        """Return `count` records of a group, from record slot `at`, as they stand in the file; past its end zeros.

        Raises: DiskFailed.
        """
        geometry = self.geometry
        size_bytes = count * geometry.record_bytes
        raw = self.file.pread(size_bytes, geometry.record_offset(group.slot, at))
        return raw if len(raw) == size_bytes else raw + bytes(size_bytes - len(raw))

    def has_leftovers(self, first: int, count: int) -> bool:
        """Tell whether bytes of records that no longer count may stand where these belong: a clean or a failed write left them.

        They verify, so what is put there must go through the journal: a power cut may keep the map page and lose the record
        before it, and what was void would be back. Raises: DiskFailed.
        """
        for number, at, part in pieces(first, count):
            group = self.groups.get(number)
            if group is None or self.geometry.record_offset(group.slot, at) >= self.end_bytes:
                continue
            raw = self.read(group, at, part)
            if any(any(raw[start : start + HEADER_BYTES]) for start in range(0, len(raw), self.geometry.record_bytes)):
                return True
        return False

    def write_records(self, first: int, parts: Sequence[Buffer]) -> None:
        """Write packed records, given in parts, in place, one write per group; publish() makes them count.

        Raises: DiskError leaves.
        """
        geometry, start = self.geometry, 0
        groups = pieces(first, sum(map(len, parts)) // geometry.record_bytes)
        view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts)) if len(groups) > 1 else None
        for number, at, count in groups:
            group = self.groups.get(number) or self._allocate(number)
            if view is None:
                self._write(parts, geometry.record_offset(group.slot, at))
                return
            end = start + count * geometry.record_bytes
            self._write([view[start:end]], geometry.record_offset(group.slot, at))
            start = end

    def publish(self, first: int, count: int) -> None:
        """Say that written records are present: records that were present keep their synced bit, because only the journal's
        checkpoint writes over them and the journal covers a torn one. Raises: DiskError leaves; the map is then unchanged.
        """
        for number, at, part in pieces(first, count):
            group = self.groups[number]
            bits = ((1 << part) - 1) << at
            self.write_map(group, group.present | bits, group.synced & ~(bits & ~group.present))
            group.rewritten |= bits

    def write_map(self, group: Group, present: int, synced: int) -> None:
        """Write a group's map page, then let it count. Raises: DiskError leaves; the map in memory is then unchanged."""
        if present == group.present and synced == group.synced:
            return
        self._write_page(group.number, group.slot, present, synced)
        group.present, group.synced = present, synced

    def mark_unknown(self, index: int) -> None:
        """Say that nothing is known of a record, unless it is present. Raises: DiskError leaves."""
        number, at = divmod(index, RECORDS_PER_GROUP)
        group = self.groups.get(number) or self._allocate(number)
        bit = 1 << at
        if not group.present & bit:
            self.write_map(group, group.present, group.synced | bit)

    def lose_place(self) -> None:
        """Say durably that a group is missing of which not even the number is known. Raises: DiskError leaves."""
        if not self.has_unplaced:
            self._write([NO_PAGE], self.slots * self.geometry.group_bytes)
            self.slots += 1
            self.has_unplaced = True

    def take_slot(self, number: int, slot: int) -> None:
        """Use a slot in which nothing stands for a group of which nothing is stored. Raises: DiskError leaves."""
        self._write_page(number, slot, 0, 0)
        self.groups[number] = Group(number, slot)

    def give_up_lost(self) -> None:
        """Make sure that a map page which did not verify never does: the disk may have failed to read it for once.

        Raises: DiskError leaves.
        """
        known = {group.slot for group in self.groups.values()}
        for slot in range(self.slots):
            if slot not in known:
                self.file.pwrite([bytes(MAP_PAGE_BYTES)], slot * self.geometry.group_bytes)

    def begin_sync(self) -> dict[int, int]:
        """Return what a sync of the file that begins now will have synced: group number -> bitmap."""
        marks = {}
        for group in self.groups.values():
            if bits := group.unsynced:
                marks[group.number] = bits
                group.rewritten = 0
        return marks

    def end_sync(self, marks: dict[int, int]) -> None:
        """Note what begin_sync() returned as synced, save what was written meanwhile. Raises: DiskError leaves."""
        for number, bits in marks.items():
            group = self.groups.get(number)
            if group is not None:
                self.write_map(group, group.present, group.synced | (bits & group.present & ~group.rewritten))

    def trim(self) -> bool:
        """Cut groups without records off the end of the file; tell whether nothing at all is left. Raises: DiskError leaves."""
        by_slot = {group.slot: group for group in self.groups.values()}
        slots = self.slots
        while slots and (last := by_slot.get(slots - 1)) is not None and not last.present | last.synced:
            slots -= 1
        if slots != self.slots:
            self.end_bytes = slots * self.geometry.group_bytes
            self.file.truncate(self.end_bytes)
            for slot in range(slots, self.slots):
                del self.groups[by_slot[slot].number]
            self.slots = slots
        return not slots

    def _allocate(self, number: int) -> Group:
        """Give a group a slot. Its empty map page is written before any record, so that a killed process leaves no bad page."""
        synced = ALL_RECORDS if self.has_unplaced else 0
        self._write_page(number, self.slots, 0, synced)
        group = self.groups[number] = Group(number, self.slots, 0, synced)
        self.slots += 1
        return group

    def _write_page(self, number: int, slot: int, present: int, synced: int) -> None:
        geometry = self.geometry
        page = MapPage(self.role, geometry.servers, self.residue, self.ino, number, geometry.block_size, present, synced)
        self._write([pack_map_page(page)], slot * geometry.group_bytes)

    def _write(self, parts: Sequence[Buffer], offset: int) -> None:
        self.end_bytes = max(self.end_bytes, offset + sum(map(len, parts)))
        self.file.pwrite(parts, offset)
