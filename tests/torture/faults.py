"""The faults of a campaign, each made and healed on real processes, disks and the network of a namespace.

Promises (the fault budget): each fault harms one server, or none that holds data, and returns only when the cluster is whole again,
so that one good copy of every block is always left. Called by campaign.py, one at a time.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dfs.cli.mount_table import unmount
from tests.harness.cluster import Cluster, MountProgram
from tests.harness.program import ROOT, Program, module_command, script_command
from tests.harness.waiting import wait_until
from tests.torture.writer import MountState

HEAL_TIMEOUT_S: Final = 120.0
DISK_BYTES: Final = 192 << 20
"""Of each data server's disk, a tmpfs: small enough to be filled."""


class Faults:
    """Breaks and heals one cluster whose servers listen on addresses of their own in a network namespace of ours."""

    def __init__(self, cluster: Cluster, mounts: dict[int, MountState], chance: random.Random, stopping: threading.Event) -> None:
        self._cluster = cluster
        self._mounts = mounts
        self._chance = chance
        self._stopping = stopping

    def kinds(self) -> dict[str, Callable[[], None]]:
        """Return all faults by name, in the order in which a short campaign has them."""
        return {
            "data server killed": self.kill_data,
            "data server cut off": self.cut_off_data,
            "disk lost": self.lose_disk,
            "bytes changed on disk": self.change_bytes,
            "meta-server killed": self.kill_meta,
            "disk full": self.fill_disk,
            "data server paused": self.pause_data,
            "meta-server cut off": self.cut_off_meta,
            "mount killed": self.kill_mount,
        }

    def prepare_disks(self) -> None:
        """Give each data server a disk of its own, before anything is started."""
        for index in range(self._cluster.n):
            state = self._cluster.state_folder(index)
            state.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(state)], check=True)

    def remove_disks(self) -> None:
        """Take the disks away, after everything has ended."""
        for index in range(self._cluster.n):
            unmount(self._cluster.state_folder(index), lazy=True)

    # --- servers -------------------------------------------------------------------------------------------------------------

    def kill_data(self) -> None:
        """Kill a data server and start it again a while later."""
        program = self._any_data()
        program.kill()
        self._let_pass(0.3, 3.0)
        self._cluster.restart(program)
        self.wait_whole()

    def pause_data(self) -> None:
        """Let a data server hang."""
        program = self._any_data()
        program.pause()
        self._let_pass(0.5, 3.0)
        program.resume()
        self.wait_whole()

    def kill_meta(self) -> None:
        """Kill the meta-server and start it again a while later."""
        self._cluster.meta.kill()
        self._let_pass(0.1, 2.0)
        self._cluster.restart(self._cluster.meta)
        self.wait_whole()

    def kill_mount(self) -> None:
        """Kill a mount program under its writers and mount again."""
        number = self._chance.choice(sorted(self._mounts))
        program, state = self._cluster.mount(number), self._mounts[number]
        state.turns += 1
        program.kill()
        unmount(program.path, lazy=True)
        self._remount(program)
        state.turns += 1

    def _remount(self, program: MountProgram) -> None:
        self._let_pass(0.1, 1.0)
        program.start()
        program.wait_ready()

    # --- disks ---------------------------------------------------------------------------------------------------------------

    def lose_disk(self) -> None:
        """Kill a data server, remove all that it stored, and start it: it is rebuilt from its neighbours."""
        index = self._chance.randrange(self._cluster.n)
        program, state = self._cluster.data(index), self._cluster.state_folder(index)
        program.kill()
        for entry in state.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self._cluster.restart(program)
        self.wait_whole()

    def fill_disk(self) -> None:
        """Fill a data server's disk for a while."""
        filler = self._cluster.state_folder(self._chance.randrange(self._cluster.n)) / "filler"
        with filler.open("wb") as file:
            _fill(file.fileno())
        self._let_pass(1.0, 3.0)
        filler.unlink()
        self.wait_whole()

    def change_bytes(self) -> None:
        """Change a byte of some files on one server's disk, then read them: each is repaired from its other copy."""
        port = self._chance.choice(self._cluster.data_ports)
        root = self._cluster.mount(min(self._mounts)).path
        files = sorted(path for path in (root / "still").iterdir())
        for path in self._chance.sample(files, min(3, len(files))):
            before = path.read_bytes()
            done = subprocess.run(script_command("corrupt.py", port, path), check=False, capture_output=True, text=True, cwd=ROOT)
            assert done.returncode in (0, 1), done.stderr  # 1: this server has no block of the file
            Path("/proc/sys/vm/drop_caches").write_text("3")
            assert path.read_bytes() == before, f"{path} changed with its bytes on disk"

    # --- the network ---------------------------------------------------------------------------------------------------------

    def cut_off_data(self) -> None:
        """Let all packets to and from a data server vanish for a while."""
        self._cut_off(self._chance.choice(self._cluster.data_hosts))

    def cut_off_meta(self) -> None:
        """Let all packets to and from the meta-server vanish for a while."""
        self._cut_off(self._cluster.meta_host)

    def _cut_off(self, host: str) -> None:
        route = ["blackhole", f"{host}/32", "table", "local"]
        subprocess.run(["ip", "route", "add", *route], check=True)
        try:
            self._let_pass(1.0, 5.0)
        finally:
            subprocess.run(["ip", "route", "del", *route], check=True)
        self.wait_whole()

    # --- healing -------------------------------------------------------------------------------------------------------------

    def wait_whole(self) -> None:
        """Wait until every server is reachable and complete in both roles."""
        wait_until(lambda: self.dfsctl("status").returncode == 0, "the cluster to be whole", HEAL_TIMEOUT_S)

    def dfsctl(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run dfsctl on the cluster."""
        command = module_command("dfs.cli.dfsctl", *arguments, "--config", self._cluster.config_file)
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=HEAL_TIMEOUT_S, cwd=ROOT)

    def _any_data(self) -> Program:
        return self._cluster.data(self._chance.randrange(self._cluster.n))

    def _let_pass(self, shortest_s: float, longest_s: float) -> None:
        """Let the fault last for a random while, or until the campaign ends."""
        self._stopping.wait(self._chance.uniform(shortest_s, longest_s))


def _fill(descriptor: int) -> None:
    """Let a file take all space that its disk has, while others write there too."""
    size_bytes = 0
    for step_bytes in (1 << 20, 1 << 12):
        while True:
            try:
                os.posix_fallocate(descriptor, size_bytes, step_bytes)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
            size_bytes += step_bytes
