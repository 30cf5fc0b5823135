"""Goal: a mount begins only where it may, says why not, and ends cleanly however it is ended.

Method: real mounts of the memory file system, ended by each of the ways there are; mount points that are wrong in each way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dfs.core.errors import ExitCode
from dfs.fusefs.mount_point import unmount
from tests.harness.memory_mount_process import ROOT, MemoryMountProcess

ENDS_S = 5.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_idle_mount_ends_with_success_on_a_signal(own_mount: MemoryMountProcess, number: signal.Signals) -> None:
    own_mount.send(number)
    assert own_mount.wait_for_end(ENDS_S) == 0
    assert not own_mount.is_mounted()
    assert "in use" not in own_mount.log()


def test_idle_mount_ends_with_success_when_unmounted(own_mount: MemoryMountProcess) -> None:
    assert unmount(own_mount.point, lazily=False, timeout_s=ENDS_S)
    assert own_mount.wait_for_end(ENDS_S) == 0


def test_mount_in_use_refuses_an_orderly_unmount_but_ends_on_a_signal(own_mount: MemoryMountProcess) -> None:
    descriptor = os.open(own_mount.path("file"), os.O_WRONLY | os.O_CREAT)
    assert not unmount(own_mount.point, lazily=False, timeout_s=ENDS_S)
    own_mount.send(signal.SIGTERM)
    assert own_mount.wait_for_end(ENDS_S) == 0
    assert not own_mount.is_mounted()
    assert "in use" in own_mount.log()
    with pytest.raises(OSError, match="not connected"):
        os.close(descriptor)


def test_lazily_unmounted_file_goes_on_working_until_closed(own_mount: MemoryMountProcess) -> None:
    with open(own_mount.path("file"), "w+b", buffering=0) as file:
        assert unmount(own_mount.point, lazily=True, timeout_s=ENDS_S)
        file.write(b"still here")
        file.seek(0)
        assert file.read() == b"still here"
        assert own_mount.exit_code() is None
    assert own_mount.wait_for_end(ENDS_S) == 0


def test_several_signals_are_one(own_mount: MemoryMountProcess) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        own_mount.send(number)
    assert own_mount.wait_for_end(ENDS_S) == 0


def test_mount_works_again_at_the_same_place(own_mount: MemoryMountProcess) -> None:
    own_mount.send(signal.SIGTERM)
    own_mount.wait_for_end(ENDS_S)
    own_mount.start()
    Path(os.fsdecode(own_mount.path("file"))).write_text("x")


def refusal(point: bytes) -> str:
    """Mount where it cannot be, return the one line of the message."""
    command: list[str | bytes] = [sys.executable, "-m", "tests.harness.memory_mount", point]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert done.returncode == ExitCode.MOUNT_POINT
    (line,) = done.stderr.decode().splitlines()
    return line


def test_mount_point_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert "expected an existing folder as mount point, got nothing at" in refusal(os.fsencode(tmp_path / "missing"))


def test_mount_point_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "expected a folder as mount point, got a file at" in refusal(os.fsencode(tmp_path / "file"))


def test_mount_point_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"expected an empty folder as mount point, got 1 entries in {tmp_path}" in refusal(os.fsencode(tmp_path))


def test_mount_point_in_use_is_refused_also_through_a_link(own_mount: MemoryMountProcess, tmp_path: Path) -> None:
    assert "mounted already" in refusal(own_mount.point)
    os.symlink(own_mount.point, tmp_path / "link")
    assert "mounted already" in refusal(os.fsencode(tmp_path / "link"))


def test_dead_mount_is_refused_without_hanging_and_mounts_after_being_freed(own_mount: MemoryMountProcess) -> None:
    own_mount.send(signal.SIGKILL)
    own_mount.wait_for_end(ENDS_S)
    assert own_mount.is_mounted()
    assert "-uz if its process is gone" in refusal(own_mount.point).replace("with -uz", "-uz")
    assert unmount(own_mount.point, lazily=True, timeout_s=ENDS_S)
    own_mount.start()


def test_hanging_mount_is_refused_without_hanging(own_mount: MemoryMountProcess) -> None:
    own_mount.send(signal.SIGSTOP)
    try:
        assert "mounted already" in refusal(own_mount.point)
    finally:
        own_mount.send(signal.SIGCONT)
