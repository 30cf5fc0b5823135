"""A running tests.harness.memory_mount: started, watched and always ended, also when a test fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from dfs.fusefs.mount_point import find_device, unmount
from tests.harness.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0
END_S = 10.0


class MemoryMountProcess:
    """One mount in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.point = os.fsencode(folder / "mnt, with blank \udce9")
        self._log = folder / "mount.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str, **environment: str) -> None:
        """Mount and wait until it answers; `words` go to the program, `environment` is added to this process' own."""
        os.makedirs(self.point, exist_ok=True)
        command: list[str | bytes] = [sys.executable, "-m", "tests.harness.memory_mount", self.point, *words]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | environment)
        wait_until(lambda: "ready:" in self.log() or self.exit_code() is not None, "the mount", START_S)
        assert self.exit_code() is None, self.log()

    def path(self, name: str | bytes) -> bytes:
        """Return the path of a file on the mount."""
        return os.path.join(self.point, os.fsencode(name))

    def log(self) -> str:
        """Return what it wrote on standard error."""
        return self._log.read_text(errors="replace")

    def exit_code(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._running().poll()

    def thread_count(self) -> int:
        """Return how many threads it has."""
        return len(os.listdir(f"/proc/{self._running().pid}/task"))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the mount's process."""
        self._running().send_signal(number)

    def wait_for_end(self, timeout_s: float = END_S) -> int:
        """Return the exit code once it has ended, within `timeout_s`."""
        return self._running().wait(timeout_s)

    def is_mounted(self) -> bool:
        """Tell whether something is mounted there."""
        return find_device(self.point) is not None

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self.is_mounted():
            unmount(self.point, lazily=True, timeout_s=END_S)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process
