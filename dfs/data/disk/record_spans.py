"""Where in a strip there may be records, so that whoever goes through all of them leaves out the holes; pure.

Called by what lends a neighbour a strip, and by the scrub.
"""

from __future__ import annotations

from collections.abc import Iterator

from dfs.data.disk.geometry import RECORDS_PER_GROUP
from dfs.data.disk.overlay import Pending
from dfs.data.disk.strip import Strip


def record_spans(strip: Strip | None, layers: tuple[Pending, ...]) -> list[tuple[int, int]]:
    """Return where there may be records: (first, end) per group, rising."""
    spans: dict[int, tuple[int, int]] = {}
    for number, group in strip.groups.items() if strip is not None else ():
        bits = group.present | group.synced
        if bits:
            base = number * RECORDS_PER_GROUP
            spans[number] = (base + (bits & -bits).bit_length() - 1, base + bits.bit_length())
    for pending in layers:
        for index in pending.records:
            number = index // RECORDS_PER_GROUP
            first, end = spans.get(number, (index, index + 1))
            spans[number] = (min(first, index), max(end, index + 1))
    return [spans[number] for number in sorted(spans)]


def runs_of(spans: list[tuple[int, int]], start: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut spans into runs (first, count), leaving out what is below `start`."""
    for first, end in spans:
        for at in range(max(first, start), end, longest):
            yield at, min(longest, end - at)
