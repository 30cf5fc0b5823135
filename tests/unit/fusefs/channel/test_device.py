"""Goal: a mount has the flags and options that it was asked for, whichever way it is made. Method: look at what would be asked."""

from __future__ import annotations

import pytest

from dfs.fusefs.channel.device import helper_options, mount_flags
from dfs.fusefs.mount_options import MountOptions

NOSUID, NODEV, RDONLY, NOEXEC, SYNCHRONOUS, DIRSYNC, NOATIME = 2, 4, 1, 8, 16, 128, 1024


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ((), NOSUID | NODEV),
        (("ro", "noexec"), RDONLY | NOEXEC | NOSUID | NODEV),
        (("rw", "suid", "dev", "exec", "async", "atime"), 0),
        (("nosuid", "dev", "sync", "dirsync", "noatime"), NOSUID | SYNCHRONOUS | DIRSYNC | NOATIME),
    ],
)
def test_flags_are_those_of_mount_2(words: tuple[str, ...], flags: int) -> None:
    assert mount_flags(words) == flags


def test_helper_is_told_everything_with_commas_in_names_quoted() -> None:
    options = MountOptions(source="a,b\\c", allow_other=True, flags=("ro", "suid"), is_freed_on_crash=True)
    assert helper_options(options, 1 << 20) == [
        b"fsname=a\\,b\\\\c",
        b"subtype=dfs",
        b"default_permissions",
        b"max_read=1048576",
        b"ro",
        b"nodev",
        b"suid",
        b"allow_other",
        b"auto_unmount",
    ]


def test_helper_is_told_nothing_that_was_not_asked_for() -> None:
    words = helper_options(MountOptions(source="x", allow_other=False), 4096)
    assert not {b"allow_other", b"auto_unmount", b"ro", b"suid", b"dev"} & set(words)
