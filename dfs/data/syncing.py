"""Making strips survive a power cut, one inode or all.

Promises: what was in place when a call began is on disk when it returns, and its map says so; two calls for one inode share the
work; no keyed lock of an inode is held while the disk syncs. Called for Sync, by the checkpoint, and after a Clean.

Lock order: the keyed lock "sync" of an inode, then the keyed lock of the inode; see Store.
"""

from __future__ import annotations

from dfs.core.errors import DiskError
from dfs.core.ids import Ino
from dfs.core.interfaces import KeyedLock
from dfs.core.placement import Role
from dfs.data.store import Store
from dfs.data.strips import SHARD_BITS


class Syncing:
    """Syncs the strips of one data server."""

    def __init__(self, store: Store, sync_locks: KeyedLock) -> None:
        self._store = store
        self._sync_locks = sync_locks

    def sync(self, ino: Ino) -> None:
        """Sync the journal and both strips of an inode. Raises: NotTrusted: it failed, and the server ends; DiskError leaves."""
        self._store.journal.sync()
        self.sync_strips(ino)

    def sync_strips(self, ino: Ino) -> None:
        """Sync both strips of an inode. Raises: as sync()."""
        with self._sync_locks.hold(ino):
            for role in Role:
                self._sync_strip(ino, role)

    def sync_changed(self) -> None:
        """Sync all strips that changed since they were synced. Raises: as sync()."""
        for ino in self._store.strips.unsynced_inos():
            self.sync_strips(ino)

    def _sync_strip(self, ino: Ino, role: Role) -> None:
        strips, condition = self._store.strips, self._store.condition
        with self._store.hold(ino):
            strip = strips.use(ino, role)  # opening it also tells what a process that died has not synced
            if strip is None:
                strips.forget_unsynced(ino, role)
                return
            change, marks = strips.change_of(ino, role), strip.begin_sync()
        try:
            if not change:
                return
            try:
                strip.file.sync()
                strips.sync_folder(ino >> SHARD_BITS)
            except DiskError as error:
                raise condition.fail(error) from error
            with self._store.hold(ino):
                if not strip.gone:
                    strip.end_sync(marks)
                    strips.note_synced(strip, change)
        finally:
            strips.release(strip)
