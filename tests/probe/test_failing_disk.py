"""Goal: a data server whose own disk fails says so, stops answering for what it can't read, and everything reads right from the
other copies; when the disk is well again all copies are equal without anyone acting.
Method: a real cluster whose server 1 keeps its state on a FUSE folder that refuses what the test tells it to.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfs.core.ids import BlockNo
from dfs.core.placement import Role
from tests.fuse.test_rebuild import dfsctl
from tests.fuse.test_rules import DOWN, drop_kernel_cache, layout_of, settle_in_place, strip
from tests.harness.beside import beside
from tests.harness.cluster import Cluster
from tests.harness.failing_disk import FailingDisk
from tests.harness.waiting import wait_until

VICTIM = 1
BLOCKS = 200
CONTENT = b"".join(number.to_bytes(4, "little") * 128 for number in range(BLOCKS))
NEWER = CONTENT[::-1]
NEIGHBOURS = (0, 2)
TROUBLE = r"the disk can't read|the disk of this server|Read-only file system|not clean"


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    return make_cluster(n=3)


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[FailingDisk]:
    """Return the disk of server 1 of a running cluster with one mount."""
    with FailingDisk(cluster.state_folder(VICTIM)) as disk:
        cluster.start(mounts=1)
        try:
            yield disk
        finally:
            cluster.close()


@pytest.fixture
def path(cluster: Cluster, disk: FailingDisk) -> Path:
    """Return a file that has blocks on all servers, each in its place on the disks and nowhere else."""
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    settle_in_place(cluster)
    drop_kernel_cache()
    return path


def state_of(cluster: Cluster) -> str:
    """Return what the status says of server 1."""
    return str(json.loads(dfsctl(cluster, "status", "--json").stdout)["servers"][VICTIM]["state"])


def assert_reads_from_the_victim_alone(cluster: Cluster, path: Path, expected: bytes) -> None:
    """Read with each neighbour of the server dead: half of the blocks are then its own word."""
    for neighbour in NEIGHBOURS:
        cluster.data(neighbour).kill()
        drop_kernel_cache()
        assert path.read_bytes() == expected, f"with server {neighbour} dead"
        cluster.restart(cluster.data(neighbour))
    cluster.allow(DOWN)


def test_strips_that_cannot_be_read_are_told_and_read_from_the_other_copies(
    cluster: Cluster, disk: FailingDisk, path: Path
) -> None:
    disk.fail("read", "/strips/")
    assert path.read_bytes() == CONTENT
    cluster.data(VICTIM).wait_for_log(r"inode \d+: the disk can't read the primary strip .*Input/output error")
    assert "Input/output error" in state_of(cluster)
    assert dfsctl(cluster, "status").returncode != 0
    cluster.allow(TROUBLE)

    writing = beside(lambda: path.write_bytes(NEWER))
    cluster.mount().wait_for_log("writing waits for server 1")
    assert not writing.done()
    drop_kernel_cache()
    other = cluster.mount().path / "other"
    assert not other.exists()  # a mount with a writer that waits answers others
    disk.heal()
    assert writing.result(30) == len(NEWER)
    settle_in_place(cluster)
    assert state_of(cluster) == "ok"
    assert_reads_from_the_victim_alone(cluster, path, NEWER)


def test_one_block_that_cannot_be_read_is_told_and_made_good(cluster: Cluster, disk: FailingDisk, path: Path) -> None:
    role = next(role for role in Role if layout_of(cluster, b"/file").server_of(BlockNo(6), role) == VICTIM)
    damaged = strip(cluster, VICTIM, path.stat().st_ino, role)
    offset = damaged.offset(BlockNo(6))
    assert offset is not None
    disk.spoil(damaged.path.name, offset)
    assert path.read_bytes() == CONTENT
    cluster.data(VICTIM).wait_for_log(rf"block 6: the disk can't read the {role.name.lower()} copy")
    cluster.allow(TROUBLE)
    wait_until(lambda: state_of(cluster) == "ok", "the block to be written over")
    settle_in_place(cluster)
    drop_kernel_cache()
    assert path.read_bytes() == CONTENT
    assert cluster.data(VICTIM).log_text().count("can't read") == 1
    assert_reads_from_the_victim_alone(cluster, path, CONTENT)


def test_disk_that_became_read_only_serves_reads_and_refuses_writes_at_once(
    cluster: Cluster, disk: FailingDisk, path: Path
) -> None:
    cluster.allow(TROUBLE)
    refused = cluster.mount().path / "refused"
    disk.become_read_only()
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        refused.write_bytes(NEWER)
    cluster.data(VICTIM).wait_for_log("the disk of this server fails: .*Read-only file system")
    assert "Read-only file system" in state_of(cluster)
    assert_reads_from_the_victim_alone(cluster, path, CONTENT)

    disk.heal()
    refused.write_bytes(NEWER)
    path.write_bytes(NEWER)
    wait_until(lambda: state_of(cluster) == "ok", "the disk to take writes")
    settle_in_place(cluster)
    for each in (refused, path):
        assert_reads_from_the_victim_alone(cluster, each, NEWER)


def test_server_that_was_stopped_on_a_read_only_disk_comes_back_with_all_it_acknowledged(
    cluster: Cluster, disk: FailingDisk, path: Path
) -> None:
    cluster.allow(TROUBLE, DOWN)
    (cluster.mount().path / "journalled").write_bytes(CONTENT[:3000])
    disk.become_read_only()
    cluster.data(VICTIM).stop()
    disk.heal()
    cluster.restart(cluster.data(VICTIM))
    assert_reads_from_the_victim_alone(cluster, path, CONTENT)
    assert_reads_from_the_victim_alone(cluster, cluster.mount().path / "journalled", CONTENT[:3000])


def test_sync_that_fails_ends_the_server_and_its_next_start_compares_with_the_neighbours(
    cluster: Cluster, disk: FailingDisk, path: Path
) -> None:
    cluster.allow(TROUBLE, DOWN, "background task ends", "are copied from server")
    disk.fail("fsync", "/journal/")
    with path.open("r+b", buffering=0) as file:
        file.write(NEWER)
        syncing = beside(lambda: os.fsync(file.fileno()))
        assert cluster.data(VICTIM).wait_for_end() == 1
        cluster.data(VICTIM).wait_for_log("the disk of this server fails: sync .*Input/output error; the process ends")
        disk.heal()
        cluster.restart(cluster.data(VICTIM))
        assert syncing.result(30) is None
    wait_until(lambda: state_of(cluster) == "ok", "the server to be compared", 30)
    assert_reads_from_the_victim_alone(cluster, path, NEWER)
