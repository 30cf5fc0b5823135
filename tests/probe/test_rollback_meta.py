"""Goal: a meta-server that is put back to an older state loses nothing on the data servers until an administrator accepts it.
Method: real processes and a mount; the state comes back with dfsctl, or with cp and gunzip, and strips are counted on the disks.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until
from tests.probe.test_backup_meta import back_up, restore
from tests.probe.test_dfsctl import dfsctl, json_status

CONTENT = bytes(range(256)) * 100
NEWER = bytes(reversed(CONTENT))


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    made = make_cluster(n=3)
    made.start(mounts=1)
    made.allow("is older than what the data servers remember")
    return made


def strips(cluster: Cluster) -> dict[str, int]:
    """Return the strip files of all servers with their sizes; the servers are stopped for it, so that all is in place."""
    for index in range(cluster.n):
        assert cluster.data(index).stop() == 0
    found = {
        f"{index}/{path.name}": path.stat().st_size
        for index in range(cluster.n)
        for path in (cluster.state_folder(index) / "strips").glob("*/*")
    }
    for index in range(cluster.n):
        cluster.restart(cluster.data(index))
    return found


def inodes_of(names: dict[str, int]) -> set[int]:
    return {int(name.partition("/")[2][:10], 16) for name in names}


def state(cluster: Cluster) -> str:
    return str(json_status(cluster)[1]["meta"]["state"])


def reclaiming(cluster: Cluster) -> int:
    status: Any = cluster.meta_rpc().status()
    return int(status["reclaiming"])


def put_back_by_restore(cluster: Cluster, backup: Path) -> None:
    shutil.rmtree(cluster.folder / "meta")
    assert restore(cluster, backup).returncode == 0


def put_back_by_hand(cluster: Cluster, backup: Path) -> None:
    for path in (cluster.folder / "meta").glob("meta.db*"):
        path.unlink()
    (cluster.folder / "meta" / "meta.db").write_bytes(gzip.decompress(backup.read_bytes()))


def accept_with_dfsctl(cluster: Cluster) -> None:
    done = dfsctl("meta", "accept-rollback", "--config", cluster.config_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "accepted; it was rolled back" in done.stdout


def accept_with_a_start(cluster: Cluster) -> None:
    cluster.allow("waiting for meta-server")
    assert cluster.meta.stop() == 0
    cluster.meta.command += ("--accept-rollback",)
    cluster.restart(cluster.meta)
    wait_until(lambda: state(cluster) == "ok", "the meta-server to be believed")


@pytest.mark.parametrize(
    ("put_back", "accept"),
    [(put_back_by_restore, accept_with_dfsctl), (put_back_by_hand, accept_with_a_start)],
    ids=["restored", "copied by hand"],
)
def test_older_state_reads_writes_and_removes_nothing_until_accepted(
    cluster: Cluster, tmp_path: Path, put_back: Callable[[Cluster, Path], None], accept: Callable[[Cluster], None]
) -> None:
    mount, backup = cluster.mount(), tmp_path / "backup"
    for name in ("same", "overwritten", "deleted"):
        (mount.path / name).write_bytes(CONTENT)
    assert back_up(cluster, backup).returncode == 0
    (mount.path / "made later").write_bytes(CONTENT)
    with (mount.path / "overwritten").open("r+b") as file:
        file.write(NEWER)
    highest = (mount.path / "made later").stat().st_ino
    assert mount.unmount() == 0
    assert cluster.meta.stop() == 0
    before = strips(cluster)
    assert highest in inodes_of(before)
    put_back(cluster, backup)
    cluster.restart(cluster.meta)
    cluster.restart(mount)
    wait_until(lambda: state(cluster).startswith("rolled back"), "the meta-server to notice")
    assert "accept-rollback" in state(cluster)
    assert sorted(path.name for path in mount.path.iterdir()) == ["deleted", "overwritten", "same"]
    assert (mount.path / "same").read_bytes() == CONTENT
    assert (mount.path / "overwritten").read_bytes() == NEWER
    (mount.path / "deleted").unlink()
    (mount.path / "new").write_bytes(NEWER)
    assert (mount.path / "new").stat().st_ino > highest
    assert (mount.path / "new").read_bytes() == NEWER
    assert {name: size for name, size in strips(cluster).items() if name in before} == before
    accept(cluster)
    assert state(cluster) == "ok"
    cluster.meta.wait_for_log("was accepted")
    wait_until(lambda: reclaiming(cluster) == 0, "the removed file to be reclaimed", 30)
    after = strips(cluster)
    assert highest in inodes_of(after)  # unknown: for a week in quarantine
    assert len(inodes_of(before) - inodes_of(after)) == 1
    assert (mount.path / "same").read_bytes() == CONTENT
