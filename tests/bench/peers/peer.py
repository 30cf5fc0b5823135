"""What the peers have in common as targets: mounted by programs that end, their processes found by their arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from tests.bench.file_loads import Line
from tests.bench.measuring import Cpu
from tests.bench.namespace import run
from tests.harness.waiting import wait_until

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
MOUNT_TIMEOUT_S: Final = 30.0


class PeerTarget:
    """A peer that runs and is mounted."""

    def __init__(self, name: str, folder: Path, mount: Callable[[Path], object]) -> None:
        """Mount it at FOLDER/mnt by `mount`; all its servers name a file of FOLDER in their arguments."""
        self.name = name
        self.path = folder / "mnt"
        self._folder = folder
        self._mount = mount
        self.path.mkdir()
        self._appear()

    def make_cold(self) -> None:
        """Mount it anew."""
        run("umount", self.path)
        client = os.fsencode(self.path)
        wait_until(lambda: all(client not in command for _, command in processes()), f"the client of {self.name} to end")
        self._appear()

    def _appear(self) -> None:
        self._mount(self.path)
        wait_until(lambda: self.path.is_mount(), f"{self.name} to be mounted", MOUNT_TIMEOUT_S)

    def cpu(self) -> Cpu:
        """Return the processor time of its programs."""
        client, state = os.fsencode(self.path), os.fsencode(self._folder)
        mount_ms = servers_ms = 0.0
        for pid, command in processes():
            if client in command:
                mount_ms += cpu_ms(pid)
            elif state in command:
                servers_ms += cpu_ms(pid)
        return Cpu(mount_ms, servers_ms)

    def watched(self, line: Line) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()


def processes() -> Iterator[tuple[int, bytes]]:
    """Yield number and arguments of all processes inside but this one."""
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        try:
            yield int(entry.name), (entry / "cmdline").read_bytes()
        except OSError:
            continue  # ended meanwhile


def cpu_ms(pid: int) -> float:
    """Return the processor time that a process used so far; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS_PER_S
