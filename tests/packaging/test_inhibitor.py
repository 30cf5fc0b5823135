"""Goal: a host with the only good copy of something goes down late and says why, and at once when others have it, too. Method: one
booted Debian with a cluster of four data servers, its own systemd-logind and `systemctl poweroff`; the servers stop and start.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.events.data_server import REBUILD_FINISHED
from dfs.core.events.event import EventKind
from dfs.core.events.programs import ONLY_GOOD_COPY, OTHER_COPIES_BACK, SHUTDOWN_DELAYED, SHUTDOWN_UNSAFE
from tests.harness.booted_host import BootedHost
from tests.harness.waiting import assert_stays, wait_until
from tests.packaging.explained import assert_explained
from tests.packaging.installed_cluster import POINT, InstalledCluster, data

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file system to be made
UNIT = "dfs-inhibit.service"
SEEN_S = 15.0
"""It looks every 5 s."""
INHIBIT_MAX_S = 6


@pytest.fixture(scope="module")
def cluster(installed: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledCluster]:
    with BootedHost("inhibited", installed, tmp_path_factory.mktemp("inhibited")) as host:
        host.boot()
        made = InstalledCluster(host)
        made.set_up()
        yield made


def locks(cluster: InstalledCluster) -> str:
    """Return what an administrator is shown of our locks."""
    shown = cluster.host.run("systemd-inhibit", "--list", "--no-pager", "--no-legend").splitlines()
    return "\n".join(line for line in shown if line.startswith("dfs "))


def wait_for_lock(cluster: InstalledCluster, *words: str) -> None:
    """Wait until there is one lock whose reason has these words."""

    def is_shown() -> bool:
        lines = locks(cluster).splitlines()
        return len(lines) == 1 and all(word in lines[0] for word in words)

    wait_until(is_shown, f"a lock with {words}", SEEN_S)


def wait_for_no_lock(cluster: InstalledCluster) -> None:
    wait_until(lambda: not locks(cluster), "the lock to go", SEEN_S)


def times(cluster: InstalledCluster, unit: str, kind: EventKind) -> list[int]:
    """Return when a unit told of an event in this boot."""
    found = [entry for entry in cluster.journal(unit) if entry.get("MESSAGE_ID") == kind.message_id]
    return [int(entry["__MONOTONIC_TIMESTAMP"]) for entry in found]


def test_watch_runs_with_the_data_servers_and_confined_as_they_are(cluster: InstalledCluster) -> None:
    assert cluster.is_up(UNIT)
    report = cluster.host.run("systemd-analyze", "security", "--no-pager", UNIT)
    assert float(report.rpartition(f"Overall exposure level for {UNIT}: ")[2].split()[0]) <= 1.5
    verified = cluster.host.try_to("systemd-analyze", "verify", "--man=no", UNIT)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_healthy_cluster_delays_nothing_and_logind_would_wait_as_long_as_configured(cluster: InstalledCluster) -> None:
    assert_stays(lambda: not locks(cluster), "no lock", 1)
    asked = ["busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"]
    assert cluster.host.run(*asked, "InhibitDelayMaxUSec").split() == ["t", "30000000"]
    assert cluster.show(UNIT, "StatusText") == "a shutdown of this host costs no reader anything"


def test_lock_with_the_reason_is_there_while_a_neighbour_is_down(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(1))
    words = "data server 0 has the only good primary copies: the others are on data server 1, which is unreachable"
    wait_for_lock(cluster, "shutdown", "delay", words)
    assert "data server 2 has the only good secondary copies" in locks(cluster)
    assert_explained(cluster.host, ONLY_GOOD_COPY, "Subject: This host has the only good copy of something", unit=UNIT)
    cluster.host.run("systemctl", "start", data(1))
    wait_for_no_lock(cluster)
    assert times(cluster, UNIT, OTHER_COPIES_BACK)


def test_lock_is_there_until_a_wiped_neighbour_has_everything_back(cluster: InstalledCluster) -> None:
    cluster.host.run("dd", "if=/dev/urandom", f"of={POINT}/big", "bs=1M", "count=16", "conv=fsync", "status=none", timeout_s=60)
    cluster.host.run("systemctl", "stop", data(3))
    cluster.host.run("sh", "-c", "rm -rf /var/lib/dfs/data3/*")
    wait_for_lock(cluster, "data server 3, which is")
    cluster.host.run("systemctl", "start", data(3))
    wait_for_no_lock(cluster)
    finished = times(cluster, data(3), REBUILD_FINISHED)
    assert len(finished) == 2
    assert max(finished) < times(cluster, UNIT, OTHER_COPIES_BACK)[-1]


def test_shutdown_waits_even_if_the_watch_was_killed_and_goes_on_as_soon_as_it_is_safe(cluster: InstalledCluster) -> None:
    cluster.host.run("systemctl", "stop", data(1))
    wait_for_lock(cluster, "data server 1")
    assert cluster.hit(UNIT, "KILL") < 5
    wait_for_lock(cluster, "data server 1")
    cluster.host.run("systemctl", "poweroff")
    wait_until(lambda: bool(times(cluster, UNIT, SHUTDOWN_DELAYED)), "the delay to be told")
    assert_stays(lambda: cluster.is_up(data(0)), "the servers to go on meanwhile", 1)
    cluster.host.run("systemctl", "start", data(1))
    cluster.host.wait_for_end()
    cluster.host.boot()
    before = cluster.host.try_to("journalctl", "--boot=-1", "--quiet", f"MESSAGE_ID={SHUTDOWN_UNSAFE.message_id}")
    assert before.stdout == ""


def test_shutdown_goes_on_after_inhibit_max_although_it_is_not_safe(cluster: InstalledCluster) -> None:
    cluster.configure(f"[shutdown]\ninhibit_max = {INHIBIT_MAX_S}\n")
    cluster.host.run("systemctl", "reload", UNIT)
    cluster.host.run("systemctl", "stop", data(1))
    wait_for_lock(cluster, "data server 1")
    began_s = time.monotonic()
    cluster.host.run("systemctl", "poweroff")
    cluster.host.wait_for_end()
    assert time.monotonic() - began_s >= INHIBIT_MAX_S
    cluster.host.boot()
    shown = cluster.host.run("journalctl", "--boot=-1", "-x", f"MESSAGE_ID={SHUTDOWN_UNSAFE.message_id}", "--no-pager")
    assert "Subject: This host goes down with the only good copy of something" in shown
    cluster.configure("")
