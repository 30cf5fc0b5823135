"""Goal: a remount changes what it names and loses nothing else. Method: flags that a mount has, words, and mount(2)'s bits."""

from __future__ import annotations

import pytest

from dfs.cli.mount_helper.remount import merge_flags

RO, NOSUID, NODEV, NOEXEC, RELATIME = 0x1, 0x2, 0x4, 0x8, 0x20_0000


@pytest.mark.parametrize(
    ("present", "words", "bits"),
    [
        ({b"rw", b"nosuid", b"nodev", b"relatime", b"user_id=0"}, ["ro"], RO | NOSUID | NODEV | RELATIME),
        ({b"ro", b"rw", b"nosuid", b"nodev"}, [], RO | NOSUID | NODEV),
        ({b"ro", b"nosuid"}, ["rw", "noexec", "soft", "timeo=3s", "_netdev"], NOSUID | NOEXEC),
        ({b"nosuid", b"nodev"}, ["suid", "dev", "nodev"], NODEV),
    ],
)
def test_flags_that_are_named_change_and_others_stay(present: set[bytes], words: list[str], bits: int) -> None:
    assert merge_flags(present, words) == bits
