"""Goal: a server starts, says so, and ends as its supervisor and its users expect. Method: a real process (service_program.py)
with real signals and a socket in systemd's place; each test reads what the service was asked to do, in order.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dfs.host.service import LOOK_INTERVAL_S
from tests.harness.waiting import assert_stays

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 15.0
WHOLE_LIFE = ["start", "start done", "open", "open done", "close", "close done", "stop", "stop done"]


class Running:
    """A started service_program.py."""

    def __init__(self, process: subprocess.Popen[str], systemd: socket.socket) -> None:
        self.process = process
        self._systemd = systemd
        self.heard: list[str] = []

    def wait_for_step(self, step: str) -> None:
        """Read the service's output up to `step`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == step:
                return
        raise AssertionError(f"{step} never came")

    def wait_to_hear(self, message: str) -> None:
        """Read what systemd is told up to `message`."""
        while message not in self.heard:
            self.heard.append(self._systemd.recv(4096).decode())

    def wait_to_hear_twice(self, message: str) -> None:
        """Read what systemd is told up to the second `message`."""
        while self.heard.count(message) < 2:
            self.heard.append(self._systemd.recv(4096).decode())

    def end(self) -> tuple[int, list[str], list[str]]:
        """Return exit status, further steps and the lines on standard error once the process has ended."""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        self._systemd.setblocking(False)
        try:
            while True:
                self.heard.append(self._systemd.recv(4096).decode())
        except BlockingIOError:
            return self.process.returncode, out.splitlines(), err.splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts the program with `script` and further environment variables."""
    with ExitStack() as stack:
        systemd = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE_S)

        def start(*script: str, **environment: str) -> Running:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.unit.host.service_program", *script],
                    cwd=ROOT,
                    env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), **environment},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return Running(process, systemd)

        yield start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_service_after_a_signal_ends_cleanly_in_order(run: Callable[..., Running], number: signal.Signals) -> None:
    running = run()
    running.wait_to_hear("READY=1")
    running.process.send_signal(number)
    status, steps, errors = running.end()
    assert (status, steps) == (0, WHOLE_LIFE)
    assert [line.split(" ", 1)[1] for line in errors] == [
        "INFO dfs-test: ready: test server",
        "INFO dfs-test: stopped: test server",
    ]
    assert running.heard[-1] == "STOPPING=1"


def test_service_says_ready_only_when_started_and_open(run: Callable[..., Running]) -> None:
    running = run("start=slow", "open=slow", WATCHDOG_USEC="60000")
    running.wait_for_step("open done")
    running.wait_to_hear("READY=1")
    assert running.heard.index("EXTEND_TIMEOUT_USEC=30000000") < running.heard.index("READY=1")
    running.wait_to_hear("STATUS=serving")


def test_service_that_never_opens_is_never_ready(run: Callable[..., Running]) -> None:
    running = run("open=refuse")
    running.end()
    assert "READY=1" not in running.heard


def test_status_is_told_when_it_changes_and_not_again(run: Callable[..., Running]) -> None:
    running = run(WATCHDOG_USEC="60000")
    for _ in range(5):
        running.wait_to_hear("WATCHDOG=1")
        running.heard.remove("WATCHDOG=1")
    running.process.terminate()
    running.end()
    assert running.heard.count("STATUS=serving") == 1


def test_status_of_a_service_that_is_ready_is_told_at_once(run: Callable[..., Running]) -> None:
    running = run("start=slow")
    running.wait_to_hear("READY=1")
    ready_s = time.monotonic()
    running.wait_to_hear("STATUS=serving")
    assert time.monotonic() - ready_s < LOOK_INTERVAL_S / 2


def test_watchdog_without_progress_is_not_fed(run: Callable[..., Running]) -> None:
    running = run("idle=yes", WATCHDOG_USEC="60000")
    running.wait_to_hear("STATUS=5 checks")
    running.process.terminate()
    running.end()
    assert running.heard.count("WATCHDOG=1") == 1


def test_watchdog_of_a_check_that_hangs_is_not_fed_and_sigterm_still_works(run: Callable[..., Running]) -> None:
    running = run("check=hang", WATCHDOG_USEC="60000")
    running.wait_to_hear("READY=1")
    running.process.terminate()
    status, steps, _ = running.end()
    assert (status, steps) == (0, WHOLE_LIFE)
    assert "WATCHDOG=1" not in running.heard


def test_sighup_reloads_between_reloading_and_ready_and_the_service_goes_on(run: Callable[..., Running]) -> None:
    running = run("reload=slow")
    running.wait_to_hear("READY=1")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_step("reload done")
    running.wait_to_hear_twice("READY=1")
    reloading = next(place for place, message in enumerate(running.heard) if message.startswith("RELOADING=1\nMONOTONIC_USEC="))
    assert running.heard.index("READY=1") < reloading < len(running.heard) - 1
    running.process.terminate()
    status, steps, _ = running.end()
    assert (status, steps) == (0, WHOLE_LIFE[4:])


def test_sighup_while_reloading_reloads_once_more(run: Callable[..., Running]) -> None:
    running = run("reload=slow")
    running.wait_to_hear("READY=1")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_step("reload")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_step("reload done")
    running.wait_for_step("reload done")
    running.process.terminate()
    assert running.end()[0] == 0


def test_sighup_during_start_reloads_when_the_service_is_ready(run: Callable[..., Running]) -> None:
    running = run("start=slow", "reload=ok")
    running.wait_for_step("start")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_step("open done")
    running.wait_for_step("reload done")
    running.process.terminate()
    assert running.end()[0] == 0


def test_reload_that_hangs_keeps_nobody_from_stopping(run: Callable[..., Running]) -> None:
    running = run("reload=hang")
    running.wait_to_hear("READY=1")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_step("reload")
    running.process.terminate()
    status, steps, _ = running.end()
    assert (status, steps) == (0, WHOLE_LIFE[4:])


def test_reload_with_a_bug_ends_the_process_with_its_traceback(run: Callable[..., Running]) -> None:
    running = run("reload=bug")
    running.wait_to_hear("READY=1")
    running.process.send_signal(signal.SIGHUP)
    status, steps, errors = running.end()
    assert (status, steps[-1]) == (1, "stop done")
    assert "RuntimeError: broken" in errors


def test_sighup_without_anything_to_reload_ends_the_process(run: Callable[..., Running]) -> None:
    running = run()
    running.wait_to_hear("READY=1")
    running.process.send_signal(signal.SIGHUP)
    assert running.end()[0] == -signal.SIGHUP


def test_more_signals_during_the_stop_do_not_break_it(run: Callable[..., Running]) -> None:
    running = run("stop=slow")
    running.wait_to_hear("READY=1")
    running.process.terminate()
    running.wait_for_step("stop")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        running.process.send_signal(number)
    status, steps, _ = running.end()
    assert (status, steps) == (0, ["stop done"])


def test_signal_during_start_lets_it_finish_then_stops_without_opening(run: Callable[..., Running]) -> None:
    running = run("start=slow")
    running.wait_for_step("start")
    running.process.terminate()
    status, steps, _ = running.end()
    assert (status, steps) == (0, ["start done", "stop", "stop done"])
    assert "READY=1" not in running.heard


@pytest.mark.parametrize(("step", "before"), [("start", "start"), ("close", "close"), ("stop", "stop")])
def test_step_that_hangs_is_given_up_in_bounded_time(run: Callable[..., Running], step: str, before: str) -> None:
    running = run(f"{step}=hang", "stop_timeout_s=0.3")
    if step == "start":
        running.wait_for_step(before)
    else:
        running.wait_to_hear("READY=1")
    running.process.terminate()
    sent_s = time.monotonic()
    status, _, errors = running.end()
    assert time.monotonic() - sent_s < 5
    assert status == 1
    assert "CRITICAL dfs-test: expected to " in errors[-1]


@pytest.mark.parametrize(
    ("step", "steps"),
    [("start", ["start"]), ("open", ["start", "start done", "open", "stop", "stop done"])],
)
def test_refused_start_is_one_line_and_its_exit_code(run: Callable[..., Running], step: str, steps: list[str]) -> None:
    status, done, errors = run(f"{step}=refuse").end()
    assert (status, done) == (4, steps)
    assert errors == ["dfs-test: expected a state folder of ours, got another's"]


def test_bug_in_start_shows_its_traceback(run: Callable[..., Running]) -> None:
    status, _, errors = run("start=bug").end()
    assert status == 1
    assert "Traceback (most recent call last):" in errors
    assert any("_play" in line for line in errors), "the traceback reaches to where it happened"


@pytest.mark.parametrize(("step", "kind"), [("check", "fail"), ("check", "bug"), ("status", "bug")])
def test_service_that_cannot_go_on_stops_and_says_why(run: Callable[..., Running], step: str, kind: str) -> None:
    status, done, errors = run(f"{step}={kind}", WATCHDOG_USEC="60000").end()
    assert status == 1
    if step == "check":
        assert done == WHOLE_LIFE
    if kind == "fail":
        assert errors[-1] == "dfs-test: sync journal: Input/output error"
        assert "Traceback (most recent call last):" not in errors
    else:
        assert "RuntimeError: broken" in errors


def test_check_that_is_overtaken_by_the_stop_is_no_failure(run: Callable[..., Running]) -> None:
    running = run("check=late", "stop=slow", WATCHDOG_USEC="60000")
    running.wait_for_step("late check begins")
    running.process.terminate()
    status, steps, _ = running.end()
    assert (status, steps) == (0, ["close", "close done", "stop", "stop done"])


def test_close_that_fails_does_not_skip_the_stop(run: Callable[..., Running]) -> None:
    running = run("close=fail")
    running.wait_to_hear("READY=1")
    running.process.terminate()
    status, steps, errors = running.end()
    assert status == 1
    assert steps[-3:] == ["close", "stop", "stop done"]
    assert errors[-1] == "dfs-test: sync journal: Input/output error"


def test_service_uses_next_to_no_time_while_idle(run: Callable[..., Running]) -> None:
    running = run()
    running.wait_to_hear("READY=1")

    def cpu_ticks() -> int:
        fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = cpu_ticks()
    assert_stays(lambda: cpu_ticks() - before <= 5, "an idle service to use next to no time", 0.5)
