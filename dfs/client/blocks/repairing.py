"""Read repair: a bad or older copy is replaced by the other replica's verified one (R9, I5).

A copy that is merely older may belong to a put under way: it is repaired, and reported, only if a second look still finds it so.
The caller has its bytes already, so a repair that fails is only noted (R11). Called by settling.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from dfs.client.blocks.asking import Asking
from dfs.client.blocks.copies import copies_of, other
from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.patience import pause
from dfs.client.blocks.replication import PASSING
from dfs.client.blocks.server_health import Purpose, ServerHealth
from dfs.core.errors import BadAnswer, DfsError, StaleTicket
from dfs.core.events.copies import COPY_REPAIRED
from dfs.core.events.event import Event
from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers, EventSink
from dfs.core.limits import READ_PATIENCE_S
from dfs.core.messages.blocks import Copy, CopyState, Get, Repair, Run, pack_copies
from dfs.core.messages.requests import Done, Request
from dfs.core.messages.scrub import Mend, Mended
from dfs.core.placement import Role

LOG = logging.getLogger(__name__)

SECOND_LOOK_S: Final = 0.05
"""Time for a put under way to reach the second server."""
RECOVERING: Final = (CopyState.UNKNOWN, CopyState.UNDECIDED)
"""What a server that recovers says of much, and tells of itself."""
UNKNOWN_MAX: Final = 16
"""So many blocks of which a server knows nothing are repaired for one read; the server's own recovery does the rest."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A copy to be replaced."""

    block_no: BlockNo
    role: Role
    bad: Copy
    good: Copy
    data: bytes
    """The good copy's."""

    @property
    def is_merely_older(self) -> bool:
        """Whether the bad copy may be the state before a put that is under way."""
        return self.bad.state.has_bytes or self.bad.state is CopyState.ABSENT


class Repairing:
    """Repairs copies."""

    def __init__(
        self,
        servers: DataServers,
        asking: Asking,
        health: ServerHealth,
        clock: Clock,
        events: EventSink,
        mends: Callable[[], bool] = lambda: False,
    ) -> None:
        """`mends`: whether data servers take no copy from this process, but compare the two themselves when told of a fault."""
        self._mends = mends
        self._servers = servers
        self._asking = asking
        self._health = health
        self._clock = clock
        self._events = events

    def repair(self, ctx: CallContext, view: FileView, faults: list[Fault]) -> None:
        """Replace bad copies where their servers can be reached. Raises: Interrupted; StaleTicket: the view is too old."""
        older = [fault for fault in faults if fault.is_merely_older]
        unknown = [fault for fault in faults if fault.bad.state in RECOVERING]
        corrupt = [fault for fault in faults if fault.bad.state is CopyState.CORRUPT]
        if older:
            pause(ctx, self._clock, SECOND_LOOK_S)
            older = self._still_older(ctx, view, older)
        queues: dict[ServerIndex, list[Fault]] = {}
        for fault in (*corrupt, *older, *unknown[:UNKNOWN_MAX]):
            queues.setdefault(view.content.layout.server_of(fault.block_no, fault.role), []).append(fault)
        while queues:
            self._repair_some(ctx, view, {server: queue.pop() for server, queue in queues.items()})
            queues = {server: queue for server, queue in queues.items() if queue and not self._health.is_down(server)}

    def _still_older(self, ctx: CallContext, view: FileView, faults: Iterable[Fault]) -> list[Fault]:
        """Look again at both copies of each block; leave out those where something has moved."""
        layout, content = view.content.layout, view.content
        tells: dict[ServerIndex, list[Run]] = {}
        faults = list(faults)
        for fault in faults:
            for role in Role:
                tells.setdefault(layout.server_of(fault.block_no, role), []).append(Run(role, fault.block_no, 1))
        calls = {server: Get(view.ino, content.newest_cut, content.cuts, (), tuple(runs)) for server, runs in tells.items()}
        seen: dict[tuple[BlockNo, Role], Copy] = {}
        for run, found in self._asking.get(ctx, calls):
            server = layout.server_of(run.first, run.role)
            try:
                seen[run.first, run.role] = copies_of(server, found)[0]
            except BadAnswer as error:
                self._asking.distrust(ctx, server, error)
        return [
            fault
            for fault in faults
            if seen.get((fault.block_no, fault.role)) == fault.bad and seen.get((fault.block_no, other(fault.role))) == fault.good
        ]

    def _repair_some(self, ctx: CallContext, view: FileView, faults: dict[ServerIndex, Fault]) -> None:
        make = _mend if self._mends() else _repair
        calls: dict[ServerIndex, Request[Any]] = {server: make(view, fault) for server, fault in faults.items()}
        for server, answer in self._servers.call_all(ctx, calls, READ_PATIENCE_S).items():
            if not isinstance(answer, Mended) or answer.repaired:
                self._note(ctx, view, server, faults[server], answer)

    def _note(self, ctx: CallContext, view: FileView, server: ServerIndex, fault: Fault, answer: Done | Mended | DfsError) -> None:
        if isinstance(answer, StaleTicket):
            raise answer
        if isinstance(answer, PASSING):
            self._health.note_failure(ctx, server, answer, Purpose.READ)
        elif isinstance(answer, DfsError):
            LOG.warning("inode %d block %d on server %d is not repaired: %s", view.ino, fault.block_no, server, answer)
        elif fault.bad.state not in RECOVERING:
            state = "older" if fault.is_merely_older else fault.bad.state.name.lower()
            self._events.emit(
                Event(
                    COPY_REPAIRED,
                    server=server,
                    ino=view.ino,
                    path=view.path,
                    block=fault.block_no,
                    generation=fault.good.generation,
                    details={"role": fault.role.name.lower(), "state": state},
                ),
                ctx,
            )


def _repair(view: FileView, fault: Fault) -> Repair:
    """Return the request that hands a server the good copy."""
    good, newest_cut = fault.good, view.content.newest_cut
    return Repair(view.ino, newest_cut, fault.role, fault.block_no, fault.bad, good.generation, good.checksum, fault.data)


def _mend(view: FileView, fault: Fault) -> Mend:
    """Return the request that has a server compare its copy with its neighbour's, and take that."""
    seen = pack_copies([fault.bad, fault.good])
    return Mend(view.ino, view.content.newest_cut, fault.role, fault.block_no, 1, seen)
