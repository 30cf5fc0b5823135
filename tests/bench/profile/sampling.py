"""Samples of running processes by py-spy: which functions they were in. Needs the extra `profile` (pip install .[profile])."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness.waiting import wait_until

RATE_PER_S: Final = 100
WAITING: Final = frozenset(
    (
        "Condition.wait (threading.py)",
        "FUSE.__init__ (fuse.py)",
        "RpcServer._accept (server.py)",
        "ServerConnection._receive (server_connection.py)",
        "StopRequest.wait (stop_request.py)",
        "_wait (exchange.py)",
        "socket.accept (socket.py)",
    )
)
"""Where threads wait: py-spy can't tell that from work on every kernel."""
START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 60.0


def find_py_spy() -> str | None:
    """Return the program's path; None if it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


@contextmanager
def sampled(py_spy: str, pids: Mapping[str, int], folder: Path) -> Iterator[dict[str, Counter[str]]]:
    """Sample processes as long as the context lasts; afterwards the dictionary has, per name, samples by function (self time)."""
    found: dict[str, Counter[str]] = {}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, pid in pids.items():
            command = [py_spy, "record", "--pid", str(pid), "--rate", str(RATE_PER_S)]
            command += ["--format", "raw", "--duration", "3600", "--output", str(folder / f"{name}.samples")]
            with (folder / f"{name}.py-spy").open("wb") as log:
                running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for name in pids:
            wait_until(lambda name=name: _has_begun(folder, name), f"py-spy to sample {name}", START_TIMEOUT_S)  # type: ignore[misc]
        yield found
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for name, process in running.items():
            process.wait(END_TIMEOUT_S)
            samples = folder / f"{name}.samples"
            found[name] = parse_samples(samples.read_text()) if samples.exists() else Counter()
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def parse_samples(text: str) -> Counter[str]:
    """Return samples by function, without those of waiting threads, from py-spy's raw format: `OUTERMOST;...;INNERMOST COUNT`."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        function = _without_line(stack.rpartition(";")[2])
        if stack and function not in WAITING:
            found[function] += int(count)
    return found


def _without_line(frame: str) -> str:
    """`name (path/module.py:7)` -> `name (module.py)`."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.rpartition(':')[0].rpartition('/')[2]})"


def _has_begun(folder: Path, name: str) -> bool:
    return "Sampling process" in (folder / f"{name}.py-spy").read_text(errors="replace")
