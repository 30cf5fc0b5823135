"""Goal: a storm of one trouble neither buries another one nor goes by uncounted. Method: a filter with a
clock and a timer in hand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dfs.core.events.programs import LINES_LEFT_OUT
from dfs.host.repetitions import GROUPS_MAX, PERIOD_S, TOLD_MAX, LeftOut, RepetitionFilter


class Storm:
    """A filter, what it told, and the looks that it asked for."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.told: list[LeftOut] = []
        self.looks: list[tuple[float, Callable[[], None]]] = []
        self.filter = RepetitionFilter(
            self.told.append, lambda: self.now_s, lambda delay_s, look: self.looks.append((delay_s, look))
        )

    def lines(self, count: int, *, level: int = logging.WARNING, line: int = 1, text: str = "trouble", **fields: str) -> int:
        """Return how many of `count` lines pass."""
        passed = 0
        for _ in range(count):
            record = logging.LogRecord("dfs", level, "file", line, text, (), None)
            record.__dict__.update(fields)
            passed += self.filter.filter(record)
        return passed

    def look(self) -> None:
        """Let a period pass and the look that was asked for happen."""
        delay_s, look = self.looks.pop(0)
        self.now_s += delay_s
        look()


def test_lines_beyond_the_limit_are_left_out_and_told_when_the_period_ends() -> None:
    storm = Storm()
    assert storm.lines(TOLD_MAX + 7) == TOLD_MAX
    assert storm.told == []
    storm.look()
    assert storm.told == [LeftOut(7, PERIOD_S, "trouble")]
    assert storm.lines(TOLD_MAX) == TOLD_MAX


def test_lines_of_other_origin_server_or_peer_have_their_own_count() -> None:
    storm = Storm()
    storm.lines(TOLD_MAX + 1, MESSAGE_ID="a" * 32, DFS_SERVER="1")
    assert storm.lines(1, MESSAGE_ID="a" * 32, DFS_SERVER="2") == 1
    assert storm.lines(1, MESSAGE_ID="b" * 32, DFS_SERVER="1") == 1
    assert storm.lines(1, MESSAGE_ID="a" * 32, DFS_SERVER="1", DFS_PEER="4") == 1
    assert storm.lines(1, line=7) == 1
    assert storm.lines(1, MESSAGE_ID="a" * 32, DFS_SERVER="1") == 0


def test_lines_in_a_slow_trickle_all_pass() -> None:
    storm = Storm()
    for _ in range(3 * TOLD_MAX):
        storm.now_s += PERIOD_S / TOLD_MAX
        assert storm.lines(1) == 1
    assert storm.looks == []


def test_information_is_never_left_out_nor_is_the_count_itself() -> None:
    storm = Storm()
    assert storm.lines(5 * TOLD_MAX, level=logging.INFO) == 5 * TOLD_MAX
    assert storm.lines(5 * TOLD_MAX, MESSAGE_ID=LINES_LEFT_OUT.message_id) == 5 * TOLD_MAX


def test_storm_that_goes_on_is_looked_at_again_by_one_timer() -> None:
    storm = Storm()
    storm.lines(TOLD_MAX + 1)
    storm.now_s += PERIOD_S / 2
    storm.lines(TOLD_MAX + 2, line=2)
    assert len(storm.looks) == 1
    storm.now_s -= PERIOD_S / 2
    storm.look()
    assert [left_out.count for left_out in storm.told] == [1]
    storm.look()
    assert [left_out.count for left_out in storm.told] == [1, 2]
    assert storm.looks == []


def test_end_of_the_process_tells_what_was_left_out_so_far() -> None:
    storm = Storm()
    storm.lines(TOLD_MAX + 3)
    storm.filter.tell_all()
    assert [left_out.count for left_out in storm.told] == [3]


def test_memory_is_bounded_whatever_is_logged() -> None:
    storm = Storm()
    for line in range(GROUPS_MAX + 100):
        storm.lines(1, line=line)
    assert len(storm.filter._groups) <= GROUPS_MAX + 1
