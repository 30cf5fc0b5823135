"""Goal: dfs and systemd give a mount point the same names. Method: paths beside what `systemd-escape --path` prints for them."""

from __future__ import annotations

import pytest

from dfs.cli.mount_helper.unit_names import client_unit, escape_path, has_short_names, mount_unit, parameters_file


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        (b"/", "-"),
        (b"/mnt/dfs", "mnt-dfs"),
        (b"//mnt//dfs/", "mnt-dfs"),
        (b"/mnt/my-files", r"mnt-my\x2dfiles"),
        (b"/mnt/two words", r"mnt-two\x20words"),
        ("/mnt/é".encode(), r"mnt-\xc3\xa9"),
        (b"/.hidden/.b", r"\x2ehidden-.b"),
        (b"/a:b_c.d\\e", r"a:b_c.d\x5ce"),
        (b"/\xff", r"\xff"),
    ],
)
def test_path_is_escaped_as_systemd_escapes_it(path: bytes, escaped: str) -> None:
    assert escape_path(path) == escaped
    assert mount_unit(path) == f"{escaped}.mount"
    assert client_unit(path) == f"dfs-mount@{escaped}.service"


def test_parameters_have_a_name_without_slashes_and_backslashes() -> None:
    assert str(parameters_file("/mnt/my-files é".encode())) == "/run/dfs/mounts/%2Fmnt%2Fmy-files%20%C3%A9"


def test_name_that_no_file_could_have_is_told_apart() -> None:
    assert has_short_names(b"/" + b"a" * 237)
    assert not has_short_names(b"/" + b"a" * 238)
    assert not has_short_names(b"/" + "é".encode() * 50)
