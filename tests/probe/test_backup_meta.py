"""Goal: the meta-server is backed up to a file while it works, and brought back from it.
Method: dfsctl against real processes; the file is damaged, in the way, or on a full disk.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.tmpfs import tmpfs_on
from tests.probe.test_bad_input import assert_refused
from tests.probe.test_dfsctl import dfsctl

CONTENT = bytes(range(256)) * 100


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    made = make_cluster(n=3)
    made.start(mounts=1)
    return made


def back_up(cluster: Cluster, path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return dfsctl("meta", "backup", path, *more, "--config", cluster.config_file)


def restore(cluster: Cluster, path: Path) -> subprocess.CompletedProcess[str]:
    return dfsctl("meta", "restore", path, "--config", cluster.config_file)


def test_backup_of_a_working_meta_server_restores_names_and_content(cluster: Cluster, tmp_path: Path) -> None:
    mount, path = cluster.mount(), tmp_path / "backup"
    for number in range(5):
        (mount.path / f"file{number}").write_bytes(CONTENT)
    done = back_up(cluster, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path}: {path.stat().st_size} bytes" in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert_refused(restore(cluster, path), 4, f"process {cluster.meta.pid}")
    assert mount.unmount() == 0
    assert cluster.meta.stop() == 0
    assert_refused(restore(cluster, path), 4, "empty state folder")
    shutil.rmtree(cluster.folder / "meta")
    assert_refused(dfsctl("meta", "restore", path, "--from-servers", "--config", cluster.config_file), 2, "not allowed with")
    done = restore(cluster, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 inodes" in done.stdout
    cluster.allow("is older than what the data servers remember")
    cluster.restart(cluster.meta)
    cluster.restart(mount)
    assert sorted(entry.name for entry in mount.path.iterdir()) == [f"file{number}" for number in range(5)]
    assert all((mount.path / f"file{number}").read_bytes() == CONTENT for number in range(5))
    (mount.path / "new").write_bytes(CONTENT)


def test_backup_replaces_only_when_told_and_leaves_nothing_half_done(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "backup"
    assert_refused(back_up(cluster, path), 4, "No such file")
    path.parent.mkdir()
    path.write_bytes(b"precious")
    assert_refused(back_up(cluster, path), 2, "--force")
    assert path.read_bytes() == b"precious"
    assert back_up(cluster, path, "--force").returncode == 0
    before = path.read_bytes()
    assert cluster.mount().unmount() == 0
    cluster.meta.stop()
    assert back_up(cluster, path, "--force").returncode == 5
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["backup"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_backup_onto_a_full_disk_is_one_error_and_no_file(cluster: Cluster, tmp_path: Path) -> None:
    with tmpfs_on(tmp_path / "small", "size=4k") as folder:
        (folder / "full").write_bytes(bytes(4096))
        assert_refused(back_up(cluster, folder / "backup"), 4, "No space left")
        assert [entry.name for entry in folder.iterdir()] == ["full"]


def test_file_that_is_no_backup_is_refused_and_nothing_is_restored(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    assert back_up(cluster, path).returncode == 0
    assert cluster.mount().unmount() == 0
    cluster.meta.stop()
    shutil.rmtree(cluster.folder / "meta")
    good = path.read_bytes()
    for bad in (good[:-9], good[: len(good) // 2] + b"\0" + good[len(good) // 2 + 1 :], b"text", gzip.compress(b"text")):
        path.write_bytes(bad)
        assert_refused(restore(cluster, path), 4, "backup")
        assert not (cluster.folder / "meta" / "meta.db").exists()
