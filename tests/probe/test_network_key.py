"""Goal: off loopback servers start with a key only, other machines get in with theirs, and who has none is told and named.
Method: real processes in two network namespaces, the servers at addresses of their own, the client host with only a client key.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.cluster import MountProgram
from tests.harness.leftovers import marked_environment
from tests.harness.network import NET, PrivateNetwork
from tests.harness.program import ROOT, Program, module_command
from tests.harness.waiting import wait_until

META = f"{NET}.1:9000"
CLIENT_HOST = f"{NET}.9"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")


class TwoMachines:
    """The servers on machine a, a client on machine b."""

    def __init__(self, network: PrivateNetwork, folder: Path, stack: ExitStack) -> None:
        self.network = network
        self.folder = folder
        self.config = folder / "dfs.conf"
        self._stack = stack
        self.configure("")
        config = ("--config", self.config)
        self.meta = self._program("meta", module_command("dfs.cli.meta", *config))
        self.data = [self._program(f"data{index}", module_command("dfs.cli.data", index, *config)) for index in range(2)]

    def configure(self, cluster_lines: str) -> None:
        text = f"[cluster]\n{cluster_lines}\n[meta]\naddress = {META}\nstate = {self.folder}/state/meta\n"
        for index in range(2):
            text += f"[data:{index}]\naddress = {NET}.{2 + index}:{9100 + index}\nstate = {self.folder}/state/data{index}\n"
        self.config.write_text(text)

    def _program(self, name: str, command: list[str]) -> Program:
        program = Program(name, self.network.on("a", command), self.folder / f"{name}.log", self.folder)
        self._stack.callback(program.end_for_sure)
        return program

    def mount(self, key_file: Path) -> MountProgram:
        path = self.folder / "mnt"
        command = module_command("dfs.cli.mount", path, "--meta", META, "-o", f"key_file={key_file}")
        mount = MountProgram("mount", self.network.on("b", command), self.folder / "mount.log", self.folder, path)
        self._stack.callback(mount.end_for_sure)
        return mount

    def dfsctl(self, machine: str, *words: object) -> subprocess.CompletedProcess[str]:
        command = self.network.on(machine, module_command("dfs.cli.dfsctl", *words))
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=marked_environment(), cwd=ROOT)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[TwoMachines]:
    with ExitStack() as stack:
        network = stack.enter_context(PrivateNetwork(a=(1, 2, 3), b=(9,)))
        yield TwoMachines(network, tmp_path, stack)


def test_network_is_served_with_a_key_only(machines: TwoMachines) -> None:
    machines.meta.start()
    assert machines.meta.wait_for_end() == 3
    assert f"{META}: without a cluster key anybody on the network could read and change all files" in machines.meta.log_text()
    assert "dfsctl key generate" in machines.meta.log_text()

    key, client_key = machines.folder / "cluster.key", machines.folder / "client.key"
    assert machines.dfsctl("a", "key", "generate", key).returncode == 0
    machines.configure(f"key_file = {key}")
    on_a = ("--config", machines.config)
    assert machines.dfsctl("a", "key", "client", "desk", "--out", client_key, *on_a).returncode == 0
    for program in (machines.meta, *machines.data):
        program.start()
    wait_until(lambda: machines.dfsctl("a", "status", *on_a).returncode in (0, 1), "the servers to answer", 30)

    mount, data = machines.mount(client_key), os.urandom(100_000)
    mount.start()
    mount.wait_ready()
    (mount.path / "file").write_bytes(data)
    assert (mount.path / "file").read_bytes() == data
    assert machines.dfsctl("a", "fsck", *on_a).returncode == 0

    stranger = machines.dfsctl("b", "status", "--meta", META)
    assert (stranger.returncode, stranger.stdout) == (5, "")
    assert "there is no key here, set [cluster] key_file" in stranger.stderr
    assert f"a request from {CLIENT_HOST} was refused, unsigned" in machines.meta.log_text()
    assert "insecure" not in machines.meta.log_text()
