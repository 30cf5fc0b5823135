"""An event sink that keeps what it is told; stands in for dfs.host.journal."""

from __future__ import annotations

from dfs.core.events.event import Event, EventKind
from dfs.core.interfaces import CallContext


class RecordedEvents:
    """EventSink for tests."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        missing = set(event.kind.fields()) - set(event.fields())
        assert not missing, f"{event.kind.name} without {missing}"  # its line, and its text in the catalogue, would have gaps
        self.events.append(event)

    def of(self, kind: EventKind) -> list[Event]:
        """Return the events of one kind."""
        return [event for event in self.events if event.kind is kind]
