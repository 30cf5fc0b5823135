"""One real process of a test: started, watched through its log, stopped, killed, paused; and gone when the test is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.harness.leftovers import marked_environment
from tests.harness.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
END_TIMEOUT_S: Final = 20.0
ANYBODYS_PYTHON: Final = "/usr/bin/python3"
"""What other users can start, too: the virtual environment may be where only root can look."""
LOUD: Final = re.compile(r"^\S+ (WARNING|ERROR|CRITICAL) |^Traceback ")
"""A line that an operator would look at."""


class Program:
    """A program of dfs under test. Its log goes on over restarts."""

    def __init__(self, name: str, command: Sequence[str], log_file: Path, cwd: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log_file = log_file
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, running or ended. Fails the test if it was never started."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def pid(self) -> int:
        """The process number."""
        return self.process.pid

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; returns at once."""
        assert not self.is_running(), f"{self.name} runs already"
        environment = marked_environment() | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self._cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, timeout_s: float = END_TIMEOUT_S) -> int:
        """Ask it to end (SIGTERM) and return its exit status; fails the test if it does not in time."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_for_end(timeout_s)

    def kill(self) -> None:
        """Kill it (SIGKILL) and wait until it is gone."""
        self.process.kill()
        self.wait_for_end()

    def pause(self) -> None:
        """Make it hang: alive, and silent (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self._state() == "T", f"{self.name} to be paused")

    def resume(self) -> None:
        """End a pause."""
        self.process.send_signal(signal.SIGCONT)

    def wait_for_end(self, timeout_s: float = END_TIMEOUT_S) -> int:
        """Wait until it ends by itself and return its exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout_s} s; its log:\n{self.log_text()}") from None

    def cpu_s(self) -> float:
        """Return the processor time it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_text(self) -> str:
        """Return all that it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_for_log(self, pattern: str, timeout_s: float = 20.0) -> None:
        """Wait until a line of the log matches the regular expression."""
        wait_until(lambda: re.search(pattern, self.log_text()) is not None, f"{self.name} to log {pattern!r}", timeout_s)

    def loud_lines(self) -> list[str]:
        """Return the lines of its log that an operator would look at."""
        return [f"{self.name}: {line}" for line in self.log_text().splitlines() if LOUD.search(line)]

    def end_for_sure(self) -> None:
        """End it whatever its state; for cleaning up."""
        if self.is_running():
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]


def module_command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of dfs as a program."""
    return [sys.executable, "-m", module, *(str(argument) for argument in arguments)]


def script_command(script: str, *arguments: object) -> list[str]:
    """Return the command that runs one of the original commands in scripts/."""
    return [sys.executable, str(ROOT / "scripts" / script), *(str(argument) for argument in arguments)]
