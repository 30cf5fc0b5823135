"""Goal: on a host with the packages, the journal explains a fault in the catalogue's words and `dfsctl diagnose` names it first.
Method: one booted Debian with a cluster of four data servers; real faults, real systemd, real journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dfs.core import events
from dfs.core.events import EventKind
from tests.harness.booted_host import BootedHost
from tests.harness.waiting import wait_until
from tests.packaging.installed_cluster import META, InstalledCluster, data

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file system to be made
SQUATTER = "squatter.service"


@pytest.fixture(scope="module")
def cluster(installed: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledCluster]:
    with BootedHost("diagnosed", installed, tmp_path_factory.mktemp("diagnosed")) as host:  # type: ignore[arg-type]
        host.boot()
        made = InstalledCluster(host)
        made.set_up()
        wait_until(lambda: diagnose(made)[0] == 0, "the cluster to be healthy", 30)
        yield made


def diagnose(cluster: InstalledCluster) -> tuple[int, list[dict[str, Any]]]:
    """Return dfsctl's exit status and findings; everything could be looked at."""
    done = cluster.host.try_to("dfsctl", "diagnose", "--json")
    shown = json.loads(done.stdout)
    assert not [reason for reason in shown["unseen"] if not reason.startswith("the servers")]
    return done.returncode, shown["findings"]


def wait_for_first(cluster: InstalledCluster, situation: str, subject: str) -> dict[str, Any]:
    """Wait until a fault is named first, and return the finding."""

    def is_first() -> bool:
        found = diagnose(cluster)[1]
        return bool(found) and (found[0]["situation"], found[0]["subject"]) == (situation, subject)

    wait_until(is_first, f"{situation} of {subject} to be named first", 20)
    return diagnose(cluster)[1][0]


def assert_explained(cluster: InstalledCluster, unit: str, kind: EventKind, *words: str) -> None:
    """Check that the journal has the event and shows its text."""
    shown = cluster.host.run("journalctl", "-x", f"--unit={unit}", f"MESSAGE_ID={kind.message_id}", "-n", "1", "--no-pager")
    for each in (*words, "What happened:", "Likely causes:", "What to do:"):
        assert each in shown


def test_taken_port_explains_why_a_server_is_down_until_it_is_free(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(1))
    wait_for_first(cluster, "server-down", "data server 1")
    squat = ["systemd-run", "--quiet", f"--unit={SQUATTER}", "python3", "-m", "http.server", "9101", "--bind", "127.0.0.1"]
    cluster.host.run(*squat)
    knock = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 9101))"]
    wait_until(lambda: cluster.host.try_to(*knock).returncode == 0, "the port to be taken")
    assert cluster.host.try_to("systemctl", "start", data(1)).returncode == 1
    finding = wait_for_first(cluster, "port-taken", "data server 1")
    assert "server-down" in finding["effects"]
    assert_explained(cluster, data(1), events.PORT_TAKEN, "Subject: dfs-data can't start: its port is taken")
    cluster.host.run("systemctl", "stop", SQUATTER)
    cluster.host.try_to("systemctl", "reset-failed", data(1))
    cluster.host.run("systemctl", "start", data(1))
    wait_until(lambda: diagnose(cluster)[0] == 0, "the cluster to be healthy", 20)


def test_wrong_configuration_is_named_though_it_hides_the_servers(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(2))
    cluster.configure("[log]\nlevel = loud\n")
    assert cluster.host.try_to("systemctl", "start", data(2)).returncode == 1
    finding = wait_for_first(cluster, "config-wrong", "data server 2")
    assert "systemctl start dfs-data@2.service" in finding["cures"]
    cluster.configure("")
    cluster.host.try_to("systemctl", "reset-failed", data(2))
    cluster.host.run("systemctl", "start", data(2))
    wait_until(lambda: diagnose(cluster)[0] == 0, "the cluster to be healthy", 20)


def test_stopped_meta_server_is_worse_than_a_stopped_data_server(cluster: InstalledCluster) -> None:
    assert cluster.host.try_to("dfsctl", "safe-to-stop", "3").returncode == 0
    cluster.host.run("systemctl", "stop", data(3))
    assert cluster.host.try_to("dfsctl", "safe-to-stop", "0").returncode == 1
    cluster.host.run("systemctl", "stop", META, "dfs-meta.socket")
    finding = wait_for_first(cluster, "meta-down", "meta-server")
    assert finding["cures"][-1] == "systemctl restart dfs-meta"
    cluster.host.run("systemctl", "start", "dfs-meta.socket", META, data(3))
    wait_until(lambda: diagnose(cluster)[0] == 0, "the cluster to be healthy", 30)
