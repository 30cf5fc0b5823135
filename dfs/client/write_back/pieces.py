"""From runs of bytes to whole blocks: which runs are stored together, and what stands beside them in their blocks. Pure.

Runs that share a block must be stored as one piece, for a block is written once per generation. What lies in a block beside what
was written, inside the file, is read and written again, so few blocks are: the first and last of a piece, and those between runs.
Called by storing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from dfs.client.blocks.put_plan import plan_puts
from dfs.client.write_back.extents import Run
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket
from dfs.core.limits import REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.messages.blocks import Put
from dfs.core.placement import Layout
from dfs.core.records import Buffer


class Piece(NamedTuple):
    """Whole blocks that follow each other; the last may be short at the end of the file."""

    first: BlockNo
    end: int
    """The offset behind the last byte that was written."""
    body: Buffer


def first_batch(runs: Sequence[Run], block_size: int, batch_bytes: int) -> int:
    """Return how many of the first runs make about `batch_bytes` of whole blocks: one at least, and no block is left in part."""
    taken_bytes, last_block = 0, -1
    for count, run in enumerate(runs):
        first = run.start // block_size
        if taken_bytes >= batch_bytes and first != last_block:
            return count
        last_block = (run.end - 1) // block_size
        taken_bytes += (last_block - first + 1) * block_size
    return len(runs)


def make_pieces(runs: Iterable[Run], size_bytes: int, block_size: int, old_block: Callable[[BlockNo], bytes]) -> list[Piece]:
    """Return the pieces that store `runs`, which are in rising order, in a file of `size_bytes`.

    `old_block` returns what stands in a block inside the file, which may be shorter than a block or nothing.
    """
    return [_make_piece(group, size_bytes, block_size, old_block) for group in _groups(runs, block_size)]


def _groups(runs: Iterable[Run], block_size: int) -> list[list[Run]]:
    """Put runs together that touch each other, or share a block."""
    groups: list[list[Run]] = []
    for run in runs:
        last = groups[-1][-1] if groups else None
        if last is not None and (last.end == run.start or (last.end - 1) // block_size >= run.start // block_size):
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _make_piece(group: Sequence[Run], size_bytes: int, block_size: int, old_block: Callable[[BlockNo], bytes]) -> Piece:
    start, end = group[0].start, group[-1].end
    first = start // block_size
    base = first * block_size
    edge = -(-end // block_size) * block_size
    reach = max(end, min(size_bytes, edge))
    partial = {first} if start > base else set()
    partial |= {run.end // block_size for run, after in pairwise(group) if run.end != after.start}
    if reach > end:
        partial.add(end // block_size)
    if not partial and len(group) == 1:
        return Piece(BlockNo(first), end, group[0].data)
    body = bytearray(reach - base)
    for block_no in sorted(partial):
        at = block_no * block_size - base
        old = old_block(BlockNo(block_no))[: len(body) - at]
        body[at : at + len(old)] = old
    for run in group:
        body[run.start - base : run.end - base] = run.data
    return Piece(BlockNo(first), end, body)


def plan_pieces(
    ino: Ino, layout: Layout, ticket: Ticket, generation: Generation, pieces: Iterable[Piece]
) -> list[dict[ServerIndex, Put]]:
    """Return the rounds of Puts that store all pieces under one generation, as few as the limits of a request allow."""
    rounds: list[dict[ServerIndex, list[Put]]] = []
    blocks: dict[ServerIndex, int] = {}
    data_bytes: dict[ServerIndex, int] = {}
    for piece in pieces:
        for puts in plan_puts(ino, layout, ticket, generation, piece.first, piece.body):
            added = {server: sum(segment.blocks for segment in put.segments) for server, put in puts.items()}
            is_over = any(
                blocks.get(server, 0) + added[server] > REQUEST_BLOCKS_MAX
                or data_bytes.get(server, 0) + len(put.data) > REQUEST_DATA_BYTES_MAX
                for server, put in puts.items()
            )
            if not rounds or is_over:
                rounds.append({})
                blocks, data_bytes = {}, {}
            for server, put in puts.items():
                rounds[-1].setdefault(server, []).append(put)
                blocks[server] = blocks.get(server, 0) + added[server]
                data_bytes[server] = data_bytes.get(server, 0) + len(put.data)
    return [{server: _join(puts[server]) for server in sorted(puts)} for puts in rounds]


def _join(puts: Sequence[Put]) -> Put:
    if len(puts) == 1:
        return puts[0]
    segments = tuple(segment for put in puts for segment in put.segments)
    checksums, data = b"".join(put.checksums for put in puts), b"".join([bytes(put.data) for put in puts])
    return Put(puts[0].ino, puts[0].ticket, puts[0].generation, segments, checksums, data)
