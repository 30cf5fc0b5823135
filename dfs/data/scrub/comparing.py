"""Looking at a batch of records: this server's are read and verified, then compared with the neighbour's copies (R9, I2).

Promises: a difference counts only if a second look finds the very same, because a put may be on its way; damage is told once per
look. Called by the scrub's task. Never replaces a copy itself: mending.py does, on the server whose copy must give way.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.errors import DfsError, Interrupted, PeerError, StaleTicket
from dfs.core.events.copies import COPIES_DIFFER, NO_GOOD_COPY, SCRUB_REPAIRED
from dfs.core.events.event import Event
from dfs.core.ids import NUMBER_MAX, BlockNo, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, DataServers, EventSink
from dfs.core.messages.blocks import COPY_FORMAT, Copy, CopyState, Get, Run, pack_copies, unpack_copies
from dfs.core.messages.scrub import Mend, ScrubCounts
from dfs.core.placement import Role, twin_of
from dfs.data.blocks.reading import Reading
from dfs.data.blocks.store import Store
from dfs.data.scrub.mending import Finding, Mending, judge, read_copies
from dfs.data.scrub.neighbour_watch import NeighbourWatch
from dfs.data.scrub.walk import Batch

ANY_CUT: Final = Ticket(NUMBER_MAX)
"""Never refused as stale."""
SIMPLE: Final = {int(CopyState.ABSENT), int(CopyState.PRESENT)}


class Difference(NamedTuple):
    """A block whose copies are not as they should be."""

    at: int
    """Its place in the batch."""
    own: Copy
    other: Copy
    finding: Finding


class Look(NamedTuple):
    """What one look at a batch found."""

    present: int
    """Records that were read and verified here."""
    is_compared: bool
    floor: Ticket
    differences: tuple[Difference, ...] = ()


class Comparing:
    """Looks at batches."""

    def __init__(
        self, store: Store, reading: Reading, mending: Mending, neighbours: DataServers, watch: NeighbourWatch, events: EventSink
    ) -> None:
        self._store = store
        self._reading = reading
        self._mending = mending
        self._neighbours = neighbours
        self._watch = watch
        self._events = events

    def look(self, ctx: CallContext, batch: Batch) -> Look:
        """Read a batch and compare it. Raises: Interrupted, DiskError leaves, NotTrusted: a sync failed and the server ends."""
        store, (ino, role, first, count) = self._store, batch
        with store.hold(ino):
            floor = store.floor(ino, ctx)
        own = self._reading.get(ctx, Get(ino, ANY_CUT, (), (), (Run(role, first, count),))).copies
        states = own[:: COPY_FORMAT.size]
        present = states.count(CopyState.PRESENT) + states.count(CopyState.DOUBTED)
        other = self._other_copies(ctx, batch, floor)
        if other is None:
            return Look(present, False, floor)
        if other == own and SIMPLE.issuperset(states):
            return Look(present, True, floor)
        pairs = zip(unpack_copies(own), read_copies(self._twin(role)[0], other, count), strict=True)
        found = ((at, mine, theirs, judge(role, mine, theirs, floor)) for at, (mine, theirs) in enumerate(pairs))
        return Look(present, True, floor, tuple(Difference(*each) for each in found if each[3] is not Finding.GOOD))

    def settle(self, ctx: CallContext, batch: Batch, first: Look) -> tuple[ScrubCounts, list[BlockNo]]:
        """Look again, and have replaced what is still as it was; return what came of it, and the blocks without a good copy.

        Raises: as look().
        """
        second = self.look(ctx, batch)
        if not second.is_compared:
            return ScrubCounts(left=batch.blocks), []
        known = set(first.differences)
        still = [difference for difference in second.differences if difference in known]
        wanted = [each for each in still if each.finding in (Finding.OWN, Finding.OTHER)]
        repaired = self._mend(ctx, batch, second.floor, wanted)
        unmended = self._still_there(ctx, batch, wanted) if repaired < len(wanted) else 0
        damaged = [each for each in still if each.finding in (Finding.LOST, Finding.DIFFER)]
        for each in damaged:
            self._tell_damage(ctx, batch, each)
        unsure = sum(each.finding is Finding.UNSURE for each in still)
        counts = ScrubCounts(repaired=repaired, damaged=len(damaged), left=unsure + unmended)
        return counts, [self._number(batch, each.at) for each in damaged]

    def _still_there(self, ctx: CallContext, batch: Batch, wanted: list[Difference]) -> int:
        """Return how many differences are still what they were; others the neighbour's scrub has mended at the same time."""
        third = self.look(ctx, batch)
        return len(set(wanted).intersection(third.differences)) if third.is_compared else len(wanted)

    # --- the neighbour ---------------------------------------------------------------------------------------------------

    def _twin(self, role: Role) -> tuple[ServerIndex, Role]:
        return twin_of(self._store.server, role, self._store.geometry.servers)

    def _other_copies(self, ctx: CallContext, batch: Batch, floor: Ticket) -> bytes | None:
        """Return what the neighbour says of its copies; None: they can't be compared now."""
        if self._watch.reason(ctx, batch.role):
            return None
        twin, twin_role = self._twin(batch.role)
        wanted = Get(batch.ino, floor, (), (), (Run(twin_role, batch.first, batch.blocks),))
        try:
            return self._neighbours.call(ctx, twin, wanted).copies
        except Interrupted:
            raise
        except StaleTicket:
            return None  # the neighbour has executed a cut of which this server is yet to hear
        except DfsError as error:
            self._watch.note_failure(batch.role, error)
            return None

    def _mend(self, ctx: CallContext, batch: Batch, floor: Ticket, differences: list[Difference]) -> int:
        """Have the copies replaced that must give way, here and at the neighbour; return how many were."""
        repaired = 0
        twin, twin_role = self._twin(batch.role)
        for finding, server, role in ((Finding.OWN, self._store.server, batch.role), (Finding.OTHER, twin, twin_role)):
            chosen = [each for each in differences if each.finding is finding]
            for run in _neighbours_in(chosen):
                here = [each.own if finding is Finding.OWN else each.other for each in run]
                there = [each.other if finding is Finding.OWN else each.own for each in run]
                request = Mend(batch.ino, floor, role, self._number(batch, run[0].at), len(run), pack_copies(here + there))
                count = self._mend_run(ctx, request, None if finding is Finding.OWN else server)
                repaired += count
                if count:
                    details = {"role": role.name.lower(), "count": count}
                    self._events.emit(
                        Event(SCRUB_REPAIRED, server=server, ino=batch.ino, block=request.first, details=details), ctx
                    )
        return repaired

    def _mend_run(self, ctx: CallContext, request: Mend, server: ServerIndex | None) -> int:
        """Mend here, or at a neighbour; 0 if it can't be done now."""
        try:
            if server is None:
                return self._mending.mend(ctx, request)
            return self._neighbours.call(ctx, server, request).repaired
        except Interrupted:
            raise
        except DfsError as error:
            if server is None and not isinstance(error, (PeerError, StaleTicket)):
                raise
            return 0  # it counts as left; a neighbour that refuses says why in its own log

    # --- telling ---------------------------------------------------------------------------------------------------------

    def _number(self, batch: Batch, at: int) -> BlockNo:
        return BlockNo(batch.first + at * self._store.geometry.servers)

    def _tell_damage(self, ctx: CallContext, batch: Batch, found: Difference) -> None:
        first, second = (found.own, found.other) if batch.role is Role.PRIMARY else (found.other, found.own)
        kind = COPIES_DIFFER if found.finding is Finding.DIFFER else NO_GOOD_COPY
        words = {"primary": first.state.name.lower(), "secondary": second.state.name.lower()}
        number = self._number(batch, found.at)
        event = Event(kind, self._store.server, batch.ino, block=number, generation=found.own.generation, details=words)
        self._events.emit(event, ctx)


def _neighbours_in(differences: list[Difference]) -> list[list[Difference]]:
    """Return rising differences as runs without a gap."""
    runs: list[list[Difference]] = []
    for each in differences:
        if runs and runs[-1][-1].at + 1 == each.at:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs
