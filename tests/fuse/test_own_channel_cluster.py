"""Goal: with the channel of our own, files, locks and names are those of the cluster, on two mounts as on one.

Method: a selection of the tests of posix behaviour on two mounts that use it; and what the kernel may keep now, seen from the other
mount. All tests run with it by `DFS_TEST_CHANNEL=own python -m pytest tests/fuse`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.config_values import FuseChannel
from tests.fuse.test_posix_files import (  # noqa: F401
    test_access_tells_what_the_caller_may,
    test_blocks_of_a_file_are_those_that_were_written,
    test_fallocate_changes_the_time_even_if_it_changes_no_byte,
    test_fallocate_grows_a_file_or_keeps_its_size,
    test_fifo_socket_and_device_are_made_and_work,
    test_names_of_255_arbitrary_bytes_are_kept_and_longer_ones_refused,
    test_path_may_lead_deeper_than_a_program_can_say_at_once,
    test_private_mapping_leaves_the_file_alone,
    test_punched_and_zeroed_ranges_read_as_zeros,
    test_reading_does_not_change_atime,
    test_shared_mapping_is_read_and_written,
    test_size_is_seen_at_once_after_the_writer_has_ended,
    test_space_counts_each_disk_once_and_is_half_of_what_is_there,
    test_times_are_kept_to_the_nanosecond_and_before_1970,
    test_touch_of_one_time_leaves_the_other,
    test_write_by_another_takes_the_set_id_bits_away,
)
from tests.fuse.test_posix_locks import (  # noqa: F401
    file,
    test_counter_incremented_under_locks_by_processes_of_both_mounts_loses_nothing,
    test_deadlock_between_mounts_is_refused,
    test_file_that_grew_under_a_lock_is_seen_whole_at_once,
    test_flock_is_kept_by_a_child_until_the_last_descriptor_is_closed,
    test_flock_of_one_mount_holds_in_the_other,
    test_getlk_tells_range_kind_and_pid_of_the_own_mount,
    test_reader_under_a_lock_sees_what_the_other_mount_wrote_before_unlocking,
    test_record_locks_go_with_any_descriptor_of_the_process,
    test_record_locks_of_one_mount_are_seen_by_both,
    test_waiting_for_a_lock_ends_with_a_signal_and_locks_nothing,
    test_waiting_lock_is_granted_once_the_other_mount_unlocks,
)
from tests.fuse.test_posix_xattrs import (  # noqa: F401
    test_xattr_set_is_read_listed_and_removed_by_both_mounts,
    test_xattrs_follow_the_inode_through_link_rename_and_unlink_while_open,
)
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
        with (one / "file").open("rb", buffering=0) as file:  # noqa: F811
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
    with (other / "large").open("r+b", buffering=0) as file:  # noqa: F811
        os.pwrite(file.fileno(), content[: 3 << 20], 777)
    content = content[:777] + content[: 3 << 20] + content[777 + (3 << 20) :]
    assert (one / "large").read_bytes() == content
