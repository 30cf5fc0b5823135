"""Goal: `dfsctl diagnose` names a fault first, with evidence and cure, whether or not systemd is there; 0 means healthy.
Method: the program itself against real servers that are killed, filled, wiped and damaged; systemctl and journalctl are small
programs that write what the test says, or are not there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfs.core.events.data_server import CORRUPT_RECORD
from dfs.core.events.event import EventKind
from dfs.core.events.meta_server import MOUNT_CRASHED
from dfs.core.events.mount import CLOCK_OFF, WRITE_WAITS
from dfs.core.events.programs import FOLDER_NOT_MOUNTED, PORT_TAKEN, STATE_TOO_NEW
from dfs.core.events.wire import SERVER_REFUSED
from tests.harness.cluster import Cluster
from tests.harness.leftovers import marked_environment
from tests.harness.patched import patched_command
from tests.harness.program import ROOT, module_command
from tests.harness.waiting import wait_until

UNIT = "Id={}\nLoadState=loaded\nActiveState={}\nResult={}\nExecMainStatus={}\nNRestarts={}\nStatusText={}\n\n"


class Machine:
    """The machine on which dfsctl runs: its systemd and its journal are what the test says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def units(self, *units: tuple[object, ...]) -> None:
        """Let `systemctl show` tell of units: name, ActiveState, Result, ExecMainStatus, NRestarts, StatusText."""
        self._write("systemctl", "".join(UNIT.format(*unit) for unit in units))

    def journal(self, *entries: tuple[EventKind, str, dict[str, str]]) -> None:
        """Let `journalctl` tell of events: kind, unit, fields."""
        lines = []
        for at, (kind, unit, fields) in enumerate(entries):
            line = {"__REALTIME_TIMESTAMP": str(10**15 + at), "_SYSTEMD_UNIT": unit, "MESSAGE_ID": kind.message_id}
            lines.append(json.dumps({**line, "MESSAGE": kind.name, **fields}))
        self._write("journalctl", "".join(f"{line}\n" for line in lines), only="MESSAGE_ID=")

    def _write(self, program: str, text: str, only: str = "show") -> None:
        (self._folder / f"{program}.txt").write_text(text)
        path = self._folder / program
        path.write_text(f'#!/bin/sh\ncase "$*" in *{only}*) cat "$0.txt";; esac\n')
        path.chmod(0o755)

    def diagnose(self, cluster: Cluster) -> tuple[int, Any]:
        """Return the exit status and the findings."""
        done = self.run("diagnose", "--json", "--config", cluster.config_file)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        for program in ("sh", "cat"):
            link = self._folder / program
            if not link.exists():
                found = shutil.which(program)
                assert found is not None
                link.symlink_to(found)
        variables = marked_environment() | {"PYTHONPATH": str(ROOT), "PATH": str(self._folder)}
        command = module_command("dfs.cli.dfsctl", *arguments)
        return subprocess.run(command, check=False, env=variables, capture_output=True, text=True, timeout=60)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "programs")
    made.units()
    made.journal()
    return made


@pytest.fixture
def healthy(make_cluster: Callable[..., Cluster], machine: Machine) -> Cluster:
    cluster = make_cluster(n=4)
    cluster.start()
    wait_until(lambda: machine.diagnose(cluster)[0] == 0, "the cluster to be healthy")
    return cluster


def first(told: tuple[int, Any]) -> tuple[int, str, str]:
    """Return the exit status, and the situation and subject of the first finding."""
    status, shown = told
    return status, shown["findings"][0]["situation"], shown["findings"][0]["subject"]


def test_healthy_cluster_is_0_without_findings_with_and_without_systemd(healthy: Cluster, tmp_path: Path, machine: Machine) -> None:
    status, shown = machine.diagnose(healthy)
    assert (status, shown) == (0, {"healthy": True, "findings": [], "unseen": []})
    bare = Machine(tmp_path / "bare")
    status, shown = bare.diagnose(healthy)
    assert (status, shown["findings"]) == (0, [])
    assert len(shown["unseen"]) == 2
    human = bare.run("diagnose", "--config", healthy.config_file)
    assert "not looked at: the units of this machine" in human.stdout
    assert "healthy: nothing is wrong as far as can be seen from here" in human.stdout


def test_killed_servers_are_named_and_neighbours_first(healthy: Cluster, machine: Machine, tmp_path: Path) -> None:
    healthy.data(0).kill()
    assert first(machine.diagnose(healthy)) == (1, "server-down", "data server 0")
    healthy.data(1).kill()
    assert first(machine.diagnose(healthy)) == (2, "neighbours-down", "two neighbours")
    bare = Machine(tmp_path / "bare").run("diagnose", "--config", healthy.config_file)
    assert "cure: start dfs-data 0 as it was started before" in bare.stdout
    healthy.meta.stop()
    assert first(machine.diagnose(healthy)) == (1, "meta-down", "meta-server")
    healthy.allow("the last stop was not clean")


def test_taken_port_of_a_unit_explains_the_server_that_is_down(healthy: Cluster, machine: Machine) -> None:
    healthy.data(1).stop()
    machine.units(("dfs-meta.service", "active", "success", 0, 0, "ok"), ("dfs-data@1.service", "failed", "exit-code", 6, 0, ""))
    reason = {"DFS_REASON": "expected ... to be free", "DFS_PROGRAM": "dfs-data"}
    machine.journal((PORT_TAKEN, "dfs-data@1.service", reason), (WRITE_WAITS, "dfs-mount@m.service", {"DFS_SERVER": "1"}))
    status, shown = machine.diagnose(healthy)
    (finding,) = shown["findings"]
    assert (status, finding["situation"], finding["subject"]) == (1, "port-taken", "data server 1")
    assert finding["effects"] == ["server-down", "write-stalled"]
    assert "systemctl start dfs-data@1.service" in finding["cures"]


EVENTS: list[tuple[EventKind, str, dict[str, str], str]] = [
    (FOLDER_NOT_MOUNTED, "dfs-data@9.service", {}, "folder-not-mounted"),
    (CLOCK_OFF, "dfs-mount@mnt.service", {}, "clock-off"),
    (STATE_TOO_NEW, "dfs-data@9.service", {}, "releases-differ"),
    (SERVER_REFUSED, "dfs-data@9.service", {}, "address-wrong"),
    (MOUNT_CRASHED, "dfs-meta.service", {"DFS_PATH": "/mnt"}, "client-crashed"),
    (CORRUPT_RECORD, "dfs-data@2.service", {"DFS_SERVER": "2"}, "blocks-corrupt"),
]


def test_event_in_the_journal_is_named_first_where_the_servers_are_well(healthy: Cluster, machine: Machine) -> None:
    for kind, unit, fields, situation in EVENTS:
        machine.journal((kind, unit, fields))
        assert machine.diagnose(healthy)[1]["findings"][0]["situation"] == situation, kind.name


def test_wiped_disk_is_rebuilding_until_it_is_whole(make_cluster: Callable[..., Cluster], machine: Machine) -> None:
    cluster = make_cluster(n=3)
    cluster.start(mounts=1)
    (cluster.mount().path / "file").write_bytes(b"x" * 200_000)
    assert cluster.mount().unmount() == 0
    cluster.data(1).stop()
    shutil.rmtree(cluster.state_folder(1))
    cluster.data(0).stop()  # so that one of its roles has no source yet
    cluster.data(1).start()
    wait_until(lambda: "rebuilding" in machine.run("status", "--config", cluster.config_file).stdout, "the server to rebuild", 30)
    found = {(each["situation"], each["subject"]) for each in machine.diagnose(cluster)[1]["findings"]}
    assert {("server-rebuilding", "data server 1"), ("server-down", "data server 0")} <= found
    cluster.data(0).start()
    wait_until(lambda: machine.diagnose(cluster)[0] == 0, "everything to be copied", 60)
    cluster.allow("are copied from server", "does not answer")


def test_clock_and_release_of_a_server_that_differ_are_named(make_cluster: Callable[..., Cluster], machine: Machine) -> None:
    cluster = make_cluster(n=2)
    prelude = "import time\nright = time.time_ns\ntime.time_ns = lambda: right() + 90 * 10**9\nimport dfs\ndfs.__version__ = '9.9'"
    server = cluster.data(1)
    server.command = tuple(patched_command(prelude, "dfs.cli.data", 1, "--config", cluster.config_file))
    cluster.start()
    wait_until(lambda: "not-formatted" not in str(machine.diagnose(cluster)), "the file system to be made")
    status, shown = machine.diagnose(cluster)
    assert status == 1
    assert {each["situation"] for each in shown["findings"]} == {"clock-off", "releases-differ"}
    assert "90" in str(shown["findings"])


def test_mount_that_was_killed_is_named_while_it_is_missed(make_cluster: Callable[..., Cluster], machine: Machine) -> None:
    cluster = make_cluster(n=2)
    cluster.start(mounts=1)
    cluster.mount().kill()
    wait_until(lambda: machine.diagnose(cluster)[0] == 1, "the mount to be missed", 30)
    assert first(machine.diagnose(cluster)) == (1, "client-crashed", f"mount {cluster.mount().path}")


def test_something_else_at_the_address_of_the_meta_server_is_named(healthy: Cluster, machine: Machine) -> None:
    done = machine.run("diagnose", "--json", "--meta", f"127.0.0.1:{healthy.data_ports[0]}")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["situation"] == "address-wrong"


def test_wrong_configuration_is_a_finding_and_hides_neither_units_nor_journal(tmp_path: Path, machine: Machine) -> None:
    config = tmp_path / "dfs.conf"
    config.write_text("[data:0]\n[data:1]\n[log]\nlevel = loud\n")
    machine.units(("dfs-data@1.service", "failed", "exit-code", 3, 0, ""))
    done = machine.run("diagnose", "--json", "--config", config)
    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert [(each["situation"], each["subject"]) for each in shown["findings"]] == [
        ("config-wrong", "data server 1"),
        ("config-wrong", "the configuration"),
    ]
    assert "got loud" in str(shown["findings"])
    assert shown["unseen"] == ["the servers: without a configuration they are not known"]
