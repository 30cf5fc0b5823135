"""Goal: a dead server is told of once, tried seldom, by one caller, and its return is noticed. Method: a clock that tests move."""

from __future__ import annotations

import threading

import pytest

from dfs.client.blocks.server_health import Purpose, ServerHealth
from dfs.core.errors import Interrupted, Unreachable
from dfs.core.events.mount import READ_BOTH_COPIES, READ_ONE_COPY, WRITE_GOES_ON, WRITE_WAITS
from dfs.core.ids import ServerIndex
from tests.harness.local_cluster import CallerContext
from tests.harness.recorded_events import RecordedEvents
from tests.unit.client.parts import CLOCK, TASKS, LeastChance, ManualClock

ONE, TWO = ServerIndex(1), ServerIndex(2)
CTX = CallerContext()
ERROR = Unreachable("data server 1", "connection refused")


def make() -> tuple[ServerHealth, ManualClock, RecordedEvents]:
    clock, events = ManualClock(), RecordedEvents()
    return ServerHealth(clock, LeastChance(), TASKS, events), clock, events


def test_each_outage_is_told_once_for_writing_and_once_for_reading_and_so_is_its_end() -> None:
    health, clock, events = make()
    for purpose in (Purpose.READ, Purpose.WRITE, Purpose.READ, Purpose.WRITE):
        health.note_failure(CTX, ONE, ERROR, purpose)
    clock.now_s += 3
    health.note_answer(CTX, ONE)
    health.note_answer(CTX, ONE)
    kinds = [event.kind for event in events.events]
    assert kinds[:2] == [READ_ONE_COPY, WRITE_WAITS]
    assert sorted(kind.name for kind in kinds[2:]) == sorted([READ_BOTH_COPIES.name, WRITE_GOES_ON.name])
    assert events.events[-1].details["waited_s"] == pytest.approx(3)


def test_failed_server_is_not_tried_before_its_backoff_ends_and_then_by_one() -> None:
    health, clock, _ = make()
    health.note_failure(CTX, ONE, ERROR, Purpose.READ)
    assert not health.may_try(ONE)
    assert health.may_try(TWO)
    clock.now_s += 0.06
    assert not health.is_down(ONE)
    assert health.may_try(ONE)
    assert not health.may_try(ONE)


def test_backoff_grows_with_failed_tries_not_with_calls_that_fail_together() -> None:
    health, clock, _ = make()
    for _ in range(20):
        health.note_failure(CTX, ONE, ERROR, Purpose.READ)
    clock.now_s += 0.051
    assert health.may_try(ONE)
    health.note_failure(CTX, ONE, ERROR, Purpose.READ)
    clock.now_s += 0.051
    assert not health.may_try(ONE)
    clock.now_s += 0.05
    assert health.may_try(ONE)


def test_try_that_never_reports_does_not_keep_the_others_away_for_ever() -> None:
    health, clock, _ = make()
    health.note_failure(CTX, ONE, ERROR, Purpose.READ)
    clock.now_s += 1
    assert health.may_try(ONE)
    clock.now_s += 2.1
    assert health.may_try(ONE)


def test_waiting_ends_when_the_server_answers_somebody_else_or_the_caller_is_killed() -> None:
    health = ServerHealth(CLOCK, LeastChance(), TASKS, RecordedEvents())
    for _ in range(20):
        health._outages.clear()
        health.note_failure(CTX, ONE, ERROR, Purpose.WRITE)
    health._outages[ONE].retry_at_s += 100
    waiting = threading.Thread(target=health.wait, args=(CTX, [ONE]))
    waiting.start()
    killed = CallerContext()
    killed.end()
    with pytest.raises(Interrupted):
        health.wait(killed, [ONE])
    assert waiting.is_alive()
    health.note_answer(CTX, ONE)
    waiting.join(2)
    assert not waiting.is_alive()


def test_waiting_for_several_servers_ends_with_the_first_that_may_be_tried() -> None:
    health, _, _ = make()
    health.note_failure(CTX, ONE, ERROR, Purpose.READ)
    health.wait(CTX, [ONE, TWO])
