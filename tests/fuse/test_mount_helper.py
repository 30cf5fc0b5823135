"""Goal: mount(8) and fstab mount dfs as they mount anything else, and every outcome has mount(8)'s exit code.

Method: the real mount(8) in a mount namespace of the test's own, where it finds this checkout's helper; a real small cluster.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.cli.mount_helper.unit_names import client_unit, parameters_file
from tests.harness.cluster import Cluster, free_ports
from tests.harness.own_mounts import HELPERS, OwnMounts
from tests.harness.waiting import wait_until

USAGE, INTERRUPTED, FAILED = 1, 8, 32
ODD_NAME = "with blank - and-dash é"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster without mounts, which was mounted once."""
    with Cluster(tmp_path_factory.mktemp("helper"), n=2) as made:
        made.start(mounts=1)
        made.mount(0).unmount()
        yield made
        print(made.logs())
    made.assert_quiet("it had crashed or was killed")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnMounts]:
    """Return a mount namespace."""
    with OwnMounts(tmp_path / "own") as made:
        yield made


@pytest.fixture
def point(tmp_path: Path) -> Path:
    """Return an empty folder with an inconvenient name."""
    made = tmp_path / ODD_NAME
    made.mkdir()
    return made


@pytest.fixture
def silent() -> str:
    """Return the address of a meta-server that is not there."""
    return f"127.0.0.1:{free_ports(1)[0]}"


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mount.dfs: ")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def in_fstab(path: Path) -> str:
    return str(path).replace(" ", "\\040")


# --- mounting ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dfs", "fuse.dfs"])
def test_mount_returns_when_the_mount_is_live_and_umount_ends_its_client(
    own: OwnMounts, cluster: Cluster, point: Path, kind: str
) -> None:
    done = own.run("mount", "-v", "-t", kind, cluster.meta_address, point)
    assert done.returncode == 0, done.stderr
    assert own.run("sh", "-c", f"echo here >'{point}/{kind}' && cat '{point}/{kind}'").stdout == "here\n"
    mounted = own.mounted(point)
    assert mounted is not None
    assert (mounted.source, mounted.type) == (cluster.meta_address.encode(), b"fuse.dfs")
    assert {"rw", "nosuid", "nodev", "allow_other", "default_permissions"} <= own.flags(point)
    (client,) = own.clients()
    assert own.run("umount", point).returncode == 0
    wait_until(lambda: client not in own.clients(), "the client to end with its mount")


def test_client_is_a_program_in_the_background_with_a_log(own: OwnMounts, cluster: Cluster, point: Path, tmp_path: Path) -> None:
    log = tmp_path / "dfs.log"
    assert own.run("mount", "-t", "dfs", "-o", f"log={log}", cluster.meta_address, point).returncode == 0
    (client,) = own.clients()
    assert os.getsid(client) == client
    assert os.readlink(f"/proc/{client}/cwd") == "/"
    files = [os.readlink(f"/proc/{client}/fd/{number}") for number in range(3)]
    assert files == ["/dev/null", "/dev/null", str(log)]
    assert "mount.dfs: ready: " in log.read_text()


def test_fstab_line_mounts_with_its_options_and_mount_all_leaves_it_alone_then(
    own: OwnMounts, cluster: Cluster, point: Path
) -> None:
    config = point.parent / "é.conf"
    config.write_bytes(cluster.config_file.read_bytes())
    options = "_netdev,nofail,noexec,soft,timeo=20s,x-systemd.automount,x-systemd.idle-timeout=10min,comment=mine"
    own.fstab(f"config={config} {in_fstab(point)} dfs {options} 0 0")
    assert own.run("mount", point).returncode == 0
    mounted = own.mounted(point)
    assert mounted is not None
    assert mounted.source == f"config={config}".encode()
    assert {"noexec", "nosuid", "nodev"} <= own.flags(point)
    again = own.run("mount", "--all")
    assert (again.returncode, again.stderr) == (0, "")
    assert len(own.clients()) == 1


def test_mount_point_is_found_through_a_link(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    link = point.parent / "link"
    link.symlink_to(point)
    assert own.run(HELPERS / "mount.dfs", cluster.meta_address, link, "-o", "rw").returncode == 0
    assert own.mounted(point)


def test_fake_mount_does_nothing(own: OwnMounts, silent: str, point: Path) -> None:
    assert own.run("mount", "-f", "-t", "dfs", silent, point).returncode == 0
    assert own.mounted(point) is None
    assert own.clients() == []


def test_sloppy_mount_leaves_out_what_nobody_knows(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    assert own.run("mount", "-s", "-t", "dfs", "-o", "ro,nonsense=1", cluster.meta_address, point).returncode == 0
    assert "ro" in own.flags(point)


# --- refusing ------------------------------------------------------------------------------------------------------------------


def test_unknown_option_is_refused_by_name(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    assert_one_line(own.run("mount", "-t", "dfs", "-o", "nonsense=1", cluster.meta_address, point), USAGE, "'nonsense=1'")
    assert own.mounted(point) is None


def test_helper_called_without_a_folder_says_how_it_is_called(own: OwnMounts) -> None:
    assert_one_line(own.run(HELPERS / "mount.dfs", "127.0.0.1:9000"), USAGE, "mount.dfs SOURCE DIR")


def test_dead_cluster_fails_the_mount_and_nothing_is_left(own: OwnMounts, silent: str, point: Path) -> None:
    done = own.run("mount", "-t", "dfs", "-o", "retry=1s", silent, point)
    assert_one_line(done, FAILED, silent, "within 1 s", "Connection refused")
    assert own.mounted(point) is None
    assert own.clients() == []


def test_second_mount_at_the_same_place_fails_and_the_first_goes_on(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    assert own.run("mount", "-t", "dfs", cluster.meta_address, point).returncode == 0
    assert_one_line(own.run(HELPERS / "mount.dfs", cluster.meta_address, point, "-o", "rw"), FAILED, "mounted already")
    assert len(own.clients()) == 1
    assert own.run("ls", point).returncode == 0


def test_folder_that_is_no_mount_point_fails_the_mount(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    (point / "file").touch()
    assert_one_line(own.run("mount", "-t", "dfs", cluster.meta_address, point), FAILED, "an empty folder", "1 entries")
    assert_one_line(own.run(HELPERS / "mount.dfs", cluster.meta_address, point / "no", "-o", "rw"), FAILED, "nothing at")


def test_name_that_no_configuration_has_fails_the_mount(own: OwnMounts, point: Path) -> None:
    assert_one_line(own.run("mount", "-t", "dfs", "no-such-cluster", point), FAILED, "/etc/dfs/no-such-cluster.conf")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_interrupted_mount_leaves_no_client_behind(own: OwnMounts, silent: str, point: Path, number: signal.Signals) -> None:
    log = point.parent / "log"
    helper = own.start(HELPERS / "mount.dfs", silent, point, "-o", f"retry=1h,log={log}")
    wait_until(lambda: log.exists() and "waiting for" in log.read_text(), "the client to wait")
    helper.send_signal(number)
    _, told = helper.communicate(timeout=20)
    assert helper.returncode == INTERRUPTED
    assert "mount.dfs: interrupted" in told
    assert own.clients() == []


# --- remounting ----------------------------------------------------------------------------------------------------------------


def test_remount_changes_what_is_named_and_keeps_the_other_flags(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    own.fstab(f"{cluster.meta_address} {in_fstab(point)} dfs noexec,soft,timeo=20s,_netdev 0 0")
    assert own.run("mount", point).returncode == 0
    client = own.clients()
    assert own.run("mount", "-o", "remount,ro", point).returncode == 0
    assert {"ro", "noexec", "nosuid", "nodev"} <= own.flags(point)
    assert "Read-only file system" in own.run("touch", point / "file").stderr
    assert own.run(HELPERS / "mount.dfs", cluster.meta_address, point, "-o", "remount,rw,exec").returncode == 0
    assert {"rw", "nosuid", "nodev"} <= own.flags(point)
    assert not own.flags(point) & {"ro", "noexec"}
    assert own.run("touch", point / "file").returncode == 0
    assert own.clients() == client


def test_remount_of_what_is_not_mounted_fails(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    done = own.run(HELPERS / "mount.dfs", cluster.meta_address, point, "-o", "remount,ro")
    assert_one_line(done, FAILED, "a dfs mounted on", "got nothing")


# --- where systemd runs --------------------------------------------------------------------------------------------------------


def test_client_is_handed_to_its_service_with_what_it_needs_to_know(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    systemd = own.pretend_systemd()
    done = systemd.mount("-s", "-t", "dfs", "-o", "noexec,_netdev,nonsense=1,soft,timeo=20s", cluster.meta_address, point)
    assert done.returncode == 0, done.stderr
    unit = client_unit(os.fsencode(point))
    assert systemd.asked() == [f"start {unit}"]
    parameters = own.run("cat", parameters_file(os.fsencode(point))).stdout
    assert json.loads(parameters) == {"source": cluster.meta_address, "options": ["rw", "noexec", "soft", "timeo=20s"]}
    assert {"noexec", "nosuid", "nodev"} <= own.flags(point)
    mounted = own.mounted(point)
    assert mounted is not None
    assert mounted.source == cluster.meta_address.encode()


def test_client_that_is_started_again_takes_the_place_of_the_one_that_was_killed(
    own: OwnMounts, cluster: Cluster, point: Path
) -> None:
    systemd = own.pretend_systemd()
    assert systemd.mount("-t", "dfs", cluster.meta_address, point).returncode == 0
    (client,) = own.clients()
    os.kill(client, signal.SIGKILL)
    wait_until(lambda: own.clients() == [], "the client to be gone")
    wait_until(lambda: "not connected" in own.run("ls", point).stderr, "the mount to be dead")
    done = own.run("systemctl", "start", "--", client_unit(os.fsencode(point)))
    assert done.returncode == 0, done.stderr
    assert own.run("touch", point / "again").returncode == 0


def test_service_reads_its_configuration_again_and_stays_mounted(
    own: OwnMounts, cluster: Cluster, point: Path, tmp_path: Path
) -> None:
    systemd = own.pretend_systemd()
    file = tmp_path / "lab.conf"
    before = cluster.config_file.read_text()
    file.write_text(before)
    assert systemd.mount("-t", "dfs", f"config={file}", point).returncode == 0
    (client,) = own.clients()
    file.write_text(before.replace("shutdown_grace = 3.0", "shutdown_grace = 4\nallow_other = no"))
    os.kill(client, signal.SIGHUP)
    wait_until(lambda: "read again: [mount] shutdown_grace = 4 (was 3)" in systemd.journal(), "the reload to be told")
    wait_until(lambda: "only after a restart of this program: [mount] allow_other = no" in systemd.journal(), "the rest to be told")
    file.write_text("nonsense")
    os.kill(client, signal.SIGHUP)
    wait_until(lambda: "the configuration was not read again" in systemd.journal(), "the refusal to be told")
    assert own.run("touch", point / "after").returncode == 0
    assert own.clients() == [client]


def test_client_that_is_started_again_mounts_over_what_was_written_below_meanwhile(
    own: OwnMounts, cluster: Cluster, point: Path
) -> None:
    systemd = own.pretend_systemd()
    assert systemd.mount("-t", "dfs", cluster.meta_address, point).returncode == 0
    assert own.run("umount", point).returncode == 0
    wait_until(lambda: own.clients() == [], "the client to be gone")
    (point / "stray").touch()
    started = own.run("systemctl", "start", "--", client_unit(os.fsencode(point)))
    assert started.returncode == 0, started.stderr
    assert "stray" not in own.run("ls", "-A", point).stdout
    assert f"the mount on {point} hides 1 entries" in systemd.journal()
    assert own.run("umount", point).returncode == 0
    assert (point / "stray").exists()


def test_service_that_fails_is_stopped_and_its_last_words_are_told(own: OwnMounts, silent: str, point: Path) -> None:
    systemd = own.pretend_systemd()
    done = systemd.mount("-t", "dfs", "-o", "retry=1s", silent, point)
    assert_one_line(done, FAILED, silent, "Connection refused")
    unit = client_unit(os.fsencode(point))
    assert systemd.asked() == [f"start {unit}", f"stop {unit}"]
    assert own.mounted(point) is None


def test_what_is_wrong_is_refused_before_systemd_is_asked(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    systemd = own.pretend_systemd()
    assert_one_line(systemd.mount("-t", "dfs", "-o", "nonsense=1", cluster.meta_address, point), USAGE, "nonsense")
    (point / "file").touch()
    assert_one_line(systemd.mount("-t", "dfs", cluster.meta_address, point), FAILED, "an empty folder")
    assert systemd.asked() == []


def test_mount_of_a_client_that_was_killed_is_taken_away_and_nothing_else_is(own: OwnMounts, cluster: Cluster, point: Path) -> None:
    assert own.run("mount", "-t", "tmpfs", "none", point).returncode == 0
    inner = point / "inner"
    assert own.run("mkdir", inner).returncode == 0
    assert own.run("mount", "-t", "dfs", cluster.meta_address, inner).returncode == 0
    (client,) = own.clients()
    os.kill(client, signal.SIGKILL)
    wait_until(lambda: own.clients() == [], "the client to be gone")
    # What is asked while the kernel lets go of the client's connection is aborted.
    wait_until(lambda: "not connected" in own.run("ls", inner).stderr, "the mount to be dead")
    detach = (sys.executable, "-m", "dfs.cli.mount", "--detach")
    for _ in range(2):
        assert own.run("env", f"PYTHONPATH={HELPERS.parent}", *detach, inner).returncode == 0
        assert own.mounted(inner) is None
    assert own.run("env", f"PYTHONPATH={HELPERS.parent}", *detach, point).returncode == 0
    assert own.mounted(point) is not None
