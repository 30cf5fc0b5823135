"""Get: blocks with their data, or what this server has to say of them (R9, I2, I4).

Promises: every byte that leaves was verified in this call: checksum, identity, generation; the cuts sent along are applied. A run
is one read per group. Called by the service. Never changes anything but the quarantine.
"""

from __future__ import annotations

from typing import Final

from dfs.core.cuts import newest_ticket, valid_length
from dfs.core.errors import DiskFailed
from dfs.core.ids import COUNTER_BITS, NO_GENERATION, BlockNo, Generation
from dfs.core.interfaces import CallContext
from dfs.core.messages.blocks import COPY_FORMAT, Blocks, Copy, CopyState, Get, Run, pack_present, present_copies
from dfs.core.plan import blocks_of
from dfs.core.records import Buffer, checksum
from dfs.data.blocks.checks import check_get
from dfs.data.blocks.store import Look, PlainRecord, Store

PRESENT: Final = int(CopyState.PRESENT)
DOUBTED: Final = int(CopyState.DOUBTED)
EMPTY_COPIES: Final = {state: COPY_FORMAT.pack(*Copy(state, 0, 0, NO_GENERATION)) for state in CopyState if not state.has_bytes}
UNKNOWN_COPY: Final = EMPTY_COPIES[CopyState.UNKNOWN]


class Answer:
    """What is collected for the caller, in the order of the runs."""

    __slots__ = ("copies", "data")

    def __init__(self) -> None:
        self.copies: list[bytes] = []
        self.data: list[Buffer] = []


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
        absence = store.absence(role)  # before anything is read: who was suspect then did not have all it should
        try:
            with store.strip(ino, role, partly=True) as strip:
                if strip is not None and strip.unreadable is not None:
                    store.bad_records.tell_unreadable_strip(ino, role, strip.unreadable)
                store.require_residue(strip, layers, residue)
                is_quick = not request.cuts and absence is not CopyState.UNDECIDED
                quick = store.verified_in_place(strip, layers, first, run.blocks) if is_quick else None
                records = None if quick is not None else store.verified(strip, layers, first, run.blocks)
                is_whole = quick is not None or records is not None
                if is_whole and (strip is None or strip.unreadable is None):
                    store.bad_records.note_read(ino, role, blocks_of(run, store.geometry.servers))
                looks = [] if is_whole else store.look(strip, layers, first, run.blocks)
        except DiskFailed as error:
            store.bad_records.tell_unreadable(ino, role, run.first, error)
            answer.copies += [UNKNOWN_COPY] * run.blocks
            return
        if quick is not None:
            answer.copies.append(present_copies(quick.headers))
            answer.data += quick.blocks
        elif records is not None:
            self._answer_records(request, run, absence, records, answer)
        else:
            self._answer_looks(ctx, request, run, absence, looks, answer)

    def _answer_records(self, request: Get, run: Run, absence: CopyState, records: list[PlainRecord], answer: Answer) -> None:
        """Answer a run that is all there."""
        cut_below = newest_ticket(request.cuts) << COUNTER_BITS
        if absence is CopyState.UNDECIDED or (cut_below and any(record[0] < cut_below for record in records)):
            for block_no, record in zip(blocks_of(run, self._store.geometry.servers), records, strict=True):
                self._answer_one(request, absence, BlockNo(block_no), record, answer)
            return
        generations, sums, blocks = zip(*records, strict=True)
        answer.copies.append(pack_present(list(map(len, blocks)), sums, generations))
        answer.data += blocks

    def _answer_looks(
        self, ctx: CallContext, request: Get, run: Run, absence: CopyState, looks: list[Look], answer: Answer
    ) -> None:
        """Answer a run record by record."""
        store = self._store
        for number, look in zip(blocks_of(run, store.geometry.servers), looks, strict=True):
            block_no = BlockNo(number)
            if look.record is not None:
                self._answer_one(request, absence, block_no, look.record, answer)
            elif look.state is CopyState.CORRUPT:
                store.bad_records.tell_corrupt(request.ino, run.role, block_no, look.raw, ctx)
                answer.copies.append(EMPTY_COPIES[CopyState.CORRUPT])
            else:
                answer.copies.append(EMPTY_COPIES[absence] if look.state is CopyState.ABSENT else UNKNOWN_COPY)

    def _answer_one(self, request: Get, absence: CopyState, block_no: BlockNo, record: PlainRecord, answer: Answer) -> None:
        """Answer what the cuts leave of a stored block; a void one is absent, if this server can say so of any block."""
        generation, summed, block = record
        length = valid_length(request.cuts, block_no, self._store.geometry.block_size, Generation(generation), len(block))
        if not length:
            void = Copy(CopyState.ABSENT, 0, 0, Generation(generation))
            answer.copies.append(COPY_FORMAT.pack(*void) if absence is CopyState.ABSENT else EMPTY_COPIES[absence])
            return
        if length < len(block):
            block = block[:length]
            summed = checksum(request.ino, block_no, Generation(generation), block)
        state = DOUBTED if absence is CopyState.UNDECIDED else PRESENT
        answer.copies.append(COPY_FORMAT.pack(state, length, summed, generation))
        answer.data.append(block)
