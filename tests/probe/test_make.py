"""Goal: `make up` and `make down` do what a newcomer expects, in any state of the cluster.
Method: make itself in a copy of the checkout, with ports of its own and this run's virtual environment; real processes and a
real mount. Installing packages is left out (`make -o machine`): a test must not change its machine.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.cli.mount_table import is_mounted
from tests.harness.cluster import PORTS, free_ports
from tests.harness.leftovers import find_processes, marked_environment
from tests.harness.program import ROOT

COPIED = ["Makefile", "pyproject.toml", "dfs"]
STEP_TIMEOUT_S = 120


class Checkout:
    """A copy of this checkout in which make is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mount = folder / "mnt"
        self.base_port = free_base_port()
        folder.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)

    def make(self, target: str, status: int = 0) -> str:
        """Run one target and return its output; fails the test if it does not end with `status`."""
        command = ["make", "-o", "machine", target, f"VENV={sys.prefix}", f"PORT_BASE={self.base_port}"]
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=marked_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_TIMEOUT_S,
        )
        assert (done.returncode == 0) == (status == 0), f"make {target}: {done.returncode}\n{done.stdout}\n{self.logs()}"
        return done.stdout

    def pid(self, name: str) -> int:
        """Return the number of a running program: meta, data0 .. data3 or mount."""
        return int((self.folder / "run" / "pid" / f"{name}.pid").read_text().split()[0])

    def pids(self) -> dict[str, int]:
        """Return the numbers of all programs."""
        return {file.stem: self.pid(file.stem) for file in (self.folder / "run" / "pid").glob("*.pid")}

    def logs(self) -> str:
        """Return all logs."""
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in (self.folder / "run" / "log").glob("*.log"))


def free_base_port() -> int:
    """Return a base port such that it and those of four data servers are free."""
    for _ in range(len(PORTS)):
        base = free_ports(1)[0]
        if base + 103 in PORTS and all(port_is_free(base + 100 + index) for index in range(4)):
            return base
    raise AssertionError("no free ports")


def port_is_free(port: int) -> bool:
    hexadecimal = f":{port:04X} "
    return not any(hexadecimal in line.split(" rem")[0] for line in Path("/proc/net/tcp").read_text().splitlines()[1:])


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "checkout")
    yield made
    made.make("down")
    assert not is_mounted(made.mount)
    assert not [command for _, command in find_processes() if str(made.folder) in command]


def assert_equal_trees(left: Path, right: Path) -> None:
    subprocess.run(["diff", "-r", str(left), str(right)], check=True)


def test_up_twice_and_down_and_up_keeps_a_tree_that_was_copied_in(checkout: Checkout) -> None:
    output = checkout.make("up")
    assert is_mounted(checkout.mount)
    for port in (checkout.base_port, *(checkout.base_port + 100 + index for index in range(4))):
        assert f"127.0.0.1:{port}" in output
    assert len(output.split("Try:\n")[1].strip().splitlines()) == 3
    before = checkout.pids()
    assert set(before) == {"meta", "data0", "data1", "data2", "data3", "mount"}
    checkout.make("up")
    assert checkout.pids() == before

    shutil.copytree(checkout.folder / "dfs", checkout.mount / "tree")
    checkout.make("down")
    assert not is_mounted(checkout.mount)
    assert checkout.pids() == {}
    checkout.make("down")
    assert "Traceback" not in checkout.logs()

    checkout.make("up")
    assert not filecmp.dircmp(checkout.folder / "dfs", checkout.mount / "tree").diff_files
    assert_equal_trees(checkout.folder / "dfs", checkout.mount / "tree")


def test_things_to_try_work_as_printed(checkout: Checkout) -> None:
    output = checkout.make("up")
    for line in output.split("Try:\n")[1].strip().splitlines():
        command = line.replace("make up", f"make -o machine up VENV={sys.prefix}")
        done = subprocess.run(
            command,
            check=False,
            shell=True,
            cwd=checkout.folder,
            env=marked_environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_down_with_a_dead_server_and_an_open_file_names_the_holder_and_ends_all(checkout: Checkout) -> None:
    checkout.make("up")
    os.kill(checkout.pid("data1"), signal.SIGKILL)
    holder = [sys.executable, "-c", "import sys; f = open(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        [*holder, str(checkout.mount / "held")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=marked_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        output = checkout.make("down")
        assert re.search(rf"in use by process {process.pid} .*{checkout.mount}/held", output)
        assert "lazily" in output
        assert not is_mounted(checkout.mount)
        assert checkout.pids() == {}
        process.kill()


@pytest.mark.parametrize("victim", ["meta", "data2", "mount"])
def test_up_after_a_program_was_killed_starts_only_that_one(checkout: Checkout, victim: str) -> None:
    checkout.make("up")
    (checkout.mount / "f").write_text("kept")
    before = checkout.pids()
    os.kill(before[victim], signal.SIGKILL)
    checkout.make("up")
    after = checkout.pids()
    assert {name for name in before if before[name] != after[name]} == {victim}
    assert (checkout.mount / "f").read_text() == "kept"


def test_up_on_a_port_in_use_says_so_in_one_line(checkout: Checkout) -> None:
    squatter = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(checkout.base_port + 100)]
    with subprocess.Popen(squatter, stdout=subprocess.PIPE, env=marked_environment() | {"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        output = checkout.make("up", status=1)
        process.kill()
    line = next(line for line in output.splitlines() if line.startswith("local_cluster: "))
    assert "data server 0" in line
    assert str(checkout.base_port + 100) in line


def test_up_with_other_ports_while_it_runs_is_refused(checkout: Checkout) -> None:
    checkout.make("up")
    before = checkout.pids()
    checkout.base_port += 1000
    output = checkout.make("up", status=1)
    checkout.base_port -= 1000
    assert "make down" in output
    assert checkout.pids() == before
