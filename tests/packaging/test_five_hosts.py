"""Goal: a cluster of five hosts keeps every file that it acknowledged, serves it as long as one copy is in reach, comes back by
itself and says what is wrong, whatever happens to a host, a disk or a cable. Method: five booted Debians of both releases on a
private bridge, a load on the client that checks all it reads, and real faults. The tests share the hosts and leave them well; the
first one alone begins with a cluster that is down.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest

import dfs
from dfs.core.events.data_server import REBUILD_FINISHED, REBUILD_STARTED
from dfs.core.events.event import UNIT_FIELD
from dfs.core.events.meta_server import MOUNT_CRASHED
from dfs.core.events.mount import META_WAITS, READ_ONE_COPY, RELEASES_DIFFER, WRITE_WAITS
from dfs.core.events.programs import PEER_MISSING
from dfs.core.events.wire import AUTHENTICATION_FAILED
from tests.harness.booted_host import boot_all
from tests.harness.waiting import assert_stays, wait_until
from tests.packaging.conftest import NEWER, UNPACK, install
from tests.packaging.explained import assert_explained, wait_for_first, wait_to_find, wait_until_well
from tests.packaging.five_hosts import (
    AUTOMOUNT,
    AUTOMOUNT_UNIT,
    CLIENT,
    CLIENT_KEY,
    CLIENT_UNIT,
    DATA,
    META,
    MOUNT_UNIT,
    POINT,
    FiveHosts,
    five_hosts,
    unit_of,
)

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file systems to be made
BACK_S: Final = 5.0
"""Within so many seconds a mount whose client died can be used again."""
POWER_OFF_S: Final = 10.0
"""Within so many seconds a client is down whose writer waits for a dead server."""
WATCHDOG_S: Final = 2.0
"""Instead of the 30 s of the unit, which are not to be waited for here."""
LARGE_MB: Final = 24
WITNESS: Final = "/var/lib/dfs/data0/witness"


@pytest.fixture(scope="module")
def cold(installations: Mapping[str, tuple[Path, ...]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FiveHosts]:
    with five_hosts(installations, tmp_path_factory.mktemp("five")) as made:
        yield made


@pytest.fixture
def hosts(cold: FiveHosts) -> FiveHosts:
    """Return the hosts, all on, with the load running; every test leaves them so."""
    cold.all_on()
    cold.have_load()
    return cold


# --- booting ----------------------------------------------------------------------------------------------------------------


def test_client_boots_without_the_cluster_and_its_mounts_appear_when_it_comes(cold: FiveHosts) -> None:
    client = cold.client
    assert client.run("systemctl", "is-active", "multi-user.target").strip() == "active"
    assert not cold.is_mounted()
    wait_for_first(client, "meta-down", "meta-server")
    assert client.try_to("ls", AUTOMOUNT).returncode != 0
    told = ("journalctl", "--quiet", "-n", "1", f"{UNIT_FIELD}={AUTOMOUNT_UNIT}", f"MESSAGE_ID={PEER_MISSING.message_id}")
    wait_until(lambda: bool(client.run(*told, check=False)), "why the automount failed, under its unit's name whenever it ended")
    assert_explained(client, PEER_MISSING, "Subject: dfs-mount ends: a server that it needs is not there", unit=CLIENT_UNIT)
    wait_to_find(client, "mount-waiting")
    boot_all(cold.servers)
    wait_until(cold.is_mounted, "the mount to appear by itself", 30)
    client.run("ls", AUTOMOUNT)
    assert cold.is_mounted(AUTOMOUNT)
    wait_until(lambda: client.run("systemctl", "is-active", MOUNT_UNIT, check=False).strip() == "active", "systemd to see it")
    cold.wait_until_healthy()
    wait_until_well(client)


def test_client_that_boots_beside_the_cluster_has_its_mount_from_the_start(hosts: FiveHosts) -> None:
    hosts.client.reboot()
    assert hosts.is_mounted()
    hosts.check_all()


# --- the cluster key ----------------------------------------------------------------------------------------------------------


def test_who_has_no_key_or_a_clients_gets_no_more_than_that(hosts: FiveHosts) -> None:
    ask = "import xmlrpc.client; xmlrpc.client.ServerProxy('http://meta:9000').show_meta()"
    assert "401" in hosts.client.try_to("python3", "-c", ask).stderr
    assert_explained(hosts.hosts[META], AUTHENTICATION_FAILED, "Subject: A request from", "unsigned", unit=unit_of(META))
    hosts.client.run("dfsctl", "status", "--key-file", CLIENT_KEY, "--meta", "meta:9000")
    refused = hosts.client.try_to("dfsctl", "scrub", "--key-file", CLIENT_KEY, "--meta", "meta:9000")
    assert (refused.returncode, "not for a caller with the key of kind client" in refused.stderr) == (5, True), refused.stderr


# --- power ------------------------------------------------------------------------------------------------------------------


def test_power_cut_of_each_data_server_stops_no_reader_and_is_mended(hosts: FiveHosts) -> None:
    for name in DATA:
        index = name.removeprefix("data")
        hosts.hosts[name].power_cut()
        hosts.wait_for_more("reads", 20)
        if name == DATA[0]:
            finding = wait_for_first(hosts.client, "server-down", f"data server {index}")
            assert finding["cures"][-1] == f"on data0: systemctl restart dfs-data@{index}"
            assert_explained(hosts.client, READ_ONE_COPY, f"Subject: Data server {index} does not answer", unit=CLIENT_UNIT)
            assert_explained(hosts.client, WRITE_WAITS, f"Subject: Writing waits for data server {index}", unit=CLIENT_UNIT)
        hosts.hosts[name].boot()
        hosts.wait_until_healthy()
        hosts.wait_for_more("writes")
    hosts.check_all()


def test_power_cut_of_the_meta_server_only_delays(hosts: FiveHosts) -> None:
    hosts.hosts[META].power_cut()
    wait_for_first(hosts.client, "meta-down", "meta-server")
    assert_explained(hosts.client, META_WAITS, "Subject: Waiting for meta-server", unit=CLIENT_UNIT)
    hosts.hosts[META].boot()
    hosts.wait_for_more("writes")
    hosts.check_all()


def test_what_was_synced_outlives_a_power_cut_of_all_servers_that_loses_the_rest(hosts: FiveHosts) -> None:
    hosts.hosts["data0"].put(WITNESS, "not synced")
    for host in hosts.servers:
        host.lose_unsynced()
    boot_all(hosts.servers)
    assert hosts.hosts["data0"].run("cat", WITNESS, check=False) == "", "nothing was lost: this test shows nothing"
    hosts.wait_until_healthy()
    hosts.wait_for_more("writes")
    hosts.check_all()


def test_client_whose_writer_waits_for_a_dead_server_powers_off_in_time(hosts: FiveHosts) -> None:
    hosts.hosts["data1"].power_cut()
    assert_explained(hosts.client, WRITE_WAITS, "Subject: Writing waits for data server 1", unit=CLIENT_UNIT)
    began_s = time.monotonic()
    hosts.client.power_off()
    assert time.monotonic() - began_s < POWER_OFF_S
    boot_all([hosts.client, hosts.hosts["data1"]])
    wait_until(hosts.is_mounted, "the mount to be there again")
    hosts.check_all()


# --- disks and cables -------------------------------------------------------------------------------------------------------


def test_wiped_disk_is_rebuilt_so_that_its_neighbour_can_be_cut(hosts: FiveHosts) -> None:
    hosts.client.run("dd", "if=/dev/zero", f"of={POINT}/large", "bs=1M", f"count={LARGE_MB}", "conv=fsync", "status=none")
    lost = hosts.hosts["data1"]
    lost.power_cut()
    for disk in lost.disks:
        disk.wipe()
    lost.boot()
    wait_for_first(hosts.client, "server-rebuilding", "data server 1")
    assert_explained(lost, REBUILD_STARTED, "Subject: Data server 1 copies its", unit=unit_of("data1"))
    hosts.wait_until_healthy()
    assert_explained(lost, REBUILD_FINISHED, "Subject: The", "blocks of data server 1 are", unit=unit_of("data1"))
    for neighbour in ("data2", "data0"):
        hosts.network.pull_cable(neighbour)
        hosts.check_all()
        hosts.client.run("cmp", "-n", str(LARGE_MB << 20), "/dev/zero", f"{POINT}/large", timeout_s=60)
        hosts.network.plug_cable(neighbour)
        hosts.wait_until_healthy()
    hosts.client.run("rm", f"{POINT}/large")


def test_network_that_is_cut_and_healed_only_delays(hosts: FiveHosts) -> None:
    for name in (CLIENT, META):
        hosts.network.pull_cable(name)
        assert_stays(partial(hosts.has_not_written_since, hosts.progress("writes") + 1), "writes to wait", 2)
        hosts.network.plug_cable(name)
        hosts.wait_for_more("writes")
    hosts.check_all()


# --- upgrades -----------------------------------------------------------------------------------------------------------------


def test_rolling_upgrade_and_downgrade_fail_no_read_and_leave_the_mount_alone(
    hosts: FiveHosts, packages: Sequence[Path], newer_packages: Sequence[Path]
) -> None:
    pid = hosts.client_pid()
    steps = [(name, NEWER, newer_packages) for name in (META, *DATA, CLIENT)]
    steps += [(name, dfs.__version__, packages) for name in (META, "data1")]
    for name, release, set_of_packages in steps:
        before = hosts.progress("reads")
        install(hosts.hosts[name], set_of_packages, command=UNPACK)
        assert hosts.hosts[name].run("dfsctl", "--version").split()[-1] == release
        hosts.wait_until_healthy()
        assert hosts.progress("reads") > before
        if (name, release) == (META, NEWER):
            # A mount of the old release that begins now meets a meta-server of the new one.
            hosts.client.run("ls", AUTOMOUNT)
            assert_explained(hosts.client, RELEASES_DIFFER, "Subject: This mount and the meta-server are of different")
            wait_for_first(hosts.client, "releases-differ", "releases")
    hosts.wait_for_more("writes")
    assert hosts.client_pid() == pid
    hosts.check_all()


# --- the client, last -----------------------------------------------------------------------------------------------------------


def test_client_that_dies_or_hangs_is_replaced_below_the_same_mount(hosts: FiveHosts) -> None:
    client = hosts.client
    client.put(f"/run/systemd/system/{CLIENT_UNIT}.d/test.conf", f"[Service]\nWatchdogSec={WATCHDOG_S}s\n")
    client.run("systemctl", "daemon-reload")  # counts for the client that is started after the first one's death
    for signal, limit_s in (("KILL", BACK_S), ("STOP", WATCHDOG_S + BACK_S)):
        pid = hosts.client_pid()
        began_s = time.monotonic()
        client.run("kill", f"-{signal}", pid)
        wait_until(partial(hosts.serves_anew, pid), f"the mount to be back after {signal}", 30)
        assert time.monotonic() - began_s < limit_s, signal
        client.run("sh", "-c", f"echo new >'{POINT}/after {signal}'")
        hosts.wait_for_more("reads")
    assert_explained(hosts.hosts[META], MOUNT_CRASHED, "crashed and is back", unit=unit_of(META))
    wait_to_find(hosts.hosts[META], "client-crashed")  # over already, for the next client ended the dead one's session
    hosts.check_all()


def test_power_cut_of_the_client_loses_nothing_that_it_was_told_is_safe(hosts: FiveHosts) -> None:
    hosts.client.power_cut()
    hosts.client.boot()
    wait_until(hosts.is_mounted, "the mount to be there again")
    hosts.check_all()
