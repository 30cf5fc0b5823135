"""What happens to a record that does not verify: it is kept in quarantine, and an operator is told, once.

Promises: nothing bad is written over before it is kept; a bad record that is read again and again is one event. Called by the
operations of the block store. Never repairs.

Lock order: the mutex is the innermost; neither disk nor event sink is used under it.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import DiskError
from dfs.core.events import BLOCKS_UNREADABLE, CORRUPT_RECORD, Event, EventKind
from dfs.core.ids import BlockNo, Ino, ServerIndex
from dfs.core.interfaces import CallContext, EventSink, Tasks
from dfs.core.placement import Role
from dfs.data.quarantine import Quarantine

REMEMBERED_MAX: Final = 10_000
"""Bad records that are remembered as told; beyond, the oldest would be told once more."""


class BadRecords:
    """The bad records that one data server met."""

    def __init__(self, server: ServerIndex, tasks: Tasks, quarantine: Quarantine, events: EventSink) -> None:
        self._server = server
        self._quarantine = quarantine
        self._events = events
        self._mutex = tasks.mutex()
        self._told: dict[tuple[Ino, Role, BlockNo], None] = {}
        """In the order of telling."""

    def tell_unreadable(self, ino: Ino, role: Role, block_no: BlockNo, error: DiskError) -> None:
        """Report that the disk can't read a record."""
        if self._is_new(ino, role, block_no):
            self._emit(BLOCKS_UNREADABLE, ino, role, block_no, {"reason": str(error)})

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
            self._told.pop((ino, role, block_no), None)

    def _is_new(self, ino: Ino, role: Role, block_no: BlockNo) -> bool:
        key = (ino, role, block_no)
        with self._mutex:
            if key in self._told:
                return False
            if len(self._told) >= REMEMBERED_MAX:
                del self._told[next(iter(self._told))]
            self._told[key] = None
            return True

    def _emit(
        self, kind: EventKind, ino: Ino, role: Role, block_no: BlockNo, words: dict[str, object], ctx: CallContext | None = None
    ) -> None:
        details = {"role": role.name.lower(), **words}
        self._events.emit(Event(kind, server=self._server, ino=ino, block=block_no, details=details), ctx)
