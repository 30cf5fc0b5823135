"""Taking answers to Gets apart, verifying every byte once more, and putting a file's bytes together (pure, I2).

A `Stripe` is every Nth block of a range: one server holds all its primary copies, the next one all its secondary copies. When
both servers say byte for byte the same of a stripe, its blocks are taken without looking at each twice.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dfs.core.crc32 import crc32
from dfs.core.errors import BadAnswer
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex
from dfs.core.messages.blocks import COPY_FORMAT, Blocks, Copy, CopyState, Run, unpack_columns, unpack_copies
from dfs.core.placement import Layout, Role
from dfs.core.records import IDENTITY, Buffer, checksum, cut_blocks, identity_sums

PRESENT: Final = int(CopyState.PRESENT)
DOUBTED: Final = int(CopyState.DOUBTED)
ABSENT: Final = int(CopyState.ABSENT)


class Found(NamedTuple):
    """What one server said of the blocks of a run."""

    copies: bytes
    """Packed."""
    data: memoryview | None
    """The valid bytes of the PRESENT and DOUBTED blocks; None if only their state was asked for."""


@dataclass(slots=True)
class Stripe:
    """What is known of every Nth block of a range."""

    first: BlockNo
    blocks: int
    found: dict[Role, Found] = field(default_factory=dict)


def other(role: Role) -> Role:
    """Return the other replica's role."""
    return Role.SECONDARY if role is Role.PRIMARY else Role.PRIMARY


def split_answer(server: ServerIndex, send: Sequence[Run], tell: Sequence[Run], answer: Blocks) -> list[tuple[Run, Found]]:
    """Return what a Get found, run by run.

    Raises: BadAnswer if lengths do not fit what was asked.
    """
    width = COPY_FORMAT.size
    data = memoryview(answer.data)
    result: list[tuple[Run, Found]] = []
    at = data_at = 0
    for position, run in enumerate((*send, *tell)):
        packed = answer.copies[at : at + run.blocks * width]
        if len(packed) != run.blocks * width:
            raise bad_answer(server, f"copies of {len(answer.copies)} bytes")
        at += len(packed)
        if position >= len(send):
            result.append((run, Found(packed, None)))
            continue
        length = data.nbytes if len(send) == 1 else _data_bytes(packed)
        result.append((run, Found(packed, data[data_at : data_at + length])))
        data_at += length
    if at != len(answer.copies) or data_at != data.nbytes:
        raise bad_answer(server, f"{len(answer.copies)} bytes of copies and {data.nbytes} of data, {at} and {data_at} asked for")
    return result


def _data_bytes(packed: bytes) -> int:
    return sum([length for state, length, _, _ in COPY_FORMAT.iter_unpack(packed) if state in (PRESENT, DOUBTED)])


def take_all(server: ServerIndex, ino: Ino, layout: Layout, stripe: Stripe, found: Found) -> list[Buffer] | None:
    """Return the verified bytes of all blocks of a stripe, each filled up to the block size; holes are zeros.

    Result: None unless every block is PRESENT or ABSENT. Raises: BadAnswer if a block does not verify.
    """
    data = found.data
    assert data is not None
    size = layout.block_size
    zeros = bytes(size)
    if (whole := _take_full(ino, layout, stripe, found.copies, data)) is not None:
        return whole
    pack = IDENTITY.pack
    number: int = stripe.first
    at = 0
    pieces: list[Buffer] = []
    for state, length, expected, generation in COPY_FORMAT.iter_unpack(found.copies):
        if state == PRESENT:
            piece = data[at : at + length]
            at += length
            if length > size or crc32(piece, crc32(pack(ino, number, generation, length))) != expected:
                raise bad_answer(server, f"inode {ino} block {number} does not verify")
            pieces.append(piece if length == size else b"".join((piece, zeros[length:])))
        elif state == ABSENT:
            pieces.append(zeros)
        else:
            return None
        number += layout.servers
    if at != data.nbytes:
        raise bad_answer(server, f"{data.nbytes} bytes of data for copies of {at}")
    return pieces


def _take_full(ino: Ino, layout: Layout, stripe: Stripe, copies: bytes, data: memoryview) -> list[Buffer] | None:
    """Return the blocks of a stripe if all are full and verify, as nearly always: without a step of Python for each."""
    size, count = layout.block_size, stripe.blocks
    if data.nbytes != count * size:
        return None
    states, lengths, sums, generations = unpack_columns(copies)
    if states.count(PRESENT) != count or lengths.count(size) != count:
        return None
    pieces = cut_blocks(data, size)
    numbers = range(stripe.first, stripe.first + count * layout.servers, layout.servers)
    if tuple(map(crc32, pieces, identity_sums(ino, numbers, generations, size))) != sums:
        return None
    return pieces


def copies_of(server: ServerIndex, found: Found) -> list[Copy]:
    """Return the copies one by one. Raises: BadAnswer."""
    try:
        return unpack_copies(found.copies)
    except (ValueError, KeyError, struct.error) as error:
        raise bad_answer(server, f"copies that can't be read: {error}") from error


def data_of(server: ServerIndex, ino: Ino, block_no: BlockNo, copies: Sequence[Copy], index: int, data: memoryview) -> memoryview:
    """Return the verified valid bytes of copy number `index`, which has some. Raises: BadAnswer."""
    at = sum([copy.length for copy in copies[:index] if copy.state.has_bytes])
    copy = copies[index]
    piece = data[at : at + copy.length]
    if not verifies(ino, block_no, copy, piece):
        raise bad_answer(server, f"inode {ino} block {block_no} does not verify")
    return piece


def verifies(ino: Ino, block_no: BlockNo, copy: Copy, data: Buffer) -> bool:
    """Tell whether the bytes are those of the copy."""
    return len(data) == copy.length and checksum(ino, block_no, Generation(copy.generation), data) == copy.checksum


def bad_answer(server: ServerIndex, reason: str) -> BadAnswer:
    """Return the error for a data server whose answer breaks the protocol."""
    return BadAnswer(f"data server {server}", reason)
