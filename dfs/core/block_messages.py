"""The methods of a data server and what they carry (design sections 4, 6 and 8).

Blocks of one request are described by runs: `blocks` of one role, numbered first, first + N, first + 2N and so on,
which are neighbours in their strip. Per-block values travel packed, in the order of the runs.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dfs.core.cluster_messages import RoleState, Shape, Space
from dfs.core.cuts import Cut
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket
from dfs.core.placement import Role
from dfs.core.requests import Done, Request
from dfs.core.scrub_messages import NO_SCRUB, Mend, Scrub, ScrubStatus, ShowScrub


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


def unpack_copies(packed: bytes) -> list[Copy]:
    """Return the copies in `packed`.

    Raises: struct.error if the length is not a multiple of COPY_FORMAT.size; ValueError for an unknown state.
    """
    states = _STATES
    return [
        Copy(states[state], length, checksum, Generation(generation))
        for state, length, checksum, generation in COPY_FORMAT.iter_unpack(packed)
    ]


_STATES: Final = {int(state): state for state in CopyState}


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a Get found. `copies`: packed, for the blocks of `send`, then those of `tell`. `data`: the valid bytes of the
    PRESENT and DOUBTED blocks of `send`, one after the other.
    """

    copies: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a data server is: its superblock."""

    shape: Shape
    """cluster = "" while blank."""
    index: ServerIndex
    disk: str
    """UUID of this state folder; a new one after the folder was lost."""
    primary: RoleState
    secondary: RoleState
    mark: int
    """The highest number mark that meta has told it."""
    doubts: int = 0
    """How often it began to take what cuts may have voided from a neighbour: because it became suspect, or to mend a copy below a
    floor. What it executed before may have been undone since.
    """


@dataclass(frozen=True, slots=True)
class DataStatus:
    """A data server as a tool sees it."""

    identity: Identity
    space: Space
    progress: str
    """How far a rebuild is, for people; empty when there is none."""
    trouble: str = ""
    """What is wrong with the server's disk or its blocks, for people; empty when nothing is."""
    scrub: ScrubStatus = NO_SCRUB
    wall_ns: int = 0
    """Its machine's wall time when it answered."""
    release: str = ""
    """The release of dfs that it is."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Part of the list of inodes of which a server holds strips, rising."""

    inos: tuple[Ino, ...]
    more: bool


class PulledStrip(NamedTuple):
    """Verified records of one strip, for a server that lost its disk. A record that is not named was never written, or is void."""

    ino: Ino
    residue: int
    """Block number modulo N of all blocks of the strip."""
    indexes: bytes
    """u64 little-endian each: block number // N, rising."""
    headers: bytes
    """16 bytes each, as on disk: dfs/core/records.py."""
    data: bytes
    """The records' data without padding, one after the other."""
    bad: bytes
    """u64 each: records that are there but can't be vouched for; whoever copies must not call them absent."""
    is_known: bool
    """False: a map page is lost, so that records may be missing here."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """Part of what a server holds in one role, in rising order of inode and record."""

    disk: str
    """Of the server's state folder: after it was replaced, whoever copies begins anew."""
    state: RoleState
    """Of the role: only what was copied from a complete one is complete."""
    strips: tuple[PulledStrip, ...]
    next_ino: Ino
    next_index: int
    """Where the next Pull begins."""
    next_end: int
    """Records of the strip at which it begins; 0 if it begins a strip."""
    highest: Ino
    """About the highest inode of which there are strips, to tell progress by."""
    more: bool


@dataclass(frozen=True, slots=True)
class FloorList:
    """Part of a server's floors, rising by inode."""

    disk: str
    floors: bytes
    """u64 inode and u64 ticket each, little-endian."""
    last: Ino
    """After which the next ListFloors begins."""
    more: bool


@dataclass(frozen=True, slots=True)
class Fenced:
    """How far a server's valid data of an inode reaches after the cuts sent along, in bytes of the file; 0 for none."""

    end_bytes: int
    is_certain: bool = True
    """False: something behind it does not verify, or can't be read, so that only the other replica tells what stood there."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the history of what one server stored."""

    disk: str
    """Of its state folder: another one has another history."""
    tick: int
    """Rises by one every few seconds, never falls."""


class Snapshot(NamedTuple):
    """Names a snapshot of the meta-server that a data server keeps."""

    taken_ns: int
    """When, since 1970; a newer one has a higher time whatever the clock said."""
    size_bytes: int
    """As kept: compressed."""
    checksum: int
    """CRC-32 of those bytes."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The whole snapshots that a server keeps, oldest first."""

    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Some bytes of a snapshot."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """How many blocks a server has stored of an inode; a role that is not complete is left out: it can't tell."""

    primary: int | None = None
    secondary: int | None = None


# --- blocks ------------------------------------------------------------------------------------------------------------


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
    data: bytes


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


# --- rebuilding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pull(Request[Pulled]):
    """Return verified records of one role from (ino, index) on, about `data_bytes` of them at most.

    Asked by the neighbour that holds the other replica of the same blocks and lost its own, or may have lost some.
    `since`: only strips that may have changed since this tick, and a while before (see AskMoment); 0: all.
    Faults: NotTrusted (this server is suspect itself, and does not yet know what changed; ask again).
    """

    role: Role
    ino: Ino
    index: int
    data_bytes: int
    since: int = 0


@dataclass(frozen=True, slots=True)
class AskMoment(Request[Moment]):
    """Return the present as this server counts it, by which it can be asked later what has changed since."""


@dataclass(frozen=True, slots=True)
class ListFloors(Request[FloorList]):
    """Return up to `limit` floors of inodes above `after`, also of inodes without blocks."""

    after: Ino
    limit: int


@dataclass(frozen=True, slots=True)
class AcceptLoss(Request[Identity]):
    """Count lost roles as complete: from now on what is missing there reads as never written. An operator's decision."""


@dataclass(frozen=True, slots=True)
class CountBlocks(Request[BlockCounts]):
    """Return how many blocks numbered below `below` are stored of an inode; nothing is read or verified."""

    ino: Ino
    below: int


# --- the server ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identify(Request[Identity]):
    """Return who this server is."""


@dataclass(frozen=True, slots=True)
class PrepareFormat(Request[Identity]):
    """First phase of formatting: a blank server notes durably whose it will be. Repeating it is harmless.

    Faults: WrongServer (it belongs to another cluster, or is another index).
    """

    shape: Shape
    index: ServerIndex


@dataclass(frozen=True, slots=True)
class CommitFormat(Request[Identity]):
    """Second phase: all servers are prepared; from now on this one is complete in both roles. Repeating it is harmless."""

    cluster: str


@dataclass(frozen=True, slots=True)
class NoteMark(Request[Done]):
    """Remember durably that meta may issue numbers up to `mark`."""

    mark: int


@dataclass(frozen=True, slots=True)
class StoreSnapshot(Request[Done]):
    """Keep a part of a snapshot of the meta-server. The part that ends it makes it count, if the whole verifies, durably.

    Parts come in order; one at offset 0 begins anew. Only the newest few are kept. Faults: BadRequest, NoSpace, ReadOnly.
    """

    snapshot: Snapshot
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ListSnapshots(Request[Snapshots]):
    """Return the whole snapshots that this server keeps."""


@dataclass(frozen=True, slots=True)
class FetchSnapshot(Request[SnapshotPart]):
    """Return up to `limit` bytes of a snapshot from `offset`. Faults: BadRequest if it is not kept here."""

    snapshot: Snapshot
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class ShowData(Request[DataStatus]):
    """Return identity, space and progress."""


BLOCK_METHODS: Final[dict[str, type[Request[object]]]] = {
    "put": Put,
    "get": Get,
    "repair": Repair,
    "sync": Sync,
    "fence": Fence,
    "clean": Clean,
    "drop": Drop,
    "list_inodes": ListInodes,
    "pull": Pull,
    "list_floors": ListFloors,
    "ask_moment": AskMoment,
    "accept_loss": AcceptLoss,
    "count_blocks": CountBlocks,
    "scrub": Scrub,
    "show_scrub": ShowScrub,
    "mend": Mend,
    "identify": Identify,
    "prepare_format": PrepareFormat,
    "commit_format": CommitFormat,
    "note_mark": NoteMark,
    "store_snapshot": StoreSnapshot,
    "list_snapshots": ListSnapshots,
    "fetch_snapshot": FetchSnapshot,
    "status": ShowData,
}
"""Method name on the wire -> request."""
