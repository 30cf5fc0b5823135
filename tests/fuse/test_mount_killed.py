"""Goal: whoever mounts again where a mount was killed sees what the dead one left at once, and for good.

Method: a real mount, killed while a write of unknown outcome is under way, and mounted again at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dfs.cli.mount_names import diary_path
from dfs.cli.mount_table import unmount
from tests.harness.cluster import Cluster
from tests.harness.program import ROOT, module_command
from tests.harness.waiting import wait_until

CRASHED = "it had crashed or was killed"


def mounts_known(cluster: Cluster) -> list[str]:
    """Return the lines of `dfsctl status` that tell of mounts."""
    command = module_command("dfs.cli.dfsctl", "status", "--config", cluster.config_file)
    told = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT).stdout
    return [line for line in told.splitlines() if str(cluster.mount().path) in line]


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what stands in all files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mount_again(cluster: Cluster) -> None:
    """Kill the mount and make it anew."""
    mount = cluster.mount()
    mount.kill()
    unmount(mount.path, lazy=True)
    cluster.restart(mount)


def test_file_that_a_killed_mount_was_writing_has_its_last_size_when_the_mount_is_back(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(b"x" * 1000)
    before = contents(cluster.state_folder(1))
    cluster.data(0).pause()
    program = f"import os; fd = os.open({os.fspath(path)!r}, os.O_WRONLY); os.pwrite(fd, b'y' * 4096, 5000)"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL):
        wait_until(lambda: contents(cluster.state_folder(1)) != before, "a server that is not paused to store the write")
        cluster.data(0).resume()
        mount_again(cluster)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"z")
    assert path.stat().st_size == size + 1
    assert path.read_bytes()[size:] == b"z"
    assert len(mounts_known(cluster)) == 1
    cluster.allow(CRASHED)


def test_session_of_a_killed_mount_is_gone_and_its_locks_are_free_when_the_mount_is_back(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.touch()
    holder = (
        f"import fcntl, os, sys; file = open({os.fspath(path)!r}, 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        mount_again(cluster)
        assert len(mounts_known(cluster)) == 1
        taker = f"import fcntl; fcntl.lockf(open({os.fspath(path)!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        subprocess.run([sys.executable, "-c", taker], check=True)
    cluster.allow(CRASHED)


def test_diary_is_there_while_mounted_and_gone_after_an_orderly_end(cluster: Cluster) -> None:
    diary = diary_path(os.fsencode(cluster.mount().path))
    assert diary is not None
    assert Path(diary).stat().st_mode & 0o777 == 0o600
    assert cluster.mount().unmount() == 0
    assert not diary.exists()
