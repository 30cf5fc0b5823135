"""Repeated log lines: the first ones are told, the others counted, and how many were left out is told when the period ends.

Owns the one rule that keeps a storm of the same trouble from burying everything else. Lines are the same if they are the same
event about the same server and peer, or come from the same place in the code. Only WARNING and above is counted: what is more
frequent than that is DEBUG, which is wanted whole. Hung into the log's handler by dfs/host/journal.py. Never drops a line
without telling so, at the latest when the process ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dfs.core.events.programs import LINES_LEFT_OUT

TOLD_MAX: Final = 20
"""So many of the same are told in one period."""
PERIOD_S: Final = 60.0
GROUPS_MAX: Final = 256
"""Kinds of lines that are counted apart; further ones share one count."""

Key = tuple[object, ...]
_OTHERS: Final[Key] = ("others",)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Lines that were not told."""

    count: int
    period_s: float
    example: str
    """The first of them."""


@dataclass(slots=True)
class _Group:
    began_s: float
    told: int = 0
    left_out: int = 0
    example: str = ""


class RepetitionFilter(logging.Filter):
    """Lets the first TOLD_MAX lines of each kind pass in each period. Its mutex is innermost: `tell` is called without it."""

    def __init__(
        self,
        tell: Callable[[LeftOut], None],
        monotonic_s: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], None] | None = None,
    ) -> None:
        """`tell` reports what was left out; `later` calls a function after some seconds, by default on a thread of its own."""
        super().__init__()
        self._tell = tell
        self._monotonic_s = monotonic_s
        self._later = later or _start_timer
        self._mutex = threading.Lock()
        self._groups: dict[Key, _Group] = {}
        self._is_due = False
        """Whether a look at the groups is under way."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is told."""
        if record.levelno < logging.WARNING or getattr(record, "MESSAGE_ID", "") == LINES_LEFT_OUT.message_id:
            return True
        with self._mutex:
            group = self._group(_key(record))
            if group.told < TOLD_MAX:
                group.told += 1
                return True
            group.left_out += 1
            group.example = group.example or record.getMessage()
            must_look, self._is_due = not self._is_due, True
        if must_look:
            self._later(PERIOD_S, self.tell_ended)
        return False

    def tell_ended(self) -> None:
        """Tell what was left out in periods that have ended, and look again later if others go on."""
        with self._mutex:
            left_out = self._take(self._monotonic_s() - PERIOD_S)
            self._is_due = any(group.left_out for group in self._groups.values())
            must_look = self._is_due
        for each in left_out:
            self._tell(each)
        if must_look:
            self._later(PERIOD_S, self.tell_ended)

    def tell_all(self) -> None:
        """Tell all that was left out and not told yet; for the end of the process."""
        with self._mutex:
            left_out = self._take(self._monotonic_s())
        for each in left_out:
            self._tell(each)

    def _group(self, key: Key) -> _Group:
        """Return the count of a kind of line, begun anew if its period is over and nothing is left to be told of it."""
        now_s = self._monotonic_s()
        if key not in self._groups and len(self._groups) >= GROUPS_MAX:
            self._take_idle(now_s)
            key = key if len(self._groups) < GROUPS_MAX else _OTHERS
        group = self._groups.get(key)
        if group is None or (now_s - group.began_s >= PERIOD_S and not group.left_out):
            group = self._groups[key] = _Group(now_s)
        return group

    def _take_idle(self, now_s: float) -> None:
        idle = [key for key, group in self._groups.items() if now_s - group.began_s >= PERIOD_S and not group.left_out]
        for key in idle:
            del self._groups[key]

    def _take(self, until_s: float) -> list[LeftOut]:
        """Remove the groups that began by then; return what they left out."""
        now_s = self._monotonic_s()
        ended = [key for key, group in self._groups.items() if group.began_s <= until_s]
        groups = [self._groups.pop(key) for key in ended]
        return [LeftOut(group.left_out, now_s - group.began_s, group.example) for group in groups if group.left_out]


def _key(record: logging.LogRecord) -> Key:
    """Return what lines that are repetitions of each other have in common."""
    message_id = getattr(record, "MESSAGE_ID", None)
    if message_id is None:
        return (record.name, record.lineno)
    return (message_id, getattr(record, "DFS_SERVER", None), getattr(record, "DFS_PEER", None))


def _start_timer(delay_s: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(delay_s, function)
    timer.daemon = True
    timer.name = "repetitions"
    timer.start()
