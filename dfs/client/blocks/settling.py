"""Blocks whose copies do not simply agree: judge each, fetch the good copy if it was not sent, have the bad one repaired.

core/choose.py judges. What can't be decided yet, because a server of the block is away, is left out of the result; what is lost is
reported once and raised (I2). Called by reader.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dfs.client.blocks.asking import Asking
from dfs.client.blocks.copies import Found, Stripe, copies_of, data_of
from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.repairing import Fault, Repairing
from dfs.core.choose import Choice, Verdict, choose
from dfs.core.errors import BadAnswer, NoGoodCopy
from dfs.core.events.copies import COPIES_DIFFER, NO_GOOD_COPY
from dfs.core.events.event import Event
from dfs.core.ids import BlockNo, Generation, ServerIndex
from dfs.core.interfaces import CallContext, EventSink, Tasks
from dfs.core.messages.blocks import Copy, Get, Run
from dfs.core.placement import Role
from dfs.core.records import Buffer

REPORTS_MAX: Final = 4096
"""So many blocks are remembered as reported."""


@dataclass(slots=True)
class _Case:
    """One block to be judged."""

    block_no: BlockNo
    copies: dict[Role, Copy]
    choice: Choice
    good: Copy | None = None
    data: memoryview | None = None


class Settling:
    """Judges blocks one by one."""

    def __init__(self, asking: Asking, repairing: Repairing, tasks: Tasks, events: EventSink) -> None:
        self._asking = asking
        self._repairing = repairing
        self._events = events
        self._mutex = tasks.mutex()
        self._reported: dict[tuple[int, int, str], None] = {}

    def settle(self, ctx: CallContext, view: FileView, stripes: Iterable[Stripe]) -> dict[BlockNo, Buffer]:
        """Return the bytes of the blocks that can be settled now, each filled up to the block size.

        Raises: NoGoodCopy; StaleTicket; Interrupted.
        """
        layout = view.content.layout
        cases = [case for stripe in stripes for case in self._cases(ctx, view, stripe)]
        settled: dict[BlockNo, Buffer] = {}
        for case in cases:
            if case.choice.verdict is Verdict.LOST:
                raise self._lost(ctx, view, case)
            if case.choice.verdict is Verdict.HOLE:
                settled[case.block_no] = bytes(layout.block_size)
        wanted = [case for case in cases if case.choice.verdict is Verdict.COPY]
        self._fetch(ctx, view, [case for case in wanted if case.data is None])
        got = [case for case in wanted if case.data is not None]
        self._repair(ctx, view, got)
        for case in got:
            if case.choice.differ:
                self._report_difference(ctx, view, case)
            assert case.data is not None
            settled[case.block_no] = b"".join((case.data, bytes(layout.block_size - case.data.nbytes)))
        return settled

    def _cases(self, ctx: CallContext, view: FileView, stripe: Stripe) -> list[_Case]:
        """Return the blocks of a stripe, judged, with their data where that was sent."""
        layout = view.content.layout
        copies: dict[Role, list[Copy]] = {}
        for role, found in stripe.found.items():
            try:
                copies[role] = copies_of(layout.server_of(stripe.first, role), found)
            except BadAnswer as error:
                self._asking.distrust(ctx, layout.server_of(stripe.first, role), error)
        cases: list[_Case] = []
        for index in range(stripe.blocks):
            mine = {role: told[index] for role, told in copies.items()}
            block_no = BlockNo(stripe.first + index * layout.servers)
            case = _Case(block_no, mine, choose(mine.get(Role.PRIMARY), mine.get(Role.SECONDARY)))
            source = case.choice.source
            if source is not None:
                self._take(ctx, view, case, stripe.found[source], copies[source], index)
            cases.append(case)
        return cases

    def _fetch(self, ctx: CallContext, view: FileView, cases: list[_Case]) -> None:
        """Get the data of chosen copies that were only told of. Those that are not good any more stay without."""
        layout, content = view.content.layout, view.content
        sends: dict[ServerIndex, list[Run]] = {}
        for role in Role:
            numbers = [case.block_no for case in cases if case.choice.source is role]
            for run in runs_of(role, numbers, layout.servers):
                sends.setdefault(layout.server_of(run.first, role), []).append(run)
        calls = {server: Get(view.ino, content.newest_cut, content.cuts, tuple(runs), ()) for server, runs in sends.items()}
        by_block = {case.block_no: case for case in cases}
        for run, found in self._asking.get(ctx, calls):
            try:
                copies = copies_of(layout.server_of(run.first, run.role), found)
            except BadAnswer as error:
                self._asking.distrust(ctx, layout.server_of(run.first, run.role), error)
                continue
            for index in range(run.blocks):
                case = by_block[BlockNo(run.first + index * layout.servers)]
                if copies[index].state.has_bytes:
                    self._take(ctx, view, case, found, copies, index)

    def _take(self, ctx: CallContext, view: FileView, case: _Case, found: Found, copies: list[Copy], index: int) -> None:
        """Give a case the chosen copy's data, if it was sent and verifies."""
        source = case.choice.source
        assert source is not None
        if found.data is None:
            return
        server = view.content.layout.server_of(case.block_no, source)
        try:
            case.data = data_of(server, view.ino, case.block_no, copies, index, found.data)
            case.good = copies[index]
        except BadAnswer as error:
            self._asking.distrust(ctx, server, error)

    def _repair(self, ctx: CallContext, view: FileView, cases: list[_Case]) -> None:
        faults = []
        for case in cases:
            role = case.choice.repair
            if role is not None and case.good is not None and case.data is not None:
                faults.append(Fault(case.block_no, role, case.copies[role], case.good, bytes(case.data)))
        if faults:
            self._repairing.repair(ctx, view, faults)

    # --- reports -----------------------------------------------------------------------------------------------------------

    def _lost(self, ctx: CallContext, view: FileView, case: _Case) -> NoGoodCopy:
        states = {role: case.copies[role].state.name.lower() for role in Role}
        if self._is_news(view, case, "lost"):
            details = {"primary": states[Role.PRIMARY], "secondary": states[Role.SECONDARY]}
            self._events.emit(Event(NO_GOOD_COPY, ino=view.ino, path=view.path, block=case.block_no, details=details), ctx)
        return NoGoodCopy(view.ino, case.block_no, states[Role.PRIMARY], states[Role.SECONDARY])

    def _report_difference(self, ctx: CallContext, view: FileView, case: _Case) -> None:
        if self._is_news(view, case, "differ"):
            generation = Generation(case.copies[Role.PRIMARY].generation)
            event = Event(COPIES_DIFFER, ino=view.ino, path=view.path, block=case.block_no, generation=generation)
            self._events.emit(event, ctx)

    def _is_news(self, view: FileView, case: _Case, what: str) -> bool:
        """Tell whether this was not yet reported, and note it: a program that reads on and on must not flood the journal."""
        key = (view.ino, case.block_no, what)
        with self._mutex:
            if key in self._reported:
                return False
            self._reported[key] = None
            if len(self._reported) > REPORTS_MAX:
                del self._reported[next(iter(self._reported))]
            return True


def runs_of(role: Role, numbers: Iterable[BlockNo], servers: int) -> list[Run]:
    """Return rising block numbers as runs, block numbers of which step by the number of servers."""
    open_runs: dict[int, Run] = {}
    done: list[Run] = []
    for number in numbers:
        run = open_runs.get(number % servers)
        if run is not None and number == run.first + run.blocks * servers:
            open_runs[number % servers] = run._replace(blocks=run.blocks + 1)
            continue
        if run is not None:
            done.append(run)
        open_runs[number % servers] = Run(role, number, 1)
    return done + list(open_runs.values())
