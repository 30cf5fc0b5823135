"""Taking names away: the last one removes the inode, or leaves an orphan while a session has it open (POSIX unlink).

Called inside writing transactions by names, renames and session ends; strips are dropped later (dfs/meta/upkeep/reclaimer.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dfs.core.errors import ReadOnly
from dfs.core.ids import Ino
from dfs.core.interfaces import Clock
from dfs.core.messages.names import FolderTimes
from dfs.meta.state.inodes import Inode, delete, find
from dfs.meta.state.opens import Opens
from dfs.meta.state.paths import Place
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.store import Store, Transaction


def touch_folder(tx: Transaction, folder: Inode, now_ns: int, subfolders: int = 0) -> FolderTimes:
    """Note that a name in the folder changed, and by how many its sub-folders became more; return what became of it."""
    nlink = folder.nlink + subfolders
    tx.run("UPDATE inode SET mtime_ns = ?, ctime_ns = ?, nlink = ? WHERE ino = ?", now_ns, now_ns, nlink, folder.ino)
    return FolderTimes(folder.ino, nlink, now_ns)


class Removal:
    """Removes names and inodes."""

    def __init__(self, store: Store, opens: Opens, recalls: Recalls, clock: Clock, on_reclaim: Callable[[], None]) -> None:
        """`on_reclaim` is called when there is a new inode whose strips must be dropped."""
        self._on_reclaim = on_reclaim
        self._store = store
        self._opens = opens
        self._recalls = recalls
        self._clock = clock

    def take_name(self, tx: Transaction, place: Place) -> None:
        """Remove the name at `place`; the caller has checked that it may go, and touches the folder."""
        inode = place.existing()
        tx.run("DELETE FROM dentry WHERE parent = ? AND name = ?", place.folder.ino, place.name)
        self.drop_link(tx, inode, place.folder.ino)

    def drop_link(self, tx: Transaction, inode: Inode, parent: Ino) -> None:
        """Count one name less of an inode whose name in `parent` is gone or taken over; an empty folder goes at once."""
        if inode.is_folder:
            self._delete(tx, inode)
            return
        now_ns = self._clock.wall_ns()
        if inode.nlink == 1 and self._opens.condemn(tx, inode.ino):
            self._delete(tx, inode)
        else:
            tx.run("UPDATE inode SET nlink = nlink - 1, ctime_ns = ? WHERE ino = ?", now_ns, inode.ino)
            if inode.nlink == 1:
                tx.run("INSERT INTO last_name VALUES (?, ?)", inode.ino, parent)

    def reap(self, inos: list[Ino]) -> int:
        """Remove those orphans that nobody has open any more; return how many. In transactions of its own.

        A read-only store leaves them to reap_left() or the next start: a close or a heartbeat must not fail for that.
        """
        try:
            return sum(self._store.change(partial(self._reap, inos=part)) for part in _parts(inos))
        except ReadOnly:
            return 0

    def reap_left(self) -> None:
        """Remove the orphans that were closed while the store was read-only. Called when it no longer is."""
        self.reap(self._opens.unused_orphans())

    def _reap(self, tx: Transaction, inos: list[Ino]) -> int:
        reaped = 0
        for ino in inos:
            inode = find(tx, ino)
            if inode is not None and inode.nlink == 0 and self._opens.condemn(tx, ino):
                self._delete(tx, inode)
                reaped += 1
        return reaped

    def _delete(self, tx: Transaction, inode: Inode) -> None:
        delete(tx, inode)
        if inode.is_regular:
            tx.after(lambda: self._recalls.released(inode.ino))
            tx.after(self._on_reclaim)


def _parts(inos: list[Ino]) -> list[list[Ino]]:
    """Return the list in parts that keep a transaction short."""
    return [inos[at : at + 500] for at in range(0, len(inos), 500)]
