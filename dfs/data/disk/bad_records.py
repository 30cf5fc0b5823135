"""What happens to a record that does not verify or can't be read: the former is kept in quarantine, and an operator is told, once.

Promises: nothing bad is written over before it is kept; a bad record that is read again and again is one event; what the disk can't
read stands in the status until it was read or written over. Called by the operations of the block store. Never repairs.

Lock order: the mutex is the innermost; neither disk nor event sink is used under it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dfs.core.errors import DiskError
from dfs.core.events.data_server import BLOCKS_UNREADABLE, CORRUPT_RECORD, STRIP_UNREADABLE
from dfs.core.events.event import Event, EventKind
from dfs.core.ids import BlockNo, Ino, ServerIndex
from dfs.core.interfaces import CallContext, EventSink, Tasks
from dfs.core.placement import Role
from dfs.data.disk.quarantine import Quarantine

REMEMBERED_MAX: Final = 10_000
"""Bad records that are remembered as told; beyond, the oldest would be told once more."""
WHOLE_STRIP: Final = BlockNo(-1)
"""Stands for the block number where no block of a strip that is not in a known place can be read."""


class BadRecords:
    """The bad records that one data server met."""

    def __init__(self, server: ServerIndex, tasks: Tasks, quarantine: Quarantine, events: EventSink) -> None:
        self._server = server
        self._quarantine = quarantine
        self._events = events
        self._mutex = tasks.mutex()
        self._told: dict[tuple[Ino, Role, BlockNo], None] = {}
        """In the order of telling."""
        self._unreadable: dict[tuple[Ino, Role, BlockNo], DiskError] = {}
        """Those of them that the disk can't read."""

    def tell_unreadable(self, ino: Ino, role: Role, block_no: BlockNo, error: DiskError) -> None:
        """Report that the disk can't read a record."""
        if self._is_new(ino, role, block_no, error):
            self._emit(BLOCKS_UNREADABLE, ino, role, block_no, {"reason": str(error)})

    def tell_unreadable_strip(self, ino: Ino, role: Role, error: DiskError) -> None:
        """Report that the disk can't read where the records of a strip are."""
        if self._is_new(ino, role, WHOLE_STRIP, error):
            details = {"role": role.name.lower(), "reason": str(error)}
            self._events.emit(Event(STRIP_UNREADABLE, server=self._server, ino=ino, details=details))

    def note_read(self, ino: Ino, role: Role, blocks: Iterable[int]) -> None:
        """Note that records could be read, and with them where the records of their strip are."""
        if self._unreadable:
            with self._mutex:
                for block_no in (WHOLE_STRIP, *blocks):
                    self._forget((ino, role, BlockNo(block_no)))

    def note_dropped(self, ino: Ino) -> None:
        """Note that an inode's records are no more."""
        if self._unreadable:
            with self._mutex:
                for key in [key for key in self._unreadable if key[0] == ino]:
                    self._forget(key)

    @property
    def unreadable(self) -> int:
        """How many records or strips the disk can't read."""
        return len(self._unreadable)

    def describe(self) -> str:
        """Return what the disk can't read, for people; empty when there is nothing."""
        with self._mutex:
            errors = list(self._unreadable.values())
        return f"the disk can't read {len(errors)} records or strips, the last one: {errors[-1]}" if errors else ""

    def tell_corrupt(self, ino: Ino, role: Role, block_no: BlockNo, raw: bytes, ctx: CallContext) -> None:
        """Keep a corrupt record in quarantine and report it."""
        if not self._is_new(ino, role, block_no):
            return
        try:
            kept = self._quarantine.keep_record(ino, role, block_no, raw)
        except DiskError as error:
            kept = f"nothing ({error})"  # a repair tries again, and is refused if it can't either
        self._emit(CORRUPT_RECORD, ino, role, block_no, {"quarantine": kept}, ctx)

    def set_aside(self, ino: Ino, role: Role, block_no: BlockNo, raw: bytes) -> None:
        """Keep what does not verify before it is written over. Raises: DiskError leaves."""
        if raw:
            self._quarantine.keep_record(ino, role, block_no, raw)
        with self._mutex:
            self._forget((ino, role, block_no))

    def _is_new(self, ino: Ino, role: Role, block_no: BlockNo, error: DiskError | None = None) -> bool:
        """Remember a bad record, with the error for which it can't be read, and tell whether it was not known."""
        key = (ino, role, block_no)
        with self._mutex:
            if key in self._told:
                return False
            if len(self._told) >= REMEMBERED_MAX:
                self._forget(next(iter(self._told)))
            self._told[key] = None
            if error is not None:
                self._unreadable[key] = error
            return True

    def _forget(self, key: tuple[Ino, Role, BlockNo]) -> None:
        self._told.pop(key, None)
        self._unreadable.pop(key, None)

    def _emit(
        self, kind: EventKind, ino: Ino, role: Role, block_no: BlockNo, words: dict[str, object], ctx: CallContext | None = None
    ) -> None:
        details = {"role": role.name.lower(), **words}
        self._events.emit(Event(kind, server=self._server, ino=ino, block=block_no, details=details), ctx)
