"""What is wrong: one finding per trouble, with its harm, evidence and cure; how they are ranked, and how they are shown. Pure."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final


class Harm(enum.IntEnum):
    """How bad it is; findings are shown in falling order."""

    NOTE = 0
    """Over already, or no harm: worth knowing."""
    SOON = 1
    """Nothing fails yet, but it will if nobody acts."""
    AT_RISK = 2
    """Everything works, but some data has one copy only."""
    WAITING = 3
    """Programs that write, or some of them, wait or are refused."""
    STOPPED = 4
    """Nothing can be opened or changed."""
    LOST = 5
    """Data can't be read."""

    def words(self) -> str:
        """Return it for people."""
        return ("note", "soon", "one copy only", "programs wait or are refused", "nothing works", "DATA CAN'T BE READ")[self]


class Depth(enum.IntEnum):
    """How near a finding is to the root of a trouble. Of several about one subject, the deepest one explains the others."""

    CAUSE = 0
    """Why something does not run: a taken port, a disk that is not mounted."""
    EXIT_STATUS = 1
    """Why something does not run, as far as its exit status tells; an event tells it better."""
    STATE = 2
    """How something is: a server that does not answer."""
    EFFECT = 3
    """What others feel of it: a write that waits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble."""

    situation: str
    """A stable word for programs, e.g. "server-down"."""
    subject: str
    """What it concerns, e.g. "data server 1"; findings about one subject are explained by the deepest of them."""
    harm: Harm
    depth: Depth
    title: str
    """One line."""
    evidence: tuple[str, ...]
    """What was seen, and where."""
    cures: tuple[str, ...]
    """Commands, in order; each may begin with where to type it: "on HOST: COMMAND"."""
    effects: tuple[str, ...] = ()
    """Situations about the same subject that this one explains."""


EXIT_CODES: Final = {Harm.NOTE: 0, Harm.SOON: 1, Harm.AT_RISK: 1, Harm.WAITING: 1, Harm.STOPPED: 1, Harm.LOST: 2}
EVIDENCE_MAX: Final = 8


def rank(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings, those about one subject made into one, the most harmful first."""
    by_subject: dict[str, list[Finding]] = {}
    for finding in found:
        by_subject.setdefault(finding.subject, []).append(finding)
    ranked = [merged for group in by_subject.values() for merged in _explain(group)]
    return tuple(sorted(ranked, key=lambda finding: (-finding.harm, finding.depth, finding.subject)))


def _explain(group: list[Finding]) -> list[Finding]:
    """Let the deepest finding about a subject carry the others of its situation and what follows from it; the rest stand alone."""
    pressing = [finding for finding in group if finding.harm is not Harm.NOTE] or group
    root = min(pressing, key=lambda finding: (finding.depth, -finding.harm))
    rest = [finding for finding in group if finding is not root]
    effects = [finding for finding in rest if finding.depth > root.depth or finding.situation == root.situation]
    others = [finding for finding in rest if finding not in effects]
    evidence = dict.fromkeys(line for finding in (root, *effects) for line in finding.evidence)
    cures = dict.fromkeys(
        cure for finding in (root, *effects) if finding is root or finding.depth is Depth.EXIT_STATUS for cure in finding.cures
    )
    situations = dict.fromkeys(finding.situation for finding in effects if finding.situation != root.situation)
    merged = replace(
        root,
        harm=max(finding.harm for finding in (root, *effects)),
        evidence=tuple(evidence)[:EVIDENCE_MAX],
        cures=tuple(cures),
        effects=tuple(situations),
    )
    return [merged, *(_explain(others) if others else [])]


def exit_code(ranked: Sequence[Finding]) -> int:
    """Return 0 if nothing is wrong now, 1 if something is, 2 if data can't be read."""
    return max((EXIT_CODES[finding.harm] for finding in ranked), default=0)


def to_text(ranked: Sequence[Finding], unseen: Sequence[str]) -> str:
    """Return the findings for people."""
    lines = [f"not looked at: {reason}" for reason in unseen]
    if exit_code(ranked) == 0:
        lines.append("healthy: nothing is wrong as far as can be seen from here")
    for number, finding in enumerate(ranked, 1):
        lines += ["", f"{number}. {finding.title} [{finding.harm.words()}]"]
        lines += [f"   seen: {line}" for line in finding.evidence]
        lines += [f"   cure: {command}" for command in finding.cures]
    return "\n".join(lines)


def to_json(ranked: Sequence[Finding], unseen: Sequence[str]) -> str:
    """Return the findings for programs; names and order of the members are stable."""
    members = {
        "healthy": exit_code(ranked) == 0,
        "findings": [
            {
                "situation": finding.situation,
                "subject": finding.subject,
                "harm": finding.harm.name.lower(),
                "title": finding.title,
                "evidence": list(finding.evidence),
                "cures": list(finding.cures),
                "effects": list(finding.effects),
            }
            for finding in ranked
        ],
        "unseen": list(unseen),
    }
    return json.dumps(members, indent=2)
