"""Goal: the channel of our own gives programs what libfuse does not: places in listings, set-id bits, renames that replace nothing.

Method: mounts of the memory file system that use it.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.config_values import FuseChannel
from tests.fuse.test_mount_basic import folder  # noqa: F401
from tests.harness.fuse_channel import VARIABLE
from tests.harness.memory_mount_process import MemoryMountProcess
from tests.harness.waiting import wait_until

ENDS_S = 5.0


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryMountProcess]:
    """Return a mount by this channel for all tests that leave it working."""
    mount = MemoryMountProcess(tmp_path_factory.mktemp("shared"))
    try:
        mount.start(**{VARIABLE: FuseChannel.OWN})
        yield mount
    finally:
        mount.close()


@pytest.fixture
def own_mount(tmp_path: Path) -> Iterator[MemoryMountProcess]:
    """Return such a mount for one test that may end it."""
    mount = MemoryMountProcess(tmp_path)
    try:
        mount.start(**{VARIABLE: FuseChannel.OWN})
        yield mount
    finally:
        mount.close()


def test_folder_is_read_on_from_any_place(shared_mount: MemoryMountProcess) -> None:
    path = shared_mount.path("many")
    os.mkdir(path)
    for number in range(700):
        os.mknod(os.path.join(path, b"name %d" % number))
    program = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.fdopendir.restype = libc.readdir.restype = ctypes.c_void_p\n"
        "libc.telldir.restype = ctypes.c_long\n"
        "libc.fdopendir.argtypes, libc.seekdir.argtypes = [ctypes.c_int], [ctypes.c_void_p, ctypes.c_long]\n"
        "libc.readdir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]\n"
        "folder = libc.fdopendir(os.open(sys.argv[1], os.O_RDONLY))\n"
        "def name(): entry = libc.readdir(folder); return entry and ctypes.string_at(entry + 19)\n"
        "first, places, names = None, [], []\n"
        "while True:\n"
        "    place = libc.telldir(folder)\n"
        "    found = name()\n"
        "    if not found: break\n"
        "    places.append(place); names.append(found)\n"
        "assert len(set(names)) == len(names) == 702, len(names)\n"
        "for at in (650, 3, 0, 701, 300):\n"
        "    libc.seekdir(folder, places[at])\n"
        "    assert name() == names[at], at\n"
    )
    subprocess.run([b"python3", b"-c", program.encode(), path], check=True)


def test_rename_that_must_not_replace_does_not(folder: bytes) -> None:  # noqa: F811
    for name in (b"one", b"two"):
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(name)
    subprocess.run(
        [b"mv", b"-n", os.path.join(folder, b"one"), os.path.join(folder, b"two")], check=False, stderr=subprocess.DEVNULL
    )
    assert sorted(os.listdir(folder)) == [b"one", b"two"]
    assert Path(os.fsdecode(os.path.join(folder, b"two"))).read_bytes() == b"two"


@pytest.mark.parametrize("change", ["write", "truncate", "truncating open"])
def test_change_by_another_user_takes_set_id_bits_away(folder: bytes, change: str) -> None:  # noqa: F811
    path = os.path.join(folder, b"file")
    Path(os.fsdecode(path)).write_bytes(b"x" * 100)
    os.chmod(folder, 0o777)
    os.chmod(path, 0o6777)
    code = {
        "write": "os.write(os.open('file', os.O_WRONLY), b'y')",
        "truncate": "os.truncate('file', 5)",
        "truncating open": "os.open('file', os.O_WRONLY | os.O_TRUNC)",
    }[change]
    command = [b"python3", b"-c", b"import os; " + code.encode()]
    subprocess.run(command, cwd=folder, user=65534, group=65534, extra_groups=[], check=True)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777


def test_root_keeps_set_id_bits_of_what_it_writes(folder: bytes) -> None:  # noqa: F811
    path = os.path.join(folder, b"file")
    Path(os.fsdecode(path)).write_bytes(b"x")
    os.chmod(path, 0o6777)
    with open(path, "ab") as file:
        file.write(b"y")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o6777


def test_file_opened_to_be_read_and_cut_is_cut(folder: bytes) -> None:  # noqa: F811
    path = os.path.join(folder, b"file")
    Path(os.fsdecode(path)).write_bytes(b"content")
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))
    assert os.stat(path).st_size == 0


def test_unlinked_file_is_opened_again_through_proc(folder: bytes) -> None:  # noqa: F811
    path = os.path.join(folder, b"file")
    with open(path, "w+b", buffering=0) as file:
        file.write(b"content")
        os.unlink(path)
        assert Path(f"/proc/self/fd/{file.fileno()}").read_bytes() == b"content"


def test_mount_that_is_forced_off_ends(own_mount: MemoryMountProcess) -> None:
    descriptor = os.open(own_mount.path("file"), os.O_RDWR | os.O_CREAT)
    subprocess.run([b"umount", b"--force", b"--lazy", own_mount.point], check=True)
    assert own_mount.wait_for_end(ENDS_S) == 0
    with pytest.raises(OSError, match="not connected"):
        os.close(descriptor)


def test_mount_point_is_freed_when_the_client_is_killed_if_that_was_asked_for(tmp_path: Path) -> None:
    mount = MemoryMountProcess(tmp_path)
    try:
        mount.start("freed-on-crash", **{VARIABLE: FuseChannel.OWN})
        Path(os.fsdecode(mount.path("file"))).write_bytes(b"x")
        mount.send(signal.SIGKILL)
        wait_until(lambda: not mount.is_mounted(), "the end of the mount", ENDS_S)
    finally:
        mount.close()


def test_mount_that_is_freed_on_a_crash_ends_like_any_other(tmp_path: Path) -> None:
    mount = MemoryMountProcess(tmp_path)
    try:
        mount.start("freed-on-crash", **{VARIABLE: FuseChannel.OWN})
        mount.send(signal.SIGTERM)
        assert mount.wait_for_end(ENDS_S) == 0
        assert not mount.is_mounted()
        assert "ERROR" not in mount.log()
    finally:
        mount.close()
