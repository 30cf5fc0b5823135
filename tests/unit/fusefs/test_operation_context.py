"""Goal: an operation ends when its caller or its mount ends, and never for another reason.

Method: contexts over a fake binding that says what the kernel would, with real and invented processes as callers.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from dfs.core.errors import EndReason
from dfs.core.interfaces import Caller
from dfs.fusefs.binding import RawCaller
from dfs.fusefs.operation_context import GROUPS_TTL_S, WRITE_BACK_PATIENCE_S, OperationContexts, OperationTerms


class FakeBinding:
    """The binding as it answers during one call."""

    def __init__(self, raw: RawCaller) -> None:
        self.raw = raw
        self.is_interrupted = False
        self.asked = 0

    def caller(self) -> RawCaller:
        return self.raw

    def interrupted(self) -> bool:
        self.asked += 1
        return self.is_interrupted


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that does nothing."""
    program = subprocess.Popen(["sleep", "100"])
    yield program
    program.kill()
    program.wait()


def test_announced_signal_that_a_program_handles_does_not_end_it(sleeper: subprocess.Popen[bytes]) -> None:
    binding = FakeBinding(RawCaller(1, 2, sleeper.pid))
    binding.is_interrupted = True
    assert OperationContexts(binding, "m").begin("write").cancelled() is None


def test_caller_that_is_gone_ends_the_operation_once_a_signal_was_announced(sleeper: subprocess.Popen[bytes]) -> None:
    binding = FakeBinding(RawCaller(1, 2, sleeper.pid))
    ctx = OperationContexts(binding, "m").begin("write")
    sleeper.kill()
    sleeper.wait()
    assert ctx.cancelled() is None
    binding.is_interrupted = True
    assert ctx.cancelled() is EndReason.SIGNAL


def test_flush_for_a_caller_that_is_gone_ends_without_any_signal(sleeper: subprocess.Popen[bytes]) -> None:
    contexts = OperationContexts(FakeBinding(RawCaller(1, 2, sleeper.pid)), "m")
    flush = contexts.begin("flush")
    assert flush.cancelled() is None
    sleeper.kill()
    sleeper.wait()
    assert flush.cancelled() is EndReason.SIGNAL
    assert contexts.begin("release").cancelled() is None


def test_invisible_caller_ends_at_any_signal() -> None:
    binding = FakeBinding(RawCaller(1, 2, 0))
    ctx = OperationContexts(binding, "m").begin("write")
    assert ctx.cancelled() is None
    binding.is_interrupted = True
    assert ctx.cancelled() is EndReason.SIGNAL


def test_end_of_the_mount_ends_operations_present_and_future() -> None:
    contexts = OperationContexts(FakeBinding(RawCaller(0, 0, os.getpid())), "m")
    ctx = contexts.begin("write")
    assert ctx.cancelled() is None
    contexts.end_all()
    assert ctx.cancelled() is EndReason.SHUTDOWN
    assert contexts.begin("read").cancelled() is EndReason.SHUTDOWN


def test_write_back_ends_only_after_patience_and_only_when_unmounted() -> None:
    time = Time()
    contexts = OperationContexts(FakeBinding(RawCaller(0, 0, 0)), "m", time)
    is_mounted = True
    contexts.watch_mount(lambda: is_mounted)
    ctx = contexts.begin("write")
    time.now_s += WRITE_BACK_PATIENCE_S + 1
    assert ctx.cancelled() is None
    is_mounted = False
    assert ctx.cancelled() is EndReason.SHUTDOWN
    assert contexts.begin("write").cancelled() is None


def test_other_thread_never_asks_the_binding() -> None:
    binding = FakeBinding(RawCaller(1, 2, os.getpid()))
    contexts = OperationContexts(binding, "m")
    ctx = contexts.begin("write")
    answers: list[EndReason | None] = []

    def ask() -> None:
        answers.append(ctx.cancelled())

    for _ in range(2):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        contexts.end_all()
    assert binding.asked == 0
    assert answers == [None, EndReason.SHUTDOWN]


def test_caller_has_its_groups_and_they_are_read_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    groups = [(10, 11), (12,)]

    def read_groups(pid: int) -> tuple[int, ...]:
        reads.append(pid)
        return groups[len(reads) - 1]

    monkeypatch.setattr("dfs.fusefs.operation_context.read_groups", read_groups)
    time = Time()
    contexts = OperationContexts(FakeBinding(RawCaller(7, 8, 99)), "m", time)
    contexts.begin("getattr")
    assert reads == []
    assert contexts.begin("mkdir").caller == Caller(7, 8, (10, 11))
    assert contexts.begin("mkdir").caller == Caller(7, 8, (10, 11))
    time.now_s += GROUPS_TTL_S
    assert contexts.begin("mkdir").caller == Caller(7, 8, (12,))
    assert reads == [99, 99]


def test_request_ids_are_short_and_all_different() -> None:
    contexts = OperationContexts(FakeBinding(RawCaller(0, 0, 0)), "ab12cd")
    ids = [contexts.begin("read").request_id for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(name.startswith("ab12cd-") and len(name) <= 20 for name in ids)


def test_soft_mount_ends_an_operation_that_lasts_too_long_but_no_wait_for_a_lock() -> None:
    time = Time()
    contexts = OperationContexts(FakeBinding(RawCaller(0, 0, os.getpid())), "m", time, OperationTerms(timeout_s=30))
    write, lock = contexts.begin("write"), contexts.begin("lock")
    lock.wait_for_others()
    time.now_s += 30
    assert write.cancelled() is None
    time.now_s += 1
    assert write.cancelled() is EndReason.DEADLINE
    assert lock.cancelled() is None
    assert contexts.begin("write").cancelled() is None


def test_hard_mount_waits_for_ever() -> None:
    time = Time()
    ctx = OperationContexts(FakeBinding(RawCaller(0, 0, os.getpid())), "m", time).begin("write")
    time.now_s += 1e6
    assert ctx.cancelled() is None


def test_at_shutdown_every_operation_has_the_grace_from_then_on_and_no_more() -> None:
    time = Time()
    contexts = OperationContexts(FakeBinding(RawCaller(0, 0, os.getpid())), "m", time)
    old = contexts.begin("write")
    old.wait_for_others()
    time.now_s += 1000
    contexts.end_waits(3)
    time.now_s += 2
    new = contexts.begin("write")
    time.now_s += 2
    assert old.cancelled() is EndReason.SHUTDOWN
    assert new.cancelled() is None
    time.now_s += 2
    assert new.cancelled() is EndReason.SHUTDOWN


def test_squashed_root_is_somebody_else_and_others_stay_who_they_are() -> None:
    nobody = Caller(65534, 65534)
    terms = OperationTerms(root_as=nobody)
    assert OperationContexts(FakeBinding(RawCaller(0, 0, 0)), "m", terms=terms).begin("mkdir").caller == nobody
    assert OperationContexts(FakeBinding(RawCaller(5, 0, 0)), "m", terms=terms).begin("mkdir").caller == Caller(5, 0)
    assert OperationContexts(FakeBinding(RawCaller(0, 0, 0)), "m").begin("mkdir").caller == Caller(0, 0)


def test_operations_are_in_progress_from_begin_to_finish() -> None:
    contexts = OperationContexts(FakeBinding(RawCaller(0, 0, 0)), "m")
    assert contexts.is_idle()
    one, other = contexts.begin("read"), contexts.begin("read")
    contexts.finish(one)
    assert not contexts.is_idle()
    contexts.finish(other)
    assert contexts.is_idle()
