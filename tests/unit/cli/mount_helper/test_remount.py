"""Goal: a remount changes what it names and loses nothing else. Method: flags that a mount has, words, and mount(2)'s bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.mount_helper import program
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


def test_what_mount_copies_from_the_kernel_s_list_is_no_wrong_option_of_a_remount(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = "rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other"
    assert program.main(["m:1", str(tmp_path), "-o", f"{listed},remount,ro"]) == program.MountCode.FAILED
    assert "expected a dfs mounted on" in capsys.readouterr().err
    assert program.main(["m:1", str(tmp_path), "-o", listed]) == program.MountCode.USAGE
