"""Goal: what the kernel keeps with the channel of our own is never older than the mount itself believes, seen from another mount.

Method: a cluster with two mounts that use it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.config_values import FuseChannel
from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until

BELIEVED_S = 1.0
MARGIN_S = 0.5


@pytest.fixture(scope="module")
def posix_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with two mounts by this channel for all tests that leave it working."""
    with Cluster(tmp_path_factory.mktemp("own"), channel=FuseChannel.OWN) as cluster:
        cluster.start(mounts=2)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()


def replace_through(mount: Path, name: str, content: bytes) -> None:
    """Write a new file and put it in the place of an old one, as editors do."""
    (mount / "new").write_bytes(content)
    (mount / "new").rename(mount / name)


def test_open_finds_the_file_that_the_other_mount_has_just_put_there(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "file").write_bytes(b"old")
    keeper = os.open(other / "file", os.O_RDONLY)  # so that the old one goes on being a file
    try:
        for number in range(20):
            assert (one / "file").stat().st_size >= 1
            replace_through(other, "file", b"%d" % number)
            assert (one / "file").read_bytes() == b"%d" % number
    finally:
        os.close(keeper)


def test_open_shows_the_size_that_the_other_mount_has_just_closed(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "file").write_bytes(b"")
    for size in (10, 300_000, 5, 4096):
        (one / "file").stat()
        (other / "file").write_bytes(os.urandom(size))
        with (one / "file").open("rb", buffering=0) as file:
            assert os.fstat(file.fileno()).st_size == size
            assert len(file.read()) == size


def test_change_of_the_other_mount_is_seen_when_attributes_are_no_longer_believed(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "file").touch()
    (one / "folder").mkdir()
    assert sorted(os.listdir(one)) == ["file", "folder"]
    (other / "file").chmod(0o600)
    (other / "folder" / "inside").touch()
    (other / "file").rename(other / "renamed")
    seen = BELIEVED_S + MARGIN_S
    wait_until(lambda: (one / "renamed").exists() and (one / "renamed").stat().st_mode & 0o777 == 0o600, "the new mode", seen)
    wait_until(lambda: not (one / "file").exists(), "the old name to go", seen)
    assert os.listdir(one / "folder") == ["inside"]


def test_names_made_and_removed_before_a_lock_was_given_are_seen_by_who_gets_it(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "data").touch()
    with (one / "data").open("r+b") as here, (other / "data").open("r+b") as there:
        for _ in range(10):
            fcntl.lockf(there, fcntl.LOCK_EX)
            (other / "journal").write_bytes(b"x")
            fcntl.lockf(there, fcntl.LOCK_UN)
            fcntl.lockf(here, fcntl.LOCK_EX)
            assert (one / "journal").exists()
            fcntl.lockf(here, fcntl.LOCK_UN)
            fcntl.lockf(there, fcntl.LOCK_EX)
            (other / "journal").unlink()
            fcntl.lockf(there, fcntl.LOCK_UN)
            fcntl.lockf(here, fcntl.LOCK_EX)
            assert not (one / "journal").exists()
            fcntl.lockf(here, fcntl.LOCK_UN)


def test_folder_that_the_other_mount_has_moved_still_works_for_who_stands_in_it(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "folder").mkdir()
    descriptor = os.open(one / "folder", os.O_RDONLY | os.O_DIRECTORY)
    try:
        (other / "folder").rename(other / "elsewhere")
        made = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
        os.write(made, b"here")
        os.close(made)
        assert (other / "elsewhere" / "file").read_bytes() == b"here"
    finally:
        os.close(descriptor)


def test_file_of_many_mib_is_whole_on_both_mounts(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    content = os.urandom((5 << 20) + 12_345)
    (one / "large").write_bytes(content)
    assert (other / "large").read_bytes() == content
    with (other / "large").open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), content[: 3 << 20], 777)
    content = content[:777] + content[: 3 << 20] + content[777 + (3 << 20) :]
    assert (one / "large").read_bytes() == content
