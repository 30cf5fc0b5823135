"""Goal: two processes never share a state folder, and what is wrong with one is told by name. Method: real folders and locks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dfs.core.errors import ExitCode
from dfs.core.start_errors import StateError
from dfs.host import state_folder
from dfs.host.state_folder import boot_id, lock_state_folder
from tests.harness.tmpfs import tmpfs_on


def test_missing_folder_is_made_with_its_parents_for_its_owner_only(tmp_path: Path) -> None:
    with lock_state_folder(tmp_path / "a" / "b") as lock:
        assert lock.folder == tmp_path / "a" / "b"
        assert lock.folder.stat().st_mode & 0o777 == 0o700


def test_made_folder_is_synced_into_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
    lock_state_folder(tmp_path / "a" / "b").release()
    assert synced == [tmp_path, tmp_path / "a"]


def test_folder_in_use_by_another_process_is_refused_with_its_pid(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom dfs.host.state_folder import lock_state_folder\n"
        f"lock_state_folder(Path({str(tmp_path)!r}))\nprint('locked', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StateError) as caught:
            lock_state_folder(tmp_path)
        assert str(caught.value) == f"expected the state folder {tmp_path} to be free, got it is in use by process {holder.pid}"
        assert caught.value.exit_code is ExitCode.STATE
        holder.kill()
    lock_state_folder(tmp_path).release()  # a killed holder leaves nothing locked


def test_released_folder_can_be_locked_again_and_release_twice_is_harmless(tmp_path: Path) -> None:
    lock = lock_state_folder(tmp_path)
    lock.release()
    with lock_state_folder(tmp_path):
        lock.release()
        with pytest.raises(StateError, match=f"process {os.getpid()}"):
            lock_state_folder(tmp_path)


def test_path_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "g"):
        with pytest.raises(StateError, match=re.escape(str(path))):
            lock_state_folder(path)


def test_unwritable_folder_is_refused_by_name() -> None:
    with pytest.raises(StateError, match="/proc/self") as caught:
        lock_state_folder(Path("/proc/self"))
    assert "to be writable" in str(caught.value)


def test_require_mount_refuses_a_plain_folder_and_makes_none(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StateError, match="to be a mount point"):
            lock_state_folder(folder, require_mount=True)
    assert not (tmp_path / "missing").exists()
    assert list(tmp_path.iterdir()) == []


def test_require_mount_accepts_a_mount_point(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    with tmpfs_on(tmp_path, "size=64k"):
        lock_state_folder(tmp_path, require_mount=True).release()


def test_boot_id_is_the_kernels_and_its_absence_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", boot_id())
    assert boot_id() == boot_id()
    monkeypatch.setattr(state_folder, "BOOT_ID_PATH", tmp_path / "none")
    with pytest.raises(StateError, match="boot id"):
        boot_id()
