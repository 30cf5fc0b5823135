"""What is in the journal and not yet in place: the newest records, which reads consult before the strips.

Two layers: the active one belongs to the journal's active segment, the draining one to the segments that the running checkpoint
writes in place. Promises: a record stays until it is in place and synced, or void. Called by the block store under the keyed
lock of the inode, and under the journal's lock where the journal and this must agree. Never touches the disk.

Lock order: this object's mutex is the innermost; it guards the maps of inodes, the keyed lock of an inode guards its records.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from dfs.core.ids import Ino
from dfs.core.interfaces import Tasks
from dfs.core.placement import Role
from dfs.core.records import Record


class Pending:
    """Records of one strip that are not yet in place: record index -> record."""

    __slots__ = ("records", "residue")

    def __init__(self, residue: int) -> None:
        self.residue = residue
        self.records: dict[int, Record] = {}

    def within(self, first: int, count: int) -> list[int]:
        """Return which of the records first .. first + count - 1 are pending, in no order; costs the smaller of both."""
        records = self.records
        if len(records) < count:
            return [index for index in records if first <= index < first + count]
        return [index for index in range(first, first + count) if index in records]


Layer = dict[Ino, dict[Role, Pending]]


class Overlay:
    """The journalled records of one data server."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._active: Layer = {}
        self._draining: Layer = {}
        self._dropped: set[Ino] = set()
        """Inodes whose drop stands in the active segment."""
        self._draining_dropped: set[Ino] = set()
        """Inodes whose drop stands in an older segment that is still there."""
        self._changed: set[tuple[Ino, Role]] = set()
        """Strips whose change in place stands in the active segment."""

    def find(self, ino: Ino, role: Role) -> tuple[Pending, ...]:
        """Return what is pending for a strip, the newer layer first."""
        with self._mutex:
            found = []
            for layer in (self._active, self._draining):
                roles = layer.get(ino)
                if roles is not None and (pending := roles.get(role)) is not None:
                    found.append(pending)
        return tuple(found)

    def merged(self, ino: Ino, role: Role) -> Pending | None:
        """Return all that is pending for a strip, the newest of each record, as a copy."""
        layers = self.find(ino, role)
        if not layers:
            return None
        result = Pending(layers[0].residue)
        for pending in reversed(layers):
            result.records.update(pending.records)
        return result

    def add(self, ino: Ino, role: Role, residue: int, records: Mapping[int, Record]) -> None:
        """Add records that were appended to the active segment."""
        with self._mutex:
            roles = self._active.setdefault(ino, {})
            pending = roles.get(role)
            if pending is None:
                pending = roles[role] = Pending(residue)
        pending.records.update(records)

    def void(self, ino: Ino, role: Role, indexes: Iterable[int]) -> None:
        """Forget some of what is pending for a strip."""
        layers = self.find(ino, role)
        for index in indexes:
            for pending in layers:
                pending.records.pop(index, None)

    def drop(self, ino: Ino) -> None:
        """Forget what is pending for an inode, and remember that a replay would remove its strips."""
        with self._mutex:
            self._active.pop(ino, None)
            self._draining.pop(ino, None)
            self._dropped.add(ino)

    def was_dropped(self, ino: Ino) -> bool:
        """Tell whether a replay would remove the inode's strips: what is stored now must stand in the journal, behind the drop.

        Numbers of inodes are never used again, so this is only for a put that comes late.
        """
        return ino in self._dropped or ino in self._draining_dropped

    def note_changed(self, ino: Ino, role: Role) -> None:
        """Note that the active segment says that a strip has something to sync."""
        with self._mutex:
            self._changed.add((ino, role))

    def is_noted_changed(self, ino: Ino, role: Role) -> bool:
        """Tell whether the active segment says that a strip has something to sync."""
        return (ino, role) in self._changed

    def roll(self) -> None:
        """Make the active layer the draining one; the last one must be finished."""
        with self._mutex:
            if self._draining or self._draining_dropped:
                raise AssertionError("the last checkpoint is not finished")
            self._draining, self._active = self._active, {}
            self._draining_dropped, self._dropped = self._dropped, set()
            self._changed = set()

    def finish(self) -> None:
        """Note that the checkpoint is finished: the older segments are gone."""
        with self._mutex:
            self._draining_dropped = set()

    def draining_inos(self) -> list[Ino]:
        """Return the inodes that the running checkpoint has to write, rising."""
        with self._mutex:
            return sorted(self._draining)

    def draining_of(self, ino: Ino) -> dict[Role, Pending]:
        """Return what the running checkpoint has to write of an inode."""
        with self._mutex:
            return self._draining.get(ino, {})

    def drained(self, ino: Ino) -> None:
        """Forget the draining layer's records of an inode: they are in place and synced."""
        with self._mutex:
            self._draining.pop(ino, None)

    @property
    def records(self) -> int:
        """How many records are pending, those of both layers added up."""
        with self._mutex:
            return sum(
                len(pending.records)
                for layer in (self._active, self._draining)
                for roles in layer.values()
                for pending in roles.values()
            )

    @property
    def is_empty(self) -> bool:
        """Tell whether everything is in place."""
        return not self._active and not self._draining

    def inos_above(self, after: Ino, limit: int) -> list[Ino]:
        """Return up to `limit` inodes above `after` with pending records, rising."""
        with self._mutex:
            inos = {ino for layer in (self._active, self._draining) for ino in layer if ino > after}
        return heapq.nsmallest(limit, inos)
