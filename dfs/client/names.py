"""The names of the file system: listing, making, removing and renaming them, and the attributes of what they name.

Each is one call to the meta-server; what the cache believes is corrected by the answer: also the time stamps and the links of a
folder whose entries change, so that nothing has to be asked for anew. Called by filesystem.py.
"""

from __future__ import annotations

import stat
from collections.abc import Callable

from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.heartbeat import ClosedFiles
from dfs.client.metadata.inode_attributes import InodeAttributes
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.whole_folders import WholeFolders
from dfs.core.ids import OpId
from dfs.core.interfaces import CallContext
from dfs.core.limits import LISTING_ENTRIES_MAX
from dfs.core.messages.inodes import AttributeChanges, Attributes, Entry
from dfs.core.messages.names import (
    FolderTimes,
    Link,
    ListFolder,
    MakeFolder,
    MakeNode,
    MakeSymlink,
    ReadLink,
    RemoveFolder,
    Rename,
    SetAttributes,
    Unlink,
)
from dfs.core.messages.requests import Change
from dfs.core.messages.sessions import OpenFile


class Names:
    """Operations on names."""

    def __init__(
        self,
        *,
        link: MetaLink,
        cache: AttributeCache,
        folders: WholeFolders,
        inodes: InodeAttributes,
        grants: Grants,
        calls: GrantCalls,
        handles: Handles,
        closed: ClosedFiles,
    ) -> None:
        self._link = link
        self._cache = cache
        self._folders = folders
        self._inodes = inodes
        self._grants = grants
        self._calls = calls
        self._handles = handles
        self._closed = closed

    # --- looking -----------------------------------------------------------------------------------------------------------

    def readlink(self, ctx: CallContext, path: bytes) -> bytes:
        """Return a symbolic link's target."""
        return self._link.ask(ctx, ReadLink(*self._inodes.place(path)))

    def list_folder(self, ctx: CallContext, path: bytes) -> list[Entry]:
        """Return all entries of a folder, without . and ..; their attributes are believed for a while."""
        entries: list[Entry] = []
        base, relative = self._inodes.place(path)
        after = b""
        while True:
            asked = self._cache.moment()
            page = self._link.ask(ctx, ListFolder(base, relative, after, LISTING_ENTRIES_MAX))
            found = page.entries()
            self._cache.learn_listing(asked, path, found)
            entries += map(self._inodes.shown_entry, found)
            if not page.more:
                return entries
            after = found[-1].name

    # --- making ------------------------------------------------------------------------------------------------------------

    def mkdir(self, ctx: CallContext, path: bytes, mode: int) -> Attributes:
        """Create a folder."""
        parent = self._cache.attributes_at(parent_of(path))
        return self._make(ctx, path, lambda op: MakeFolder(op, *self._inodes.place(path), mode), parent)

    def mknod(self, ctx: CallContext, path: bytes, mode: int, rdev: int) -> Attributes:
        """Create a fifo, socket, device or regular file."""
        return self._make(ctx, path, lambda op: MakeNode(op, *self._inodes.place(path), mode, rdev))

    def symlink(self, ctx: CallContext, path: bytes, target: bytes) -> Attributes:
        """Create a symbolic link at `path` to `target`."""
        return self._make(ctx, path, lambda op: MakeSymlink(op, *self._inodes.place(path), target))

    def link(self, ctx: CallContext, path: bytes, new_path: bytes) -> Attributes:
        """Give the inode at `path` a further name."""
        return self._make(ctx, new_path, lambda op: Link(op, *self._inodes.place(path), *self._inodes.place(new_path)))

    # --- removing and moving -------------------------------------------------------------------------------------------------

    def unlink(self, ctx: CallContext, path: bytes) -> OpenFile | None:
        """Remove a name that is not a folder's, or an alias. Result: a file that has to be closed, if its alias was all it had."""
        if self._handles.alias(path) is not None:
            return self._handles.remove_alias(path)
        self._remove(ctx, path, lambda op: Unlink(op, *self._inodes.place(path), keep_open=False))
        return None

    def unlink_open(self, ctx: CallContext, path: bytes, alias: bytes) -> None:
        """Remove the name of a file that this mount has open; the inode stays open, and `alias` leads to it in this mount."""
        opened: list[OpId] = []

        def request(op: OpId) -> Unlink:
            opened[:] = [op]
            return Unlink(op, *self._inodes.place(path), keep_open=True)

        def finish(op: OpId, attributes: Attributes) -> None:
            self._closed.abandon(self._handles, OpenFile(attributes.ino, op))

        attributes = self._remove(ctx, path, request, finish)
        self._handles.add_alias(alias, OpenFile(attributes.ino, opened[0]))

    def rmdir(self, ctx: CallContext, path: bytes) -> None:
        """Remove an empty folder."""
        removed = self._cache.ino_at(path)
        with self._folders.adding(path):  # if nobody knows what came of it, nothing is known of the names below it
            parent = self._link.change(ctx, lambda op: RemoveFolder(op, *self._inodes.place(path)))
        self._folders.forget(path)
        self._cache.forget_name(path)
        if removed is not None:
            self._cache.forget_attributes(removed)
        self._touched(parent)

    def rename(self, ctx: CallContext, path: bytes, new_path: bytes, flags: int) -> None:
        """Rename, replacing what stands at the new name."""
        replaced = self._cache.ino_at(new_path)
        asked = self._cache.moment()
        with self._folders.adding(new_path):
            renamed = self._link.change(ctx, lambda op: Rename(op, *self._inodes.place(path), *self._inodes.place(new_path), flags))
        # Names in a folder that is called by its number stay where they are when the folder moves.
        if renamed.is_folder and path.startswith(b"/"):
            self._folders.forget_all()
            self._cache.forget_all_names()
            self._cache.forget_attributes(renamed.ino)
        else:
            self._cache.moved(asked, path, new_path, renamed.ino, renamed.ctime_ns)
        self._cache.renamed(renamed.ino, new_path)
        if replaced is not None and replaced != renamed.ino:
            self._cache.forget_attributes(replaced)
        self._touched(renamed.left)
        self._touched(renamed.entered)

    # --- attributes ----------------------------------------------------------------------------------------------------------

    def setattr(self, ctx: CallContext, path: bytes, changes: AttributeChanges) -> Attributes:
        """Change mode, owner or times; what was written before is committed first, lest it overwrites a time that is set here."""
        asked = self._cache.moment()
        if self._grants.unsaved():
            self._calls.commit(ctx, self._inodes.at(ctx, path).ino)
        attributes = self._link.change(ctx, lambda op: SetAttributes(op, *self._inodes.place(path), changes))
        self._cache.changed(asked, attributes)
        return self._inodes.shown(attributes)

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _make(
        self, ctx: CallContext, path: bytes, request: Callable[[OpId], Change[Attributes]], parent: Attributes | None = None
    ) -> Attributes:
        """Make a name. `parent`: what is believed of the folder, if the new inode is one and so counts among its links."""
        asked = self._cache.moment()
        with self._folders.adding(path):
            attributes = self._link.change(ctx, request)
        self._cache.changed(asked, attributes, path)
        if not stat.S_ISDIR(attributes.mode):
            self._cache.touched_at(parent_of(path), attributes.ctime_ns)
        elif (ino := self._cache.ino_at(parent_of(path))) is not None:
            self._cache.gained_folder(parent, ino, attributes.ctime_ns)
        return self._inodes.shown(attributes)

    def _remove(
        self,
        ctx: CallContext,
        path: bytes,
        request: Callable[[OpId], Change[Attributes]],
        finish: Callable[[OpId, Attributes], None] | None = None,
    ) -> Attributes:
        asked = self._cache.moment()
        attributes = self._link.change(ctx, request, finish=finish)
        self._cache.forget_name(path)
        self._cache.changed(asked, attributes)
        self._cache.touched_at(parent_of(path), attributes.ctime_ns)
        return attributes

    def _touched(self, folder: FolderTimes) -> None:
        self._cache.touched(folder.ino, folder.mtime_ns, folder.nlink)


def parent_of(path: bytes) -> bytes:
    """Return the path of the folder in which a path's last name stands."""
    return path[: path.rindex(b"/")] or b"/"
