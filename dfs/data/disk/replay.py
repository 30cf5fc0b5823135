"""Reading the journal at start.

Promises: entries are handed on in their order, up to the torn end that an unclean stop leaves, which is cut off; an entry that
was synced, or that the kernel has kept, and does not verify any more is told, kept in quarantine, and does not hide those after it;
only where the machine has stopped is what was never synced taken for torn whatever it looks like. Records before such an entry are
not handed on: it may have said that they are void, or shorter, and nothing truncated may come back (I3). What was read is synced,
because the process that wrote it may have died before it did so. Called by the service's start. Never applies an entry itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dfs.core.errors import DiskFull
from dfs.core.events.data_server import JOURNAL_DAMAGED, JOURNAL_TORN
from dfs.core.events.event import Event
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import Disk, EventSink
from dfs.core.start_errors import StateError
from dfs.data.disk.geometry import Geometry
from dfs.data.disk.journal import FOLDER, segment_name
from dfs.data.disk.journal_entries import (
    MAGIC,
    VERSION,
    Entry,
    Kind,
    Parsed,
    is_cut_short,
    is_of_another_format,
    parse_entry,
    position,
)
from dfs.data.disk.quarantine import Quarantine

log = logging.getLogger(__name__)

OnSegment = Callable[[int, int], None]
"""Hears which segment is being read, counted from 1, and how many there are."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes of a segment that are no entry."""

    offset: int
    size_bytes: int
    is_cut_short: bool
    """They end the segment, and are what there is of an entry whose write stopped half way."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the journal held."""

    segments: tuple[int, ...]
    entries: tuple[Entry, ...]
    is_damaged: bool
    """Entries that may have been acknowledged are missing."""


class Replay:
    """Reads the journal of one data server."""

    def __init__(self, disk: Disk, geometry: Geometry, server: ServerIndex, quarantine: Quarantine, events: EventSink) -> None:
        self._disk = disk
        self._geometry = geometry
        self._server = server
        self._quarantine = quarantine
        self._events = events

    def run(self, on_segment: OnSegment, *, is_kept: bool, synced: int) -> Replayed:
        """Return the journal's entries.

        Args:
            on_segment: hears how far it is read.
            is_kept: whatever was written and not cut off when it was last read is there still: the machine has run on since, or
                all was synced. So nothing can be torn but the very last write.
            synced: a position up to which the journal is known to be on disk, beside what its entries say.

        Raises: StateError if another release wrote them; DiskError leaves.
        """
        self._disk.make_folder(FOLDER)
        segments = sorted(int(name) for name in self._disk.list_folder(FOLDER) if name.isdigit())
        found = {}
        for place, number in enumerate(segments, start=1):
            on_segment(place, len(segments))
            found[number] = self._scan(number)
        synced = max(synced, *(part.synced for parts in found.values() for part in parts if isinstance(part, Parsed)), 0)
        last = max((number for number in segments if found[number]), default=0)
        entries: list[Entry] = []
        kept: list[int] = []
        is_damaged = False
        for number in segments:
            torn = False
            for part in found[number]:
                if isinstance(part, Parsed):
                    entries.append(part.entry)
                elif position(number, part.offset) < synced or (is_kept and not (part.is_cut_short and number == last)):
                    is_damaged = True
                    self._tell_damage(number, part)
                    if any(entry.kind is Kind.RECORDS for entry in entries):
                        self._keep_before([*kept, number], part)
                        entries = [entry for entry in entries if entry.kind is not Kind.RECORDS]
                else:
                    self._cut(number, part, segments[segments.index(number) + 1 :])
                    torn = True
                    break
            kept.append(number)
            if torn:
                break
        self._sync(kept)
        return Replayed(tuple(kept), tuple(entries), is_damaged)

    def _scan(self, number: int) -> list[Parsed | Gap]:
        """Return the entries of a segment and the gaps between them."""
        raw = memoryview(self._disk.read(segment_name(number)))
        if is_of_another_format(raw, number):
            what = f"{segment_name(number)} in another; let the release that wrote it start and stop cleanly once"
            raise StateError(f"a journal in format {VERSION}", what)
        parts: list[Parsed | Gap] = []
        offset = 0
        while offset < len(raw):
            parsed = parse_entry(raw, offset, number, self._geometry)
            if parsed is not None:
                parts.append(parsed)
                offset = parsed.end
                continue
            end = self._next_entry(raw, offset + 1, number)
            parts.append(Gap(offset, end - offset, end == len(raw) and is_cut_short(raw, offset, number)))
            offset = end
        return parts

    def _next_entry(self, raw: memoryview, offset: int, number: int) -> int:
        """Return the offset of the next entry that verifies, or the end."""
        data = raw.obj
        if not isinstance(data, bytes):
            raise AssertionError("a segment is read as bytes")
        while (offset := data.find(MAGIC, offset)) >= 0:
            if parse_entry(raw, offset, number, self._geometry) is not None:
                return offset
            offset += 1
        return len(raw)

    def _tell_damage(self, number: int, gap: Gap) -> None:
        raw = self._disk.read(segment_name(number))[gap.offset : gap.offset + gap.size_bytes]
        kept = self._quarantine.keep(f"journal.{number:012d}.{gap.offset}", raw)
        details = {"name": segment_name(number), "count": gap.size_bytes, "offset": gap.offset, "quarantine": kept}
        self._events.emit(Event(JOURNAL_DAMAGED, server=self._server, details=details))

    def _keep_before(self, segments: list[int], gap: Gap) -> None:
        """Keep what stands before a gap and is not handed on, should no neighbour have it."""
        try:
            for number in segments:
                raw = self._disk.read(segment_name(number))
                self._quarantine.keep(f"journal.{number:012d}.0", raw if number != segments[-1] else raw[: gap.offset])
        except DiskFull as error:
            log.warning("what stands in the journal before the damage is not kept: %s", error)

    def _cut(self, number: int, gap: Gap, later: Iterable[int]) -> None:
        """Cut the journal off where it is torn; what was behind that point was never synced."""
        file = self._disk.open(segment_name(number))
        try:
            count = file.size_bytes() - gap.offset
            file.truncate(gap.offset)
        finally:
            file.close()
        for other in later:
            self._disk.remove(segment_name(other))
        self._disk.sync_folder(FOLDER)
        details = {"name": segment_name(number), "count": count}
        self._events.emit(Event(JOURNAL_TORN, server=self._server, details=details))

    def _sync(self, segments: Iterable[int]) -> None:
        for number in segments:
            file = self._disk.open(segment_name(number))
            try:
                file.sync()
            finally:
                file.close()
