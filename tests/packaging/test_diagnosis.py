"""Goal: on a host with the packages, the journal explains a fault in the catalogue's words and `dfsctl diagnose` names it first.
Method: one booted Debian with a cluster of four data servers; real faults, real systemd, real journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from dfs.core.events.data_server import CORRUPT_RECORD, DISK_NEARLY_FULL
from dfs.core.events.meta_server import META_ROLLED_BACK
from dfs.core.events.mount import WRITE_WAITS
from dfs.core.events.programs import CONFIG_WRONG, FOLDER_NOT_MOUNTED, PORT_TAKEN
from tests.harness.booted_host import BootedHost
from tests.harness.host_disk import HostDisk
from tests.harness.root_filesystem import DEBIAN_13
from tests.harness.waiting import wait_until
from tests.packaging.explained import assert_explained, wait_for_first, wait_until_well
from tests.packaging.installed_cluster import META, MOUNT, POINT, InstalledCluster, data

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file system to be made
SQUATTER = "squatter.service"


SMALL_DISK: Final = "/var/lib/dfs/data3"
CORRUPT: Final = "import sys; from dfs.cli.corrupt import main_corrupt; sys.exit(main_corrupt(sys.argv[1:]))"


@pytest.fixture(scope="module")
def cluster(installations: Mapping[str, tuple[Path, ...]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledCluster]:
    folder = tmp_path_factory.mktemp("diagnosed")
    disk = HostDisk(folder / "disk", SMALL_DISK)
    with BootedHost("diagnosed", installations[DEBIAN_13], folder / "host", disks=[disk]) as host:
        host.boot()
        made = InstalledCluster(host)
        made.set_up()
        wait_until_well(host)
        yield made


def test_taken_port_explains_why_a_server_is_down_until_it_is_free(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(1))
    wait_for_first(cluster.host, "server-down", "data server 1")
    squat = ["systemd-run", "--quiet", f"--unit={SQUATTER}", "python3", "-m", "http.server", "9101", "--bind", "127.0.0.1"]
    cluster.host.run(*squat)
    knock = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 9101))"]
    wait_until(lambda: cluster.host.try_to(*knock).returncode == 0, "the port to be taken")
    assert cluster.host.try_to("systemctl", "start", data(1)).returncode == 1
    finding = wait_for_first(cluster.host, "port-taken", "data server 1")
    assert "server-down" in finding["effects"]
    assert_explained(cluster.host, PORT_TAKEN, "Subject: dfs-data can't start: its port is taken", unit=data(1))
    cluster.host.run("systemctl", "stop", SQUATTER)
    cluster.host.try_to("systemctl", "reset-failed", data(1))
    cluster.host.run("systemctl", "start", data(1))
    wait_until_well(cluster.host)


def test_wrong_configuration_is_named_though_it_hides_the_servers(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(2))
    cluster.configure("[log]\nlevel = loud\n")
    assert cluster.host.try_to("systemctl", "start", data(2)).returncode == 1
    finding = wait_for_first(cluster.host, "config-wrong", "data server 2")
    assert_explained(cluster.host, CONFIG_WRONG, "Subject: dfs-data can't start: the configuration is wrong", unit=data(2))
    assert "systemctl start dfs-data@2.service" in finding["cures"]
    cluster.configure("")
    cluster.host.try_to("systemctl", "reset-failed", data(2))
    cluster.host.run("systemctl", "start", data(2))
    wait_until_well(cluster.host)


def test_stopped_meta_server_is_worse_than_a_stopped_data_server(cluster: InstalledCluster) -> None:
    assert cluster.host.try_to("dfsctl", "safe-to-stop", "3").returncode == 0
    cluster.host.run("systemctl", "stop", data(3))
    assert cluster.host.try_to("dfsctl", "safe-to-stop", "0").returncode == 1
    cluster.host.run("systemctl", "stop", META, "dfs-meta.socket")
    finding = wait_for_first(cluster.host, "meta-down", "meta-server")
    assert finding["cures"][-1] == "systemctl restart dfs-meta"
    cluster.host.run("systemctl", "start", "dfs-meta.socket", META, data(3))
    wait_until_well(cluster.host)


def test_folder_that_is_not_mounted_is_why_a_server_does_not_start(cluster: InstalledCluster) -> None:
    cluster.configure("[data]\nrequire_mount = yes\n")
    assert cluster.host.try_to("systemctl", "restart", data(1)).returncode == 1
    wait_for_first(cluster.host, "folder-not-mounted", "data server 1")
    words = "Subject: dfs-data can't start: the disk for its data is not mounted"
    assert_explained(cluster.host, FOLDER_NOT_MOUNTED, words, unit=data(1))
    cluster.host.run("systemctl", "restart", data(3))  # whose disk is mounted
    cluster.configure("")
    cluster.host.run("systemctl", "restart", data(1))
    wait_until_well(cluster.host)


def test_servers_at_each_other_s_addresses_are_recognised(cluster: InstalledCluster) -> None:
    cluster.configure("[data:1]\naddress = 127.0.0.1:9102\n[data:2]\naddress = 127.0.0.1:9101\n")
    cluster.host.run("systemctl", "restart", META)
    cluster.host.try_to("timeout", "2", "sh", "-c", f"echo lost >{POINT}/lost")
    wait_for_first(cluster.host, "address-wrong", "data server 1")
    assert_explained(cluster.host, WRITE_WAITS, "expected data server", "Subject: Writing waits for data server", unit=MOUNT)
    cluster.configure("")
    cluster.host.run("systemctl", "restart", META)
    wait_until_well(cluster.host)


def test_disk_that_is_nearly_full_is_told_before_it_is_full(cluster: InstalledCluster) -> None:
    status = json.loads(cluster.host.run("dfsctl", "status", "--json"))
    (server,) = (server for server in status["servers"] if server["index"] == 3)
    filling = server["free_bytes"] - server["total_bytes"] // 40
    cluster.host.run("fallocate", "-l", str(filling), f"{SMALL_DISK}/filling")
    cluster.write("one more", "drop\n" * 1000)
    wait_for_first(cluster.host, "disk-nearly-full", "the disk of data server 3")
    assert_explained(cluster.host, DISK_NEARLY_FULL, "Subject: The disk of data server 3 is nearly full", unit=data(3))
    cluster.host.run("rm", f"{SMALL_DISK}/filling")
    wait_until_well(cluster.host)


def test_meta_server_that_was_put_back_says_so_and_what_to_do(cluster: InstalledCluster) -> None:
    state, old = "/var/lib/dfs/meta", "/var/lib/dfs/old"
    cluster.host.run("systemctl", "stop", META)
    cluster.host.run("cp", "-a", state, old)
    cluster.host.run("systemctl", "start", META)
    cluster.write("later", "than the copy\n")
    cluster.host.run("systemctl", "stop", META)
    cluster.host.run("rm", "-r", state)
    cluster.host.run("mv", old, state)
    cluster.host.run("systemctl", "start", META)
    finding = wait_for_first(cluster.host, "meta-rolled-back", "meta-server")
    assert "dfsctl meta accept-rollback" in finding["cures"]
    assert_explained(cluster.host, META_ROLLED_BACK, "Subject: The meta-server was put back to an older state", unit=META)
    cluster.host.run("dfsctl", "meta", "accept-rollback")
    wait_until_well(cluster.host)


def test_corrupt_block_that_a_reader_met_is_told_until_a_scrub_has_found_no_other(cluster: InstalledCluster) -> None:
    cluster.write("rotten", "Something is rotten.\n" * 5000)
    cluster.host.run("python3", "-c", CORRUPT, "9100", f"{POINT}/rotten", timeout_s=90)
    assert cluster.read("rotten") == "Something is rotten.\n" * 5000
    wait_for_first(cluster.host, "blocks-corrupt", "blocks on data server 0")
    assert_explained(cluster.host, CORRUPT_RECORD, "Subject: A copy on data server 0 is corrupt", unit=data(0))
    cluster.host.run("dfsctl", "scrub", "--server", "0", "--wait", timeout_s=60)
    wait_until_well(cluster.host)
