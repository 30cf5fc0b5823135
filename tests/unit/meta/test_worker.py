"""Goal: background work runs when woken, comes again while something is left, and ends when asked. Method: counted steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from dfs.core.errors import EndReason, Unreachable
from dfs.core.interfaces import CallContext
from dfs.host.tasks import ThreadTasks
from dfs.meta.upkeep.worker import Worker
from tests.harness.fake_clock import FakeClock
from tests.harness.waiting import wait_until

Start = Callable[..., Worker]


class Steps:
    """A step that leaves nothing to do and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, ctx: CallContext) -> bool:
        self.count += 1
        return True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(clock: FakeClock) -> Iterator[Start]:
    workers: list[Worker] = []

    def make(step: Callable[[CallContext], bool], **options: float) -> Worker:
        worker = Worker("test", step, ThreadTasks(), clock, **options)
        workers.append(worker)
        worker.start()
        return worker

    yield make
    for worker in workers:
        worker.ask_to_stop()
        worker.join()


def test_worker_steps_once_at_the_start_and_once_per_wake(start: Start) -> None:
    steps = Steps()
    worker = start(steps)
    wait_until(lambda: steps.count == 1 and not worker._is_woken)
    worker.wake()
    wait_until(lambda: steps.count == 2)


def test_worker_with_something_left_comes_again_with_growing_delays(start: Start, clock: FakeClock) -> None:
    times: list[float] = []

    def step(ctx: CallContext) -> bool:
        times.append(clock.monotonic_s())
        if len(times) == 2:
            raise Unreachable("data server 1", "away")
        return len(times) == 5

    def tick() -> bool:
        clock.advance(0.05)
        return len(times) == 5

    worker = start(step, retry_s_min=1.0, retry_s_max=4.0)
    worker.wake()  # does not shorten the delay
    wait_until(tick)
    delays = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(delay >= least for delay, least in zip(delays, [1, 2, 4, 4], strict=True))


def test_worker_gathers_wakes_before_a_step(start: Start, clock: FakeClock) -> None:
    times: list[float] = []

    def step(ctx: CallContext) -> bool:
        times.append(clock.monotonic_s())
        return True

    def tick() -> bool:
        clock.advance(0.1)
        return bool(times)

    begin_s = clock.monotonic_s()
    start(step, gather_s=1.0)
    wait_until(tick)
    assert times[0] >= begin_s + 1.0


def test_worker_asked_to_stop_cancels_the_calls_of_its_step(start: Start) -> None:
    reasons: list[EndReason | None] = []

    def step(ctx: CallContext) -> bool:
        reasons.append(ctx.cancelled())
        wait_until(lambda: ctx.cancelled() is not None)
        reasons.append(ctx.cancelled())
        return True

    worker = start(step)
    wait_until(lambda: len(reasons) == 1)
    worker.ask_to_stop()
    worker.join()
    assert reasons == [None, EndReason.SHUTDOWN]
