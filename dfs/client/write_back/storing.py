"""Storing what waited: under the grant under which it was written, with new generations, to both replicas of every block (R10, I1).

Many runs go out as one put per server. Promises: nothing is stored once somebody else may have had the grant in between, however
it came back (GrantLost); one batch that was not stored may be stored again, with whatever was written over it meanwhile: its new
generation makes the earlier attempt void, so that no cut is needed between the two. Called by service.py with the inode's turn
held.
"""

from __future__ import annotations

from collections.abc import Sequence

from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.reader import Reader
from dfs.client.blocks.replication import Replication
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants, Held, leaves_hole, tail_after
from dfs.client.metadata.lease import Lease
from dfs.client.write_back.buffers import FileBuffer
from dfs.client.write_back.extents import Run
from dfs.client.write_back.pieces import Piece, make_pieces, plan_pieces
from dfs.core.errors import Conflict, GrantLost, StaleTicket
from dfs.core.ids import COUNTER_MAX, BlockNo
from dfs.core.interfaces import CallContext


class Storing:
    """Stores runs."""

    def __init__(self, *, grants: Grants, calls: GrantCalls, lease: Lease, reader: Reader, replication: Replication) -> None:
        self._grants = grants
        self._calls = calls
        self._lease = lease
        self._reader = reader
        self._replication = replication

    def store(self, ctx: CallContext, buffer: FileBuffer, runs: Sequence[Run]) -> None:
        """Store the runs on all their servers, and make them count.

        Raises: Interrupted; GrantLost; NoSpace, ReadOnly, NoGoodCopy, StaleFile, ClientRefused: they can't be stored.
        """
        while True:
            held = self._held(ctx, buffer)
            try:
                if self._is_stored(ctx, buffer, held, runs):
                    return
            except (Conflict, StaleTicket) as refusal:
                self._calls.acquire_above(ctx, held, refusal)
            except GrantLost:
                continue  # or it came back under a newer ticket

    def _held(self, ctx: CallContext, buffer: FileBuffer) -> Held:
        """Return the grant, if it has been held ever since the buffer began."""
        while True:
            self._lease.wait(ctx)
            held = self._grants.held(buffer.ino)
            if held is None or held.since != buffer.since:
                raise GrantLost(buffer.ino)
            if held.counter < COUNTER_MAX:
                return held
            self._calls.acquire(ctx, buffer.ino, held.generation())

    def _is_stored(self, ctx: CallContext, buffer: FileBuffer, held: Held, runs: Sequence[Run]) -> bool:
        """Try once under this ticket. Result: False if it has gone."""
        ino, layout = held.ino, held.content.layout

        def old_block(block_no: BlockNo) -> bytes:
            if held.tail is not None and held.tail.block_no == block_no:
                return held.tail.data
            view = FileView(ino, buffer.path, held.content)
            return self._reader.read(ctx, view, layout.block_size, block_no * layout.block_size)

        def go_on() -> None:
            self._lease.wait(ctx)
            if not self._grants.holds(ino, held.ticket):
                raise GrantLost(ino)

        pieces = make_pieces(runs, held.content.size_bytes, layout.block_size, old_block)
        generation = self._grants.next_generation(ino, held.ticket)
        if generation is None:
            return False
        for puts in plan_pieces(ino, layout, held.ticket, generation, pieces):
            self._replication.put(ctx, puts, go_on, buffer.reached)
        self._lease.wait(ctx)
        last = pieces[-1]
        tail = tail_after(held, last.end, last.first, last.body)
        is_sparse = _leave_hole(held, pieces)
        return self._grants.wrote(ino, held.ticket, last.end, tail, leaves_hole=is_sparse, at_ns=buffer.mtime_ns)


def _leave_hole(held: Held, pieces: Sequence[Piece]) -> bool:
    """Tell whether pieces leave blocks unwritten before the end of the file."""
    reach = held.content.size_bytes
    for piece in pieces:
        if leaves_hole(held.content.layout, reach, piece.first):
            return True
        reach = max(reach, piece.end)
    return False
