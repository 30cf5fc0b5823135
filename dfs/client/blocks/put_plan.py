"""The Puts of one write: which bytes go to which server (pure).

Consecutive blocks fall on the servers in turn, so the blocks first + r, first + r + N, ... go together: as primary copies to one
server, as secondary copies to the next. Their bytes and checksums are put together once and used for both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket
from dfs.core.joined_bytes import JoinedBytes, SharedPart
from dfs.core.limits import REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.messages.blocks import Put, Segment
from dfs.core.placement import Layout, Role
from dfs.core.records import Buffer, cut_blocks, pack_checksums, run_checksums

SHARED_BYTES_MIN: Final = 24 << 10
"""Of a request's data: of less it is quicker to encode it for each server than to keep what it was turned into."""


def blocks_at_once(layout: Layout) -> int:
    """Return how many consecutive blocks may be asked of, or sent to, all servers in one round: both roles count on each."""
    per_server = min(REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX // layout.block_size)
    return per_server // 2 * layout.servers


def plan_puts(
    ino: Ino, layout: Layout, ticket: Ticket, generation: Generation, first: BlockNo, data: Buffer
) -> list[dict[ServerIndex, Put]]:
    """Return the rounds of Puts that store `data`, which begins with block `first`; its last block may be short."""
    view = memoryview(data)
    step_blocks = blocks_at_once(layout)
    step_bytes = step_blocks * layout.block_size
    return [
        _plan_round(ino, layout, ticket, generation, BlockNo(first + number * step_blocks), view[at : at + step_bytes])
        for number, at in enumerate(range(0, view.nbytes, step_bytes))
    ]


def _plan_round(
    ino: Ino, layout: Layout, ticket: Ticket, generation: Generation, first: BlockNo, view: memoryview
) -> dict[ServerIndex, Put]:
    size, servers = layout.block_size, layout.servers
    blocks = cut_blocks(view, size)
    stripes: dict[ServerIndex, list[_Stripe]] = {}
    for offset in range(min(servers, len(blocks))):
        pieces = blocks[offset::servers]
        start = BlockNo(first + offset)
        numbers = range(start, start + len(pieces) * servers, servers)
        sums = pack_checksums(run_checksums(ino, generation, numbers, pieces))
        part = SharedPart(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        for role in Role:
            segment = Segment(role, start, len(pieces), len(pieces[-1]))
            stripes.setdefault(layout.server_of(start, role), []).append(_Stripe(offset % 2, segment, sums, part))
    return {server: _put(ino, ticket, generation, sorted(stripes[server])) for server in sorted(stripes)}


class _Stripe(NamedTuple):
    """Every Nth block, on one of its two servers."""

    order: int
    """Neighbouring stripes, which meet on one server, differ in it: so each comes first on both its servers, or last on both, and
    is turned into the same Base64 for both.
    """
    segment: Segment
    sums: bytes
    part: SharedPart


def _put(ino: Ino, ticket: Ticket, generation: Generation, stripes: list[_Stripe]) -> Put:
    segments = tuple([stripe.segment for stripe in stripes])
    sums = b"".join([stripe.sums for stripe in stripes])
    data = JoinedBytes([stripe.part for stripe in stripes])
    return Put(ino, ticket, generation, segments, sums, data if len(data) >= SHARED_BYTES_MIN else bytes(data))
