"""The map page: which records of a group are there, as a statement that can be verified.

A strip file is a sequence of groups in the order in which they were first written. A group is one map page, then
RECORDS_PER_GROUP record slots of 16 + block_size bytes each (the record's table stands in dfs/core/records.py). The group in
slot s begins at s * (512 + 1920 * (16 + block_size)). Record r of the strip, which is block r * N + residue, belongs to group
r // 1920 and stands there in record slot r % 1920.

Map page, format 1, little-endian, 512 bytes (one sector: never torn):

| offset | size | field                                                                                  |
|--------|------|----------------------------------------------------------------------------------------|
| 0      | 4    | magic "DFSM"                                                                           |
| 4      | 1    | format version, 1                                                                      |
| 5      | 1    | role: 1 primary, 2 secondary                                                           |
| 6      | 1    | N, number of servers                                                                   |
| 7      | 1    | residue: block number modulo N of all blocks of this strip                             |
| 8      | 8    | inode                                                                                  |
| 16     | 8    | group number                                                                           |
| 24     | 4    | block size                                                                             |
| 28     | 4    | CRC-32 over bytes 0 .. 27 and 32 .. 511                                                |
| 32     | 240  | present: bit i (bit i % 8 of byte i // 8) belongs to record slot i                     |
| 272    | 240  | synced, likewise                                                                       |

| present | synced | the record is                                                                         |
|---------|--------|---------------------------------------------------------------------------------------|
| 0       | 0      | absent: never written, or void; this sum says so                                      |
| 1       | 0      | written in place, perhaps not synced: if it does not verify after a stop, it is torn  |
| 1       | 1      | written and synced: if it does not verify, it is corrupt                              |
| 0       | 1      | unknown: torn, or its map page was lost                                               |
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from dfs.core.crc32 import crc32
from dfs.core.ids import Ino
from dfs.core.placement import Role
from dfs.core.records import Buffer
from dfs.data.disk.geometry import MAP_PAGE_BYTES, RECORDS_PER_GROUP

MAGIC: Final = b"DFSM"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sBBBBQQI")
SUM: Final = struct.Struct("<I")
BITMAP_BYTES: Final = RECORDS_PER_GROUP // 8
BITMAPS_OFFSET: Final = HEADER.size + SUM.size

if BITMAPS_OFFSET + 2 * BITMAP_BYTES != MAP_PAGE_BYTES:
    raise AssertionError("the map page is not one sector")


class MapPage(NamedTuple):
    """The content of one map page. Bitmaps are ints: bit i belongs to record slot i."""

    role: Role
    servers: int
    residue: int
    ino: Ino
    group: int
    block_size: int
    present: int
    synced: int


def pack_map_page(page: MapPage) -> bytes:
    """Return the 512 bytes of a map page."""
    header = HEADER.pack(MAGIC, VERSION, page.role, page.servers, page.residue, page.ino, page.group, page.block_size)
    bitmaps = page.present.to_bytes(BITMAP_BYTES, "little") + page.synced.to_bytes(BITMAP_BYTES, "little")
    return header + SUM.pack(crc32(bitmaps, crc32(header))) + bitmaps


def parse_map_page(raw: Buffer) -> MapPage | None:
    """Return what a map page says if it verifies, else None. Whose page it is, is for the caller to compare."""
    view = memoryview(raw)
    if view.nbytes != MAP_PAGE_BYTES:
        return None
    header, bitmaps = view[: HEADER.size], view[BITMAPS_OFFSET:]
    (stored_sum,) = SUM.unpack_from(view, HEADER.size)
    if crc32(bitmaps, crc32(header)) != stored_sum:
        return None
    magic, version, role, servers, residue, ino, group, block_size = HEADER.unpack(header)
    if magic != MAGIC or version != VERSION or role not in (Role.PRIMARY, Role.SECONDARY):
        return None
    present = int.from_bytes(bitmaps[:BITMAP_BYTES], "little")
    synced = int.from_bytes(bitmaps[BITMAP_BYTES:], "little")
    return MapPage(Role(role), servers, residue, Ino(ino), group, block_size, present, synced)
