"""Goal: with fusepy over libfuse 2, files, locks and names are those of the cluster, on two mounts as on one.

Method: a selection of the tests of posix behaviour on two mounts that use it. All tests run with it by
`DFS_TEST_CHANNEL=fusepy python -m pytest tests/fuse`.
"""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture(scope="module")
def posix_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with two mounts by this channel for all tests that leave it working."""
    with Cluster(tmp_path_factory.mktemp("fusepy"), channel=FuseChannel.FUSEPY) as cluster:
        cluster.start(mounts=2)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()
