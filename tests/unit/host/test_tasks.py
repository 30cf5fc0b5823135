"""Goal: ThreadTasks keeps the promises of core.interfaces.Tasks. Method: real threads that wait for each other with deadlines,
and a real process for the end after a bug.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

from dfs.core.interfaces import KeyedLock, Signal, Task, Tasks
from dfs.host.tasks import ThreadKeyedLock, ThreadTasks

DEADLINE_S = 10.0


def never() -> None:
    pytest.fail("a bug was reported")


@pytest.fixture
def tasks() -> ThreadTasks:
    return ThreadTasks(never)


def test_thread_tasks_are_tasks(tasks: ThreadTasks) -> None:
    as_protocol: Tasks = tasks  # mypy compares the two
    task: Task = as_protocol.spawn("nothing", lambda: None)
    lock: KeyedLock = as_protocol.keyed_lock()
    signal: Signal = as_protocol.signal(as_protocol.mutex())
    assert task.join(DEADLINE_S)
    with lock.hold("key"):
        signal.notify_all()


def test_spawn_runs_beside_the_caller_under_its_name(tasks: ThreadTasks) -> None:
    gate, names = threading.Event(), []

    def run() -> None:
        names.append((threading.current_thread().name, threading.current_thread().daemon))
        gate.wait(DEADLINE_S)

    task = tasks.spawn("scrub", run)
    assert not task.join(0.01)
    gate.set()
    assert task.join(DEADLINE_S)
    assert names == [("scrub", True)]


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(0), KeyboardInterrupt()])
def test_spawn_of_what_raises_is_logged_with_traceback_and_reported(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    reported = threading.Event()

    def run() -> None:
        raise error

    with caplog.at_level(logging.CRITICAL):
        assert ThreadTasks(reported.set).spawn("recovery", run).join(DEADLINE_S)
    assert reported.is_set()
    (record,) = caplog.records
    assert "recovery" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_spawn_of_what_raises_ends_the_process_by_default() -> None:
    program = (
        "import threading\n"
        "from dfs.host.tasks import ThreadTasks\n"
        "def run(): raise RuntimeError('broken')\n"
        "ThreadTasks().spawn('recovery', run)\n"
        "threading.Event().wait(60)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert result.returncode == 1
    assert "the task recovery died" in result.stderr


@pytest.mark.parametrize("held", [True, False])
def test_signal_wakes_the_waiter_whether_or_not_the_notifier_holds_the_mutex(tasks: ThreadTasks, held: bool) -> None:
    mutex = tasks.mutex()
    signal = tasks.signal(mutex)
    state = {"waits": False, "go": False}

    def wait() -> None:
        with mutex:
            state["waits"] = True
            signal.notify_all()
            while not state["go"]:
                signal.wait(DEADLINE_S)

    with mutex:
        task = tasks.spawn("waiter", wait)
        while not state["waits"]:
            signal.wait(DEADLINE_S)
    if held:
        with mutex:
            state["go"] = True
            signal.notify_all()
    else:
        state["go"] = True
        signal.notify_all()
    assert task.join(DEADLINE_S / 2)


def test_signal_wait_returns_after_its_timeout_with_the_mutex_held(tasks: ThreadTasks) -> None:
    mutex = tasks.mutex()
    signal = tasks.signal(mutex)
    with mutex:
        signal.wait(0.01)
        taken: list[bool] = []
        other = threading.Thread(target=lambda: taken.append(mutex.acquire(blocking=False)))  # type: ignore[attr-defined]
        other.start()
        other.join(DEADLINE_S)
    assert taken == [False]


def test_keyed_lock_of_one_key_excludes_and_of_two_keys_does_not(tasks: ThreadTasks) -> None:
    lock, order = tasks.keyed_lock(), []

    def same() -> None:
        with lock.hold(1):
            order.append("same")

    with lock.hold(1):
        with lock.hold(2):
            order.append("other key")
        task = tasks.spawn("same", same)
        assert not task.join(0.05)
        order.append("first ends")
    assert task.join(DEADLINE_S)
    assert order == ["other key", "first ends", "same"]


def test_keyed_lock_under_load_excludes_and_leaves_no_key_behind(tasks: ThreadTasks) -> None:
    lock = ThreadKeyedLock()
    counts = [0, 0, 0]

    def count() -> None:
        for i in range(600):
            with lock.hold(i % 3):
                value = counts[i % 3]
                threading.Event().wait(0) if i % 50 == 0 else None
                counts[i % 3] = value + 1

    running = [tasks.spawn(f"count {i}", count) for i in range(6)]
    assert all(task.join(DEADLINE_S) for task in running)
    assert counts == [1200, 1200, 1200]
    assert len(lock) == 0


def test_keyed_lock_after_an_exception_is_free(tasks: ThreadTasks) -> None:
    lock = ThreadKeyedLock()
    with pytest.raises(RuntimeError), lock.hold("k"):
        raise RuntimeError
    assert len(lock) == 0
    with lock.hold("k"):
        assert len(lock) == 1
