"""Goal: a meta-server whose state folder is lost is brought back from a snapshot on the data servers, and the cluster goes on.
Method: real processes; the folder is deleted after a clean stop, or after kill -9 with files written since the snapshot.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until
from tests.probe.test_bad_input import assert_refused
from tests.probe.test_dfsctl import dfsctl

CONTENT = bytes(range(256)) * 100


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    made = make_cluster(n=3)
    made.start(mounts=1)
    return made


def restore(cluster: Cluster, *arguments: object) -> subprocess.CompletedProcess[str]:
    return dfsctl("meta", "restore", "--from-servers", "--config", cluster.config_file, *arguments)


def lose_meta(cluster: Cluster) -> None:
    shutil.rmtree(cluster.folder / "meta")


def stop_meta_only(cluster: Cluster) -> None:
    assert cluster.mount().unmount() == 0
    assert cluster.meta.stop() == 0


def snapshots(cluster: Cluster) -> list[int]:
    """Return how many snapshots each data server keeps."""
    return [len(list((cluster.state_folder(index) / "snapshots").glob("*"))) for index in range(cluster.n)]


def test_meta_restored_after_a_clean_stop_knows_everything_and_takes_writes(cluster: Cluster) -> None:
    mount = cluster.mount()
    for number in range(20):
        (mount.path / f"file{number}").write_bytes(CONTENT + b"%d" % number)
    (mount.path / "folder").mkdir(mode=0o750)
    (mount.path / "folder" / "link").symlink_to("../file1")
    stop_meta_only(cluster)
    assert sorted(min(count, 1) for count in snapshots(cluster)) == [0, 1, 1]
    lose_meta(cluster)
    done = restore(cluster)
    assert (done.returncode, done.stderr) == (0, "")
    assert "restored the snapshot of" in done.stdout
    cluster.restart(cluster.meta)
    cluster.restart(mount)
    for number in range(20):
        assert (mount.path / f"file{number}").read_bytes() == CONTENT + b"%d" % number
    assert (mount.path / "folder" / "link").read_bytes() == CONTENT + b"1"
    (mount.path / "file0").write_bytes(b"overwritten")
    with (mount.path / "file1").open("ab") as file:
        file.write(b"appended")
    (mount.path / "new").write_bytes(CONTENT)
    (mount.path / "file2").unlink()
    assert (mount.path / "file0").read_bytes() == b"overwritten"
    assert (mount.path / "file1").read_bytes() == CONTENT + b"1appended"
    assert (mount.path / "new").read_bytes() == CONTENT


def test_meta_restored_to_an_older_state_reads_and_writes_what_it_still_knows(cluster: Cluster) -> None:
    cluster.allow("is older than what the data servers remember")
    mount = cluster.mount()
    (mount.path / "old").write_bytes(CONTENT)
    (mount.path / "cut later").write_bytes(CONTENT)
    stop_meta_only(cluster)
    cluster.restart(cluster.meta)
    cluster.restart(mount)
    wait_until(lambda: max(snapshots(cluster)) >= 2, "the snapshot of the start")
    (mount.path / "cut later").write_bytes(b"short")  # a cut that the restored meta-server does not know
    (mount.path / "made later").write_bytes(CONTENT)
    assert mount.unmount() == 0
    cluster.meta.kill()
    lose_meta(cluster)
    assert restore(cluster).returncode == 0
    cluster.restart(cluster.meta)
    cluster.restart(mount)
    assert sorted(path.name for path in mount.path.iterdir()) == ["cut later", "old"]
    assert (mount.path / "old").read_bytes() == CONTENT
    assert (mount.path / "cut later").read_bytes().startswith(b"short")
    (mount.path / "made later").write_bytes(CONTENT[::-1])
    assert (mount.path / "made later").read_bytes() == CONTENT[::-1]
    (mount.path / "cut later").write_bytes(CONTENT)
    assert (mount.path / "cut later").read_bytes() == CONTENT


def test_damaged_newest_snapshot_is_passed_over_for_the_other_copy(cluster: Cluster) -> None:
    (cluster.mount().path / "file").write_bytes(CONTENT)
    stop_meta_only(cluster)
    lose_meta(cluster)
    holder = next(index for index in reversed(range(cluster.n)) if snapshots(cluster)[index])
    newest = max((cluster.state_folder(holder) / "snapshots").iterdir())
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    done = restore(cluster)
    assert done.returncode == 0
    assert f"on data server {holder}, which can't be read" in done.stdout
    cluster.restart(cluster.meta)
    cluster.restart(cluster.mount())
    assert (cluster.mount().path / "file").read_bytes() == CONTENT


def test_restore_over_a_running_or_existing_meta_or_without_snapshots_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    (cluster.mount().path / "file").write_bytes(CONTENT)
    assert_refused(restore(cluster), 4, f"process {cluster.meta.pid}")
    stop_meta_only(cluster)
    assert_refused(restore(cluster), 4, "empty state folder", "meta.db")
    for index in range(cluster.n):
        assert cluster.data(index).stop() == 0
    lose_meta(cluster)
    done = restore(cluster)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "data server 2 (Connection refused)" in done.stderr
    assert not (cluster.folder / "meta" / "meta.db").exists()
