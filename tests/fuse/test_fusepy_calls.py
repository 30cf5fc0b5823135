"""Goal: fusepy over libfuse 2 gives programs what the channel of our own gives them: calls, names, interrupts, the end of a mount.

Method: a selection of the tests of the FUSE boundary, on mounts of the memory file system that use it. All of them run with it by
`DFS_TEST_CHANNEL=fusepy python -m pytest tests/fuse`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.config_values import FuseChannel
from tests.fuse.test_mount_basic import (  # noqa: F401
    folder,
    test_append_of_two_descriptors_goes_to_the_end,
    test_block_without_good_copy_is_an_io_error_and_no_bug,
    test_exception_without_an_errno_is_an_io_error_and_logged_as_bug,
    test_exclusive_open_of_an_existing_file_fails,
    test_fifo_and_device_keep_type_and_number,
    test_file_replaced_while_open_keeps_its_content,
    test_file_system_shows_space_and_type,
    test_file_unlinked_while_open_goes_on_working_unseen,
    test_fsync_of_file_and_folder_succeeds,
    test_hard_link_shares_inode_and_content,
    test_large_file_with_a_hole_reads_back_byte_by_byte,
    test_listing_of_many_entries_is_complete_with_inodes_and_types,
    test_missing_name_and_full_folder_have_their_own_errnos,
    test_mode_and_owners_change_one_by_one,
    test_name_longer_than_255_bytes_is_refused,
    test_name_of_any_bytes_is_created_listed_renamed_and_removed,
    test_open_folder_is_listed_after_it_was_renamed,
    test_permission_of_another_user_is_checked,
    test_shared_mapping_is_written_back,
    test_time_stamps_are_kept_to_the_nanosecond,
    test_touch_of_both_time_stamps_sets_them_to_now,
    test_touch_of_one_time_stamp_leaves_the_other,
    test_truncate_by_name_and_by_descriptor_sets_the_size,
    test_truncating_open_empties_the_file,
)
from tests.fuse.test_mount_end import (  # noqa: F401
    test_idle_mount_ends_with_success_when_unmounted,
    test_lazily_unmounted_file_goes_on_working_until_closed,
    test_mount_in_use_refuses_an_orderly_unmount_but_ends_on_a_signal,
)
from tests.fuse.test_mount_interrupts import (  # noqa: F401
    programs,
    test_blocked_calls_leave_all_other_operations_alone,
    test_blocked_write_back_of_a_mapping_ends_with_a_lazy_unmount,
    test_handled_alarms_do_not_make_a_blocked_write_fail,
    test_other_blocked_calls_end_within_a_second_of_being_killed,
    test_process_that_exits_does_not_wait_for_its_files,
    test_threads_of_many_blocked_calls_go_when_these_end,
)
from tests.harness.fuse_channel import VARIABLE
from tests.harness.memory_mount_process import MemoryMountProcess


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryMountProcess]:
    """Return a mount by this channel for all tests that leave it working."""
    mount = MemoryMountProcess(tmp_path_factory.mktemp("shared"))
    try:
        mount.start(**{VARIABLE: FuseChannel.FUSEPY})
        yield mount
    finally:
        mount.close()


@pytest.fixture
def own_mount(tmp_path: Path) -> Iterator[MemoryMountProcess]:
    """Return such a mount for one test that may end it."""
    mount = MemoryMountProcess(tmp_path)
    try:
        mount.start(**{VARIABLE: FuseChannel.FUSEPY})
        yield mount
    finally:
        mount.close()
