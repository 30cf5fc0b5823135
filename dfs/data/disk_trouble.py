"""Telling that this server's own disk refuses: one event when it begins, and words for the status until a write succeeds again.

Called by the service when a request ended with an error of the disk. What can't be read is told by BadRecords, block by block; a
disk that is merely full is no failure. Never decides what a caller is answered.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import DiskError
from dfs.core.events.data_server import DISK_FAILED
from dfs.core.events.event import Event
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, EventSink, Tasks

WHAT: Final = "requests that need it are refused, and read from the other copies"


class DiskTrouble:
    """Whether the disk refuses, as far as requests have met it."""

    def __init__(self, server: ServerIndex, tasks: Tasks, events: EventSink) -> None:
        self._server = server
        self._events = events
        self._mutex = tasks.mutex()
        self._reason = ""

    def tell(self, error: DiskError, ctx: CallContext) -> None:
        """Report an error, unless the last report still holds."""
        with self._mutex:
            is_news = not self._reason
            self._reason = str(error)
        if is_news:
            self._events.emit(Event(DISK_FAILED, server=self._server, details={"reason": str(error), "what": WHAT}), ctx)

    def note_written(self) -> None:
        """Note that the disk took a write."""
        if self._reason:
            with self._mutex:
                self._reason = ""

    def describe(self) -> str:
        """Return what is wrong, for people; empty when nothing is."""
        return f"the disk fails: {self._reason}" if self._reason else ""
