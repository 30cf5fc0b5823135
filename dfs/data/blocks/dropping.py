"""Drop and ListInodes: what the reclaimer does with inodes that are no more, and the list by which it finds leftovers.

Promises: a confirmed drop survives a power cut; repeating it is harmless; an inode that was dropped before it was put in place
costs one entry of the journal. Called by the service. Never drops on its own account.
"""

from __future__ import annotations

from dfs.core.errors import BadRequest
from dfs.core.ids import Ino
from dfs.core.limits import BATCH_INODES_MAX
from dfs.core.messages.blocks import Drop, Inventory, ListInodes
from dfs.core.messages.requests import Done
from dfs.core.placement import Role
from dfs.data.blocks.checks import check_inos
from dfs.data.blocks.store import Store
from dfs.data.disk.journal_entries import Entry, Kind


class Dropping:
    """Carries out Drop and ListInodes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def drop(self, request: Drop) -> Done:
        """Remove strips and floors. Raises: BadRequest, NotTrusted: the sync failed, DiskError leaves."""
        check_inos(request.inos)
        for ino in request.inos:
            with self._store.hold(ino):
                self._store.comparisons.disturb(ino)
                self._drop(ino)
        self._store.journal.sync()
        return Done()

    def _drop(self, ino: Ino) -> None:
        """Remove one inode; the files first, because on a full disk the journal's entry may need their space.

        A crash in between leaves pending records, as if the call had not come: the reclaimer repeats it. The entry makes a
        replay remove the files again, because their removal is only synced by the next checkpoint; it is written for an
        inode that is not there too, because an earlier try may have got no further than the files.
        """
        for role in Role:
            self._store.strips.discard(ino, role)
        self._store.bad_records.note_dropped(ino)
        self._store.write_journal([Entry(Kind.DROPPED, ino)])

    def list_inodes(self, request: ListInodes) -> Inventory:
        """Return the next inodes of which this server holds strips. Raises: BadRequest, DiskError leaves."""
        if not 1 <= request.limit <= BATCH_INODES_MAX or request.after < 0:
            raise BadRequest(f"a limit of {request.limit} inodes after {request.after}")
        rising = self._store.inos_above(request.after, request.limit + 1)
        return Inventory(tuple(rising[: request.limit]), len(rising) > request.limit)
