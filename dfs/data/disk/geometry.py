"""The sizes that follow from N and the block size, computed once; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dfs.core.ids import BlockNo
from dfs.core.limits import FILE_BYTES_MAX
from dfs.core.records import HEADER_BYTES

MAP_PAGE_BYTES: Final = 512
"""One sector, so that a map page is never torn."""
RECORDS_PER_GROUP: Final = 1920
"""Two bitmaps of 240 bytes fill the map page behind its header."""
ALL_RECORDS: Final = (1 << RECORDS_PER_GROUP) - 1
"""Bitmap with every record of a group."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where things stand in the strip files of one file system."""

    servers: int
    """N."""
    block_size: int
    record_bytes: int = field(init=False)
    group_bytes: int = field(init=False)
    index_max: int = field(init=False)
    """The highest record of any strip: that of the last block of the largest file."""
    record_format: str = field(init=False)
    """For struct, one record: length, checksum, generation, padded data."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record_bytes", HEADER_BYTES + self.block_size)
        object.__setattr__(self, "group_bytes", MAP_PAGE_BYTES + RECORDS_PER_GROUP * self.record_bytes)
        object.__setattr__(self, "index_max", FILE_BYTES_MAX // self.block_size // self.servers)
        object.__setattr__(self, "record_format", f"IIQ{self.block_size}s")

    def block_no(self, index: int, residue: int) -> BlockNo:
        """Return the block number of record `index` in a strip whose blocks are `residue` modulo N."""
        return BlockNo(index * self.servers + residue)

    def record_offset(self, slot: int, at: int) -> int:
        """Return the byte offset of record `at` of the group in `slot`."""
        return slot * self.group_bytes + MAP_PAGE_BYTES + at * self.record_bytes


def pieces(first: int, count: int) -> list[tuple[int, int, int]]:
    """Split records first .. first + count - 1 at group borders: (group number, first record in it, count) each."""
    group, at = divmod(first, RECORDS_PER_GROUP)
    if at + count <= RECORDS_PER_GROUP:
        return [(group, at, count)]
    result = []
    while count:
        part = min(count, RECORDS_PER_GROUP - at)
        result.append((group, at, part))
        count -= part
        group, at = group + 1, 0
    return result
