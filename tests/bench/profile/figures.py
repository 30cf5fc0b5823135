"""From what the programs measured to the tables of a profile. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.report import aligned

FUNCTIONS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step of one program."""

    label: str
    spans: int
    """Per operation, over all programs of that kind, when divided by the amount."""
    wall_us: float
    """Median of one span, as are the others."""
    own_wall_us: float
    cpu_us: float
    own_cpu_us: float
    own_cpu_us_sum: float
    size_bytes: int
    """Of all spans together."""


def figures_of(spans: Iterable[Mapping[str, Sequence[Sequence[float]]]]) -> list[StepFigures]:
    """Return the figures of programs of one kind, the most processor time first."""
    together: dict[str, list[Sequence[float]]] = {}
    for program in spans:
        for label, found in program.items():
            together.setdefault(label, []).extend(found)
    rows: list[StepFigures] = []
    for label, found in together.items():
        if not found:
            continue
        wall, own_wall, cpu, own_cpu, sizes = zip(*found, strict=True)
        row = StepFigures(
            label=label,
            spans=len(found),
            wall_us=statistics.median(wall),
            own_wall_us=statistics.median(own_wall),
            cpu_us=statistics.median(cpu),
            own_cpu_us=statistics.median(own_cpu),
            own_cpu_us_sum=sum(own_cpu),
            size_bytes=int(sum(sizes)),
        )
        rows.append(row)
    return sorted(rows, key=lambda row: -row.own_cpu_us_sum)


def steps_table(rows: Iterable[StepFigures], amount: float) -> str:
    """Return a table of steps."""
    head = ("step", "per op", "wall us", "own wall", "cpu us", "own cpu", "own cpu us per op", "bytes per op")
    cells = [
        (
            row.label,
            f"{row.spans / amount:.2f}",
            *(f"{value:.0f}" for value in (row.wall_us, row.own_wall_us, row.cpu_us, row.own_cpu_us)),
            f"{row.own_cpu_us_sum / amount:.0f}",
            f"{row.size_bytes / amount:.0f}" if row.size_bytes else "",
        )
        for row in rows
    ]
    return aligned([head, *cells], left={0})


def functions_table(samples: Counter[str]) -> str:
    """Return the functions with the most samples."""
    total = sum(samples.values())
    rows = [(f"{count / total:.1%}", name) for name, count in samples.most_common(FUNCTIONS_SHOWN)]
    return aligned([("self", "function"), *rows], left={1})


def plain(rows: Iterable[StepFigures], amount: float) -> list[dict[str, Any]]:
    """Return the figures for JSON."""
    return [asdict(row) | {"per_operation": row.spans / amount} for row in rows]
