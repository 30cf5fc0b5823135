"""Machines with addresses of their own: a server's and any number of clients', each in a network namespace, all on this machine.

The server's address is SERVER; client number i has 10.77.i.2 and a line of its own to the server. A namespace lives as long as the
process that keeps it, and no longer than the test run, whose mark that process carries: nothing has a name that could be left
behind. Needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.harness.cluster import Cluster, MountProgram
from tests.harness.leftovers import marked_environment
from tests.harness.program import Program, module_command
from tests.harness.waiting import wait_until

SERVER: Final = "10.77.0.1"
COMMAND_TIMEOUT_S: Final = 60.0


class Machine:
    """One network namespace."""

    def __init__(self) -> None:
        environment = marked_environment()
        self._keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], env=environment, stdin=subprocess.DEVNULL)
        wait_until(lambda: _namespace_of(self.pid) != _namespace_of(os.getpid()), "a network namespace")
        self.run_or_fail("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """The process that keeps it."""
        return self._keeper.pid

    def command(self, *command: str | Path) -> list[str]:
        """Return a command line that runs a command there, as the same process."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *map(str, command)]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command there until it has ended and return what came of it."""
        return subprocess.run(
            self.command(*command),
            env=marked_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )

    def run_or_fail(self, *command: str | Path) -> None:
        """Run a command there that must succeed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def close(self) -> None:
        """End it; the kernel takes its addresses and lines away."""
        self._keeper.kill()
        self._keeper.wait()


class Networks:
    """A server's machine and those of its clients. Use it in a `with`."""

    def __init__(self) -> None:
        self._machines: list[Machine] = []

    def __enter__(self) -> Networks:
        self.server = self._add()
        self.server.run_or_fail("ip", "address", "add", f"{SERVER}/32", "dev", "lo")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for machine in reversed(self._machines):
            machine.close()

    def client(self, number: int) -> Machine:
        """Return a new machine with the address 10.77.NUMBER.2."""
        machine = self._add()
        net = f"10.77.{number}"
        self.server.run_or_fail(
            "ip", "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid)
        )
        self.server.run_or_fail("ip", "address", "add", f"{net}.1/24", "dev", f"to{number}")
        self.server.run_or_fail("ip", "link", "set", f"to{number}", "up")
        machine.run_or_fail("ip", "address", "add", f"{net}.2/24", "dev", "eth0")
        machine.run_or_fail("ip", "link", "set", "eth0", "up")
        machine.run_or_fail("ip", "route", "add", "default", "via", f"{net}.1")
        return machine

    def _add(self) -> Machine:
        machine = Machine()
        self._machines.append(machine)
        return machine


class NetworkCluster(Cluster):
    """A cluster whose servers are on the server's machine, with mounts on others."""

    def __init__(self, folder: Path, networks: Networks, exports: str, **options: object) -> None:
        """`exports`: sections of the configuration."""
        self._networks = networks
        self._exports = exports
        super().__init__(folder, n=2, meta_host=SERVER, data_hosts=(SERVER, SERVER), **options)  # type: ignore[arg-type]

    def __enter__(self) -> NetworkCluster:
        return self

    def _config_text(self, log_level: str) -> str:
        text = super()._config_text(log_level)
        if "key_file" not in text:
            text = text.replace("[cluster]\n", "[cluster]\ninsecure_network = yes\n")
        return f"{text}{self._exports}"

    def set_exports(self, exports: str) -> None:
        """Let other exports stand in the configuration, and have the meta-server read it."""
        self.config_file.write_text(self.config_file.read_text().replace(self._exports, exports))
        self._exports = exports
        count = self.meta.log_text().count("the configuration was read again")
        os.kill(self.meta.pid, 1)
        wait_until(lambda: self.meta.log_text().count("the configuration was read again") > count, "the reload")

    def _program(self, name: str, module: str, *arguments: object) -> Program:
        command = self._networks.server.command(*module_command(module, *arguments, "--config", self.config_file))
        return Program(name, command, self.folder / "log" / f"{name}.log", self.folder)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until all servers that were started say that they are ready."""
        for program in (self.meta, *self._data):
            if program.is_running():
                program.wait_for_log(" ready: ", timeout_s)

    def mount_at(self, machine: Machine, number: int, words: Sequence[str] = ()) -> MountProgram:
        """Return a mount on a client's machine, in FOLDER/mnt<number>, that knows the meta-server's address."""
        path = self.folder / f"mnt{number}"
        command = machine.command(*module_command("dfs.cli.mount", path, "--meta", self.meta_address, *words))
        log_file = self.folder / "log" / f"mount{number}.log"
        self._mounts[number] = mount = MountProgram(f"mount{number}", command, log_file, self.folder, path)
        return mount


def _namespace_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/net").st_ino
