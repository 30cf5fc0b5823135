"""Reading: both replicas of every block are consulted and verified, the bad one is repaired (R9, R11, I2 to I5).

One Get per server: it sends the blocks that it holds as primary, and tells state, generation and checksum of those it holds as
secondary. A server known to be down is left out, and the other replica's server sends in its place. When the copies of all blocks
agree, that is all; the others go to settling.py. Takes no turn and needs no grant. The caller sees to it that the view is fresh;
StaleTicket tells it that the view is older than a cut which the servers know.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial

from dfs.client.blocks.asking import Asking
from dfs.client.blocks.copies import Stripe, other, take_all
from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.patience import Patience
from dfs.client.blocks.put_plan import blocks_at_once
from dfs.client.blocks.server_health import ServerHealth
from dfs.client.blocks.settling import Settling
from dfs.core.errors import BadAnswer
from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.interfaces import CallContext, Clock, Random
from dfs.core.limits import CALL_TIMEOUT_S, READ_PATIENCE_S
from dfs.core.messages.blocks import Get, Run
from dfs.core.placement import Layout, Role
from dfs.core.plan import plan_range
from dfs.core.records import Buffer


class Reader:
    """Reads files."""

    def __init__(self, asking: Asking, health: ServerHealth, settling: Settling, clock: Clock, random: Random) -> None:
        self._asking = asking
        self._health = health
        self._settling = settling
        self._clock = clock
        self._random = random

    def read(self, ctx: CallContext, view: FileView, size_bytes: int, offset: int) -> bytes:
        """Return up to `size_bytes` bytes from `offset`; fewer only at the end of the file. Holes are zeros.

        Waits while no server of a block can be reached. Raises: Interrupted; NoGoodCopy; StaleTicket: the view is too old.
        """
        layout = view.content.layout
        end = min(offset + size_bytes, view.content.size_bytes)
        if offset >= end:
            return b""
        first, last = layout.block_of(offset), layout.block_of(end - 1)
        pieces: list[Buffer] = []
        step = blocks_at_once(layout)
        for start in range(first, last + 1, step):
            pieces += self._blocks(ctx, view, BlockNo(start), BlockNo(min(start + step - 1, last)))
        pieces[-1] = pieces[-1][: end - last * layout.block_size]
        pieces[0] = pieces[0][offset - first * layout.block_size :]
        return b"".join(pieces)

    def _blocks(self, ctx: CallContext, view: FileView, first: BlockNo, last: BlockNo) -> list[Buffer]:
        """Return the whole blocks first .. last, each filled up to the block size."""
        count = last - first + 1
        pieces: list[Buffer | None] = [None] * count
        patience_s = READ_PATIENCE_S
        patience = Patience(self._clock, self._random)
        while True:
            stripes = self._look(ctx, view, first, last, patience_s)
            patience_s = min(2 * patience_s, CALL_TIMEOUT_S)  # no copy in time: all its servers may be slow rather than hang
            unsettled: list[Stripe] = []
            for number, stripe in enumerate(stripes):
                taken = self._take(ctx, view, stripe)
                if taken is None:
                    unsettled.append(stripe)
                else:
                    pieces[number :: view.content.layout.servers] = taken
            if unsettled:
                for block_no, piece in self._settling.settle(ctx, view, unsettled).items():
                    pieces[block_no - first] = piece
            whole = [piece for piece in pieces if piece is not None]
            if len(whole) == count:
                return whole
            layout = view.content.layout
            missing = [BlockNo(first + index) for index, piece in enumerate(pieces) if piece is None]
            servers = {layout.server_of(block_no, role) for block_no in missing for role in Role}
            if any(self._health.is_up(server) for server in servers):
                patience.wait(ctx)  # it answered, and can't tell yet
            else:
                self._health.wait(ctx, servers)

    def _look(self, ctx: CallContext, view: FileView, first: BlockNo, last: BlockNo, patience_s: float) -> list[Stripe]:
        """Ask every server that is not known to be down, all at once, for what it holds of the blocks first .. last."""
        layout, content = view.content.layout, view.content
        stripes = [
            Stripe(BlockNo(start), (last - start) // layout.servers + 1)
            for start in range(first, min(first + layout.servers, last + 1))
        ]
        calls: dict[ServerIndex, Get] = {}
        plan = plan_range(layout, first, last)
        asked = {
            server
            for server, runs in plan.items()
            if self._asking.is_up(ctx, server, partial(Get, view.ino, content.newest_cut, content.cuts, (), runs))
        }
        for server, runs in plan.items():
            if server in asked:
                send, tell = _divide(layout, runs, asked)
                calls[server] = Get(view.ino, content.newest_cut, content.cuts, send, tell)
        for run, found in self._asking.get(ctx, calls, patience_s):
            stripes[run.first - first].found[run.role] = found
        return stripes

    def _take(self, ctx: CallContext, view: FileView, stripe: Stripe) -> list[Buffer] | None:
        """Return a stripe's blocks if all its copies agree, or if the only ones to be had are good; else None."""
        sender = next((role for role in Role if role in stripe.found and stripe.found[role].data is not None), None)
        if sender is None:
            return None
        found, second = stripe.found[sender], stripe.found.get(other(sender))
        if second is not None and second.copies != found.copies:
            return None
        layout = view.content.layout
        server = layout.server_of(stripe.first, sender)
        try:
            return take_all(server, view.ino, layout, stripe, found)
        except BadAnswer as error:
            self._asking.distrust(ctx, server, error)
            del stripe.found[sender]
            return None


def _divide(layout: Layout, runs: Sequence[Run], asked: Container[ServerIndex]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Return of which runs a server must send the data, and of which the state: primaries send, or whoever is left."""
    send: list[Run] = []
    tell: list[Run] = []
    for run in runs:
        is_sender = run.role is Role.PRIMARY or layout.server_of(run.first, Role.PRIMARY) not in asked
        (send if is_sender else tell).append(run)
    return tuple(send), tuple(tell)
