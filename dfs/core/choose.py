"""Which copy of a block is right, and what is to be done with the other (I2, I3, I4, I5)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dfs.core.messages.blocks import Copy, CopyState
from dfs.core.placement import Role


class Verdict(enum.Enum):
    """What a reader learns from the copies of a block."""

    COPY = "copy"
    """Choice.source holds the bytes."""
    HOLE = "hole"
    """Never written, or void: zeros."""
    WAIT = "wait"
    """No good copy among those that answered, but another server may have one, or one of these know later: ask again."""
    LOST = "lost"
    """Both servers answered and neither has a good copy: EIO."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The verdict on one block."""

    verdict: Verdict
    source: Role | None = None
    """Whose bytes count, for Verdict.COPY."""
    repair: Role | None = None
    """Whose copy must be replaced by the source's."""
    differ: bool = False
    """Both verify at the same generation but differ: nothing is repaired, an operator must know."""


HOLE = Choice(Verdict.HOLE)


def choose(primary: Copy | None, secondary: Copy | None) -> Choice:
    """Judge the two copies of a block as their servers told them; None: that server did not answer.

    Cuts have been applied already, so that a void copy is ABSENT. The highest generation that verifies wins. A server that is
    suspect may have lost what was acknowledged: its copy counts only beside the other server's word.
    """
    if primary is None or secondary is None:
        return _choose_single(Role.SECONDARY if primary is None else Role.PRIMARY, secondary if primary is None else primary)
    first, second = primary.state.has_bytes, secondary.state.has_bytes
    if first and second:
        return _choose_newest(primary, secondary)
    if first:
        return Choice(Verdict.COPY, Role.PRIMARY, Role.SECONDARY)
    if second:
        return Choice(Verdict.COPY, Role.SECONDARY, Role.PRIMARY)
    states = {primary.state, secondary.state}
    if CopyState.CORRUPT not in states and CopyState.ABSENT in states:
        return HOLE
    if CopyState.UNDECIDED in states:
        return Choice(Verdict.WAIT)
    return Choice(Verdict.LOST)


def _choose_newest(primary: Copy, secondary: Copy) -> Choice:
    if primary.generation > secondary.generation:
        return Choice(Verdict.COPY, Role.PRIMARY, Role.SECONDARY)
    if primary.generation < secondary.generation:
        return Choice(Verdict.COPY, Role.SECONDARY, Role.PRIMARY)
    return Choice(Verdict.COPY, Role.PRIMARY, differ=primary[1:] != secondary[1:])


def _choose_single(role: Role, copy: Copy | None) -> Choice:
    if copy is not None and copy.state is CopyState.PRESENT:
        return Choice(Verdict.COPY, role)
    if copy is not None and copy.state is CopyState.ABSENT:
        return HOLE
    return Choice(Verdict.WAIT)
