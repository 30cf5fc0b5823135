"""What was measured, as a table for people and as JSON: medians over the rounds, and ratios to what was measured beside them."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.file_loads import Rate

MARKS: Final = {
    "sequential write": 0.15,
    "sequential cold read": 0.25,
    "create 4 KiB file": 0.15,
    "put 64 KiB": 2.0,
}
"""Lowest ratio that is wanted: to the null file system, or for the wire to the stock server and client."""
WITHOUT: Final = "without"
"""What lines of the same cluster with something switched on are compared with: itself without it."""
SWITCHED_ON: Final = 0.9
"""Lowest ratio that is wanted of those lines."""


@dataclass(slots=True)
class Line:
    """One line of the table: what dfs did, and what it is compared with."""

    name: str
    unit: str
    beside: str
    """What it is compared with: "null", "stock" or WITHOUT."""
    values: list[float] = field(default_factory=list)
    ceilings: list[float] = field(default_factory=list)
    mount_cpu_ms: list[float] = field(default_factory=list)
    """Processor time of the mount per MiB, call or file."""
    servers_cpu_ms: list[float] = field(default_factory=list)

    def ratio(self) -> float | None:
        """Return how many times the other's rate this one is, the median of the rounds; None if there is no other."""
        if not self.ceilings:
            return None
        return statistics.median(value / ceiling for value, ceiling in zip(self.values, self.ceilings, strict=True))

    def mark(self) -> float | None:
        """Return the lowest ratio that is wanted, if one is."""
        return SWITCHED_ON if self.beside == WITHOUT else MARKS.get(self.name)

    def verdict(self) -> str:
        """Return what is said of the mark, nothing if there is none."""
        mark, ratio = self.mark(), self.ratio()
        if mark is None or ratio is None:
            return ""
        return f"mark {mark:g}: met" if ratio >= mark else f"mark {mark:g}: missed by {1 - ratio / mark:.0%}"


class Report:
    """All lines, in the order in which they first came."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def add(self, rate: Rate, *, beside: str, is_ceiling: bool, cpu_ms: tuple[float, float] | None = None) -> None:
        """Take one measurement. `cpu_ms`: of the mount, and of all servers."""
        line = self.lines.setdefault(rate.line, Line(rate.line, rate.unit, beside))
        (line.ceilings if is_ceiling else line.values).append(rate.value)
        if cpu_ms is not None:
            line.mount_cpu_ms.append(cpu_ms[0] / rate.amount)
            line.servers_cpu_ms.append(cpu_ms[1] / rate.amount)

    def table(self) -> str:
        """Return the table."""
        head = ("line", "unit", "dfs", "beside it", "", "ratio", "mount", "servers", "")
        rows = [head, *(self._row(line) for line in self.lines.values())]
        return aligned(rows, left={0, 1, 4, 8})

    def _row(self, line: Line) -> tuple[str, ...]:
        ratio = line.ratio()
        return (
            line.name,
            line.unit,
            number(line.values),
            number(line.ceilings),
            line.beside if line.ceilings else "",
            "" if ratio is None else f"{ratio:.3f}",
            f"{statistics.median(line.mount_cpu_ms):.2f} ms" if line.mount_cpu_ms else "",
            f"{statistics.median(line.servers_cpu_ms):.2f} ms" if line.servers_cpu_ms else "",
            line.verdict(),
        )

    def plain(self) -> list[dict[str, Any]]:
        """Return everything, for JSON."""
        return [
            {
                "line": line.name,
                "unit": line.unit,
                "dfs": line.values,
                line.beside: line.ceilings,
                "ratio": line.ratio(),
                "mount_cpu_ms": line.mount_cpu_ms,
                "servers_cpu_ms": line.servers_cpu_ms,
                "mark": line.mark(),
            }
            for line in self.lines.values()
        ]


def number(values: list[float]) -> str:
    """Return the median in few digits, nothing if there are no values."""
    if not values:
        return ""
    value = statistics.median(values)
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def aligned(rows: Sequence[tuple[str, ...]], left: Collection[int]) -> str:
    """Return a table; the columns in `left` begin at the left, all others end at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append("  ".join(text.ljust(width) if at in left else text.rjust(width) for at, (text, width) in enumerate(cells)))
    return "\n".join(line.rstrip() for line in lines)
