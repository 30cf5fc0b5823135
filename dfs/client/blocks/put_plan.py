"""The Puts of one write: which bytes go to which server (pure).

Consecutive blocks fall on the servers in turn, so the blocks first + r, first + r + N, ... go together: as primary copies to one
server, as secondary copies to the next. Their bytes and checksums are put together once and used for both.
"""

from __future__ import annotations

from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket
from dfs.core.limits import REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.messages.blocks import Put, Segment
from dfs.core.placement import Layout, Role
from dfs.core.records import Buffer, cut_blocks, pack_checksums, run_checksums


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
    parts: dict[ServerIndex, list[tuple[Segment, bytes, bytes]]] = {}
    for offset in range(min(servers, len(blocks))):
        pieces = blocks[offset::servers]
        start = BlockNo(first + offset)
        numbers = range(start, start + len(pieces) * servers, servers)
        sums = pack_checksums(run_checksums(ino, generation, numbers, pieces))
        body = b"".join(pieces)
        for role in Role:
            segment = Segment(role, start, len(pieces), len(pieces[-1]))
            parts.setdefault(layout.server_of(start, role), []).append((segment, sums, body))
    return {server: _put(ino, ticket, generation, sorted(parts[server])) for server in sorted(parts)}


def _put(ino: Ino, ticket: Ticket, generation: Generation, parts: list[tuple[Segment, bytes, bytes]]) -> Put:
    segments, sums, bodies = zip(*parts, strict=True)
    return Put(ino, ticket, generation, segments, b"".join(sums), b"".join(bodies))
