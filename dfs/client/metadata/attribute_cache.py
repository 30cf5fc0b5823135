"""What this mount has lately seen of names and inodes, so that a repeated stat makes no call.

Attributes are believed for attr_timeout_s and names for entry_timeout_s, from when they were asked for, because the answer to a
call that had to be repeated may be old; attributes of an inode that is being settled not at all. Own changes replace or drop what
they touch. An answer that was asked for before an own change and arrives after it is not kept: the caller takes a `Moment` before
asking. Names that do not exist are not remembered. Bounded: the oldest entries go first. Memory only; its mutex is innermost.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from dfs.client.metadata.inode_paths import inode_of, split_at_inode
from dfs.core.ids import Ino
from dfs.core.interfaces import Clock, Tasks
from dfs.core.messages.inodes import Attributes, Entry

K = TypeVar("K")
V = TypeVar("V")

ENTRIES_MAX: Final = 65_536
"""Names, and as many inodes."""
DEPTH_MAX: Final = 256
"""Names in a path that is made for a message: other mounts may have moved folders into each other's former place."""


class Moment(NamedTuple):
    """When something was asked."""

    changes: int
    """Own changes made before."""
    at_s: float
    """On the monotonic clock."""


class Believed(NamedTuple):
    """What is believed of an inode and of a name of it."""

    attributes: Attributes | None
    attributes_s: float
    """For how long from now; 0 if they are not."""
    name_s: float
    """For how long from now the name is believed to lead to the inode; 0 if it is not."""


class Looked(NamedTuple):
    """What stands somewhere, asked for if it was not believed."""

    attributes: Attributes
    attributes_s: float
    """As in Believed."""
    name_s: float


NOT_BELIEVED: Final = Believed(None, 0.0, 0.0)


@dataclass(slots=True)
class _Inode:
    attributes: Attributes | None
    expires_s: float
    changed: int
    """Number of the newest own change of the inode; 0: none."""


class AttributeCache:
    """Names and attributes with an expiry date."""

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        attr_timeout_s: float,
        entries_max: int = ENTRIES_MAX,
        entry_timeout_s: float | None = None,
    ) -> None:
        self._clock = clock
        self._timeout_s = attr_timeout_s
        self._name_timeout_s = attr_timeout_s if entry_timeout_s is None else entry_timeout_s
        self._entries_max = entries_max
        self._mutex = tasks.mutex()
        self._names: dict[bytes, tuple[Ino, float]] = {}
        self._last_names: dict[Ino, bytes] = {}
        """Under which name each inode was seen last, however long ago."""
        self._inodes: dict[Ino, _Inode] = {}
        self._changes = 0
        self._names_changed = 0
        self._evicted = 0
        """The newest own change of which the note was evicted."""

    def set_timeouts(self, attr_timeout_s: float, entry_timeout_s: float | None) -> None:
        """Believe what is learnt from now on for so long; what is known keeps its date."""
        with self._mutex:
            self._timeout_s = attr_timeout_s
            self._name_timeout_s = attr_timeout_s if entry_timeout_s is None else entry_timeout_s

    def moment(self) -> Moment:
        """Return the present, to be taken before a call whose answer is to be kept."""
        with self._mutex:
            return Moment(self._changes, self._clock.monotonic_s())

    # --- asking ----------------------------------------------------------------------------------------------------------

    def ino_at(self, path: bytes) -> Ino | None:
        """Return the inode that the path is believed to lead to."""
        if not path.startswith(b"/") and (number := inode_of(path)) is not None:
            return number
        with self._mutex:
            ino, expires_s = self._names.get(path, (None, 0.0))
            return ino if self._clock.monotonic_s() < expires_s else None

    def attributes_of(self, ino: Ino) -> Attributes | None:
        """Return what is believed of the inode."""
        with self._mutex:
            known = self._inodes.get(ino)
            if known is None or self._clock.monotonic_s() >= known.expires_s:
                return None
            return known.attributes

    def attributes_at(self, path: bytes) -> Attributes | None:
        """Return what is believed of the inode that the path is believed to lead to."""
        ino = self.ino_at(path)
        return None if ino is None else self.attributes_of(ino)

    def believed(self, named: Sequence[tuple[bytes, Ino]]) -> list[Believed]:
        """Return, for each path and the inode to which it leads, what is believed of both, and for how many seconds from now."""
        with self._mutex:
            now_s = self._clock.monotonic_s()
            return [self._believed(path, ino, now_s) for path, ino in named]

    def last_name(self, ino: Ino) -> bytes | None:
        """Return the path under which an inode was seen last, unless this mount has taken it away since; None: nobody knows."""
        with self._mutex:
            return self._last_names.get(ino)

    def shown_path(self, path: bytes) -> bytes:
        """Return a path that begins at an inode as a person would say it, as far as its names were seen: for messages."""
        names: list[bytes] = []
        with self._mutex:
            while not path.startswith(b"/"):
                ino, rest = split_at_inode(path)
                names += [rest] if rest else []
                above = self._last_names.get(ino)
                if above is None or len(names) > DEPTH_MAX:
                    return b"/".join([b"inode %d" % ino, *reversed(names)])
                path = above
        return b"/".join([path.rstrip(b"/") if names else path, *reversed(names)])

    # --- learning --------------------------------------------------------------------------------------------------------

    def learn(self, asked: Moment, attributes: Attributes, path: bytes | None = None) -> bool:
        """Keep what meta answered to a question. Result: False if an own change of the inode may be missing in it."""
        with self._mutex:
            expires_s = asked.at_s + self._timeout_s
            self._put_attributes(attributes.ino, attributes, expires_s, asked)
            if path is not None and self._names_changed <= asked.changes:
                self._put_name(path, attributes.ino, asked)
            return self._last_change(self._inodes.get(attributes.ino)) <= asked.changes

    def learn_listing(self, asked: Moment, folder: bytes, entries: list[Entry]) -> None:
        """Keep what a listing of a folder answered."""
        before = posixpath.join(folder, b"")
        with self._mutex:
            expires_s, names_expire_s = asked.at_s + self._timeout_s, asked.at_s + self._name_timeout_s
            inodes: dict[Ino, _Inode] = {}
            for _, attributes in entries:
                changed = self._last_change(self._inodes.get(attributes.ino))
                if changed <= asked.changes:
                    inodes[attributes.ino] = _Inode(None if attributes.is_settling else attributes, expires_s, changed)
            for evicted in self._renew(self._inodes, inodes):
                self._evicted = max(self._evicted, evicted.changed)
            if self._names_changed <= asked.changes:
                paths = {before + name: attributes.ino for name, attributes in entries}
                self._renew(self._names, {path: (ino, names_expire_s) for path, ino in paths.items()})
                self._renew(self._last_names, {ino: path for path, ino in paths.items()})

    def changed(self, asked: Moment, attributes: Attributes, path: bytes | None = None) -> None:
        """Keep what meta answered to an own change of an inode, and of the name `path` if one was made."""
        with self._mutex:
            expires_s = asked.at_s + self._timeout_s
            known = self._inodes.get(attributes.ino)
            overlapped = self._last_change(known) > asked.changes
            self._changes += 1
            # Of two own changes under way at once nobody here knows which came last: keep neither.
            kept = None if overlapped or attributes.is_settling else attributes
            self._put_inode(attributes.ino, _Inode(kept, expires_s if kept else 0.0, self._changes))
            if path is not None:
                self._put_name(path, attributes.ino, asked)

    def touched(self, ino: Ino, time_ns: int, nlink: int | None = None) -> None:
        """Note that an own change of a name in a folder gave it this time stamp and, if told, so many links; what else is believed
        of it stays.
        """
        with self._mutex:
            self._touch(ino, lambda old: _at(old, time_ns, old.nlink if nlink is None else nlink))

    def touched_at(self, folder: bytes, time_ns: int) -> None:
        """Do what touched() does for the folder that a path is believed to lead to, if any."""
        ino = self.ino_at(folder)
        if ino is not None:
            self.touched(ino, time_ns)

    def gained_folder(self, before: Attributes | None, ino: Ino, time_ns: int) -> None:
        """Note that an own change made a folder in the folder `ino`, of which `before` was believed when that was asked for."""
        with self._mutex:
            known = self._inodes.get(ino)
            if before is None or known is None or known.attributes is not before:
                # What was learnt meanwhile may have the new link counted already.
                self._touch(ino, lambda old: None)
                return
            self._touch(ino, lambda old: _at(old, time_ns, old.nlink + 1))

    def moved(self, asked: Moment, path: bytes, new_path: bytes, ino: Ino, ctime_ns: int) -> None:
        """Note that an own change gave an inode that is no folder the second name instead of the first, and this ctime."""
        with self._mutex:
            overlapped = self._names_changed > asked.changes
            self._touch(ino, lambda old: old._replace(ctime_ns=max(old.ctime_ns, ctime_ns)))
            self._names_changed = self._changes
            self._take_name(path)
            self._take_name(new_path)
            if not overlapped:
                self._put_name(new_path, ino, asked)

    # --- forgetting --------------------------------------------------------------------------------------------------------

    def forget_attributes(self, ino: Ino) -> None:
        """Note an own change of an inode whose outcome is not known in full."""
        with self._mutex:
            self._changes += 1
            self._put_inode(ino, _Inode(None, 0.0, self._changes))

    def forget_name(self, path: bytes) -> None:
        """Note that an own change removed or replaced a name that was no folder's."""
        with self._mutex:
            self._changes += 1
            self._names_changed = self._changes
            self._take_name(path)

    def renamed(self, ino: Ino, new_path: bytes) -> None:
        """Note that an own change gave an inode another name."""
        with self._mutex:
            self._put_last_name(ino, new_path)

    def forget_all_names(self) -> None:
        """Note that an own change moved a folder, and with it any number of paths."""
        with self._mutex:
            self._changes += 1
            self._names_changed = self._changes
            self._names.clear()

    # --- under the mutex ---------------------------------------------------------------------------------------------------

    def _believed(self, path: bytes, ino: Ino, now_s: float) -> Believed:
        known = self._inodes.get(ino)
        named, expires_s = self._names.get(path, (None, 0.0))
        name_s = expires_s - now_s if named == ino and expires_s > now_s else 0.0
        if known is None or known.attributes is None or known.expires_s <= now_s:
            return Believed(None, 0.0, name_s)
        return Believed(known.attributes, known.expires_s - now_s, name_s)

    def _touch(self, ino: Ino, change: Callable[[Attributes], Attributes | None]) -> None:
        self._changes += 1
        known = self._inodes.get(ino)
        attributes = None if known is None else known.attributes
        touched = None if attributes is None else change(attributes)
        expires_s = 0.0 if known is None or touched is None else known.expires_s
        self._put_inode(ino, _Inode(touched, expires_s, self._changes))

    def _last_change(self, known: _Inode | None) -> int:
        return self._evicted if known is None else known.changed

    def _put_attributes(self, ino: Ino, attributes: Attributes, expires_s: float, asked: Moment) -> None:
        known = self._inodes.get(ino)
        changed = self._last_change(known)
        if changed <= asked.changes:
            self._put_inode(ino, _Inode(None if attributes.is_settling else attributes, expires_s, changed))

    def _put_inode(self, ino: Ino, inode: _Inode) -> None:
        self._inodes.pop(ino, None)
        self._inodes[ino] = inode
        if len(self._inodes) > self._entries_max:
            oldest = self._inodes.pop(next(iter(self._inodes)))
            self._evicted = max(self._evicted, oldest.changed)

    def _renew(self, kept: dict[K, V], fresh: dict[K, V]) -> list[V]:
        """Put entries behind all others. Result: the oldest ones, which are too many now."""
        for key in kept.keys() & fresh.keys():
            del kept[key]
        kept.update(fresh)
        oldest = list(itertools.islice(kept, max(0, len(kept) - self._entries_max)))
        return [kept.pop(key) for key in oldest]

    def _put_name(self, path: bytes, ino: Ino, asked: Moment) -> None:
        self._names.pop(path, None)
        self._names[path] = (ino, asked.at_s + self._name_timeout_s)
        if len(self._names) > self._entries_max:
            del self._names[next(iter(self._names))]
        self._put_last_name(ino, path)

    def _take_name(self, path: bytes) -> None:
        ino, _ = self._names.pop(path, (None, 0.0))
        if ino is not None and self._last_names.get(ino) == path:
            del self._last_names[ino]

    def _put_last_name(self, ino: Ino, path: bytes) -> None:
        self._last_names.pop(ino, None)
        self._last_names[ino] = path
        if len(self._last_names) > self._entries_max:
            del self._last_names[next(iter(self._last_names))]


def _at(old: Attributes, time_ns: int, nlink: int) -> Attributes:
    """Return the attributes of a folder since one of its names changed."""
    return old._replace(nlink=nlink, mtime_ns=max(old.mtime_ns, time_ns), ctime_ns=max(old.ctime_ns, time_ns))
