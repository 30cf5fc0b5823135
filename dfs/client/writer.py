"""One write(2): under the grant, with a new generation, to both replicas of every block it touches (R10, I1).

Promises: when write() returns, all replicas have acknowledged and the lease was still valid; an O_APPEND offset is the size under
the grant. A write that ends in any other way leaves a note (junk) so that meta cuts at the size before anything else is written.
The caller holds nothing; the inode's turn is taken here. A recall is obeyed: the write ends quickly, or is abandoned and made
again once the grant is back.
"""

from __future__ import annotations

from typing import Final

from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.put_plan import plan_puts
from dfs.client.blocks.reader import Reader
from dfs.client.blocks.replication import Replication
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants, Held, leaves_hole, tail_after
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.turns import Turns
from dfs.core.contexts import GuardedContext
from dfs.core.errors import Conflict, EndReason, FileTooLarge, GrantLost, Interrupted, StaleTicket
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex
from dfs.core.interfaces import CallContext
from dfs.core.limits import FILE_BYTES_MAX
from dfs.core.records import Buffer

RECALL_GRACE_S: Final = 0.3
"""A write that is not over this long after its grant was asked back is abandoned: it may be waiting for a dead server."""


class Writer:
    """Writes files."""

    def __init__(
        self, *, grants: Grants, calls: GrantCalls, turns: Turns, lease: Lease, reader: Reader, replication: Replication
    ) -> None:
        self._grants = grants
        self._calls = calls
        self._turns = turns
        self._lease = lease
        self._reader = reader
        self._replication = replication

    def write(self, ctx: CallContext, ino: Ino, path: bytes, data: Buffer, offset: int | None) -> int:
        """Write all of `data` at `offset`, or at the end of the file for None; return its length.

        Raises: Interrupted, NoSpace, ReadOnly, FileTooLarge, StaleFile, NoGoodCopy.
        """
        if not data:
            return 0
        with self._turns.hold(ctx, ino):
            while True:
                held = self._calls.ready(ctx, ino)
                start = held.content.size_bytes if offset is None else offset
                if start + len(data) > FILE_BYTES_MAX:
                    raise FileTooLarge(path)
                reached: set[ServerIndex] = set()
                if self._is_written(ctx, held, path, data, start, reached):
                    return len(data)
                if offset is None and reached and held.session != self._calls.session:
                    # Meta has settled what the lost session wrote, maybe with this very append in it: twice would be wrong.
                    raise Interrupted(EndReason.LEASE_LOST.value)

    def _is_written(self, ctx: CallContext, held: Held, path: bytes, data: Buffer, start: int, reached: set[ServerIndex]) -> bool:
        """Try once under this grant. Result: False if the grant was lost or had to be given back: get it again.

        Arguments: `reached`: the servers that may have stored something are added.
        """
        ino = held.ino
        guarded = GuardedContext(ctx, lambda: (self._grants.recalled_for_s(ino) or 0) > RECALL_GRACE_S)
        try:
            first, body = self._merge(guarded, held, path, data, start)
            generation = self._grants.next_generation(ino, held.ticket)
            if generation is None:
                return False
            self._store(guarded, held, generation, first, body, reached)
            return self._is_acknowledged(guarded, held, start + len(data), first, body)
        except (Conflict, StaleTicket) as refusal:
            self._calls.acquire_above(ctx, held, refusal)
        except GrantLost:
            return False
        except Interrupted:
            if ctx.cancelled() is not None:
                raise
            # Another session has waited for the grant long enough. Theirs first; ours when a server is worth trying again.
            self._calls.give_back(ctx, ino)
            self._replication.wait_for_any_down(ctx, held.content.layout.servers)
        return False

    def _store(
        self, ctx: CallContext, held: Held, generation: Generation, first: BlockNo, body: Buffer, reached: set[ServerIndex]
    ) -> None:
        """Put all blocks on all their servers. If it ends otherwise than well, there may be junk on those that were reached."""
        ino, layout = held.ino, held.content.layout

        def go_on() -> None:
            self._lease.wait(ctx)
            if not self._grants.holds(ino, held.ticket):
                raise GrantLost(ino)

        is_stored = False
        try:
            for puts in plan_puts(ino, layout, held.ticket, generation, first, body):
                self._replication.put(ctx, puts, go_on, reached)
            is_stored = True
        finally:
            if not is_stored and reached:
                self._grants.mark_junk(ino, held.session)

    def _is_acknowledged(self, ctx: CallContext, held: Held, end: int, first: BlockNo, body: Buffer) -> bool:
        """Make the write count, if the lease is still valid after the last answer. Result: False if the grant has gone."""
        is_acknowledged = False
        try:
            self._lease.wait(ctx)
            tail = tail_after(held, end, first, body)
            is_sparse = leaves_hole(held.content.layout, held.content.size_bytes, first)
            is_acknowledged = self._grants.wrote(held.ino, held.ticket, end, tail, leaves_hole=is_sparse)
        finally:
            if not is_acknowledged:
                self._grants.mark_junk(held.ino, held.session)
        return is_acknowledged

    def _merge(self, ctx: CallContext, held: Held, path: bytes, data: Buffer, start: int) -> tuple[BlockNo, Buffer]:
        """Return the first block and the bytes to store from its beginning: partial blocks are filled up with what stands there."""
        layout, size = held.content.layout, held.content.size_bytes
        block_size = layout.block_size
        end = start + len(data)
        first, last = layout.block_of(start), layout.block_of(end - 1)
        head = start - first * block_size
        rest = min(size, (last + 1) * block_size) - end
        if not head and rest <= 0:
            return first, data
        prefix = suffix = b""
        if head:
            old = self._old_block(ctx, held, path, first)
            prefix = old[:head] + bytes(max(0, head - len(old)))
        if rest > 0:
            if not head or last != first:
                old = self._old_block(ctx, held, path, last)
            at = end - last * block_size
            suffix = old[at : at + rest]
        return first, b"".join((prefix, data, suffix))

    def _old_block(self, ctx: CallContext, held: Held, path: bytes, block_no: BlockNo) -> bytes:
        """Return the bytes of a block that are inside the file."""
        if held.tail is not None and held.tail.block_no == block_no:
            return held.tail.data
        block_size = held.content.layout.block_size
        return self._reader.read(ctx, FileView(held.ino, path, held.content), block_size, block_no * block_size)
