"""Goal: a record verifies only as what it is: this block of this file, with these bytes (R8, I2). Method: properties; any one
flipped bit, and any other identity, must not verify.
"""

from __future__ import annotations

import struct
import zlib

from hypothesis import assume, given
from hypothesis import strategies as st

from dfs.core.ids import BlockNo, Generation, Ino
from dfs.core.messages.blocks import Copy, CopyState, pack_copies, pack_present, present_copies, unpack_columns
from dfs.core.records import (
    HEADER_BYTES,
    VIEWED_BYTES,
    Record,
    checksum,
    cut_blocks,
    pack_checksums,
    pack_record,
    pack_run,
    parse_record,
    unpack_checksums,
    unpack_run,
)

BLOCK_SIZE = 32
INOS = st.integers(1, (1 << 40) - 1).map(Ino)
BLOCKS = st.integers(0, 1 << 41).map(BlockNo)
GENERATIONS = st.integers(1, (1 << 64) - 1).map(Generation)
DATA = st.binary(min_size=1, max_size=BLOCK_SIZE)


def packed(ino: Ino, block_no: BlockNo, generation: Generation, data: bytes) -> bytes:
    return pack_record(Record(generation, checksum(ino, block_no, generation, data), data), BLOCK_SIZE)


@given(INOS, BLOCKS, GENERATIONS, DATA)
def test_record_is_read_as_it_was_written(ino: Ino, block_no: BlockNo, generation: Generation, data: bytes) -> None:
    raw = packed(ino, block_no, generation, data)
    assert len(raw) == HEADER_BYTES + BLOCK_SIZE
    record = parse_record(raw, ino, block_no, BLOCK_SIZE)
    assert record == Record(generation, checksum(ino, block_no, generation, data), data)


@given(INOS, BLOCKS, GENERATIONS, DATA, st.data())
def test_any_flipped_bit_that_matters_does_not_verify(
    ino: Ino, block_no: BlockNo, generation: Generation, data: bytes, chance: st.DataObject
) -> None:
    raw = bytearray(packed(ino, block_no, generation, data))
    bit = chance.draw(st.integers(0, 8 * (HEADER_BYTES + len(data)) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert parse_record(raw, ino, block_no, BLOCK_SIZE) is None


@given(INOS, BLOCKS, GENERATIONS, DATA, INOS, BLOCKS)
def test_record_at_the_wrong_place_does_not_verify(
    ino: Ino, block_no: BlockNo, generation: Generation, data: bytes, other_ino: Ino, other_block: BlockNo
) -> None:
    assume((ino, block_no) != (other_ino, other_block))
    raw = packed(ino, block_no, generation, data)
    assert parse_record(raw, other_ino, other_block, BLOCK_SIZE) is None


@given(st.integers(0, HEADER_BYTES + BLOCK_SIZE - 1))
def test_short_read_and_zeros_do_not_verify(size: int) -> None:
    raw = packed(Ino(7), BlockNo(1), Generation(1), b"data")
    assert parse_record(raw[:size], Ino(7), BlockNo(1), BLOCK_SIZE) is None
    assert parse_record(bytes(HEADER_BYTES + BLOCK_SIZE), Ino(7), BlockNo(1), BLOCK_SIZE) is None


def test_layout_on_disk_is_the_documented_one() -> None:
    raw = packed(Ino(7), BlockNo(1), Generation(0x1122334455667788), b"data")
    length, crc, generation = struct.unpack_from("<IIQ", raw)
    assert (length, generation) == (4, 0x1122334455667788)
    assert crc == zlib.crc32(struct.pack("<QQQI", 7, 1, generation, 4) + b"data")
    assert raw[16:] == b"data" + bytes(BLOCK_SIZE - 4)


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=5))
def test_checksums_arrive_as_they_were_packed(sums: list[int]) -> None:
    assert unpack_checksums(pack_checksums(sums)) == tuple(sums)


@given(st.binary(max_size=5 * BLOCK_SIZE), st.sampled_from([BLOCK_SIZE, VIEWED_BYTES]))
def test_blocks_of_a_run_are_cut_and_packed_as_one_by_one(pattern: bytes, block_size: int) -> None:
    data = pattern * (block_size // BLOCK_SIZE)
    blocks = cut_blocks(memoryview(data), block_size)
    assert blocks == [data[at : at + block_size] for at in range(0, len(data), block_size)]
    if blocks:
        sums = list(range(len(blocks)))
        one_by_one = [
            pack_record(Record(Generation(9), summed, bytes(block)), block_size) for summed, block in zip(sums, blocks, strict=True)
        ]
        assert b"".join(pack_run(Generation(9), sums, blocks, block_size)) == b"".join(one_by_one)


@given(
    st.lists(st.tuples(st.integers(1, 1 << 60), st.binary(min_size=1, max_size=BLOCK_SIZE)), min_size=1, max_size=6),
    st.sampled_from([BLOCK_SIZE, VIEWED_BYTES]),
)
def test_run_is_read_field_by_field_and_told_of_as_its_records_one_by_one(found: list[tuple[int, bytes]], block_size: int) -> None:
    records = [Record(Generation(generation), number, data) for number, (generation, data) in enumerate(found)]
    columns = unpack_run(b"".join(pack_record(record, block_size) for record in records), block_size)
    lengths = [len(record.data) for record in records]
    assert columns.lengths == tuple(lengths)
    assert columns.checksums == tuple(range(len(records)))
    assert columns.generations == tuple(record.generation for record in records)
    assert [bytes(block) for block in columns.blocks] == [data + bytes(block_size - len(data)) for _, data in found]
    copies = [Copy(CopyState.PRESENT, len(data), summed, generation) for generation, summed, data in records]
    packed = present_copies(columns.headers)
    assert packed == pack_copies(copies) == pack_present(columns.lengths, columns.checksums, columns.generations)
    assert unpack_columns(packed) == tuple(zip(*copies, strict=True))
