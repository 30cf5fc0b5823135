"""What counts and times while work goes on, cheaply enough for every request (pure; the mutex and the time come from outside).

Promises: noting one call costs about a microsecond (prometheus_client's own counters cost four to ten), memory is bounded by the
number of different keys, and a reader never sees half of a note. Called by dfs/rpc, dfs/host, dfs/fusefs and the services.

Lock order: the mutex is the innermost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

from dfs.core.metrics import LATENCY_BOUNDS_S, Distribution, Metric, Sample

OK: Final = "ok"
"""The result of a call that went well."""


class _Row:
    """What is known of the calls with one key."""

    __slots__ = ("counts", "failures", "received", "seconds", "sent")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.failures: dict[str, int] = {}
        self.seconds = 0.0
        self.received = 0
        self.sent = 0


class CallCounts(NamedTuple):
    """What a CallMeter knows of one key."""

    key: tuple[str, ...]
    results: dict[str, int]
    """How many calls ended so; OK is always there."""
    duration: Distribution
    received_bytes: int
    sent_bytes: int


class CallMeter:
    """Counts and times calls of one sort by a key of a few words, the values of labels."""

    __slots__ = ("_mutex", "_rows")

    def __init__(self, mutex: AbstractContextManager[Any]) -> None:
        self._mutex = mutex
        self._rows: dict[tuple[str, ...], _Row] = {}

    def note(self, key: tuple[str, ...], result: str, duration_s: float, received_bytes: int = 0, sent_bytes: int = 0) -> None:
        """Note that a call has ended."""
        with self._mutex:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row()
            row.counts[bisect_left(LATENCY_BOUNDS_S, duration_s)] += 1
            row.seconds += duration_s
            row.received += received_bytes
            row.sent += sent_bytes
            if result is not OK:
                row.failures[result] = row.failures.get(result, 0) + 1

    def read(self) -> list[CallCounts]:
        """Return what was counted so far."""
        with self._mutex:
            rows = [
                (key, tuple(row.counts), dict(row.failures), row.seconds, row.received, row.sent) for key, row in self._rows.items()
            ]
        return [
            CallCounts(key, {OK: sum(counts) - sum(failures.values()), **failures}, Distribution(counts, seconds), received, sent)
            for key, counts, failures, seconds, received, sent in rows
        ]


class Tally:
    """Counts things by one word."""

    __slots__ = ("_counts", "_mutex")

    def __init__(self, mutex: AbstractContextManager[Any], words: tuple[str, ...] = ()) -> None:
        """`words`: told from the beginning, with 0: a counter that appears when something happens looks as if nothing did."""
        self._mutex = mutex
        self._counts = dict.fromkeys(words, 0)

    def add(self, word: str, count: int = 1) -> None:
        """Count."""
        with self._mutex:
            self._counts[word] = self._counts.get(word, 0) + count

    def samples(self, metric: Metric) -> Iterator[Sample]:
        """Yield a value for each word, its label."""
        with self._mutex:
            counts = dict(self._counts)
        for word, count in counts.items():
            yield Sample(metric, (word,), count)


class Waits:
    """Who waits at the moment, and since when."""

    __slots__ = ("_began_s", "_count", "_mutex")

    def __init__(self, mutex: AbstractContextManager[Any]) -> None:
        self._mutex = mutex
        self._count = 0
        self._began_s: dict[int, float] = {}
        """By the number of the wait."""

    def begin(self, now_s: float) -> int:
        """Note that a wait begins; return its number."""
        with self._mutex:
            self._count += 1
            self._began_s[self._count] = now_s
            return self._count

    def end(self, number: int) -> None:
        """Note that a wait is over."""
        with self._mutex:
            del self._began_s[number]

    @property
    def count(self) -> int:
        """How many have begun so far."""
        return self._count

    def under_way(self) -> list[float]:
        """Return when those began that are not over."""
        with self._mutex:
            return list(self._began_s.values())
