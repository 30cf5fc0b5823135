"""What a request to a data server must fulfil before it has any effect; pure.

Promises: what passes can be stored and read without a further look at the request: sizes, counts, numbers and limits are right,
every block verifies, and nothing is named twice. Raises BadRequest or RequestTooLarge, with the first thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, RequestTooLarge
from dfs.core.ids import GENERATION_MAX, NUMBER_MAX, Generation, Ino, Ticket, ticket_of
from dfs.core.limits import BATCH_INODES_MAX, FILE_BYTES_MAX, REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.messages.blocks import Get, Put, Repair, Run, Segment
from dfs.core.placement import Role
from dfs.core.plan import blocks_of
from dfs.core.records import Buffer, checksum, cut_blocks, run_checksums, unpack_checksums
from dfs.data.disk.geometry import Geometry

CUTS_MAX: Final = 4096
"""Cuts of one request."""


class Incoming:
    """One segment of a Put, checked: neighbouring records of one strip."""

    __slots__ = ("blocks", "checksums", "count", "first", "generation", "residue", "role")

    def __init__(
        self, segment: Segment, servers: int, generation: Generation, checksums: Sequence[int], blocks: list[Buffer]
    ) -> None:
        self.role = segment.role
        self.first, self.residue = divmod(segment.first, servers)
        self.count = segment.blocks
        self.generation = generation
        self.checksums = checksums
        self.blocks = blocks


def check_put(request: Put, geometry: Geometry) -> list[Incoming]:
    """Return the segments of a Put if all of it is right."""
    check_ino(request.ino)
    check_number("ticket", request.ticket, 1)
    check_generation(request.generation)
    if ticket_of(request.generation) != request.ticket:
        raise BadRequest(f"generation {request.generation} is not one of ticket {request.ticket}")
    if not request.segments:
        raise BadRequest("no segments")
    _check_counts(request.segments, geometry)
    blocks = data_bytes = 0
    for segment in request.segments:
        if not 1 <= segment.last_length <= geometry.block_size:
            raise BadRequest(f"a last length outside 1 .. {geometry.block_size}")
        blocks += segment.blocks
        data_bytes += (segment.blocks - 1) * geometry.block_size + segment.last_length
    if data_bytes != len(request.data):
        raise BadRequest(f"{data_bytes} bytes of data announced, {len(request.data)} sent")
    if len(request.data) > REQUEST_DATA_BYTES_MAX:
        raise RequestTooLarge("data bytes of a put", len(request.data), REQUEST_DATA_BYTES_MAX)
    if len(request.checksums) != 4 * blocks:
        raise BadRequest(f"{blocks} checksums needed, {len(request.checksums)} bytes of them sent")
    return _split(request, geometry)


def _split(request: Put, geometry: Geometry) -> list[Incoming]:
    """Cut the data of a Put into blocks and verify each."""
    ino, generation, servers, block_size = request.ino, request.generation, geometry.servers, geometry.block_size
    sums = unpack_checksums(request.checksums)
    view = memoryview(bytes(request.data))
    result, start, taken = [], 0, 0
    for segment in request.segments:
        end = start + (segment.blocks - 1) * block_size + segment.last_length
        own_sums = sums[taken : taken + segment.blocks]
        blocks = cut_blocks(view[start:end], block_size)
        numbers = blocks_of(segment, servers)
        if (found := tuple(run_checksums(ino, generation, numbers, blocks))) != own_sums:
            wrong = next(number for number, a, b in zip(numbers, found, own_sums, strict=True) if a != b)
            raise BadRequest(f"the checksum of block {wrong} is wrong")
        result.append(Incoming(segment, servers, generation, own_sums, blocks))
        start, taken = end, taken + segment.blocks
    return result


def check_get(request: Get, geometry: Geometry) -> None:
    """Check all of a Get."""
    check_ino(request.ino)
    check_number("newest cut", request.newest_cut)
    check_cuts(request.cuts)
    _check_counts((*request.send, *request.tell), geometry, distinct=False)
    data_bytes = sum(run.blocks for run in request.send) * geometry.block_size
    if data_bytes > REQUEST_DATA_BYTES_MAX:
        raise RequestTooLarge("data bytes of a get", data_bytes, REQUEST_DATA_BYTES_MAX)


def check_repair(request: Repair, geometry: Geometry) -> None:
    """Check all of a Repair."""
    check_ino(request.ino)
    check_number("newest cut", request.newest_cut)
    check_generation(request.generation)
    _check_counts((Run(request.role, request.block_no, 1),), geometry)
    if not 1 <= len(request.data) <= geometry.block_size:
        raise BadRequest(f"a block of {len(request.data)} bytes")
    if checksum(request.ino, request.block_no, request.generation, request.data) != request.checksum:
        raise BadRequest(f"the checksum of block {request.block_no} is wrong")


def check_ino(ino: Ino) -> None:
    """Check an inode number."""
    check_number("inode", ino, 1)


def check_inos(inos: Sequence[Ino]) -> None:
    """Check the inodes of a Drop."""
    if len(inos) > BATCH_INODES_MAX:
        raise RequestTooLarge("inodes", len(inos), BATCH_INODES_MAX)
    for ino in inos:
        check_ino(ino)


def check_number(what: str, number: int, low: int = 0) -> None:
    """Check an inode, ticket or mark number."""
    if not low <= number <= NUMBER_MAX:
        raise BadRequest(f"{what} {number} is outside {low} .. {NUMBER_MAX}")


def check_generation(generation: Generation) -> None:
    """Check the generation of a block."""
    if not 1 <= generation <= GENERATION_MAX:
        raise BadRequest(f"generation {generation} is outside 1 .. {GENERATION_MAX}")


def check_cuts(cuts: Sequence[Cut]) -> None:
    """Check cuts."""
    if len(cuts) > CUTS_MAX:
        raise RequestTooLarge("cuts", len(cuts), CUTS_MAX)
    for cut in cuts:
        check_number("cut ticket", Ticket(cut.ticket), 1)
        if not 0 <= cut.offset <= FILE_BYTES_MAX:
            raise BadRequest(f"a cut at {cut.offset} is outside 0 .. {FILE_BYTES_MAX}")


def _check_counts(runs: Iterable[Segment | Run], geometry: Geometry, *, distinct: bool = True) -> None:
    """Check the block numbers of runs, that those of one role fall into one strip, and, if `distinct`, that none comes twice."""
    total = 0
    residues: dict[Role, int] = {}
    spans: list[tuple[Role, int, int]] = []
    for run in runs:
        if run.blocks < 1 or run.first < 0:
            raise BadRequest(f"a run of {run.blocks} blocks from block {run.first}")
        total += run.blocks
        last = run.first + (run.blocks - 1) * geometry.servers
        if (last + 1) * geometry.block_size > FILE_BYTES_MAX:
            raise BadRequest(f"block {last} is past the largest file")
        if residues.setdefault(run.role, run.first % geometry.servers) != run.first % geometry.servers:
            raise BadRequest("the runs of a role differ modulo the number of servers")
        spans.append((run.role, run.first, last))
    if total > REQUEST_BLOCKS_MAX:
        raise RequestTooLarge("blocks", total, REQUEST_BLOCKS_MAX)
    spans.sort()
    if distinct and any(a[0] is b[0] and a[2] >= b[1] for a, b in pairwise(spans)):
        raise BadRequest("a block comes twice")
