"""Mend: an own copy that must give way is replaced by the neighbour's (I2, I3, I5; decision record 14).

A data server knows no cuts, only floors. A copy of a generation at or above the floor is void by no cut that was executed here, so
it may be taken. One below may be: the neighbour may still hold what a cut has voided and was already cleaned away here. It is
taken only if the neighbour has the same floor; before it is asked, the superblock says that something is taken, so that meta
does not forget a cut by what this server confirmed before; and nothing is stored if a cut was executed here since. Where the two
floors differ nothing is replaced, until meta has told both: whoever asks is not to blame, and is not told that its ticket is stale.

An inode of which nothing at all is here may have been dropped, and the neighbour not know yet: nothing of it is taken until the
neighbour is found to hold it still after a time in which it would have been told. Else a disk that was lost while a write waited
for the other server would leave one copy for ever.

Promises: only this server's own copies change; only what was seen twice is replaced; what comes from the neighbour is verified.
Called by the scrub, and by the service for a neighbour's scrub. Never waits, and holds no lock while it asks the neighbour.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

from dfs.core.choose import Verdict, choose
from dfs.core.errors import BadAnswer, BadRequest, NotTrusted, StaleTicket
from dfs.core.ids import NO_TICKET, BlockNo, Generation, Ino, ServerIndex, Ticket, ticket_of
from dfs.core.interfaces import CallContext, Clock, DataServers, Tasks
from dfs.core.messages.blocks import Copy, CopyState, Get, Repair, Run, unpack_copies
from dfs.core.messages.rebuild import ListFloors
from dfs.core.messages.scrub import Mend
from dfs.core.placement import Role, twin_of
from dfs.core.records import checksum
from dfs.data.blocks.checks import check_get
from dfs.data.blocks.comparisons import Comparison
from dfs.data.blocks.repairing import Repairing
from dfs.data.blocks.store import Store
from dfs.data.disk.floors import ENTRY as FLOOR

UNKNOWN_S: Final = 60.0
"""How long a neighbour must go on holding what may have been dropped here: the reclaimer asks again after 15 s at most."""
UNKNOWN_MAX: Final = 10_000
"""Inodes of which it is remembered since when neighbours ask for them."""


class Finding(enum.Enum):
    """What the two copies of a block say together."""

    GOOD = "good"
    OWN = "own"
    """This server's copy must give way."""
    OTHER = "other"
    """The neighbour's copy must give way."""
    LOST = "lost"
    """Neither is good."""
    DIFFER = "differ"
    """Both verify at the same generation, but differ."""
    UNSURE = "unsure"
    """It can't be told now: the neighbour recovers, or a cut is executed on one server and not yet on the other."""


def judge(role: Role, own: Copy, other: Copy, floor: Ticket) -> Finding:
    """Judge the copies of a block: this server's, in its role, and the neighbour's; `floor` is the inode's. Pure."""
    if CopyState.DOUBTED in (own.state, other.state) or CopyState.UNDECIDED in (own.state, other.state):
        return Finding.UNSURE
    choice = choose(own, other) if role is Role.PRIMARY else choose(other, own)
    if choice.verdict is Verdict.LOST:
        return Finding.LOST
    if choice.differ:
        is_perhaps_cut = own.length != other.length and ticket_of(own.generation) < floor
        return Finding.UNSURE if is_perhaps_cut else Finding.DIFFER
    if choice.repair is None:
        return Finding.GOOD
    return Finding.OWN if choice.repair is role else Finding.OTHER


class Mending:
    """Carries out Mend."""

    def __init__(self, store: Store, repairing: Repairing, neighbours: DataServers, clock: Clock, tasks: Tasks) -> None:
        self._store = store
        self._repairing = repairing
        self._neighbours = neighbours
        self._clock = clock
        self._mutex = tasks.mutex()
        """Innermost; records only."""
        self._unknown_since_s: dict[Ino, float] = {}

    def mend(self, ctx: CallContext, request: Mend) -> int:
        """Replace the own copies that must give way; return how many.

        Raises: BadRequest, NotTrusted; StaleTicket: whoever asks has not heard of the floor here; PeerError leaves: the neighbour
        does not answer; its errors; DiskError leaves.
        """
        store, ino, role = self._store, request.ino, request.role
        check_get(Get(ino, request.newest_cut, (), (Run(role, request.first, request.blocks),), ()), store.geometry)
        own, other = _parse_seen(request)
        if not store.is_complete(role):
            raise NotTrusted(f"the {role.name.lower()} strips of data server {store.server} are not complete")
        with store.comparisons.comparing(ino) as comparison:
            with store.hold(ino):
                store.require_floor(ino, request.newest_cut, ctx)
                floor = store.floor(ino, ctx)
                is_known = floor or any(self._has_strip(ino, each) for each in Role)
            if not is_known and not self._is_held_on_to(ino):
                return 0
            wanted = [at for at in range(request.blocks) if judge(role, own[at], other[at], floor) is Finding.OWN]
            if not wanted:
                return 0
            if any(ticket_of(other[at].generation) < floor for at in wanted):
                store.identification.note_taking()
                if not self._has_same_floor(ctx, ino, role, floor):
                    return 0
            given = self._fetch(ctx, request, floor)
            changes = [
                Repair(ino, floor, role, _number(store, request, at), own[at], found.generation, found.checksum, data)
                for at in wanted
                for found, data in given[at : at + 1]
                if found == other[at]
            ]
            return self._store_all(ctx, comparison, changes)

    def _has_strip(self, ino: Ino, role: Role) -> bool:
        """Tell whether anything of an inode is here in a role; under hold(ino). Raises: DiskError leaves."""
        with self._store.strip(ino, role, partly=True) as strip:
            return strip is not None or bool(self._store.overlay.find(ino, role))

    def _is_held_on_to(self, ino: Ino) -> bool:
        """Tell whether a neighbour has gone on holding an inode of which nothing is here; begins to count at the first question."""
        now_s = self._clock.monotonic_s()
        with self._mutex:
            since_s = self._unknown_since_s.pop(ino, now_s)
            if now_s - since_s >= UNKNOWN_S:
                return True  # whatever comes of it: should it be dropped and asked for again, the time begins anew
            self._unknown_since_s[ino] = since_s
            if len(self._unknown_since_s) > UNKNOWN_MAX:
                del self._unknown_since_s[next(iter(self._unknown_since_s))]
        return False

    def _store_all(self, ctx: CallContext, comparison: Comparison, changes: list[Repair]) -> int:
        return sum(self._repairing.replace(ctx, change, lambda: not comparison.is_disturbed) for change in changes)

    def _has_same_floor(self, ctx: CallContext, ino: Ino, role: Role, floor: Ticket) -> bool:
        """Tell whether the neighbour was told the same floor as this server. Raises: BadAnswer and what the call raises."""
        twin, _ = twin_of(self._store.server, role, self._store.geometry.servers)
        floors = self._neighbours.call(ctx, twin, ListFloors(Ino(ino - 1), 1)).floors
        if len(floors) not in (0, FLOOR.size):
            raise BadAnswer(f"data server {twin}", f"{len(floors)} bytes of floors")
        told, ticket = FLOOR.unpack(floors) if floors else (0, NO_TICKET)
        return (ticket if told == ino else NO_TICKET) == floor

    def _fetch(self, ctx: CallContext, request: Mend, floor: Ticket) -> list[tuple[Copy, bytes]]:
        """Return the neighbour's copies, each with its bytes, verified; none if it knows of a cut that is yet to come here.

        Raises: BadAnswer and what the call raises.
        """
        store, ino = self._store, request.ino
        twin, twin_role = twin_of(store.server, request.role, store.geometry.servers)
        run = Run(twin_role, request.first, request.blocks)
        try:
            answer = self._neighbours.call(ctx, twin, Get(ino, floor, (), (run,), ()))
        except StaleTicket:
            return []
        given, at = [], 0
        for number, copy in enumerate(read_copies(twin, answer.copies, request.blocks)):
            data = answer.data[at : at + copy.length]
            at += len(data)
            block_no = _number(store, request, number)
            if copy.state.has_bytes and checksum(ino, block_no, Generation(copy.generation), data) != copy.checksum:
                raise BadAnswer(f"data server {twin}", f"inode {ino} block {block_no} does not verify")
            given.append((copy, data))
        return given


def _parse_seen(request: Mend) -> tuple[list[Copy], list[Copy]]:
    try:
        copies = unpack_copies(request.seen)
    except (struct.error, ValueError, KeyError) as error:
        raise BadRequest(f"copies that can't be read: {error}") from error
    if len(copies) != 2 * request.blocks:
        raise BadRequest(f"{len(copies)} copies of {request.blocks} blocks on two servers")
    return copies[: request.blocks], copies[request.blocks :]


def read_copies(server: ServerIndex, packed: bytes, count: int) -> list[Copy]:
    """Return the copies that a neighbour told. Raises: BadAnswer unless there are `count`."""
    try:
        copies = unpack_copies(packed)
    except (struct.error, ValueError, KeyError) as error:
        raise BadAnswer(f"data server {server}", f"copies that can't be read: {error}") from error
    if len(copies) != count:
        raise BadAnswer(f"data server {server}", f"{len(copies)} copies of {count} blocks")
    return copies


def _number(store: Store, request: Mend, at: int) -> BlockNo:
    return BlockNo(request.first + at * store.geometry.servers)
