"""Goal: a clock that is off is told once an hour, and never because a heartbeat was slow. Method: a clock that tests move."""

from __future__ import annotations

import pytest

from dfs.client.metadata.clock_watch import TELL_AGAIN_S, ClockWatch
from dfs.core.contexts import PlainContext
from dfs.core.events.mount import CLOCK_OFF
from tests.harness.fake_clock import FakeClock
from tests.harness.recorded_events import RecordedEvents

S = 10**9


@pytest.mark.parametrize(("off_s", "words"), [(30, "30.0 s behind"), (-30, "30.0 s ahead of")])
def test_clock_that_is_off_is_told_once_an_hour_with_its_direction(off_s: int, words: str) -> None:
    clock, events = FakeClock(), RecordedEvents()
    watch = ClockWatch(clock, events)
    for _ in range(3):
        watch.note(PlainContext(), clock.wall_ns(), clock.wall_ns() + off_s * S)
    assert len(events.of(CLOCK_OFF)) == 1
    assert words in events.events[0].message()
    clock.sleep(TELL_AGAIN_S)
    watch.note(PlainContext(), clock.wall_ns(), clock.wall_ns() + off_s * S)
    assert len(events.of(CLOCK_OFF)) == 2


def test_answer_that_took_long_or_tells_no_time_is_no_reason() -> None:
    clock, events = FakeClock(), RecordedEvents()
    watch = ClockWatch(clock, events)
    sent_ns = clock.wall_ns()
    watch.note(PlainContext(), sent_ns, 0)
    clock.sleep(300)  # the process was stopped before it took the answer
    watch.note(PlainContext(), sent_ns, sent_ns + S)
    assert events.events == []
