"""Attributes as this mount must show them: from the cache or from meta, with what a held grant knows better laid over.

A holder's size is the file's size; its time stamp counts until it is committed. Called by files.py, names.py and filesystem.py.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.patience import pause
from dfs.client.metadata.attribute_cache import NOT_BELIEVED, AttributeCache, Believed
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.inode_paths import split_at_inode
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.next_names import NextNames, just_before
from dfs.client.metadata.whole_folders import WholeFolders
from dfs.core.errors import FileError, NotFound, StaleFile
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.interfaces import CallContext, Clock
from dfs.core.limits import RETRY_DELAY_S_MIN
from dfs.core.messages.inodes import Attributes, Content, Entry
from dfs.core.messages.names import ListFolder, ListNames, Lookup


class Place(NamedTuple):
    """A name as meta is asked for it."""

    base: Ino
    path: bytes


class InodeAttributes:
    """Looks inodes up."""

    def __init__(
        self,
        *,
        link: MetaLink,
        cache: AttributeCache,
        folders: WholeFolders,
        grants: Grants,
        handles: Handles,
        clock: Clock,
        attr_timeout_s: float,
    ) -> None:
        self._attr_timeout_s = attr_timeout_s
        self._link = link
        self._cache = cache
        self._folders = folders
        self._grants = grants
        self._handles = handles
        self._clock = clock
        self.waiting: Callable[[Ino], tuple[int, int] | None] = lambda ino: None
        """Tells of an inode how far what no server has yet reaches, and when it was written (ns); None: there is nothing."""
        self._next = NextNames()

    def set_timeout(self, attr_timeout_s: float) -> None:
        """Believe attributes for so long from now on."""
        self._attr_timeout_s = attr_timeout_s

    def place(self, path: bytes) -> Place:
        """Return where a path of the mount leads: from the root, from the inode at which it begins, or to that of an alias.

        Raises: InvalidArgument unless the path begins with a slash or a number.
        """
        ino = self._handles.alias(path)
        if ino is not None:
            return Place(ino, b"")
        if not path.startswith(b"/"):
            return Place(*split_at_inode(path))
        return Place(ROOT_INO, path[1:])

    def ino_at(self, path: bytes) -> Ino | None:
        """Return the inode that a path is known to lead to, without a call."""
        alias = self._handles.alias(path)
        return self._cache.ino_at(path) if alias is None else alias

    def at(self, ctx: CallContext, path: bytes) -> Attributes:
        """Return the attributes of what stands at a path: no call if it was seen lately, else one. Raises: NotFound and others."""
        ino = self._handles.alias(path)
        if ino is not None:
            return self.of(ctx, ino)
        shown = self._settled(ctx, lambda: self._cache.attributes_at(path) or self._ask_at(ctx, path))
        return shown if self._grants.unfinished(shown.ino) is None else self.of(ctx, shown.ino)

    def of(self, ctx: CallContext, ino: Ino) -> Attributes:
        """Return the attributes of an inode. Raises: StaleFile if it is gone."""
        self._grants.wait_until_told(ctx, ino, self._attr_timeout_s)
        return self._settled(ctx, lambda: self._cache.attributes_of(ino) or self._ask(ctx, ino))

    def believed(self, named: Sequence[tuple[bytes, Ino]]) -> list[Believed]:
        """Return what may be shown of inodes, and of the names that lead to them, for a while without asking."""
        losses = self._grants.losses()
        unfinished = {ino for _, ino in named if self._grants.unfinished(ino) is not None}
        found = [self._believed_shown(believed) for believed in self._cache.believed(named)]
        if self._grants.losses() != losses:
            return [NOT_BELIEVED] * len(named)
        if unfinished:
            return [NOT_BELIEVED if ino in unfinished else believed for (_, ino), believed in zip(named, found, strict=True)]
        return found

    def _believed_shown(self, believed: Believed) -> Believed:
        if believed.attributes is None:
            return believed
        shown = self.shown(believed.attributes)
        return believed if shown is believed.attributes else believed._replace(attributes=shown)

    def refreshed(self, ctx: CallContext, ino: Ino) -> Attributes:
        """Return the attributes of an inode as meta has them now. Raises: StaleFile if it is gone."""
        return self._settled(ctx, lambda: self._ask(ctx, ino))

    def view(self, ctx: CallContext, ino: Ino, path: bytes) -> FileView:
        """Return what a read of the file is made from. Raises: StaleFile if it is gone."""
        self._grants.wait_until_told(ctx, ino, self._attr_timeout_s)
        held = self._grants.view(ino)
        if held is not None:
            return FileView(ino, path, held.content)
        return FileView(ino, path, self.of(ctx, ino).content)

    def newer_view(self, ctx: CallContext, old: FileView, path: bytes) -> FileView:
        """Return a fresher view than `old`, which a data server refused because it knows of a newer cut.

        A grant whose cuts meta contradicts has gone: it is forgotten, meta has settled what was written under it.
        """
        held = self._grants.view(old.ino)
        if held is not None and held.content.newest_cut > old.content.newest_cut:
            return FileView(old.ino, path, held.content)
        known = self.refreshed(ctx, old.ino)
        held = self._grants.held(old.ino)
        if held is not None and known.content.newest_cut > held.content.newest_cut:
            self._grants.forget(old.ino, held.ticket)
            known = self.refreshed(ctx, old.ino)
        return FileView(old.ino, path, known.content)

    def shown(self, attributes: Attributes) -> Attributes:
        """Return attributes with what this mount knows better."""
        shown, waiting = self._stored(attributes), self.waiting(attributes.ino)
        if waiting is None:
            return shown
        content = shown.content._replace(size_bytes=max(shown.content.size_bytes, waiting[0]))
        mtime_ns = max(shown.mtime_ns, waiting[1])
        return shown._replace(content=content, mtime_ns=mtime_ns, ctime_ns=max(shown.ctime_ns, mtime_ns))

    def shown_entry(self, entry: Entry) -> Entry:
        """Return an entry of a listing, likewise."""
        shown = self.shown(entry.attributes)
        return entry if shown is entry.attributes else Entry(entry.name, shown)

    def _stored(self, attributes: Attributes) -> Attributes:
        held = self._grants.view(attributes.ino)
        if held is None:
            return attributes
        content: Content = attributes.content._replace(size_bytes=held.content.size_bytes)
        shown = attributes._replace(content=content, is_sparse=attributes.is_sparse or held.is_sparse)
        if not held.unsaved or not held.mtime_ns:
            return shown
        return shown._replace(mtime_ns=held.mtime_ns, ctime_ns=max(attributes.ctime_ns, held.mtime_ns))

    def _settled(self, ctx: CallContext, find: Callable[[], Attributes]) -> Attributes:
        """Return what `find` finds, as shown(), once nothing that was acknowledged can be missing in it.

        It may be while meta settles what the holder of a lost session wrote, and in an answer from before this mount lost its
        own. Waits as long as that takes. Raises: Interrupted; what `find` raises.
        """
        while True:
            losses = self._grants.losses()
            shown = self.shown(find())
            if shown.is_settling:
                pause(ctx, self._clock, RETRY_DELAY_S_MIN)  # meta has kept the call waiting already, as long as it may
            elif self._grants.losses() == losses:
                return shown

    def _ask_at(self, ctx: CallContext, path: bytes) -> Attributes:
        folder, name = posixpath.split(path)
        if name and self._is_missing(ctx, folder, name):
            raise NotFound(self.place(path).path)
        entries = self._next.entries_from(folder, name) if name else 0
        if entries and (found := self._ask_from(ctx, folder, name, entries)) is not None:
            return found
        while True:
            place = self.place(path)
            asked = self._cache.moment()
            try:
                known = self._link.ask(ctx, Lookup(place.base, place.path))
            except NotFound:
                self._next.missed()
                if name and (limit := self._folders.missed(folder)):
                    self._ask_names(ctx, folder, limit)
                raise
            if self._cache.learn(asked, known, path):
                return known

    def _is_missing(self, ctx: CallContext, folder: bytes, name: bytes) -> bool:
        """Tell whether it is known that there is no such name; names of which one was missing lately are asked for all together."""
        if self._link.has_orphans():
            return False
        if self._folders.lacks(folder, name):
            return True
        limit = self._folders.names_worth(folder, name)
        return bool(limit) and self._ask_names(ctx, folder, limit) and self._folders.lacks(folder, name)

    def _ask_names(self, ctx: CallContext, folder: bytes, limit: int) -> bool:
        """Ask for all names of a folder. Result: whether they are known now."""
        if self._link.has_orphans():
            return False  # one may add a name later
        asking = self._folders.asking()
        try:
            found = self._link.ask(ctx, ListNames(*self.place(folder), limit))
        except FileError:
            found = None  # who may look a name up may not always list
        if found is None or not found.is_pledged:
            self._folders.not_pledged(folder)
            return False
        self._folders.learn(asking, folder, found.names)
        return True

    def _ask_from(self, ctx: CallContext, folder: bytes, name: bytes, entries: int) -> Attributes | None:
        """Ask for some entries of a folder; return the first one's attributes, None if it must be asked for by itself."""
        asked = self._cache.moment()
        try:
            page = self._link.ask(ctx, ListFolder(*self.place(folder), just_before(name), entries))
        except FileError:
            return None  # who may look a name up may not always list; whatever else it is, the lookup tells
        found = page.entries()
        if not found or found[0].name != name:
            return None
        self._cache.learn_listing(asked, folder, found)
        self._next.learned(folder, found[-1].name)
        return self._cache.attributes_at(posixpath.join(folder, name))

    def _ask(self, ctx: CallContext, ino: Ino) -> Attributes:
        """Ask meta, again if an own change ended meanwhile: what was committed since is neither in the answer nor in the grant."""
        while True:
            asked = self._cache.moment()
            try:
                known = self._link.ask(ctx, Lookup(ino, b""))
            except NotFound as error:
                raise StaleFile(error.path) from error
            if self._cache.learn(asked, known):
                return known
