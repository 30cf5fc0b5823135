"""Goal: on Debian 12 and on Debian 13 the packages install, run and confine what they should, and each kind of fstab line does what
its author wants of it with the meta-server up, down and late. Method: one booted host of each release, taken through the same story
at the same time; a test waits for its host's story.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.harness.booted_host import BootedHost
from tests.harness.root_filesystem import DEBIAN_12, DEBIAN_13
from tests.harness.waiting import wait_until
from tests.packaging.conftest import ROOT
from tests.packaging.installed_cluster import META, data

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file systems to be made
SUITES: Final = (DEBIAN_12, DEBIAN_13)
CLIENT: Final = "dfs-mount@mnt-elsewhere.service"
EXPOSURES: Final = {META: 1.5, data(0): 1.5, CLIENT: 5.5}
FSTAB: Final = """\
127.0.0.1:9000 /mnt/local dfs defaults,retry=1s 0 0
127.0.0.1:9000 /mnt/after\\040meta dfs x-systemd.requires=dfs-meta.service,retry=1s 0 0
127.0.0.1:9000 /mnt/network dfs _netdev,retry=1s 0 0
127.0.0.1:9000 /mnt/no-fail dfs _netdev,nofail,retry=1s 0 0
127.0.0.1:9000 /mnt/automount dfs _netdev,nofail,x-systemd.automount,retry=100ms 0 0
"""
BY_THEMSELVES: Final = ("/mnt/local", "/mnt/after meta", "/mnt/network", "/mnt/no-fail")
"""What is mounted when the cluster comes, whenever that is."""
AFTER_META: Final = "/mnt/after meta"
AUTOMOUNT: Final = "/mnt/automount"
ACCESSES: Final = 12
"""More than systemd lets an automount fail by itself."""
TEXT: Final = "All is well.\n"


@pytest.fixture(scope="module")
def stories(
    installations: Mapping[str, tuple[Path, ...]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[None]]]:
    """Return, for each release, what comes of its host's story."""

    def tell(suite: str) -> None:
        with BootedHost(suite, installations[suite], tmp_path_factory.getbasetemp() / f"story-{suite}") as host:
            # Debian 13 sets up the network by itself and waits for it, and here is none.
            host.link("/etc/systemd/system/systemd-networkd-wait-online.service", "/dev/null")
            host.boot()
            see_fresh_installation(host)
            see_confinement(host)
            see_boot_beside_the_cluster(host)
            see_boot_without_meta_that_comes_later(host)
            see_boot_with_meta_that_takes_its_time(host)

    with ThreadPoolExecutor() as pool:
        yield {suite: pool.submit(tell, suite) for suite in SUITES}


@pytest.mark.parametrize("suite", SUITES)
def test_packages_and_fstab_lines_do_what_they_should(stories: Mapping[str, Future[None]], suite: str) -> None:
    stories[suite].result()


def see_fresh_installation(host: BootedHost) -> None:
    """The meta-server serves, one command starts a data server, and Debian's own test of the packages succeeds."""
    assert host.run("systemctl", "is-enabled", "dfs.target", META, "dfs-meta.socket").split() == ["enabled"] * 3
    assert host.run("systemctl", "is-active", "dfs-meta").strip() == "active"
    assert host.run("systemctl", "list-units", "--all", "--no-legend", "dfs-data@*") == ""
    host.run("systemctl", "start", "dfs-data@0")
    assert host.run("stat", "--format=%U:%G %a", "/var/lib/dfs/data0", "/var/lib/dfs/meta").splitlines() == ["dfs:dfs 700"] * 2
    assert "Status:" in host.run("systemctl", "status", "dfs-data@0")
    host.bring([ROOT / "packaging" / "debian" / "tests" / "smoke"], "/root")
    host.run("sh", "/root/smoke", timeout_s=60)


def see_confinement(host: BootedHost) -> None:
    """Nothing is wrong with the units as systemd sees it, and servers and client are confined."""
    names = [META, "dfs-meta.socket", data(0), "dfs.target", "dfs.slice", CLIENT, "dfs-shutdown.service"]
    verified = host.try_to("systemd-analyze", "verify", "--man=no", *names)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    for unit, exposure_max in EXPOSURES.items():
        report = host.run("systemd-analyze", "security", "--no-pager", unit)
        exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
        assert exposure is not None, report
        assert float(exposure[1]) <= exposure_max, unit
    # These have no effect in a container (its controllers and limits are this machine's), so that only what is asked for is seen.
    for unit in (META, data(0)):
        shown = host.run("systemctl", "show", "--property=LimitNOFILE,OOMScoreAdjust,Slice", unit)
        assert set(shown.split()) == {"LimitNOFILE=65536", "OOMScoreAdjust=-500", "Slice=dfs.slice"}


def see_boot_beside_the_cluster(host: BootedHost) -> None:
    """Every line is mounted from the start."""
    host.run("systemctl", "enable", data(0), data(1))
    host.put("/etc/fstab", FSTAB)
    host.reboot()
    assert_not_stranded(host)
    wait_for_mounts(host)
    host.run("dd", f"of={AUTOMOUNT}/file", "conv=fsync", "status=none", stdin=TEXT)
    assert_file_everywhere(host)


def see_boot_without_meta_that_comes_later(host: BootedHost) -> None:
    """The host boots all the same, an access to the automount fails each time, and when the meta-server comes all is there."""
    for unit in ("dfs-meta.service", "dfs-meta.socket"):
        host.put(f"/etc/systemd/system/{unit}.d/away.conf", "[Unit]\nConditionPathExists=/etc/meta-may-start\n")
    host.power_cut()
    host.switch_on()
    host.wait_for_boot("multi-user.target")  # the mounts go on trying
    assert_not_stranded(host)
    assert not any(is_mounted(host, point) for point in BY_THEMSELVES)
    for _ in range(ACCESSES):
        assert host.try_to("ls", AUTOMOUNT).returncode != 0
    host.put("/etc/meta-may-start", "")
    host.run("systemctl", "start", "dfs-meta")
    wait_for_mounts(host)
    assert_file_everywhere(host)


def see_boot_with_meta_that_takes_its_time(host: BootedHost) -> None:
    """Who waits for the meta-server waits until it serves, and every line is mounted when the boot is over, or soon after."""
    host.put("/etc/systemd/system/dfs-meta.service.d/late.conf", "[Service]\nExecStartPre=/bin/sleep 3\n")
    host.reboot()
    assert_not_stranded(host)
    assert is_mounted(host, AFTER_META)
    wait_for_mounts(host)
    assert_file_everywhere(host)


def assert_not_stranded(host: BootedHost) -> None:
    """Check that the boot went to its end, and not into the emergency shell."""
    assert host.run("systemctl", "is-active", "multi-user.target").strip() == "active"
    assert host.run("systemctl", "is-active", "emergency.target", check=False).strip() == "inactive"
    is_waiting = ["systemctl", "is-active", "--quiet", "mnt-automount.automount"]
    wait_until(lambda: host.try_to(*is_waiting).returncode == 0, "the automount to wait for its first access")


def wait_for_mounts(host: BootedHost) -> None:
    """Wait until every line is mounted, but for the automount, without doing anything."""
    for point in BY_THEMSELVES:
        wait_until(partial(is_mounted, host, point), f"{point} to appear by itself")


def is_mounted(host: BootedHost, point: str) -> bool:
    """Tell whether a dfs is mounted there."""
    return host.run("findmnt", "--noheadings", "--output=FSTYPE", "--mountpoint", point, check=False).split()[-1:] == ["fuse.dfs"]


def assert_file_everywhere(host: BootedHost) -> None:
    """Check that every line shows the same file system."""
    for point in (*BY_THEMSELVES, AUTOMOUNT):
        assert host.run("cat", f"{point}/file") == TEXT, point
