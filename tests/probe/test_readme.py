"""Goal: every command that README.md shows works as it says.
Method: the commands are read out of its code blocks and run, in their order and with a shell, in a copy of the checkout with ports
and folders of its own; a command that this file does not know how to judge fails the test. `make test` is this very run, and
installing packages is left out (`make -o machine`): a test must not change its machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.cli.mount_table import is_mounted, unmount
from tests.harness.cluster import is_answering
from tests.harness.leftovers import find_processes, marked_environment
from tests.harness.program import ROOT
from tests.harness.waiting import wait_until
from tests.probe.test_make import Checkout

README = (ROOT / "README.md").read_text()
SERVICES = ("scripts/metaserver.py", "scripts/dataserver.py", "scripts/distributedFS.py", "dfs-meta", "dfs-data", "dfs-mount")
"""Begin commands that stay in the foreground."""
NEVER_RUN = ("make test",)


def commands() -> list[str]:
    """Return the commands of the code blocks, comments cut off, and those shown inline that name a program of dfs."""
    blocks = [line[4:] for line in README.splitlines() if line.startswith("    ") and not line.startswith("     ")]
    inline = re.findall(r"`((?:make|fusermount|\.venv/bin/\S+|scripts/\S+) [^`]+)`", README)
    return [re.sub(r"\s+# .*", "", command) for command in (*blocks, *inline)]


class Manual:
    """A reader of README.md, who types its commands in a fresh checkout."""

    def __init__(self, folder: Path) -> None:
        self.checkout = Checkout(folder / "dfs")
        for name in ("scripts", "README.md", "conf"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.checkout.folder / name)
        (self.checkout.folder / ".venv").symlink_to(sys.prefix)
        self.point = folder / "mount point"
        self.point.mkdir()
        self.base = self.checkout.base_port
        self.services: list[subprocess.Popen[bytes]] = []

    def translate(self, command: str) -> str:
        """Return the command with this test's ports and mount point."""
        command = re.sub(r"\b9(000|10[0-3])\b", lambda match: str(self.base + int("9" + match[1]) - 9000), command)
        command = command.replace("/mnt/dfs", f"'{self.point}'")
        return re.sub(r"^make ", f"make -o machine VENV={sys.prefix} PORT_BASE={self.base} ", command)

    def run(self, command: str) -> str:
        """Run a command that ends, and return what it says."""
        done = subprocess.run(
            self.translate(command),
            shell=True,
            check=False,
            cwd=self.checkout.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def serve(self, command: str) -> None:
        """Start a command that stays."""
        command = f"exec {self.translate(command)}"
        self.services.append(subprocess.Popen(command, shell=True, cwd=self.checkout.folder, env=self.environment()))

    def environment(self) -> dict[str, str]:
        return marked_environment() | {"PYTHONPATH": str(self.checkout.folder)}

    def use_mount(self, content: bytes) -> Path:
        """Wait for the mount and write and read a file there."""
        wait_until(lambda: is_mounted(self.point), "the mount", 40)
        assert [service.poll() for service in self.services] == [None] * len(self.services)
        path = self.point / "file"
        path.write_bytes(content)
        assert path.read_bytes() == content
        return path

    def end(self) -> None:
        """Unmount and stop the services, the servers last."""
        if is_mounted(self.point):
            unmount(self.point, lazy=True)
        for service in reversed(self.services):
            service.terminate()
        for service in reversed(self.services):
            service.wait(30)
        self.services.clear()


@pytest.fixture
def manual(tmp_path: Path) -> Iterator[Manual]:
    made = Manual(tmp_path)
    yield made
    made.end()
    made.checkout.make("down")


def test_every_command_of_the_readme_is_one_that_is_run_here() -> None:
    known = (
        *SERVICES,
        *NEVER_RUN,
        "make up",
        "make down",
        "make check",
        "make torture MINUTES=5",  # tests/torture runs what it calls, for one minute
        "make fuzz MINUTES=5",  # tests/fuzz gives the same targets random bytes, for seconds and without atheris
        "make deb",  # tests/packaging builds with it, and follows what the text says then
        "make bench",  # tests/bench runs what it calls, with tiny sizes
        "dfsctl",
        "fusermount",
        "python3 -c",
        "scripts/corrupt.py",
        "scripts/mount.dfs",
    )
    for command in commands():
        assert command.removeprefix(".venv/bin/").startswith(known), command


def test_two_commands_and_everyday_tasks_work_on_the_cluster_of_make_up(manual: Manual) -> None:
    manual.run("make up")
    file = manual.checkout.folder / "mnt" / "file"
    file.write_bytes(b"x" * 5000)
    for command in sorted(commands(), key=lambda command: "corrupt" in command):  # after those that expect all to be well
        words = command.removeprefix(".venv/bin/")
        if words.startswith("python3 -c"):
            assert "create" in manual.run(command)
        elif words.startswith("dfsctl dump-strip"):
            wait_until(lambda: next((manual.checkout.folder / "run").glob("**/strips/*/*.p"), None) is not None, "a strip")
            strip = next((manual.checkout.folder / "run").glob("**/strips/*/*.p"))
            assert "generation" in manual.run(command.replace("FILE", str(strip)))
        elif words.startswith("scripts/corrupt.py"):
            assert manual.run(command).startswith("server ")
        elif words.startswith("dfsctl meta restore"):
            continue  # tested with a meta-server that is stopped: tests/probe/test_restore_meta.py
        elif words.startswith("dfsctl"):
            assert manual.run(command)
    manual.run("make down")
    assert not is_mounted(manual.checkout.mount)


def test_commands_by_hand_and_by_configuration_bring_up_a_mount_that_works(manual: Manual) -> None:
    for prefix, configured in (("scripts/", False), (".venv/bin/dfs-", True)):
        if configured:
            write_configuration(manual)
        for command in commands():
            if command.startswith(prefix) and command.split(" ")[0].removeprefix(".venv/bin/") in SERVICES and " " in command:
                manual.serve(command)
        assert len(manual.services) == 4
        manual.use_mount(b"configured" if configured else b"by hand")
        manual.run(next(command for command in commands() if command.startswith("fusermount")))
        assert manual.services.pop().wait(30) == 0
        for command in commands() if configured else []:
            if command.startswith("scripts/mount.dfs"):
                manual.run(command)
                assert (manual.point / "file").read_bytes() == b"configured"
                manual.run("umount /mnt/dfs")
                wait_until(lambda: not any("mount.dfs" in line for _, line in find_processes()), "the client to end")
        manual.end()
        wait_until(lambda: not is_answering(manual.base), "the servers to end")


def write_configuration(manual: Manual) -> None:
    """Write dfs.conf as conf/dfs.conf shows it, with this test's ports and folders."""
    state = manual.checkout.folder / "state"
    parts = [f"[meta]\naddress = 127.0.0.1:{manual.base}\nstate = {state}/meta"]
    parts += [f"[data:{index}]\naddress = 127.0.0.1:{manual.base + 100 + index}\nstate = {state}/data{index}" for index in range(2)]
    (manual.checkout.folder / "dfs.conf").write_text("\n".join(parts) + "\n")
