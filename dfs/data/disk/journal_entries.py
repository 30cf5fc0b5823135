"""The journal's entries as bytes; pure.

`journal/<segment number, 12 digits>` is a sequence of entries without gaps. Entry, format 2, little-endian:

| offset | size | field                                                                                      |
|--------|------|--------------------------------------------------------------------------------------------|
| 0      | 4    | magic "DFSJ"                                                                               |
| 4      | 4    | CRC-32 over bytes 8 .. 59 and the tables of the body                                       |
| 8      | 2    | format version, 2                                                                          |
| 10     | 1    | kind: 1 records, 2 voided, 3 dropped, 4 floor, 5 changed                                   |
| 11     | 1    | role of the records or the strip: 1 primary, 2 secondary; else 0                           |
| 12     | 4    | count of records                                                                           |
| 16     | 4    | residue of the records' block numbers modulo N                                             |
| 20     | 8    | data bytes behind the tables                                                               |
| 28     | 8    | position of this entry: segment number << 40 + offset in the segment                       |
| 36     | 8    | position up to which the journal was synced when this entry was written                    |
| 44     | 8    | inode                                                                                      |
| 52     | 8    | floor: its ticket; records and voided: CRC-32 over bytes 8 .. 51; else 0                   |
| 60     |      | records and voided: count record indexes (u64 each); records only: then count record      |
|        |      | headers (16 bytes each, the table stands in dfs/core/records.py), then the records' data  |
|        |      | without padding                                                                            |

The data are covered by each record's own checksum. An entry verifies if its sum, its position and all its records do. A bad
entry before a position that a later entry calls synced is rot; behind it, it is the torn end of a power cut. If only the process
ended, nothing but its last write can have stopped half way: any other bad entry is rot, synced or not. The sum in the place of the
ticket, which older releases left 0, is there to tell the two apart: an entry's size is known before its tables are whole.

Kinds: RECORDS stores blocks. VOIDED takes back what earlier entries say of these records of the strip. DROPPED: the inode is no
more, nor are its strips and its floor. FLOOR raises the inode's floor. CHANGED: new blocks go in place in this strip, so it has
something to sync, also after the process that wrote them was killed.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from dfs.core.crc32 import crc32
from dfs.core.ids import Generation, Ino, Ticket
from dfs.core.placement import Role
from dfs.core.records import HEADER as RECORD_HEADER
from dfs.core.records import Buffer, Record, checksum
from dfs.data.disk.geometry import Geometry

MAGIC: Final = b"DFSJ"
VERSION: Final = 2
LEAD: Final = struct.Struct("<4sI")
HEADER: Final = struct.Struct("<HBBIIQQQQQ")
HEAD: Final = struct.Struct("<HBBIIQQQQ")
"""The header without its last field."""
TICKET: Final = struct.Struct("<Q")
ENTRY_HEADER_BYTES: Final = LEAD.size + HEADER.size
_ROLES: Final = frozenset(map(int, Role))
OFFSET_BITS: Final = 40
"""Bits of a position that count bytes within a segment."""


class Kind(enum.IntEnum):
    """What an entry says."""

    RECORDS = 1
    VOIDED = 2
    DROPPED = 3
    FLOOR = 4
    CHANGED = 5


_KINDS: Final = frozenset(map(int, Kind))
_WITH_TABLES: Final = frozenset((int(Kind.RECORDS), int(Kind.VOIDED)))


class Entry(NamedTuple):
    """One entry, to be written or read back."""

    kind: Kind
    ino: Ino
    ticket: Ticket = Ticket(0)
    role: Role | None = None
    residue: int = 0
    records: Mapping[int, Record] = {}
    """Record index -> record."""
    voided: Sequence[int] = ()
    """Record indexes."""


def position(segment: int, offset: int) -> int:
    """Return a point of the journal as one rising number."""
    return segment << OFFSET_BITS | offset


def pack_entry(entry: Entry, at: int, synced: int) -> tuple[list[Buffer], int]:
    """Return the parts of an entry that is written at position `at`, and how many bytes they are together."""
    records = entry.records
    count, tables, data_bytes, data = len(entry.voided), struct.pack(f"<{len(entry.voided)}Q", *entry.voided), 0, []
    if records:
        count = len(records)
        pack = RECORD_HEADER.pack
        data = [record.data for record in records.values()]
        headers = [pack(len(part), summed, generation) for generation, summed, part in records.values()]
        tables = b"".join([struct.pack(f"<{len(records)}Q", *records), *headers])
        data_bytes = sum(map(len, data))
    head = HEAD.pack(VERSION, entry.kind, entry.role or 0, count, entry.residue, data_bytes, at, synced, entry.ino)
    header = head + TICKET.pack(crc32(head) if entry.kind in _WITH_TABLES else entry.ticket)
    lead = LEAD.pack(MAGIC, crc32(tables, crc32(header)))
    return [lead + header + tables, *data], ENTRY_HEADER_BYTES + len(tables) + data_bytes


class Parsed(NamedTuple):
    """An entry that verified."""

    entry: Entry
    end: int
    """Offset behind it in the segment."""
    synced: int
    """Position up to which the journal was synced when it was written."""


def parse_entry(raw: memoryview, offset: int, segment: int, geometry: Geometry) -> Parsed | None:
    """Return the entry at `offset` of a segment's bytes if it verifies, else None."""
    start = offset + ENTRY_HEADER_BYTES
    if start > len(raw):
        return None
    magic, stored_sum = LEAD.unpack_from(raw, offset)
    version, kind, role, count, residue, data_bytes, at, synced, ino, ticket = HEADER.unpack_from(raw, offset + LEAD.size)
    if magic != MAGIC or version != VERSION or at != position(segment, offset):
        return None
    data_start = _data_start(offset, kind, count)
    end = data_start + data_bytes
    if end > len(raw) or crc32(raw[offset + LEAD.size : data_start]) != stored_sum:
        return None
    if not _is_possible(kind, role, count, residue, geometry):
        return None
    records: dict[int, Record] | None = {}
    voided: tuple[int, ...] = ()
    if kind == Kind.VOIDED:
        voided = struct.unpack(f"<{count}Q", raw[start:data_start])
    else:
        records = _parse_records(raw[start:data_start], raw[data_start:end], Ino(ino), count, residue, geometry)
    if records is None:
        return None
    ticket = 0 if kind in _WITH_TABLES else ticket
    return Parsed(Entry(Kind(kind), Ino(ino), Ticket(ticket), Role(role) if role else None, residue, records, voided), end, synced)


def is_cut_short(raw: memoryview, offset: int, segment: int) -> bool:
    """Tell whether the bytes from `offset` to the end are what there is of an entry whose write stopped half way.

    What it says of its size is believed only with the sum, for a whole entry that rotted must not be taken for the half of one.
    """
    if offset + ENTRY_HEADER_BYTES > len(raw):
        return True  # no entry is so short
    magic, _ = LEAD.unpack_from(raw, offset)
    version, kind, _, count, _, data_bytes, at, _, _, head_sum = HEADER.unpack_from(raw, offset + LEAD.size)
    if magic != MAGIC or version != VERSION or kind not in _WITH_TABLES or at != position(segment, offset):
        return False
    is_head_whole = crc32(raw[offset + LEAD.size : offset + LEAD.size + HEAD.size]) == head_sum
    return bool(is_head_whole and _data_start(offset, kind, count) + data_bytes > len(raw))


def _is_possible(kind: int, role: int, count: int, residue: int, geometry: Geometry) -> bool:
    """Tell whether an entry's head is one that pack_entry() writes."""
    if kind in _WITH_TABLES:
        return role in _ROLES and residue < geometry.servers
    return (role in _ROLES if kind == Kind.CHANGED else kind in _KINDS and not role) and not count


def is_of_another_format(raw: memoryview, segment: int) -> bool:
    """Tell whether a segment begins with a whole entry of another format; its head and sum have the same form in all of them."""
    if len(raw) < ENTRY_HEADER_BYTES:
        return False
    magic, stored_sum = LEAD.unpack_from(raw)
    version, kind, _, count, _, _, at, *_ = HEADER.unpack_from(raw, LEAD.size)
    if magic != MAGIC or version == VERSION or at != position(segment, 0):
        return False
    return bool(crc32(raw[LEAD.size : _data_start(0, kind, count)]) == stored_sum)


def _data_start(offset: int, kind: int, count: int) -> int:
    """Return where the data of an entry at `offset` begin, behind its tables."""
    return offset + ENTRY_HEADER_BYTES + count * (8 if kind == Kind.VOIDED else 8 + RECORD_HEADER.size)


def _parse_records(
    tables: memoryview, data: memoryview, ino: Ino, count: int, residue: int, geometry: Geometry
) -> dict[int, Record] | None:
    """Return the records of an entry if all of them verify."""
    records, at = {}, 0
    indexes = struct.unpack_from(f"<{count}Q", tables)
    for index, (length, summed, generation) in zip(indexes, RECORD_HEADER.iter_unpack(tables[8 * count :]), strict=True):
        part = bytes(data[at : at + length])
        at += length
        if not 1 <= length <= geometry.block_size or index > geometry.index_max:
            return None
        if checksum(ino, geometry.block_no(index, residue), generation, part) != summed:
            return None
        records[index] = Record(Generation(generation), summed, part)
    return records if at == len(data) and len(records) == count else None
