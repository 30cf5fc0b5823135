"""Events, told as before and counted besides: what an operator can read in the journal can be drawn and alerted on, too.

Promises: every event reaches the sink behind it; each kind is shown from the beginning, with 0. Built by dfs/cli around the sink
that it gives to a service.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Final

from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.events.copies import COPIES_DIFFER, COPY_REPAIRED, NO_GOOD_COPY, SCRUB_REPAIRED
from dfs.core.events.data_server import (
    BLOCKS_UNREADABLE,
    CORRUPT_RECORD,
    FLOORS_LOST,
    JOURNAL_DAMAGED,
    MAP_PAGE_LOST,
    STRIP_UNREADABLE,
)
from dfs.core.events.event import Event, EventKind
from dfs.core.interfaces import CallContext, EventSink
from dfs.core.meters import Tally
from dfs.core.metrics import COPIES_REPAIRED, CORRUPTION_FOUND, EVENTS, Sample

DAMAGE: Final[Mapping[EventKind, str]] = {
    CORRUPT_RECORD: "record",
    MAP_PAGE_LOST: "map_page",
    JOURNAL_DAMAGED: "journal",
    FLOORS_LOST: "floors",
    BLOCKS_UNREADABLE: "unreadable_block",
    STRIP_UNREADABLE: "unreadable_strip",
    NO_GOOD_COPY: "no_good_copy",
    COPIES_DIFFER: "copies_differ",
}
"""Events that tell of damage, and what was damaged."""
REPAIRS: Final[Mapping[EventKind, str]] = {COPY_REPAIRED: "read", SCRUB_REPAIRED: "scrub"}
"""Events that tell of repaired copies, and what repaired them: one, or as many as the `count` of a scrub's run says."""


class CountedEvents:
    """An EventSink in front of another one."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        mutex = threading.Lock()
        self._kinds = Tally(mutex, tuple(kind.name for kind in ALL_KINDS))
        self._damage = Tally(mutex, tuple(DAMAGE.values()))
        self._repairs = Tally(mutex, tuple(REPAIRS.values()))

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Count an event and pass it on."""
        self._kinds.add(event.kind.name)
        if (what := DAMAGE.get(event.kind)) is not None:
            self._damage.add(what)
        if (by := REPAIRS.get(event.kind)) is not None:
            count = event.details.get("count") if event.kind is SCRUB_REPAIRED else None
            self._repairs.add(by, count if isinstance(count, int) else 1)
        self._events.emit(event, ctx)

    def measures(self) -> Iterator[Sample]:
        """Yield how often each event was told, and what some of them say of damage and repairs."""
        yield from self._kinds.samples(EVENTS)
        yield from self._damage.samples(CORRUPTION_FOUND)
        yield from self._repairs.samples(COPIES_REPAIRED)
