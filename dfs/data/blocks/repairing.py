"""Repair: one copy of a block is replaced by the other replica's verified one (R9, I5).

Promises: only what the caller saw is replaced; a verified copy is replaced by a higher generation only; what does not verify is in
quarantine first. Called by the service, and by the mending of own copies. Never looks at the other replica: the caller verified it.
"""

from __future__ import annotations

from collections.abc import Callable

from dfs.core.ids import ticket_of
from dfs.core.interfaces import CallContext, Tasks
from dfs.core.messages.blocks import CopyState, Repair
from dfs.core.messages.requests import Done
from dfs.core.meters import Tally
from dfs.core.records import Record
from dfs.data.blocks.checks import check_repair
from dfs.data.blocks.store import Look, Store
from dfs.data.disk.journal_entries import Entry, Kind


class Repairing:
    """Carries out Repair."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self._store = store
        self.replaced = Tally(tasks.mutex(), tuple(state.name.lower() for state in CopyState))
        """Copies that were replaced, by the state in which the caller saw them."""

    def repair(self, ctx: CallContext, request: Repair) -> Done:
        """Replace the copy if it is still what the caller saw. Raises: BadRequest, StaleTicket, DiskError leaves."""
        self.replace(ctx, request)
        return Done()

    def replace(self, ctx: CallContext, request: Repair, may_store: Callable[[], bool] = lambda: True) -> bool:
        """Replace the copy if it is still what the caller saw and the disk can read the strip; tell whether it was replaced.

        `may_store` is asked last, under the inode's lock. Raises: BadRequest, NotTrusted, StaleTicket, DiskError leaves.
        """
        store, ino, role, block_no = self._store, request.ino, request.role, request.block_no
        check_repair(request, store.geometry)
        store.require_issued(ticket_of(request.generation))
        store.journal.admit(ctx)
        index, residue = divmod(block_no, store.geometry.servers)
        with store.hold(ino):
            store.require_floor(ino, request.newest_cut, ctx)
            layers = store.overlay.find(ino, role)
            with store.strip(ino, role, partly=True) as strip:
                if strip is not None and strip.unreadable is not None:
                    return False  # nothing can be put in place; reads have told it, and repair again once the disk can be read
                store.require_residue(strip, layers, residue)
                (look,) = store.look(strip, layers, index, 1)
            is_replaced = self._is_to_be_replaced(request, look) and may_store()
            if is_replaced:
                store.bad_records.set_aside(ino, role, block_no, look.raw)
                record = Record(request.generation, request.checksum, request.data)
                store.write_journal([Entry(Kind.RECORDS, ino, role=role, residue=residue, records={index: record})])
        if is_replaced:
            self.replaced.add(request.replaces.state.name.lower())
        return is_replaced

    def _is_to_be_replaced(self, request: Repair, look: Look) -> bool:
        """Tell whether what stands there is still what the caller saw, and may be replaced.

        A copy is told by its generation: cuts may have shortened or voided what the caller was answered.
        """
        seen = request.replaces
        if look.record is not None:
            is_same = (seen.state.has_bytes or seen.state is CopyState.ABSENT) and seen.generation == look.record.generation
            return is_same and request.generation > look.record.generation
        if look.state is not CopyState.ABSENT:
            return seen.state is look.state
        return seen.state is self._store.absence(request.role) and not seen.generation
