"""Blocks: what is stored, read, repaired, cut and dropped on a data server, as requests and answers."""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from dfs.core.cuts import Cut
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.joined_bytes import JoinedBytes
from dfs.core.messages.data_server import Identity
from dfs.core.messages.requests import Done, Request
from dfs.core.placement import Role
from dfs.core.records import Buffer

if TYPE_CHECKING:
    Sent = bytes | JoinedBytes
else:
    Sent = bytes
"""Bytes on the wire, and in a request that was read from it; whoever sends may have them in parts."""


class Segment(NamedTuple):
    """Blocks to store: all full but the last, which has `last_length` bytes (1 .. block_size)."""

    role: Role
    first: BlockNo
    blocks: int
    last_length: int


class Run(NamedTuple):
    """Blocks to read."""

    role: Role
    first: BlockNo
    blocks: int


class CopyState(enum.IntEnum):
    """What a data server says of its copy of a block."""

    ABSENT = 0
    """Verified: never written, or void by a cut; the server is complete in this role and trusted (I4)."""
    PRESENT = 1
    """Verified: checksum and identity."""
    CORRUPT = 2
    """Something stands there that does not verify."""
    UNKNOWN = 3
    """The server can't tell: blank, rebuilding, torn, or its disk can't be read."""
    DOUBTED = 4
    """As PRESENT, but the server is suspect: its machine may have lost a newer copy when it stopped."""
    UNDECIDED = 5
    """Nothing stands there, on a server that is suspect: it may be lost. It can tell when it has compared itself."""

    @property
    def has_bytes(self) -> bool:
        """Tell whether there is a copy that verified."""
        return self in _WITH_BYTES


_WITH_BYTES: Final = (CopyState.PRESENT, CopyState.DOUBTED)


class Copy(NamedTuple):
    """One copy of a block, without its data. Packed: u8 state, 3 zero bytes, u32 length, u32 checksum, u64 generation."""

    state: CopyState
    length: int
    """Valid bytes; 0 unless there are any."""
    checksum: int
    """Of the valid bytes, so recomputed where a cut shortened the block; 0 unless there are any."""
    generation: Generation
    """As stored, also of an ABSENT block that a cut has voided; 0 if never written, CORRUPT, UNKNOWN or UNDECIDED."""


COPY_FORMAT: Final = struct.Struct("<B3xIIQ")


def pack_copies(copies: list[Copy]) -> bytes:
    """Return copies as they travel, COPY_FORMAT.size bytes each."""
    return b"".join([COPY_FORMAT.pack(*copy) for copy in copies])


def pack_present(lengths: Sequence[int], checksums: Sequence[int], generations: Sequence[int]) -> bytes:
    """Return PRESENT copies as they travel."""
    fields = [CopyState.PRESENT.value] * (4 * len(lengths))
    fields[1::4], fields[2::4], fields[3::4] = lengths, checksums, generations
    return struct.pack("<" + "B3xIIQ" * len(lengths), *fields)


_PRESENT_LEAD: Final = struct.pack("<B3x", CopyState.PRESENT)


def present_copies(headers: Sequence[Buffer]) -> bytes:
    """Return PRESENT copies as they travel: behind the state they are what stands in front of each record on disk."""
    return _PRESENT_LEAD.join((b"", *headers))


def unpack_copies(packed: bytes) -> list[Copy]:
    """Return the copies in `packed`.

    Raises: struct.error if the length is not a multiple of COPY_FORMAT.size; ValueError for an unknown state.
    """
    states = _STATES
    return [
        Copy(states[state], length, checksum, Generation(generation))
        for state, length, checksum, generation in COPY_FORMAT.iter_unpack(packed)
    ]


def unpack_columns(packed: bytes) -> tuple[tuple[int, ...], ...]:
    """Return the copies in `packed` field by field; its length must be a multiple of COPY_FORMAT.size."""
    fields = struct.unpack("<" + "B3xIIQ" * (len(packed) // COPY_FORMAT.size), packed)
    return fields[::4], fields[1::4], fields[2::4], fields[3::4]


_STATES: Final = {int(state): state for state in CopyState}


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a Get found. `copies`: packed, for the blocks of `send`, then those of `tell`. `data`: the valid bytes of the
    PRESENT and DOUBTED blocks of `send`, one after the other.
    """

    copies: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Inventory:
    """Part of the list of inodes of which a server holds strips, rising."""

    inos: tuple[Ino, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Fenced:
    """How far a server's valid data of an inode reaches after the cuts sent along, in bytes of the file; 0 for none."""

    end_bytes: int
    is_certain: bool = True
    """False: something behind it does not verify, or can't be read, so that only the other replica tells what stood there."""


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """How many blocks a server has stored of an inode; a role that is not complete is left out: it can't tell."""

    primary: int | None = None
    secondary: int | None = None


@dataclass(frozen=True, slots=True)
class Put(Request[Done]):
    """Store blocks: checked whole, then stored each if its generation is higher than the stored one.

    `checksums`: u32 each, packed, in the order of the segments. `data`: the blocks' bytes, without padding, likewise.
    The same generation with the same checksum is a success. Faults: StaleTicket (below the inode's floor), Conflict
    (a stored generation is higher, or the same with other bytes), NoSpace, ReadOnly, BadRequest (a checksum is wrong).
    """

    ino: Ino
    ticket: Ticket
    generation: Generation
    segments: tuple[Segment, ...]
    checksums: bytes
    data: Sent


@dataclass(frozen=True, slots=True)
class Get(Request[Blocks]):
    """Read and verify blocks: those of `send` with data, those of `tell` without (R9).

    `newest_cut`: the newest cut ticket that the caller knows; a server with a higher floor answers StaleTicket.
    `cuts`: applied before anything is answered.
    """

    ino: Ino
    newest_cut: Ticket
    cuts: tuple[Cut, ...]
    send: tuple[Run, ...]
    tell: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Repair(Request[Done]):
    """Replace one copy of a block by the other replica's verified one, only to raise its generation (I5).

    `replaces`: the copy as it was answered to Get; if the stored one differs by now, nothing happens. A CORRUPT or UNKNOWN
    copy goes to quarantine first. Faults: StaleTicket (the cut ticket is below the floor), NoSpace, ReadOnly, BadRequest.
    """

    ino: Ino
    newest_cut: Ticket
    role: Role
    block_no: BlockNo
    replaces: Copy
    generation: Generation
    checksum: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Sync(Request[Done]):
    """Make everything stored of an inode, in both roles, survive a power cut. Faults: NotTrusted (suspect: ask again)."""

    ino: Ino


@dataclass(frozen=True, slots=True)
class Fence(Request[Fenced]):
    """Raise the inode's floor durably to `ticket`, and tell how far valid data reaches."""

    ino: Ino
    ticket: Ticket
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Clean(Request[Identity]):
    """Execute durable cuts: drop what they void, shorten the block at each (same generation), raise the floor, sync."""

    ino: Ino
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Drop(Request[Done]):
    """Remove the strips and floors of inodes that meta has durably removed; unknown ones are a success."""

    inos: tuple[Ino, ...]


@dataclass(frozen=True, slots=True)
class ListInodes(Request[Inventory]):
    """Return up to `limit` inodes above `after` of which this server holds strips."""

    after: Ino
    limit: int


@dataclass(frozen=True, slots=True)
class CountBlocks(Request[BlockCounts]):
    """Return how many blocks numbered below `below` are stored of an inode; nothing is read or verified."""

    ino: Ino
    below: int
