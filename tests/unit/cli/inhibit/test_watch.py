"""Goal: the lock is there exactly while it should be, and each change is told once. Method: the service's steps with a clock, a
look and a logind of the test's; at the end the whole service on real threads.
"""

from __future__ import annotations

import logging

import pytest

from dfs.cli.inhibit.login import LoginError, LoginState
from dfs.cli.inhibit.watch import HOLDING_S, LOOK_S, ShutdownWatch
from dfs.core.events.programs import ONLY_GOOD_COPY, OTHER_COPIES_BACK, SHUTDOWN_DELAYED, SHUTDOWN_UNSAFE
from dfs.core.interfaces import CallContext
from dfs.host.tasks import ThreadTasks
from tests.harness.fake_clock import FakeClock
from tests.harness.recorded_events import RecordedEvents
from tests.harness.waiting import wait_until


class FakeLogin:
    """A logind whose locks are a list; `trouble` makes it refuse."""

    def __init__(self) -> None:
        self.locks: list[str] = []
        self.taken: list[str] = []
        self.is_going_down = False
        self.trouble = ""

    def hold(self, reason: str) -> None:
        if self.trouble:
            raise LoginError("a lock", self.trouble)
        self.locks = [reason]
        self.taken.append(reason)

    def is_held(self) -> bool:
        return bool(self.locks)

    def release(self) -> None:
        self.locks = []

    def state(self) -> LoginState:
        return LoginState(self.is_going_down, 60.0)


class Stage:
    """A watch and everything around it."""

    def __init__(self, max_s: float = 30.0) -> None:
        self.reason = ""
        self.login = FakeLogin()
        self.clock = FakeClock()
        self.events = RecordedEvents()
        self.watch = ShutdownWatch(
            look=self._look, lock=self.login, inhibit_s_max=max_s, clock=self.clock, tasks=ThreadTasks(), events=self.events
        )

    def _look(self, ctx: CallContext) -> str:
        assert ctx.cancelled() is None
        return self.reason

    def step(self, reason: str, is_going_down: bool = False) -> float:
        """Look once when this is so, then let the pause pass and return it."""
        self.reason, self.login.is_going_down = reason, is_going_down
        pause_s = self.watch.step()
        self.clock.advance(pause_s)
        return pause_s

    def told(self) -> list[str]:
        return [event.kind.name for event in self.events.events]


def test_lock_is_taken_with_the_reason_and_given_back_when_others_have_it_too() -> None:
    stage = Stage()
    assert stage.step("") == LOOK_S
    assert stage.login.taken == []
    assert stage.step("server 1 is away") == HOLDING_S
    stage.step("server 1 is away")
    assert stage.login.locks == stage.login.taken == ["server 1 is away"]
    assert stage.watch.status() == "delaying shutdowns: server 1 is away"
    stage.step("")
    assert stage.login.locks == []
    (taken,), (back,) = stage.events.of(ONLY_GOOD_COPY), stage.events.of(OTHER_COPIES_BACK)
    assert taken.details["max_s"] == 30.0
    assert back.details["held_s"] == 2 * HOLDING_S
    assert stage.watch.status() == "a shutdown of this host costs no reader anything"


def test_another_reason_replaces_the_lock_without_another_event() -> None:
    stage = Stage()
    stage.step("server 1 is away")
    stage.step("server 1 is rebuilding")
    assert stage.login.locks == ["server 1 is rebuilding"]
    assert stage.told() == ["ONLY_GOOD_COPY"]


def test_lock_that_was_taken_away_is_taken_again() -> None:
    stage = Stage()
    stage.step("server 1 is away")
    stage.login.locks = []
    stage.step("server 1 is away")
    assert stage.login.locks == ["server 1 is away"]


def test_shutdown_goes_on_after_inhibit_max_and_the_lock_is_not_taken_again() -> None:
    stage = Stage(max_s=5.0)
    stage.step("server 1 is away")
    pauses = [stage.step("server 1 is away", is_going_down=True) for _ in range(3)]
    assert sum(pauses) == 5.0
    assert stage.login.locks == ["server 1 is away"]
    stage.step("server 1 is away", is_going_down=True)
    stage.step("server 1 is away", is_going_down=True)
    assert stage.login.locks == []
    assert stage.told() == [kind.name for kind in (ONLY_GOOD_COPY, SHUTDOWN_DELAYED, SHUTDOWN_UNSAFE)]
    assert "although server 1 is away" in stage.watch.status()


def test_shutdown_that_became_safe_meanwhile_is_not_called_unsafe() -> None:
    stage = Stage(max_s=5.0)
    stage.step("server 1 is away")
    stage.step("server 1 is away", is_going_down=True)
    stage.step("", is_going_down=True)
    assert stage.login.locks == []
    assert stage.told() == [kind.name for kind in (ONLY_GOOD_COPY, SHUTDOWN_DELAYED, OTHER_COPIES_BACK)]


def test_shutdown_that_logind_gave_up_is_waited_for_anew() -> None:
    stage = Stage(max_s=5.0)
    for is_going_down in (True, False, True):
        stage.step("server 1 is away", is_going_down)
    assert stage.told().count("SHUTDOWN_DELAYED") == 2
    assert stage.login.locks


def test_bound_of_zero_delays_nothing_and_counts_from_the_next_look_on() -> None:
    stage = Stage()
    stage.step("server 1 is away")
    stage.watch.set_max(0.0)
    stage.step("server 1 is away")
    assert stage.login.locks == []
    assert stage.watch.status() == "not delaying shutdowns, although server 1 is away"
    stage.watch.set_max(1.0)
    stage.step("server 1 is away")
    assert stage.login.locks


def test_logind_that_refuses_is_told_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.login.trouble = "Access denied"
    with caplog.at_level(logging.WARNING):
        assert [stage.step("server 1 is away") for _ in range(3)] == [LOOK_S] * 3
    assert len(caplog.records) == 1
    assert "Access denied" in stage.watch.status()
    caplog.clear()
    stage.login.trouble = ""
    stage.step("server 1 is away")
    assert stage.login.locks


def test_service_looks_by_itself_proves_it_and_gives_the_lock_back_at_its_end() -> None:
    stage = Stage()
    stage.reason = "server 1 is away"
    stage.watch.start()
    wait_until(lambda: stage.watch.check() > 0 and stage.login.is_held(), "the first look")
    stage.watch.stop()
    assert stage.login.locks == []
