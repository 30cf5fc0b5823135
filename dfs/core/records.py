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

import functools
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from dfs.core.crc32 import crc32
from dfs.core.ids import BlockNo, Generation, Ino

Buffer = bytes | bytearray | memoryview

HEADER: Final = struct.Struct("<IIQ")
IDENTITY: Final = struct.Struct("<QQQI")
HEADER_BYTES: Final = HEADER.size
_STRUCTS_KEPT: Final = 64
VIEWED_BYTES: Final = 8192
"""Blocks of at least this size are handled as views of what they are part of, smaller ones as bytes of their own."""


class Record(NamedTuple):
    """One block as it is stored: verified, or not yet."""

    generation: Generation
    checksum: int
    data: bytes
    """1 .. block_size bytes, without padding."""


def checksum(ino: Ino, block_no: BlockNo, generation: Generation, data: Buffer) -> int:
    """Return the CRC-32 of a block's identity and data (R8)."""
    view = memoryview(data)
    return crc32(view, crc32(IDENTITY.pack(ino, block_no, generation, view.nbytes)))


def run_checksums(ino: Ino, generation: Generation, numbers: range, blocks: Sequence[Buffer]) -> list[int]:
    """Return the checksums of several blocks written under one generation: all as long as the first, the last maybe shorter."""
    length = len(blocks[0])
    sums = identity_sums(ino, numbers, [generation] * len(numbers), length)
    if len(blocks[-1]) != length:
        sums[-1] = crc32(IDENTITY.pack(ino, numbers[-1], generation, len(blocks[-1])))
    return list(map(crc32, blocks, sums))


def identity_sums(ino: Ino, numbers: range, generations: Sequence[int], length: int) -> list[int]:
    """Return the CRC-32 of each block's identity, all of `length` bytes: where the sum over its data begins.

    CRC-32 is affine: with ^ for exclusive or, and inputs of one size, crc(a ^ b) = crc(a) ^ crc(b) ^ crc(0). So what a block's
    number adds is looked up, and what inode, generation and length add is computed once: a third of the cost of packing each.
    """
    starts = {generation: crc32(IDENTITY.pack(ino, 0, generation, length)) for generation in set(generations)}
    if len(starts) == 1:
        [start] = starts.values()
        return _number_sums(numbers, start)
    return [starts[generation] ^ part for generation, part in zip(generations, _number_sums(numbers, 0), strict=True)]


NUMBERS_BITS: Final = 12
"""Low bits of a block number that are looked up together."""
_NO_IDENTITY: Final = crc32(bytes(IDENTITY.size))


def _number_sum(number: int) -> int:
    """Return what a block's number adds to the CRC-32 of its identity."""
    return crc32(IDENTITY.pack(0, number, 0, 0)) ^ _NO_IDENTITY


@functools.cache
def _low_number_sums() -> tuple[int, ...]:
    return tuple(map(_number_sum, range(1 << NUMBERS_BITS)))


def _number_sums(numbers: range, start: int) -> list[int]:
    """Return `start` with what each of the block numbers adds."""
    table, mask = _low_number_sums(), (1 << NUMBERS_BITS) - 1
    sums: list[int] = []
    while len(sums) < len(numbers):
        number = numbers[len(sums)]
        low = number & mask
        part = table[low : low + (len(numbers) - len(sums)) * numbers.step : numbers.step]
        base = start ^ _number_sum(number - low) if number > mask else start
        sums += [base ^ each for each in part]
    return sums


def cut_blocks(data: Buffer, block_size: int) -> list[Buffer]:
    """Return data as blocks; the last one may be short.

    Small ones are copied in one step, for a slice of each would cost as much as its checksum; large ones are looked at in place.
    """
    if block_size >= VIEWED_BYTES:
        view = memoryview(data)
        return [view[at : at + block_size] for at in range(0, len(view), block_size)]
    count, rest = divmod(len(data), block_size)
    blocks: list[Buffer] = list(_repeated(f"{block_size}s", count).unpack_from(data))
    if rest:
        blocks.append(bytes(data[count * block_size :]))
    return blocks


def pack_run(generation: Generation, checksums: Sequence[int], blocks: Sequence[Buffer], block_size: int) -> list[Buffer]:
    """Return blocks of one generation as the records that stand on disk one after the other; only the last may be short.

    Result: the bytes in parts: large blocks are not copied.
    """
    count = len(blocks)
    if block_size >= VIEWED_BYTES:
        parts: list[Buffer] = []
        for summed, block in zip(checksums, blocks, strict=True):
            parts += (HEADER.pack(len(block), summed, generation), block)
        parts.append(bytes(block_size - len(blocks[-1])))
        return parts
    fields: list[int | Buffer] = [block_size] * (4 * count)
    fields[-4] = len(blocks[-1])
    fields[1::4], fields[2::4], fields[3::4] = checksums, [generation] * count, blocks
    return [_repeated(f"IIQ{block_size}s", count).pack(*fields)]


class Columns(NamedTuple):
    """Several records as they stand on disk one after the other, field by field; nothing is verified."""

    headers: list[Buffer]
    lengths: tuple[int, ...]
    checksums: tuple[int, ...]
    generations: tuple[int, ...]
    blocks: list[Buffer]
    """With their padding."""


def unpack_run(raw: bytes, block_size: int) -> Columns:
    """Return the records in `raw`, whose length must be a multiple of theirs; small ones without a step of Python for each."""
    size = HEADER_BYTES + block_size
    count = len(raw) // size
    if block_size >= VIEWED_BYTES:
        view = memoryview(raw)
        headers: list[Buffer] = [view[at : at + HEADER_BYTES] for at in range(0, len(raw), size)]
        blocks: list[Buffer] = [view[at + HEADER_BYTES : at + size] for at in range(0, len(raw), size)]
    else:
        parts: tuple[bytes, ...] = _repeated(f"{HEADER_BYTES}s{block_size}s", count).unpack(raw)
        headers, blocks = list(parts[::2]), list(parts[1::2])
    numbers = _repeated("IIQ", count).unpack(b"".join(headers))
    return Columns(headers, numbers[::3], numbers[1::3], numbers[2::3], blocks)


@functools.lru_cache(_STRUCTS_KEPT)
def _repeated(form: str, count: int) -> struct.Struct:
    return struct.Struct("<" + form * count)


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
