"""Programs in the background, each known by a pid file: start, ask, stop.

A pid file holds the process number, its start time and the boot it belongs to, so that a number that was given to another
process since is never mistaken for ours, and nobody else's process is ever signalled. Called by dfs/cli/local_cluster.py.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from dfs.host.state_folder import boot_id

KILL_WAIT_S: Final = 5.0
"""How long a killed process may take to vanish."""


class ProcessId(NamedTuple):
    """Names one process for ever: a process number alone is used again."""

    pid: int
    started: int
    """Start time in clock ticks since boot, field 22 of /proc/PID/stat."""
    boot: str


def identify_process(pid: int) -> ProcessId | None:
    """Return the full name of a living process, or None: it is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else ProcessId(pid, started, boot_id())


@dataclass(frozen=True, slots=True)
class BackgroundProgram:
    """One program, its log and its pid file."""

    name: str
    """What people call it, e.g. "data server 2"."""
    command: tuple[str, ...]
    pid_file: Path
    log_file: Path

    def find(self) -> ProcessId | None:
        """Return the running process, or None."""
        try:
            pid, started, boot = self.pid_file.read_text().split()
            noted = ProcessId(int(pid), int(started), boot)
        except (FileNotFoundError, ValueError):
            return None
        return noted if identify_process(noted.pid) == noted else None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, its output going to the end of its log; the caller watches it come up."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
            )
        identity = identify_process(process.pid)
        if identity is not None:
            self.pid_file.write_text(" ".join(str(part) for part in identity) + "\n")
        return process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        identity = self.find()
        if identity is not None:
            _signal_process(identity, number)

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait until it has ended and tell whether it has; its pid file goes with it."""
        identity = self.find()
        if identity is not None and not _wait_for_end(identity, timeout_s):
            return False
        self.pid_file.unlink(missing_ok=True)
        return True

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end, and kill it after `timeout_s`; tell whether it ended by itself."""
        self.signal(signal.SIGTERM)
        if self.wait_for_end(timeout_s):
            return True
        self.signal(signal.SIGKILL)
        self.wait_for_end(KILL_WAIT_S)
        return False

    def last_log_lines(self, count: int) -> list[str]:
        """Return the newest lines of the log."""
        try:
            return self.log_file.read_text(errors="replace").splitlines()[-count:]
        except FileNotFoundError:
            return []


def _open_process(identity: ProcessId) -> int | None:
    """Return a file descriptor that stands for exactly this process, or None if it is gone."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    if identify_process(identity.pid) != identity:  # its number was given away before the descriptor was made
        os.close(handle)
        return None
    return handle


def _signal_process(identity: ProcessId, number: signal.Signals) -> None:
    handle = _open_process(identity)
    if handle is None:
        return
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return  # it ended by itself, which is as good
    finally:
        os.close(handle)


def _wait_for_end(identity: ProcessId, timeout_s: float) -> bool:
    handle = _open_process(identity)
    if handle is None:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(handle)


def program_command(python: str, module: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the command line that runs a module of dfs under the given Python, with its log written line by line."""
    return (python, "-u", "-m", module, *arguments)
