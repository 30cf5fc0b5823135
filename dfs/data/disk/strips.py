"""The strip files of one data server: their names, which are open, and which are not yet synced.

A strip is `strips/<ino >> 12, 7 hex digits>/<ino, 10 hex digits>.p` (primary) or `.s` (secondary): 4096 inodes share a folder.
Promises: a strip is open once; one in use is never closed; at most `open_max` are open beyond those in use. Called by the block
store under the keyed lock of the inode, by which two tasks never open the same strip at once. Never syncs by itself.

Lock order: the keyed lock of an inode, then of a folder, then this object's mutex (memory only).
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left, insort
from collections import OrderedDict
from itertools import islice
from typing import Final

from dfs.core.errors import DiskError, DiskMissing
from dfs.core.ids import Ino
from dfs.core.interfaces import Disk, Tasks
from dfs.core.placement import Role
from dfs.data.disk.change_log import ChangeLog
from dfs.data.disk.geometry import Geometry
from dfs.data.disk.quarantine import ROLE_LETTERS
from dfs.data.disk.strip import Strip
from dfs.data.disk.strip_loading import StripLoader

log = logging.getLogger(__name__)

FOLDER: Final = "strips"
SHARD_BITS: Final = 12
"""Inodes that differ only in so many low bits share a folder."""

HEX: Final = re.compile("[0-9a-f]+")

StripKey = tuple[Ino, Role]


def shard_folder(shard: int) -> str:
    """Return the folder of the inodes with ino >> SHARD_BITS == shard."""
    return f"{FOLDER}/{shard:07x}"


def strip_name(ino: Ino, role: Role) -> str:
    """Return a strip's name in the state folder."""
    return f"{shard_folder(ino >> SHARD_BITS)}/{ino:010x}.{ROLE_LETTERS[role]}"


class Strips:
    """Opens, keeps, counts and closes strips."""

    def __init__(
        self, disk: Disk, tasks: Tasks, geometry: Geometry, loader: StripLoader, changes: ChangeLog, open_max: int
    ) -> None:
        self._disk = disk
        self._geometry = geometry
        self._loader = loader
        self._change_log = changes
        self._open_max = open_max
        self._folder_locks = tasks.keyed_lock()
        self._mutex = tasks.mutex()
        self._open: OrderedDict[StripKey, Strip] = OrderedDict()
        """The least recently used first."""
        self._unsynced: dict[StripKey, int] = {}
        """Strips with something to sync -> number of the last change."""
        self._left_unsynced: set[StripKey] = set()
        """Those of them that another process changed and this one has not opened yet."""
        self._changes = 0
        self._unsynced_folders: set[int] = set()
        self._shards: list[int] = []
        self._highest = 0
        """No inode above this one has a strip file; spares new files, whose numbers only rise, a look at the disk."""

    def start(self) -> None:
        """Learn which folders there are. Raises: DiskError leaves."""
        self._disk.make_folder(FOLDER)
        self._shards = sorted(shard for name in self._disk.list_folder(FOLDER) if (shard := _parse_hex(name, 7)) >= 0)
        for shard in reversed(self._shards):  # folders of inodes that are no more stay behind, empty
            names = self._disk.list_folder(shard_folder(shard))
            if names:
                self._highest = max(_parse_hex(name[:10], 10) for name in names)
                break

    def use(self, ino: Ino, role: Role, *, partly: bool = False) -> Strip | None:
        """Return the strip, to be given back with release(); None if there is no such file.

        Arguments: `partly`: an unreadable strip is of use too, for reading what can be read of it.
        Raises: DiskError leaves; DiskFailed also if the strip is unreadable. The next use looks again.
        """
        key = (ino, role)
        with self._mutex:
            if ino > self._highest:
                return None
            strip = self._open.get(key)
            if strip is not None:
                self._open.move_to_end(key)
                strip.pins += 1
                return strip
        try:
            file = self._disk.open(strip_name(ino, role))
        except DiskMissing:
            return None
        with self._mutex:
            check_unsynced = key not in self._unsynced or key in self._left_unsynced
        try:
            strip = self._loader.load(ino, role, file, check_unsynced=check_unsynced)
            if strip.unreadable is not None and not partly:
                raise strip.unreadable
        except BaseException:
            file.close()
            raise
        if strip.unreadable is not None:
            strip.pins, strip.gone = 1, True  # closed by its only user
            return strip
        if any(group.unsynced for group in strip.groups.values()):
            self.note_change(strip)  # written before a stop that was not clean: neither file nor folder may be synced
            self._change_log.note(ino, role)  # nor, if the machine stopped, the journal's word of it
            with self._mutex:
                self._unsynced_folders.add(ino >> SHARD_BITS)
        with self._mutex:
            self._left_unsynced.discard(key)
        self._keep(key, strip)
        return strip

    def use_or_create(self, ino: Ino, role: Role, residue: int) -> Strip:
        """Return the strip, made if it is missing, to be given back with release(). Raises: DiskError leaves."""
        strip = self.use(ino, role)
        if strip is None:
            strip = self._create(ino, role)
        if strip.residue < 0:
            strip.residue = residue
        return strip

    def release(self, strip: Strip) -> None:
        """Give a strip back that use() or use_or_create() returned."""
        with self._mutex:
            strip.pins -= 1
            close = [strip] if strip.gone and not strip.pins else self._evict()
        for old in close:
            old.file.close()

    def discard(self, ino: Ino, role: Role) -> bool:
        """Remove a strip's file, durable after sync_folder(); tell whether there was one. Raises: DiskError leaves."""
        key = (ino, role)
        if ino > self._highest:
            return False
        try:
            self._disk.remove(strip_name(ino, role))
        except DiskMissing:
            return False
        with self._mutex:
            self._unsynced.pop(key, None)
            self._left_unsynced.discard(key)
            self._unsynced_folders.add(ino >> SHARD_BITS)
            strip = self._open.pop(key, None)
            if strip is None:
                return True
            strip.gone = True
            close = not strip.pins
        if close:
            strip.file.close()
        return True

    def note_left_unsynced(self, ino: Ino, role: Role) -> None:
        """Note that a process which is no more changed a strip and may not have synced it."""
        with self._mutex:
            self._changes += 1
            self._unsynced[(ino, role)] = self._changes
            self._left_unsynced.add((ino, role))

    def note_change(self, strip: Strip) -> None:
        """Note that a strip has something to sync."""
        with self._mutex:
            self._changes += 1
            self._unsynced[(strip.ino, strip.role)] = self._changes

    def change_of(self, ino: Ino, role: Role) -> int:
        """Return the number of the strip's last unsynced change, 0 if all of it is synced."""
        with self._mutex:
            return self._unsynced.get((ino, role), 0)

    def note_synced(self, strip: Strip, change: int) -> None:
        """Note that everything up to this change is synced."""
        key = (strip.ino, strip.role)
        with self._mutex:
            if self._unsynced.get(key) == change:
                del self._unsynced[key]

    def forget_unsynced(self, ino: Ino, role: Role) -> None:
        """Note that there is no such strip, so nothing to sync; under the keyed lock of the inode."""
        with self._mutex:
            self._unsynced.pop((ino, role), None)
            self._left_unsynced.discard((ino, role))

    def unsynced_inos(self) -> list[Ino]:
        """Return the inodes with a strip to sync."""
        with self._mutex:
            return sorted({ino for ino, _ in self._unsynced})

    def sync_folder(self, shard: int) -> None:
        """Make the strips made and removed in a folder so far survive a power cut. Raises: DiskError leaves."""
        with self._folder_locks.hold(shard):  # a second caller waits until the first one's sync is done
            with self._mutex:
                if shard not in self._unsynced_folders:
                    return
                self._unsynced_folders.remove(shard)
            try:
                self._disk.sync_folder(shard_folder(shard))
            except DiskError:
                with self._mutex:
                    self._unsynced_folders.add(shard)
                raise

    def sync_folders(self) -> None:
        """Sync all folders that need it. Raises: DiskError leaves."""
        with self._mutex:
            shards = sorted(self._unsynced_folders)
        for shard in shards:
            self.sync_folder(shard)

    def inos_above(self, after: Ino, limit: int) -> list[Ino]:
        """Return up to `limit` inodes above `after` that have a strip file, rising; reads only their folders."""
        found: list[Ino] = []
        with self._mutex:
            shards = self._shards[bisect_left(self._shards, (after + 1) >> SHARD_BITS) :]
        for shard in shards:
            names = self._disk.list_folder(shard_folder(shard))
            inos = {_parse_hex(name[:10], 10) for name in names if name[10:] in (".p", ".s")}
            found += sorted(Ino(ino) for ino in inos if ino > after)
            if len(found) >= limit:
                break
        return found[:limit]

    @property
    def highest(self) -> Ino:
        """No inode above this one has a strip file."""
        return Ino(self._highest)

    def close(self) -> None:
        """Close all strips; nobody uses one any more."""
        with self._mutex:
            strips = list(self._open.values())
            self._open.clear()
        for strip in strips:
            strip.file.close()

    def _create(self, ino: Ino, role: Role) -> Strip:
        shard = ino >> SHARD_BITS
        with self._mutex:
            known = bisect_left(self._shards, shard)
            is_new_shard = known == len(self._shards) or self._shards[known] != shard
        if is_new_shard:
            self._disk.make_folder(shard_folder(shard))
        file = self._disk.open(strip_name(ino, role), create=True)
        strip = Strip(self._geometry, ino, role, -1, file)
        with self._mutex:
            self._highest = max(self._highest, ino)
            if is_new_shard and shard not in self._shards:
                insort(self._shards, shard)
            self._unsynced_folders.add(shard)
        self._keep((ino, role), strip)
        return strip

    def _keep(self, key: StripKey, strip: Strip) -> None:
        with self._mutex:
            self._open[key] = strip
            strip.pins += 1

    def _evict(self) -> list[Strip]:
        """Forget the least recently used strips beyond the limit that nobody uses; return them to be closed."""
        surplus = len(self._open) - self._open_max
        if surplus <= 0:
            return []
        old = list(islice((strip for strip in self._open.values() if not strip.pins), surplus))
        for strip in old:
            del self._open[(strip.ino, strip.role)]
        return old


def _parse_hex(name: str, digits: int) -> int:
    """Return the number that a file name of so many lower-case hex digits says, -1 for any other name."""
    if len(name) != digits or HEX.fullmatch(name) is None:
        log.warning("%s is none of our names in %s; it is left alone", name, FOLDER)
        return -1
    return int(name, 16)
