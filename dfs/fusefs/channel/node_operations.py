"""The operations as the kernel itself asks for them: by inode, and with attributes in the answers.

What differs from operations.py, which answers libfuse: names come as a folder's number and a name in it, so that no path is put
together and what another mount has renamed is still found; one SETATTR says what is three calls there; whatever names an inode
brings its attributes, and for how long the kernel may believe them, never longer than the client service itself; and where the
client knows better, the kernel is told to ask again. Called by handlers.py through __call__.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from dfs.client.metadata.attribute_cache import Believed, Looked
from dfs.client.metadata.inode_paths import path_of_inode
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.inodes import AttributeChanges, Entry
from dfs.core.records import Buffer
from dfs.fusefs.binding import FileInfo, Stat
from dfs.fusefs.channel.given_names import GivenName, GivenNames
from dfs.fusefs.channel.open_info import OpenInfo
from dfs.fusefs.channel.protocol import ROOT_NODE
from dfs.fusefs.channel.replies import Known
from dfs.fusefs.flock_struct import to_owner
from dfs.fusefs.operation_context import OperationContext
from dfs.fusefs.operations import Operations, to_stat
from dfs.fusefs.page_cache import PageCache, run_beside
from dfs.fusefs.serving import Served

SET_ID_BITS: Final = stat.S_ISUID | stat.S_ISGID
TOLD_MAX: Final = 4096
"""Inodes of which is remembered what the kernel was told last."""
ROOT_PATH: Final = b"/"


class Kernel(Protocol):
    """What the kernel can be told unasked (device.py)."""

    def forget_attributes(self, node: int) -> None:
        """Let it ask for attributes anew; waits for nothing."""

    def drop_pages(self, node: int) -> None:
        """Let it forget a file's pages; may wait for operations under way."""

    def forget_name(self, folder: int, name: bytes, *, expire_only: bool) -> None:
        """Let it look a name up anew; may wait for operations under way."""


class Changes(NamedTuple):
    """What SETATTR asks for."""

    attributes: AttributeChanges | None
    """Mode, owners and times; None: none of them."""
    size_bytes: int | None
    handle: int | None
    """Through which the size is set; None: by the inode alone."""
    kills_set_id: bool
    """Whether the caller is one whose changes of the content take set-id bits away."""


def path_of(node: int) -> bytes:
    """Return the client's path of an inode that the kernel knows by this number."""
    return ROOT_PATH if node == ROOT_NODE else path_of_inode(node)


def path_in(folder: int, name: bytes) -> bytes:
    """Return the client's path of a name in a folder."""
    return ROOT_PATH + name if folder == ROOT_NODE else b"%d/%b" % (folder, name)


class NodeOperations(Operations):
    """Carries out what handlers.py has understood."""

    def __init__(self, served: Served, kernel: Kernel) -> None:
        super().__init__(
            filesystem=served.filesystem,
            contexts=served.contexts,
            events=served.events,
            connection=served.connection,
            pages=PageCache(lambda _, ino: kernel.drop_pages(ino)),
            meter=served.meter,
        )
        self._kernel = kernel
        self._given = GivenNames()
        self.can_expire = False
        """Whether the kernel can look a name up anew without dropping it."""
        self._root_ino = ROOT_NODE
        self._told: dict[int, Stat] = {}
        self._set_id: set[int] = set()
        """Inodes that had a set-id bit when they were last seen."""
        self._listing_numbers = itertools.count(1)
        self._listings: dict[int, list[Entry]] = {}
        self._own: Final[dict[str, Callable[..., Any]]] = {
            "getattr": self._getattr_known,
            "mkdir": self._mkdir_known,
            "mknod": self._mknod_known,
            "symlink": self._symlink_known,
            "link": self._link_known,
            "rename": self._rename_flags,
            "create": self._create_known,
            "open": self._open_told,
            "write": self._write_killing,
            "fallocate": self._fallocate_killing,
            "flush": self._flush_and_unlock,
            "opendir": self._begin_listing,
            "readdir": self._list,
            "releasedir": self._end_listing,
        }

    def _method(self, operation: str) -> Callable[..., Any]:
        return self._own.get(operation) or super()._method(operation)

    # --- attributes ------------------------------------------------------------------------------------------------------------

    def lookup(self, ctx: OperationContext, folder: int, name: bytes) -> Known:
        """Return what stands at a name."""
        path = path_in(folder, name)
        return self._named(ctx, folder, name, self._filesystem.look(ctx, path))

    def _getattr_known(self, ctx: OperationContext, node: int, handle: int | None = None) -> Known:
        path = path_of(node)
        known = self._known(ctx, self._filesystem.look(ctx, path, handle))
        if node == ROOT_NODE:
            self._root_ino = known.stat.ino
        return known

    def ino_of(self, node: int) -> int:
        """Return the inode number that programs see of a node; an export's root is any folder."""
        return self._root_ino if node == ROOT_NODE else node

    def setattr(self, ctx: OperationContext, node: int, changes: Changes) -> Known:
        """Change what is to be changed, the size first: it changes times, too."""
        path = path_of(node)
        if changes.size_bytes is not None:
            self._filesystem.truncate(ctx, path, changes.size_bytes, changes.handle)
        if changes.kills_set_id and (changes.attributes is None or changes.attributes.mode is None):
            self._kill_set_id(ctx, node)
        if changes.attributes is not None:
            self._filesystem.setattr(ctx, path, changes.attributes)
        return self._known(ctx, self._filesystem.look(ctx, path))

    def _known(self, ctx: OperationContext, looked: Looked) -> Known:
        attributes, attributes_s, name_s = looked
        shown = self._shown(ctx, attributes)
        if attributes_s > 0:
            self._told[shown.ino] = shown
            if len(self._told) > TOLD_MAX:
                self._told.clear()
        if shown.mode & SET_ID_BITS:
            self._set_id.add(shown.ino)
        else:
            self._set_id.discard(shown.ino)
        # A name whose attributes are no longer believed is asked for with them: that is one call, too.
        return Known(shown, attributes_s, min(name_s, attributes_s))

    def _named(self, ctx: OperationContext, folder: int, name: bytes, looked: Looked) -> Known:
        known = self._known(ctx, looked)
        if not stat.S_ISDIR(known.stat.mode):
            self._given.note((GivenName(folder, name),), known.name_s)
        return known

    def _kill_set_id(self, ctx: OperationContext, node: int) -> None:
        """Take set-id bits away, as the kernel would if this file system did not say that it does."""
        if node not in self._set_id:
            return
        path = path_of(node)
        mode = stat.S_IMODE(self._filesystem.getattr(ctx, path, None).mode)
        kept = mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            kept &= ~stat.S_ISGID
        if kept != mode:
            self._filesystem.setattr(ctx, path, AttributeChanges(mode=kept))
            self._kernel.forget_attributes(node)

    # --- names -----------------------------------------------------------------------------------------------------------------

    def _mkdir_known(self, ctx: OperationContext, folder: int, name: bytes, mode: int) -> Known:
        path = path_in(folder, name)
        self._filesystem.mkdir(ctx, path, mode)
        return self._named(ctx, folder, name, self._filesystem.look(ctx, path))

    def _mknod_known(self, ctx: OperationContext, folder: int, name: bytes, mode: int, rdev: int) -> Known:
        path = path_in(folder, name)
        self._filesystem.mknod(ctx, path, mode, rdev)
        return self._named(ctx, folder, name, self._filesystem.look(ctx, path))

    def _symlink_known(self, ctx: OperationContext, folder: int, name: bytes, target: bytes) -> Known:
        path = path_in(folder, name)
        self._filesystem.symlink(ctx, path, target)
        return self._named(ctx, folder, name, self._filesystem.look(ctx, path))

    def _link_known(self, ctx: OperationContext, node: int, folder: int, name: bytes) -> Known:
        path = path_in(folder, name)
        self._filesystem.link(ctx, path_of(node), path)
        return self._named(ctx, folder, name, self._filesystem.look(ctx, path))

    def _rename_flags(self, ctx: OperationContext, old: bytes, new: bytes, flags: int) -> None:
        """A file that is open stays what it is, by its number, whatever takes its name: nothing is hidden first."""
        self._filesystem.rename(ctx, old, new, flags)

    # --- files -----------------------------------------------------------------------------------------------------------------

    def _create_known(self, ctx: OperationContext, folder: int, name: bytes, mode: int, info: FileInfo) -> Known:
        path = path_in(folder, name)
        handle = self._filesystem.create(ctx, path, stat.S_IMODE(mode), info.flags)
        attributes = self._note_open(ctx, info, path, handle)
        ((believed, attributes_s, name_s),) = self._filesystem.believed([(path, attributes.ino)])
        return self._named(ctx, folder, name, Looked(believed or attributes, attributes_s, name_s))

    def _open_told(self, ctx: OperationContext, node: int, info: FileInfo, kills_set_id: bool) -> None:
        """Open; what the kernel believes of the inode counts no longer if it is something else than the open has found."""
        path = path_of(node)
        handle = self._filesystem.open(ctx, path, info.flags)
        try:
            if info.flags & os.O_TRUNC:
                self._cut(ctx, node, info.flags, kills_set_id)
            attributes = self._note_open(ctx, info, path, handle)
        except BaseException:
            self._filesystem.release(ctx, handle)
            raise
        # Of a sparse file only the data servers know how many blocks it has: not to be asked for an open.
        if attributes.is_sparse or self._told.get(node) != to_stat(attributes):
            self._kernel.forget_attributes(node)

    def _cut(self, ctx: OperationContext, node: int, flags: int, kills_set_id: bool) -> None:
        """Do what O_TRUNC leaves to do once the client has opened the file, which cuts what is opened for writing."""
        if flags & os.O_ACCMODE == os.O_RDONLY:
            self._filesystem.truncate(ctx, path_of(node), 0, None)
        if kills_set_id:
            self._kill_set_id(ctx, node)

    def _write_killing(
        self, ctx: OperationContext, node: int, data: Buffer, offset: int, info: FileInfo, kills_set_id: bool
    ) -> int:
        if kills_set_id:
            self._kill_set_id(ctx, node)
        return self.write(ctx, None, data, offset, info)

    def _fallocate_killing(self, ctx: OperationContext, node: int, info: FileInfo, mode: int, offset: int, length: int) -> None:
        # The kernel says nothing of set-id bits here.
        if ctx.caller.uid != 0:
            self._kill_set_id(ctx, node)
        self.fallocate(ctx, info, mode, offset, length)
        self._kernel.forget_attributes(node)

    def _flush_and_unlock(self, ctx: OperationContext, info: FileInfo) -> None:
        """A descriptor is being closed, which ends the locks of its owner."""
        try:
            self._filesystem.flush(ctx, info.fh)
        finally:
            self._filesystem.unlock(ctx, info.fh, to_owner(LockKind.RECORD, info.lock_owner), 0, OFFSET_MAX)

    def _lock(self, ctx: OperationContext, info: FileInfo, owner: LockOwner, wanted: LockRange, *, wait: bool) -> None:
        super()._lock(ctx, info, owner, wanted, wait=wait)
        assert isinstance(info, OpenInfo)
        self._kernel.forget_attributes(info.node)
        names = self._given.take()
        if names:
            run_beside(ctx, lambda: self._forget_names(names))

    def _forget_names(self, names: list[GivenName]) -> None:
        for folder, name in names:
            self._kernel.forget_name(folder, name, expire_only=self.can_expire)

    # --- open folders ----------------------------------------------------------------------------------------------------------

    def _begin_listing(self, ctx: OperationContext) -> int:
        """Folders are asked for nothing until they are read."""
        number = next(self._listing_numbers)
        self._listings[number] = []
        return number

    def _list(self, ctx: OperationContext, node: int, number: int, offset: int) -> list[Entry]:
        """Return all entries of an open folder as they were when it was last read from its start."""
        if offset == 0 or number not in self._listings:
            self._listings[number] = list(self._filesystem.list_folder(ctx, path_of(node)))
        return self._listings[number]

    def listed(self, folder: int, entries: Sequence[Entry]) -> list[Known | None]:
        """Return what the kernel may know of entries of a listing now, which may be old: None is what it has to ask for. No call is
        made for it.
        """
        before = path_in(folder, b"")
        named = [(before + entry.name, entry.attributes.ino) for entry in entries]
        found = list(map(_listed, self._filesystem.believed(named)))
        names = [
            GivenName(folder, entry.name)
            for entry, known in zip(entries, found, strict=True)
            if known is not None and not stat.S_ISDIR(known.stat.mode)
        ]
        if names:
            self._given.note(names, max(known.name_s for known in found if known is not None))
        return found

    def _end_listing(self, ctx: OperationContext, number: int) -> None:
        self._listings.pop(number, None)


def _listed(believed: Believed) -> Known | None:
    """Return what the kernel may know of an entry of a listing."""
    attributes, attributes_s, name_s = believed
    # How many blocks a sparse file has only the data servers know.
    if attributes is None or not name_s or attributes.is_sparse or attributes.mode & SET_ID_BITS:
        return None
    return Known(to_stat(attributes), attributes_s, min(name_s, attributes_s))
