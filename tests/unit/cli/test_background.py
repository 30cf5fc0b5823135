"""Goal: a program in the background is found, stopped and never confused with another process.
Method: real processes that do nothing but wait; pid files written by hand for processes that are not ours.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.cli.background import BackgroundProgram, identify_process
from tests.harness.waiting import wait_until

PATIENT = "print('ready', flush=True); import signal; signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PATIENT}"


def background(folder: Path, code: str) -> BackgroundProgram:
    return BackgroundProgram("test program", (sys.executable, "-c", code), folder / "pid" / "p.pid", folder / "log" / "p.log")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def wait_ready(program: BackgroundProgram) -> None:
    wait_until(lambda: program.last_log_lines(1) == ["ready"], "the program to run")


def test_program_started_is_found_and_stopped_by_its_pid_file(tmp_path: Path) -> None:
    process = background(tmp_path, PATIENT).start()
    program = background(tmp_path, PATIENT)  # another `make` knows no more than the files
    wait_ready(program)
    found = program.find()
    assert found is not None
    assert found.pid == process.pid
    assert program.stop(10.0)
    assert program.find() is None
    assert not program.pid_file.exists()
    assert process.wait() == -signal.SIGTERM


def test_program_that_ignores_sigterm_is_killed_and_told(tmp_path: Path) -> None:
    program = background(tmp_path, STUBBORN)
    process = program.start()
    wait_ready(program)
    assert not program.stop(0.1)
    assert process.wait() == -signal.SIGKILL
    assert program.find() is None


def test_program_killed_from_outside_is_not_found_and_stops_at_once(tmp_path: Path) -> None:
    program = background(tmp_path, PATIENT)
    process = program.start()
    wait_ready(program)
    process.kill()
    process.wait()
    assert program.find() is None
    assert program.stop(0.0)


def test_program_as_zombie_counts_as_ended(tmp_path: Path) -> None:
    program = background(tmp_path, PATIENT)
    process = program.start()
    wait_ready(program)
    process.kill()
    wait_until(lambda: program.find() is None, "the zombie to count as ended")
    process.wait()


@pytest.mark.parametrize(("change", "part"), [("another start time", 1), ("another boot", 2)])
def test_pid_file_of_a_reused_number_never_reaches_the_stranger(
    tmp_path: Path, stranger: subprocess.Popen[bytes], change: str, part: int
) -> None:
    program = background(tmp_path, PATIENT)
    identity = identify_process(stranger.pid)
    assert identity is not None
    words = [str(word) for word in identity]
    words[part] = words[part][::-1] + "1"
    program.pid_file.parent.mkdir()
    program.pid_file.write_text(" ".join(words))
    assert program.find() is None, change
    assert program.stop(0.0)
    assert stranger.poll() is None


@pytest.mark.parametrize("content", ["", "garbage", "12", "1 2 3 4", "x y z"])
def test_pid_file_that_is_damaged_names_nobody(tmp_path: Path, content: str) -> None:
    program = background(tmp_path, PATIENT)
    program.pid_file.parent.mkdir()
    program.pid_file.write_text(content)
    assert program.find() is None
    assert program.stop(0.0)


def test_program_output_goes_to_the_end_of_its_log(tmp_path: Path) -> None:
    for word in ("first", "second"):
        background(tmp_path, f"print({word!r})").start().wait()
    assert background(tmp_path, "").last_log_lines(5) == ["first", "second"]
