"""Fence: an inode's floor is raised, and meta learns how far its valid data reaches (design section 7: settling).

Promises: the floor is durable before the answer, so nothing of an older ticket is stored afterwards; the end counts verified
blocks only, and tells if there are others behind it. Called by the service. Never removes anything: Clean does.
"""

from __future__ import annotations

from typing import Final

from dfs.core.cuts import Cut, valid_length
from dfs.core.ids import Ino, Ticket
from dfs.core.interfaces import CallContext
from dfs.core.messages.blocks import CopyState, Fence, Fenced
from dfs.core.placement import Role
from dfs.core.records import Record
from dfs.data.blocks.checks import check_cuts, check_ino, check_number
from dfs.data.blocks.store import Store
from dfs.data.disk.geometry import RECORDS_PER_GROUP
from dfs.data.disk.journal_entries import Entry, Kind
from dfs.data.disk.strip import Strip

CHUNK_RECORDS: Final = 64
"""Records read at once on the way from a strip's end to its last valid block."""


class Fencing:
    """Carries out Fence."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def fence(self, ctx: CallContext, request: Fence) -> Fenced:
        """Raise the floor, then tell the end of the valid data. Raises: BadRequest, NotTrusted, DiskError leaves."""
        store, ino = self._store, request.ino
        check_ino(ino)
        check_number("ticket", request.ticket, 1)
        check_cuts(request.cuts)
        store.require_issued(request.ticket)
        with store.hold(ino):
            raise_floor(store, ctx, ino, request.ticket)
            ends = [self._end_of(ino, role, request.cuts) for role in Role]
        store.journal.sync()
        return Fenced(max(end.end_bytes for end in ends), all(end.is_certain for end in ends))

    def _end_of(self, ino: Ino, role: Role, cuts: tuple[Cut, ...]) -> Fenced:
        """Return how far valid data reaches in one role, in bytes of the file."""
        store = self._store
        pending = store.overlay.merged(ino, role)
        with store.strip(ino, role) as strip:
            end, is_certain = 0, True
            residue = -1 if strip is None else strip.residue
            if pending is not None:
                residue = pending.residue
                for index in sorted(pending.records, reverse=True):
                    if end := self._block_end(index, residue, pending.records[index], cuts):
                        break
            if strip is not None:
                newer = frozenset(pending.records if pending is not None else ())
                in_place = self._end_in_place(strip, newer, cuts)
                end, is_certain = max(end, in_place.end_bytes), in_place.is_certain
        return Fenced(end, is_certain)

    def _end_in_place(self, strip: Strip, newer: frozenset[int], cuts: tuple[Cut, ...]) -> Fenced:
        """Return how far valid data in place reaches, save the records that have a newer pending version."""
        is_certain = not strip.has_unplaced
        for number in sorted(strip.groups, reverse=True):
            top = (strip.groups[number].present | strip.groups[number].unknown).bit_length()
            while top:
                at = max(0, top - CHUNK_RECORDS)
                first = number * RECORDS_PER_GROUP + at
                looks = self._store.look(strip, (), first, top - at)
                for index in range(first + len(looks) - 1, first - 1, -1):
                    look = looks[index - first]
                    if index in newer:
                        continue
                    if look.record is None:
                        is_certain = is_certain and look.state is CopyState.ABSENT
                    elif end := self._block_end(index, strip.residue, look.record, cuts):
                        return Fenced(end, is_certain)
                top = at
        return Fenced(0, is_certain)

    def _block_end(self, index: int, residue: int, record: Record, cuts: tuple[Cut, ...]) -> int:
        """Return where the valid bytes of a block end in the file, 0 if it is void."""
        geometry = self._store.geometry
        block_no = geometry.block_no(index, residue)
        length = valid_length(cuts, block_no, geometry.block_size, record.generation, len(record.data))
        return block_no * geometry.block_size + length if length else 0


def raise_floor(store: Store, ctx: CallContext, ino: Ino, ticket: Ticket) -> None:
    """Raise an inode's floor; durable after journal.sync(). Under hold(ino). Raises: DiskError leaves."""
    if store.floor(ino, ctx) < ticket:
        store.write_journal([Entry(Kind.FLOOR, ino, ticket)])
