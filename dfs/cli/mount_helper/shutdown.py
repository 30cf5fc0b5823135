"""Telling all clients of this machine that it goes down, so that writes which wait for a server do not hold it up.

Run by dfs-shutdown.service when it is stopped. Clients are found by the names of their programs, because not all are services:
one below an automount lives in its mount unit, one that was started by hand in its user's session. Never tells anybody while the
machine stays up: the service may also be stopped by hand, or by an upgrade.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from dfs.cli.mount_loop import SHUTDOWN_SIGNAL

CLIENTS: Final = ("dfs-mount", "mount.dfs", "mount.fuse.dfs")
"""Names of the programs whose processes serve mounts, as the kernel has them."""
STOPPING: Final = "stopping"
PROC: Final = Path("/proc")


def end_waits(send: Callable[[int, signal.Signals], None] = os.kill, proc: Path = PROC) -> int:
    """Tell every client, if systemd is stopping this machine, and return the exit status."""
    asked = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True, check=False)
    if asked.stdout.strip() != STOPPING:
        return 0
    for pid in find_clients(proc):
        try:
            send(pid, SHUTDOWN_SIGNAL)
        except ProcessLookupError:
            continue  # it ended meanwhile, which is as good
    return 0


def find_clients(proc: Path = PROC) -> Iterator[int]:
    """Yield the numbers of all processes that serve a mount, or are about to."""
    for folder in proc.glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile
        if name in CLIENTS and int(folder.name) != os.getpid():
            yield int(folder.name)
