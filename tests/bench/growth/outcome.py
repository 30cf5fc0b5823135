"""What an experiment found: the same thing measured beside little and beside much, and what grew. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tests.bench.report import aligned, number


class Finding(NamedTuple):
    """One row of the table."""

    what: str
    unit: str
    little: str
    """Beside what the first values were measured."""
    few: Sequence[float]
    much: str
    """Beside what the second values were measured."""
    many: Sequence[float]

    def ratio(self) -> float:
        """Return how many times the first values the second ones are: the median of the rounds."""
        return statistics.median(later / first for first, later in zip(self.few, self.many, strict=True))


def table(findings: Iterable[Finding]) -> str:
    """Return the table."""
    head = ("what", "unit", "beside", "", "beside", "", "ratio")
    rows = [(f.what, f.unit, f.little, number(list(f.few)), f.much, number(list(f.many)), f"{f.ratio():.2f}") for f in findings]
    return aligned([head, *rows], left={0, 1, 2, 4})


def plain(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return everything, for JSON."""
    return [{**finding._asdict(), "ratio": finding.ratio()} for finding in findings]
