"""Get: blocks with their data, or what this server has to say of them (R9, I2, I4).

Promises: every byte that leaves was verified in this call: checksum, identity, generation; the cuts sent along are applied. A run
is one read per group. Called by the service. Never changes anything but the quarantine.
"""

from __future__ import annotations

import zlib
from typing import Final

from dfs.core.block_messages import COPY_FORMAT, Blocks, Copy, CopyState, Get, Run
from dfs.core.cuts import Cut, newest_ticket, valid_length
from dfs.core.errors import DiskFailed
from dfs.core.ids import COUNTER_BITS, NO_GENERATION, BlockNo, Ino
from dfs.core.interfaces import CallContext
from dfs.core.records import IDENTITY, Record, checksum
from dfs.data.checks import check_get
from dfs.data.geometry import pieces
from dfs.data.store import Look, Store
from dfs.data.strip import Strip

PRESENT: Final = int(CopyState.PRESENT)
ABSENT_COPY, CORRUPT_COPY, UNKNOWN_COPY = (
    COPY_FORMAT.pack(*Copy(state, 0, 0, NO_GENERATION)) for state in (CopyState.ABSENT, CopyState.CORRUPT, CopyState.UNKNOWN)
)


class Answer:
    """What is collected for the caller, in the order of the runs."""

    __slots__ = ("copies", "data")

    def __init__(self) -> None:
        self.copies: list[bytes] = []
        self.data: list[bytes] = []


class Reading:
    """Answers Get."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, ctx: CallContext, request: Get) -> Blocks:
        """Return the blocks asked for. Raises: BadRequest, RequestTooLarge, StaleTicket, DiskError leaves."""
        store = self._store
        check_get(request, store.geometry)
        sent, told = Answer(), Answer()
        with store.hold(request.ino):
            store.require_floor(request.ino, request.newest_cut, ctx)
            for runs, answer in ((request.send, sent), (request.tell, told)):
                for run in runs:
                    self._read_run(ctx, request, run, answer)
        return Blocks(b"".join(sent.copies + told.copies), b"".join(sent.data))

    def _read_run(self, ctx: CallContext, request: Get, run: Run, answer: Answer) -> None:
        store, ino, role = self._store, request.ino, run.role
        first, residue = divmod(run.first, store.geometry.servers)
        layers = store.overlay.find(ino, role)
        copies, data = len(answer.copies), len(answer.data)
        try:
            with store.strip(ino, role) as strip:
                store.require_residue(strip, layers, residue)
                if strip is None or layers or not self._read_whole(strip, first, run.blocks, request, answer):
                    looks = store.look(strip, layers, first, run.blocks)
                    self._answer_looks(ctx, request, run, looks, answer)
        except DiskFailed as error:
            del answer.copies[copies:], answer.data[data:]
            store.bad_records.tell_unreadable(ino, role, run.first, error)
            answer.copies += [UNKNOWN_COPY] * run.blocks

    def _read_whole(self, strip: Strip, first: int, count: int, request: Get, answer: Answer) -> bool:
        """Answer a run of which every record is in place, verifies and is untouched by the cuts; False: it is not so simple."""
        geometry = self._store.geometry
        ino, block_size, step = request.ino, geometry.block_size, geometry.servers
        cut_below = newest_ticket(request.cuts) << COUNTER_BITS
        crc32, identity, pack = zlib.crc32, IDENTITY.pack, COPY_FORMAT.pack
        copies: list[bytes] = []
        data: list[bytes] = []
        number_in_file: int = strip.block_no(first)
        for number, at, part in pieces(first, count):
            group = strip.groups.get(number)
            mask = (1 << part) - 1
            if group is None or group.present >> at & mask != mask:
                return False
            try:
                raw = strip.read(group, at, part)
            except DiskFailed:
                return False  # the other way reads record by record, and tells which can't be read
            for length, summed, generation, block in geometry.records.iter_unpack(raw):
                if length != block_size:
                    if not 0 < length < block_size:
                        return False
                    block = block[:length]
                if generation < cut_below or crc32(block, crc32(identity(ino, number_in_file, generation, length))) != summed:
                    return False
                copies.append(pack(PRESENT, length, summed, generation))
                data.append(block)
                number_in_file += step
        answer.copies += copies
        answer.data += data
        return True

    def _answer_looks(self, ctx: CallContext, request: Get, run: Run, looks: list[Look], answer: Answer) -> None:
        """Answer a run record by record."""
        store, ino = self._store, request.ino
        absent = ABSENT_COPY if store.is_complete(run.role) else UNKNOWN_COPY
        block_no = run.first
        for look in looks:
            if look.record is not None:
                copy, block = _cut(request.cuts, ino, block_no, store.geometry.block_size, look.record)
                if copy.state is CopyState.PRESENT:
                    answer.copies.append(COPY_FORMAT.pack(*copy))
                    answer.data.append(block)
                else:
                    answer.copies.append(COPY_FORMAT.pack(*copy) if absent is ABSENT_COPY else UNKNOWN_COPY)
            elif look.state is CopyState.CORRUPT:
                store.bad_records.tell_corrupt(ino, run.role, block_no, look.raw, ctx)
                answer.copies.append(CORRUPT_COPY)
            else:
                answer.copies.append(absent if look.state is CopyState.ABSENT else UNKNOWN_COPY)
            block_no = BlockNo(block_no + store.geometry.servers)


def _cut(cuts: tuple[Cut, ...], ino: Ino, block_no: BlockNo, block_size: int, record: Record) -> tuple[Copy, bytes]:
    """Return what the cuts leave of a stored block."""
    generation, summed, block = record
    length = valid_length(cuts, block_no, block_size, generation, len(block))
    if not length:
        return Copy(CopyState.ABSENT, 0, 0, generation), b""
    if length < len(block):
        block = block[:length]
        summed = checksum(ino, block_no, generation, block)
    return Copy(CopyState.PRESENT, length, summed, generation), block
