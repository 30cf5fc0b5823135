"""Goal: an operator hears of a mount that crashed, of a write that waits long, of a clock that is off and of two releases.
Method: a real cluster; a mount of another release, with another clock, and with less patience than the usual minute.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from dfs.cli.mount_table import unmount
from tests.harness.cluster import Cluster
from tests.harness.patched import patched_command
from tests.harness.waiting import wait_until

OTHER_RELEASE = "import dfs\ndfs.__version__ = '9.9.9'"
CLOCK_BEHIND = "import time\nright = time.time_ns\ntime.time_ns = lambda: right() - 90 * 10**9"
IMPATIENT = "import dfs.client.blocks.server_health as health\nhealth.STALL_S = 0.5"


def start_patched_mount(cluster: Cluster, prelude: str) -> None:
    mount = cluster.mount()
    mount.command = tuple(patched_command(prelude, "dfs.cli.mount", mount.path, "--config", cluster.config_file))
    mount.start()
    mount.wait_ready()


def test_mount_of_another_release_and_with_a_clock_that_is_off_says_so(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.start()
    start_patched_mount(cluster, f"{OTHER_RELEASE}\n{CLOCK_BEHIND}")
    log = cluster.mount()
    log.wait_for_log(r"WARNING dfs-mount: this mount is of dfs 9\.9\.9, the meta-server of dfs 0\.")
    log.wait_for_log(r"WARNING dfs-mount: the clock of this machine is (89|90)\.\d s behind that of the meta-server")
    assert log.log_text().count("the clock of this machine") == 1
    cluster.allow("this mount is of dfs", "the clock of this machine")


def test_mount_that_was_killed_and_comes_back_is_told_by_the_meta_server(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.start(mounts=1)
    mount = cluster.mount()
    assert mount.unmount() == 0
    cluster.restart(mount)
    assert "is back" not in cluster.meta.log_text()
    mount.kill()
    assert unmount(mount.path, lazy=True)
    cluster.restart(mount)
    cluster.meta.wait_for_log(rf"WARNING dfs-meta: the mount \S+:{mount.path} is back, but its former session \d+ was never ended")
    cluster.allow("is back, but its former session")


def test_write_that_waits_long_is_told_once_and_goes_on_when_the_server_is_back(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.start()
    start_patched_mount(cluster, IMPATIENT)
    cluster.data(1).kill()
    cluster.allow("writing waits for server 1", "writing has waited for server 1", "the last stop was not clean", "does not answer")
    writer = subprocess.Popen(["sh", "-c", 'echo x > "$1"', "sh", cluster.mount().path / "file"])
    try:
        cluster.mount().wait_for_log(r"ERROR dfs-mount: writing has waited for server 1 for [1-9] s and goes on waiting: .*refused")
        cluster.restart(cluster.data(1))
        assert writer.wait(30) == 0
    finally:
        writer.kill()
        writer.wait()
    wait_until(lambda: "writing to server 1 goes on" in cluster.mount().log_text(), "the end of the outage to be told")
    assert cluster.mount().log_text().count("writing has waited") == 1
