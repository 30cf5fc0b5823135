"""Renaming as rename(2) and renameat2(2) with RENAME_NOREPLACE do: one transaction, data never moves."""

from __future__ import annotations

from typing import Final

from dfs.core.errors import AlreadyExists, FolderNotEmpty, InvalidArgument, IsAFolder, NotAFolder
from dfs.core.interfaces import CallContext, Caller, Clock
from dfs.core.messages.names import FolderTimes, Rename, Renamed
from dfs.core.permissions import WRITE, require_access, require_removable
from dfs.meta.requests.names import is_empty
from dfs.meta.requests.removal import Removal, touch_folder
from dfs.meta.state.inodes import Inode, require_room_for_link
from dfs.meta.state.paths import Place, is_below, locate
from dfs.meta.state.pledges import Pledges
from dfs.meta.state.store import Reader, Transaction

RENAME_NOREPLACE: Final = 1


class Renames:
    """Renames."""

    def __init__(self, removal: Removal, pledges: Pledges, clock: Clock) -> None:
        self._pledges = pledges
        self._removal = removal
        self._clock = clock

    def rename(self, tx: Transaction, ctx: CallContext, request: Rename) -> Renamed:
        """Rename, replacing what stands at the new name.

        Raises: NotFound, AlreadyExists (NOREPLACE), InvalidArgument (into its own sub-tree, unknown flags), NotAFolder,
        IsAFolder, FolderNotEmpty, AccessDenied, NotPermitted, TooManyLinks.
        """
        if request.flags not in (0, RENAME_NOREPLACE):
            raise InvalidArgument(request.path)
        old = locate(tx, ctx.caller, request.base, request.path)
        new = locate(tx, ctx.caller, request.new_base, request.new_path)
        inode = old.existing()
        if new.inode is not None and request.flags & RENAME_NOREPLACE:
            raise AlreadyExists(request.new_path)
        if inode.is_folder and is_below(tx, new.folder.ino, inode.ino):
            raise InvalidArgument(request.new_path)
        if new.inode is not None and new.inode.ino == inode.ino:
            return Renamed(inode.ino, inode.is_folder, inode.ctime_ns, _times(old.folder), _times(new.folder))
        require_removable(old.folder, inode, ctx.caller, request.path)
        _require_replaceable(tx, ctx.caller, inode, new)
        moves_folder = inode.is_folder and old.folder.ino != new.folder.ino
        if moves_folder:
            require_access(inode, ctx.caller, WRITE, request.path)  # its ".." changes
            if new.inode is None:
                require_room_for_link(new.folder, request.new_path)
        self._pledges.adds(tx, ctx.session, new.folder.ino)
        if inode.is_folder:
            self._pledges.moves(tx, ctx.session)
        return self._move(tx, old, new, inode)

    def _move(self, tx: Transaction, old: Place, new: Place, inode: Inode) -> Renamed:
        now_ns = self._clock.wall_ns()
        tx.run("DELETE FROM dentry WHERE parent = ? AND name = ?", old.folder.ino, old.name)
        tx.run("INSERT OR REPLACE INTO dentry VALUES (?, ?, ?)", new.folder.ino, new.name, inode.ino)
        gained = int(inode.is_folder)
        if new.inode is not None:
            self._removal.drop_link(tx, new.inode, new.folder.ino)
            gained -= int(new.inode.is_folder)
        if inode.is_folder:
            tx.run("UPDATE folder SET parent = ?, name = ? WHERE ino = ?", new.folder.ino, new.name, inode.ino)
        tx.run("UPDATE inode SET ctime_ns = ? WHERE ino = ?", now_ns, inode.ino)
        lost = int(inode.is_folder)
        if old.folder.ino == new.folder.ino:
            left = entered = touch_folder(tx, old.folder, now_ns, gained - lost)
        else:
            left = touch_folder(tx, old.folder, now_ns, -lost)
            entered = touch_folder(tx, new.folder, now_ns, gained)
        return Renamed(inode.ino, inode.is_folder, now_ns, left, entered)


def _times(folder: Inode) -> FolderTimes:
    return FolderTimes(folder.ino, folder.nlink, folder.mtime_ns)


def _require_replaceable(reader: Reader, caller: Caller, inode: Inode, new: Place) -> None:
    """Raise unless `inode` may take the place `new`."""
    target = new.inode
    if target is None:
        require_access(new.folder, caller, WRITE, new.path)
        return
    require_removable(new.folder, target, caller, new.path)
    if inode.is_folder and not target.is_folder:
        raise NotAFolder(new.path)
    if target.is_folder:
        if not inode.is_folder:
            raise IsAFolder(new.path)
        if not is_empty(reader, target.ino):
            raise FolderNotEmpty(new.path)
