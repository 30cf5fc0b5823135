"""What was measured, as tables for people and as JSON: medians over the rounds, and ratios of what one round had side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

from tests.bench.measuring import Measured
from tests.bench.report import aligned, number

RATIO: Final = "{:.2f}"


class Comparison:
    """All lines of all targets. Pure."""

    def __init__(self, own: Sequence[str], others: Sequence[str]) -> None:
        """Arguments: the names of the targets that are dfs, and of those it is compared with."""
        self._own = tuple(own)
        self._others = tuple(others)
        self._units: dict[str, str] = {}
        self._values: dict[tuple[str, str], list[float]] = {}
        self._cpu: dict[tuple[str, str], list[tuple[float, float]]] = {}

    def add(self, target: str, measured: Measured) -> None:
        """Take one measurement; those of a round come together for all targets."""
        rate = measured.rate
        self._units[rate.line] = rate.unit
        self._values.setdefault((rate.line, target), []).append(rate.value)
        cpu = (measured.cpu.mount_ms / rate.amount, measured.cpu.servers_ms / rate.amount)
        self._cpu.setdefault((rate.line, target), []).append(cpu)

    def ratio(self, line: str, own: str, other: str) -> float | None:
        """Return how many times the other's rate that of `own` is, the median of the rounds; None if a round lacks both."""
        pairs = list(zip(self._values.get((line, own), ()), self._values.get((line, other), ()), strict=False))
        return statistics.median(mine / theirs for mine, theirs in pairs) if pairs else None

    def tables(self) -> str:
        """Return a table of each target that is dfs."""
        return "\n\n".join(self._table(own) for own in self._own)

    def _table(self, own: str) -> str:
        head = ["line", "unit", own, "cpu"]
        for other in self._others:
            head += [other, "cpu", "ratio"]
        rows = [tuple(head), *(self._row(line, own) for line in self._units if (line, own) in self._values)]
        return aligned(rows, left={0, 1})

    def _row(self, line: str, own: str) -> tuple[str, ...]:
        cells = [line, self._units[line], *self._cells(line, own)]
        for other in self._others:
            ratio = self.ratio(line, own, other)
            cells += [*self._cells(line, other), "" if ratio is None else RATIO.format(ratio)]
        return tuple(cells)

    def _cells(self, line: str, target: str) -> tuple[str, str]:
        cpu = self._cpu.get((line, target), [])
        return number(self._values.get((line, target), [])), number([sum(parts) for parts in cpu])

    def plain(self) -> list[dict[str, Any]]:
        """Return everything, for JSON."""
        targets = (*self._own, *self._others)
        return [
            {
                "line": line,
                "unit": unit,
                "values": {target: self._values.get((line, target), []) for target in targets},
                "cpu_ms_mount_servers": {target: self._cpu.get((line, target), []) for target in targets},
                "ratios": {own: {other: self.ratio(line, own, other) for other in self._others} for own in self._own},
            }
            for line, unit in self._units.items()
        ]
