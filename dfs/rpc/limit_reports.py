"""Telling the operator that a peer went over a limit: once a minute per peer and limit, however often it happens.

Owns that pace and the memory that it takes, which is bounded: past PEERS_MAX peers and limits a minute nothing more is told, for
then the limit on what one minute can say is the one that counts. Called by server.py and server_connection.py on any thread.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from dfs.core.events.event import Event
from dfs.core.events.wire import LIMIT_REACHED
from dfs.core.interfaces import Clock, EventSink

logger = logging.getLogger(__name__)

PERIOD_S: Final = 60.0
PEERS_MAX: Final = 256
"""Pairs of peer and limit that are told of in one period."""


class LimitReports:
    """Emits LIMIT_REACHED at a bounded pace. `events`: None if there is nobody to tell but the log."""

    def __init__(self, clock: Clock, events: EventSink | None) -> None:
        self._clock = clock
        self._events = events
        self._mutex = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._began_s = clock.monotonic_s()

    def tell(self, peer: str, limit: str, reason: str) -> None:
        """Report that `peer`, an IP address, is over `limit`; `reason` says what was expected."""
        if not self._is_due((peer, limit)):
            logger.debug("refused %s: %s", peer, reason)
            return
        event = Event(LIMIT_REACHED, peer=peer, details={"limit": limit, "reason": reason})
        if self._events is None:
            logger.warning("%s", event.message())
        else:
            self._events.emit(event)

    def _is_due(self, key: tuple[str, str]) -> bool:
        now_s = self._clock.monotonic_s()
        with self._mutex:
            if now_s - self._began_s >= PERIOD_S:
                self._began_s = now_s
                self._told.clear()
            if key in self._told or len(self._told) >= PEERS_MAX:
                return False
            self._told.add(key)
        return True
