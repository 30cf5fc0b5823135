"""The unit of storage: a block's data with its length, generation and checksum, and the sum that ties them together.

Record on disk, little-endian, fixed size of HEADER_BYTES + block_size:

| offset | size       | field                                                    |
|--------|------------|----------------------------------------------------------|
| 0      | 4          | length: bytes of data, 1 .. block_size                   |
| 4      | 4          | checksum: CRC-32 over the identity below, then the data  |
| 8      | 8          | generation                                               |
| 16     | block_size | data, padded with zeros                                  |

Identity under the checksum (R8, I2), 28 bytes: inode u64, block number u64, generation u64, length u32. A record at the
wrong place, of another file, or with another length therefore does not verify. The role is not part of it: both replicas
of a block carry the same checksum and can be compared without sending the data.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dfs.core.ids import BlockNo, Generation, Ino

Buffer = bytes | bytearray | memoryview

HEADER: Final = struct.Struct("<IIQ")
IDENTITY: Final = struct.Struct("<QQQI")
HEADER_BYTES: Final = HEADER.size


class Record(NamedTuple):
    """One block as it is stored: verified, or not yet."""

    generation: Generation
    checksum: int
    data: bytes
    """1 .. block_size bytes, without padding."""


def checksum(ino: Ino, block_no: BlockNo, generation: Generation, data: Buffer) -> int:
    """Return the CRC-32 of a block's identity and data (R8)."""
    view = memoryview(data)
    return zlib.crc32(view, zlib.crc32(IDENTITY.pack(ino, block_no, generation, view.nbytes)))


def checksums(ino: Ino, generation: Generation, blocks: Iterable[tuple[BlockNo, Buffer]]) -> list[int]:
    """Return the checksums of several blocks written under one generation, in their order."""
    crc32, pack = zlib.crc32, IDENTITY.pack
    return [crc32(data, crc32(pack(ino, number, generation, len(data)))) for number, data in blocks]


def pack_record(record: Record, block_size: int) -> bytes:
    """Return the record's HEADER_BYTES + block_size bytes as they stand on disk."""
    header = HEADER.pack(len(record.data), record.checksum, record.generation)
    return header + record.data + bytes(block_size - len(record.data))


def parse_record(raw: Buffer, ino: Ino, block_no: BlockNo, block_size: int) -> Record | None:
    """Return the record in `raw` if it verifies as this block of this file, else None.

    Arguments: HEADER_BYTES + block_size bytes read from where the block belongs; a shorter read does not verify.
    """
    view = memoryview(raw)
    if view.nbytes != HEADER_BYTES + block_size:
        return None
    length, stored_checksum, generation = HEADER.unpack_from(view)
    if not 1 <= length <= block_size:
        return None
    data = view[HEADER_BYTES : HEADER_BYTES + length]
    if checksum(ino, block_no, generation, data) != stored_checksum:
        return None
    return Record(Generation(generation), stored_checksum, bytes(data))


def pack_checksums(values: Sequence[int]) -> bytes:
    """Return checksums as they travel: u32 little-endian, one after the other."""
    return struct.pack(f"<{len(values)}I", *values)


def unpack_checksums(packed: bytes) -> tuple[int, ...]:
    """Return the checksums in `packed`; its length must be a multiple of 4."""
    return struct.unpack(f"<{len(packed) // 4}I", packed)
