"""Goal: the mount table is read right, and who keeps a folder busy is named.
Method: what the kernel has mounted; a real process that stands in a folder or has a file open there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dfs.cli.mount_table import absolute, find_holders, find_mount, is_mounted


def test_find_mount_names_what_the_kernel_has_mounted() -> None:
    mounted = find_mount(Path("/proc"))
    assert mounted is not None
    assert (mounted.point, mounted.type) == (b"/proc", b"proc")
    assert not is_mounted(Path("/proc"))


def test_find_mount_of_a_plain_folder_is_none(tmp_path: Path) -> None:
    assert find_mount(tmp_path) is None


def test_absolute_follows_links_above_but_not_the_mount_point_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "point").symlink_to("/nowhere")
    assert absolute(tmp_path / "link" / "point") == tmp_path.resolve() / "real" / "point"


@pytest.mark.parametrize("code", ["import os; os.chdir(sys.argv[1])", "file = open(sys.argv[1] + '/f', 'w')"])
def test_holder_that_stands_in_or_has_open_is_named(tmp_path: Path, code: str) -> None:
    folder, beside = tmp_path / "mnt", tmp_path / "mnt-beside"
    folder.mkdir()
    beside.mkdir()
    program = f"import sys; {code}; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        holders = find_holders(folder)
        assert [holder.pid for holder in holders] == [process.pid]
        assert str(folder) in holders[0].path
        assert "sys.stdin" in holders[0].command
        assert find_holders(beside) == []
        process.communicate()
