"""Goal: a call to meta is answered once, however often it had to be sent, and outages are told once. Method: a meta-server that
fails as told, under PatientMeta.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

import pytest

from dfs.client.metadata.meta_retry import FAILURES_MAX, PatientMeta
from dfs.core.errors import (
    DfsError,
    Interrupted,
    NotFormatted,
    NotFound,
    ServerFailed,
    SessionExpired,
    Stopping,
    Unreachable,
)
from dfs.core.events.mount import META_GOES_ON, META_WAITS
from dfs.core.interfaces import CallContext
from dfs.core.messages.inspection import FileSystemSpace, StatFileSystem
from dfs.core.messages.requests import Request
from tests.harness.fake_clock import FakeClock
from tests.harness.local_cluster import CallerContext
from tests.harness.recorded_events import RecordedEvents
from tests.unit.client.parts import TASKS, LeastChance

A = TypeVar("A")
SPACE = FileSystemSpace(1, 1, 1)
AWAY = Unreachable("meta at 127.0.0.1:9000", "connection refused")


class FailingMeta:
    """A meta-server that fails in the order given, then answers."""

    def __init__(self, *failures: DfsError) -> None:
        self.failures = deque(failures)
        self.requests: list[Request[Any]] = []

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        self.requests.append(request)
        if self.failures:
            raise self.failures.popleft()
        return SPACE  # type: ignore[return-value]


def make(*failures: DfsError) -> tuple[PatientMeta, FailingMeta, FakeClock, RecordedEvents]:
    meta, clock, events = FailingMeta(*failures), FakeClock(), RecordedEvents()
    return PatientMeta(meta, clock, LeastChance(), TASKS, events), meta, clock, events


def test_call_is_repeated_until_answered_and_the_outage_is_told_once() -> None:
    patient, meta, clock, events = make(AWAY, AWAY, Stopping(), NotFormatted("blank"), AWAY)
    request = StatFileSystem()
    assert patient.call(CallerContext(), request) == SPACE
    assert meta.requests == [request] * 6
    assert [event.kind for event in events.events] == [META_WAITS, META_GOES_ON]
    assert events.events[0].message() == "waiting for meta at 127.0.0.1:9000: connection refused"
    assert sum(clock.slept) == pytest.approx(0.05 + 0.1 + 0.2 + 0.4 + 0.8)


def test_answer_is_timed_by_when_its_own_request_was_sent() -> None:
    patient, _, clock, _ = make(AWAY, AWAY)
    began_s = clock.monotonic_s()
    _, sent_s = patient.call_timed(CallerContext(), StatFileSystem())
    assert sent_s == pytest.approx(began_s + 0.15)


@pytest.mark.parametrize("error", [NotFound(b"x"), SessionExpired(4)])
def test_error_that_is_an_answer_is_raised_at_once_and_ends_the_outage(error: DfsError) -> None:
    patient, meta, _, events = make(AWAY, error)
    with pytest.raises(type(error)):
        patient.call(CallerContext(), StatFileSystem())
    assert len(meta.requests) == 2
    assert [event.kind for event in events.events] == [META_WAITS, META_GOES_ON]


def test_bug_of_meta_is_not_repeated_for_ever() -> None:
    patient, meta, _, _ = make(*[ServerFailed("meta", "a bug")] * 10)
    with pytest.raises(ServerFailed):
        patient.call(CallerContext(), StatFileSystem())
    assert len(meta.requests) == FAILURES_MAX


def test_killed_caller_is_not_kept_waiting() -> None:
    patient, meta, clock, _ = make(*[AWAY] * 10)
    ctx = CallerContext()
    ctx.end()
    with pytest.raises(Interrupted):
        patient.call(ctx, StatFileSystem())
    assert len(meta.requests) == 1
    assert clock.slept == []
