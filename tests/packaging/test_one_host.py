"""Goal: on a host with the packages, every server comes back after a crash, tells what it does, and is upgraded and removed with
care. Method: one booted Debian with a cluster of four data servers, shared by the tests that leave it whole; a host of its own for
removal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from dfs.core.events.programs import CONFIG_WRONG
from tests.harness.booted_host import BootedHost
from tests.harness.waiting import assert_stays, wait_until
from tests.packaging.conftest import INSTALL, INSTALL_TIMEOUT_S, install
from tests.packaging.installed_cluster import ALL, META, MOUNT, POINT, InstalledCluster, data

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file system to be made
CLIENT: Final = "dfs-mount@mnt-elsewhere.service"
BACK_S: Final = 5.0
"""Within so many seconds a service that died serves again."""
WATCHDOG_S: Final = 2.0
"""Instead of the 30 s of the units, which are not to be waited for here."""
TEXT: Final = "All is well.\n" * 500


@pytest.fixture(scope="module")
def cluster(installed: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledCluster]:
    with BootedHost("cluster", installed, tmp_path_factory.mktemp("cluster")) as host:
        host.boot()
        made = InstalledCluster(host)
        made.set_up()
        yield made


# --- installing -------------------------------------------------------------------------------------------------------------


def test_removal_refuses_a_mounted_client_and_purge_keeps_the_data_and_says_so(make_host: Callable[[str], BootedHost]) -> None:
    host = make_host("purged")
    cluster = InstalledCluster(host)
    cluster.set_up()
    refused = host.try_to("apt-get", "remove", "--yes", "dfs-client")
    assert refused.returncode != 0
    assert f"dfs-client: expected no mounted dfs file system, got {POINT}" in refused.stdout + refused.stderr
    cluster.write("kept", TEXT)
    assert cluster.read("kept") == TEXT
    cluster.unmount()
    purged = host.try_to("apt-get", "purge", "--yes", "dfs-common", "dfs-meta", "dfs-data", "dfs-client", timeout_s=120)
    assert purged.returncode == 0, purged.stderr
    for folder in ("/var/lib/dfs/meta", "/var/lib/dfs/data3", "/var/lib/dfs"):
        assert re.search(rf"in {folder} (is|are) kept", purged.stdout + purged.stderr), folder
    assert host.run("ls", "/var/lib/dfs").split() == ["data0", "data1", "data2", "data3", "meta"]
    assert host.try_to("test", "-e", "/etc/dfs").returncode == 1
    assert host.run("find", "/etc/systemd/system", "-name", "dfs*") == ""
    assert host.run("pgrep", "--count", "--uid", "dfs", check=False).strip() == "0"


# --- units ------------------------------------------------------------------------------------------------------------------


def test_target_stops_and_starts_all_servers_of_the_host(cluster: InstalledCluster) -> None:
    cluster.write("before", TEXT)
    cluster.host.run("systemctl", "stop", "dfs.target")
    wait_until(lambda: all(cluster.pid(unit) == 0 for unit in ALL), "all servers to stop")
    cluster.host.run("systemctl", "start", "dfs.target")
    assert all(cluster.is_up(unit) for unit in ALL)
    assert cluster.read("before") == TEXT


def test_status_tells_what_a_server_does(cluster: InstalledCluster) -> None:
    cluster.write("counted", TEXT)
    wait_until(
        lambda: re.fullmatch(r"serving [0-9,]+ files, 1 mounts", cluster.show(META, "StatusText")) is not None, "status of meta"
    )
    told = cluster.show(data(1), "StatusText")
    assert re.fullmatch(r"data server 1 of 4, [0-9.,]+ of [0-9.,]+ GiB free", told), told


# --- mounting ---------------------------------------------------------------------------------------------------------------

ODD: Final = "/mnt/odd é - name"


def flags_of(cluster: InstalledCluster, point: str) -> set[str]:
    """Return the options with which the kernel has a mount."""
    return set(cluster.host.run("findmnt", "--noheadings", "--output=VFS-OPTIONS", point).strip().split(","))


def test_mount_at_an_odd_path_has_a_service_of_its_own_and_keeps_its_flags_when_it_is_changed(cluster: InstalledCluster) -> None:
    run, meta = cluster.host.run, "127.0.0.1:9000"
    run("mkdir", "-p", ODD)
    run("mount", "-f", "-t", "dfs", meta, ODD)
    assert cluster.host.try_to("mountpoint", "--quiet", ODD).returncode != 0, "a fake mount mounts nothing"
    assert f"{meta} on {ODD}" in run("mount", "-s", "-v", "-t", "dfs", "-o", "noexec,nonsense", meta, ODD)
    unit = run("systemd-escape", "--path", "--template=dfs-mount@.service", ODD).strip()
    assert cluster.is_up(unit)
    assert cluster.host.try_to("mount", "-t", "dfs", meta, ODD).returncode == 32
    run("mount", "-o", "remount,ro", ODD)
    assert {"ro", "noexec", "nosuid", "nodev"} <= flags_of(cluster, ODD)
    before = cluster.pid(unit)
    run("systemctl", "reload", unit)
    cluster.wait_to_hear(unit, "there is no configuration to read again")
    assert cluster.pid(unit) == before
    run("umount", ODD)
    wait_until(lambda: cluster.show(unit, "ActiveState") == "inactive", "the client to end with its mount")


# --- crashes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ALL)
def test_killed_server_is_back_in_time_with_all_data(cluster: InstalledCluster, unit: str) -> None:
    cluster.write("precious", TEXT)
    assert cluster.hit(unit, "KILL") < BACK_S
    assert cluster.read("precious") == TEXT
    cluster.write("after", TEXT)
    assert cluster.read("after") == TEXT


def test_servers_that_hang_are_replaced_when_the_watchdog_says_so_and_those_that_work_are_left_alone(
    cluster: InstalledCluster,
) -> None:
    cluster.write("precious", TEXT)
    for unit in ALL:
        cluster.drop_in(unit, f"[Service]\nWatchdogSec={WATCHDOG_S}s\n")
    cluster.host.run("systemctl", "restart", *ALL)
    pids = [cluster.pid(unit) for unit in ALL]
    assert_stays(lambda: [cluster.pid(unit) for unit in ALL] == pids, "idle servers to go on", 2 * WATCHDOG_S)
    for unit in ALL:
        assert cluster.hit(unit, "STOP") < WATCHDOG_S + BACK_S
    assert cluster.read("precious") == TEXT


# --- restarts and reloads -----------------------------------------------------------------------------------------------------

CALLS: Final = """
import socket, subprocess, sys, time
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
calls = 0
while command.poll() is None:
    socket.create_connection(("127.0.0.1", 9000), timeout=30).close()
    calls += 1
    time.sleep(0.01)
print(calls, command.returncode)
"""
"""Connects to the meta-server again and again while a command runs; a refusal is an error."""


def test_restart_of_meta_refuses_nobody_and_a_stop_lasts(cluster: InstalledCluster) -> None:
    calls, status = cluster.host.run("python3", "-c", CALLS, "systemctl", "restart", "dfs-meta").split()
    assert status == "0"
    assert int(calls) > 10
    cluster.host.run("systemctl", "stop", "dfs-meta")
    refused = cluster.host.try_to("dfsctl", "status")
    assert refused.returncode == 5, refused
    assert_stays(lambda: not cluster.is_up(META), "a stopped meta-server to stay stopped, whoever calls", 1)
    cluster.host.run("systemctl", "start", "dfs-meta")
    assert cluster.show("dfs-meta.socket", "ActiveState") == "active"


def test_reload_takes_what_it_can_and_names_the_rest(cluster: InstalledCluster) -> None:
    pid = cluster.pid(data(2))
    cluster.configure("[data]\nscrub_mb_s = 3\nrequire_mount = yes\n")
    cluster.host.run("systemctl", "reload", data(2))
    # Debian 12's systemctl returns when the signal is sent
    cluster.wait_to_hear(data(2), "the configuration was read again: [data] scrub_mb_s = 3 (was 10)")
    cluster.wait_to_hear(data(2), "counts only after a restart of this program: [data] require_mount = yes (was no)")
    assert cluster.pid(data(2)) == pid
    cluster.configure("[data]\nscrub_mb_s = much\n")
    wrong = cluster.host.try_to("systemctl", "reload", data(2))
    assert wrong.returncode != 0
    assert any("99-test.conf: [data] scrub_mb_s: expected a number" in line for line in cluster.messages(data(2)))
    assert cluster.is_up(data(2))
    cluster.configure("")
    cluster.host.run("systemctl", "reload", data(2))


def verdicts(cluster: InstalledCluster, unit: str) -> list[str]:
    """Return what a program has said of the wrong configuration that it ended for."""
    told = [str(entry["MESSAGE"]) for entry in cluster.journal(unit) if entry.get("MESSAGE_ID") == CONFIG_WRONG.message_id]
    assert all("expected one of debug, info, warning, error, got loud" in line for line in told)
    return told


def test_server_that_was_told_something_wrong_says_so_once_and_starts_when_it_is_mended(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(2))
    cluster.configure("[log]\nlevel = loud\n")
    assert cluster.host.try_to("systemctl", "start", data(2)).returncode == 1
    assert cluster.show(data(2), "NRestarts") == "0"
    assert cluster.show(data(2), "ExecMainStatus") == "3"
    assert len(verdicts(cluster, data(2))) == 1
    cluster.configure("")
    cluster.host.run("systemctl", "start", data(2))
    assert any(line == "/etc/dfs/dfs.conf.d/99-test.conf: good" for line in cluster.messages(data(2)))


def test_wrong_configuration_of_meta_is_told_once_although_mounts_call_on(cluster: InstalledCluster) -> None:
    before = len(verdicts(cluster, META))
    cluster.configure("[log]\nlevel = loud\n")
    assert cluster.host.try_to("systemctl", "restart", META).returncode == 1
    wait_until(lambda: cluster.show("dfs-meta.socket", "ActiveState") == "inactive", "the socket to close")
    assert_stays(lambda: cluster.show(META, "ActiveState") == "failed", "the meta-server to stay as it is", 1)
    assert len(verdicts(cluster, META)) == before + 1
    cluster.configure("")
    cluster.host.run("systemctl", "start", META)
    assert cluster.show("dfs-meta.socket", "ActiveState") == "active"
    cluster.write("again", TEXT)


# --- upgrades -----------------------------------------------------------------------------------------------------------------


def test_upgrade_restarts_data_servers_one_by_one_no_mount_and_refuses_no_call(
    cluster: InstalledCluster, packages: Sequence[Path]
) -> None:
    cluster.write("precious", TEXT)
    before = {unit: cluster.pid(unit) for unit in (*ALL, MOUNT)}
    seen = {data(index): len(cluster.journal(data(index))) for index in range(4)}
    cluster.host.bring(packages, "/root/packages")
    _, status = cluster.host.run("python3", "-c", CALLS, "sh", "-c", INSTALL, timeout_s=INSTALL_TIMEOUT_S).split()
    assert status == "0"
    after = {unit: cluster.pid(unit) for unit in (*ALL, MOUNT)}
    assert after[MOUNT] == before[MOUNT]
    assert all(after[unit] not in (0, before[unit]) for unit in ALL)
    spans = []
    for unit, count in seen.items():
        times = [int(entry["__MONOTONIC_TIMESTAMP"]) for entry in cluster.journal(unit)[count:]]
        spans.append((min(times), max(times)))
    spans.sort()
    assert all(end < begin for (_, end), (begin, _) in pairwise(spans)), "two were down at a time"
    assert cluster.read("precious") == TEXT


def test_upgrade_leaves_alone_who_has_the_only_copy_in_reach(cluster: InstalledCluster, packages: Sequence[Path]) -> None:
    cluster.host.run("systemctl", "stop", data(1))
    before = {index: cluster.pid(data(index)) for index in (0, 2, 3)}
    told = install(cluster.host, packages, DFS_RESTART_WAIT_S="0")
    assert f"{data(0)} has the only copy in reach of some blocks" in told
    assert {index: cluster.pid(data(index)) for index in (0, 2, 3)} == before
    assert cluster.pid(data(1)) == 0, "who was stopped stays stopped"
    cluster.host.run("systemctl", "start", data(1))


# --- the cluster key --------------------------------------------------------------------------------------------------------


def test_key_is_switched_on_changed_by_reloads_and_switched_off(cluster: InstalledCluster) -> None:
    host = cluster.host
    cluster.write("before", TEXT)
    assert "a new cluster key" in host.run("dfsctl", "key", "generate")
    assert host.run("stat", "--format=%U:%G %a", "/etc/dfs/cluster.key").strip() == "root:dfs 640"
    again = host.try_to("dfsctl", "key", "generate")
    assert (again.returncode, "never overwritten" in again.stderr) == (4, True)
    try:
        cluster.unmount()
        cluster.configure("[cluster]\nkey_file = /etc/dfs/cluster.key\n")
        host.run("systemctl", "restart", *ALL)
        cluster.mount()
        assert cluster.read("before") == TEXT
        refused = host.try_to("setpriv", "--reuid=65534", "--clear-groups", "dfsctl", "status")
        assert (refused.returncode, "a readable key file" in refused.stderr) == (3, True), refused.stderr
        first = host.run("cat", "/etc/dfs/cluster.key")
        for step in range(3):
            wait_until(lambda: host.try_to("dfsctl", "key", "rotate").returncode == 0, f"step {step} of the change of keys", 30)
            host.run("systemctl", "reload", *ALL)
            cluster.write(f"step{step}", TEXT)
        assert host.run("cat", "/etc/dfs/cluster.key") != first
        # systemd hands the new key over at the next start.
        host.run("systemctl", "restart", *ALL)
        assert cluster.read("step2") == TEXT
        assert host.run("dfsctl", "fsck").endswith("clean\n")
    finally:
        cluster.unmount()
        host.run("rm", "/etc/dfs/cluster.key", "/etc/dfs/dfs.conf.d/99-test.conf")
        host.run("systemctl", "restart", *ALL)
        cluster.mount()
    assert cluster.read("before") == TEXT


def test_without_a_key_a_server_tells_its_own_machine_apart_by_user(cluster: InstalledCluster) -> None:
    ask = ["dfsctl", "status", "--meta", "127.0.0.1:9000"]
    assert cluster.host.try_to(*ask).returncode == 0
    assert cluster.host.try_to("setpriv", "--reuid=dfs", "--clear-groups", *ask).returncode == 0
    refused = cluster.host.try_to("setpriv", "--reuid=65534", "--clear-groups", *ask)
    assert refused.returncode == 5
    assert "for its own user and for root, not for user 65534" in refused.stderr
