"""Whether what mounts did to the names of one folder can have happened: a search for an order that explains all answers.

All mounts work on the same few names. Each operation happened at one moment between its beginning and its end, or, if nobody knows
how it ended, at one moment after its beginning or never. The history is right if there is such an order in which a plain dict
would have given every answer (linearizability, after Wing and Gong). Pure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

State = tuple[tuple[str, int], ...]
"""Name -> number of the operation that made what stands there, sorted."""


class Kind(enum.Enum):
    """What is done to names."""

    CREATE = "create"
    UNLINK = "unlink"
    RENAME = "rename"
    LIST = "list"


@dataclass(eq=False, slots=True)
class NameOp:
    """One operation and its answer."""

    number: int
    kind: Kind
    name: str
    other: str
    began: int
    ended: int | None = None
    """None: it never returned to anybody."""
    is_known: bool = False
    """Whether the answer tells what happened."""
    is_done: bool = False
    """Success; else: the name is taken (create), or not there (unlink, rename)."""
    listed: frozenset[str] = frozenset()

    def apply(self, state: State) -> tuple[State, bool, frozenset[str]]:
        """Return what it makes of a folder, and what it answers."""
        names = dict(state)
        if self.kind is Kind.LIST:
            return state, True, frozenset(names)
        if self.kind is Kind.CREATE:
            if self.name in names:
                return state, False, frozenset()
            names[self.name] = self.number
        elif self.name not in names:
            return state, False, frozenset()
        elif self.kind is Kind.UNLINK:
            del names[self.name]
        elif self.name != self.other:
            names[self.other] = names.pop(self.name)
        return tuple(sorted(names.items())), True, frozenset()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The folder at the end of an order that explains the history."""

    state: State


STEPS_MAX = 200_000


def explain(history: list[NameOp], final: dict[str, int] | None = None) -> Explanation | str:
    """Return an order's end, or why there is none.

    Arguments: `final`: who made what stands there at the end, if that is known.
    """
    ops = sorted(history, key=lambda op: op.began)
    everything = sum(1 << at for at, op in enumerate(ops) if op.is_known)
    wanted = None if final is None else tuple(sorted(final.items()))
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, ())]
    best = 0
    while stack:
        done, state = stack.pop()
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if len(seen) > STEPS_MAX:
            return "too many orders to try: make the scenario smaller"
        if done & everything == everything and (wanted is None or state == wanted):
            return Explanation(state)
        best = max(best, done, key=lambda mask: (mask & everything).bit_count())
        stack.extend(_following(ops, done, state))
    left = [op for at, op in enumerate(ops) if op.is_known and not best >> at & 1]
    return f"no order explains the answers; one explains all but {_shown(left) or 'the end: ' + repr(final)}; all: {_shown(ops)}"


def _following(ops: list[NameOp], done: int, state: State) -> list[tuple[int, State]]:
    """Return what one more operation may lead to."""
    horizon = min(
        (op.ended for at, op in enumerate(ops) if op.is_known and op.ended is not None and not done >> at & 1), default=None
    )
    result = []
    for at, op in enumerate(ops):
        if done >> at & 1:
            continue
        if horizon is not None and op.began > horizon:
            break
        following, is_done, listed = op.apply(state)
        if op.is_known and (is_done != op.is_done or (op.kind is Kind.LIST and listed != op.listed)):
            continue
        if op.is_known or is_done:
            result.append((done | 1 << at, following))
    return result


def _shown(ops: list[NameOp]) -> str:
    return "; ".join(
        f"#{op.number} {op.kind.value} {op.name}{'>' + op.other if op.other else ''} {op.began}..{op.ended} "
        f"{('yes' if op.is_done else 'no') if op.is_known else '?'}{sorted(op.listed) if op.kind is Kind.LIST else ''}"
        for op in ops
    )
