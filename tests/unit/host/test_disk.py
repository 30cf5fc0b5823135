"""Goal: LocalDisk keeps the promises of core.interfaces.Disk and File. Method: a real folder, a real full disk (a small tmpfs),
and an operating system that is made to fail or to write short.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfs.core.errors import DiskError, DiskFailed, DiskFull, DiskMissing, DiskReadOnly
from dfs.core.interfaces import Disk
from dfs.core.records import Buffer
from dfs.host.disk import IOV_MAX, JOIN_BELOW_BYTES, TEMPORARY_SUFFIX, LocalDisk, disk_error
from tests.harness.tmpfs import tmpfs_on

SMALL_DISK_BYTES = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> LocalDisk:
    return LocalDisk(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[LocalDisk]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    with tmpfs_on(tmp_path / "small", f"size={SMALL_DISK_BYTES}") as folder:
        yield LocalDisk(folder)


def test_local_disk_is_a_disk(disk: LocalDisk) -> None:
    as_protocol: Disk = disk  # mypy compares the two
    assert as_protocol.list_folder("") == []


# --- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"one"],
        [b"a", bytearray(b"bc"), memoryview(b"def")],
        [bytes([i % 251]) for i in range(2 * IOV_MAX + 7)],
        [bytes([i]) * JOIN_BELOW_BYTES for i in range(5)],
        [bytes([i % 251]) * JOIN_BELOW_BYTES for i in range(IOV_MAX + 2)],
    ],
    ids=["none", "empty", "one", "kinds", "more than IOV_MAX", "large", "large, more than IOV_MAX"],
)
def test_pwrite_parts_are_read_back_joined(disk: LocalDisk, parts: list[Buffer]) -> None:
    file = disk.open("f", create=True)
    file.pwrite(parts, 3)
    whole = b"".join(parts)
    assert file.pread(len(whole) + 9, 3) == whole
    assert file.size_bytes() == (3 + len(whole) if whole else 0)
    file.close()


@pytest.mark.parametrize("part_bytes", [10, JOIN_BELOW_BYTES])
def test_pwrite_after_short_writes_goes_on_where_it_stopped(
    disk: LocalDisk, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    real, calls = os.pwritev, []

    def short(fd: int, buffers: list[Buffer], offset: int) -> int:
        calls.append(offset)
        return real(fd, [b"".join(buffers)[: max(1, sum(map(len, buffers)) * 2 // 3)]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    parts = [bytes([65 + i]) * part_bytes for i in range(4)]
    file = disk.open("f", create=True)
    file.pwrite(parts, 1)
    assert file.pread(5 * part_bytes, 1) == b"".join(parts)
    assert len(calls) > 3
    file.close()


def test_pwrite_that_moves_nothing_fails_instead_of_looping(disk: LocalDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    file = disk.open("f", create=True)
    with pytest.raises(DiskFailed):
        file.pwrite([b"x"], 0)
    file.close()


def test_pread_after_short_reads_returns_all(disk: LocalDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("f", create=True)
    file.pwrite([b"0123456789"], 0)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: real(fd, min(size, 3), offset))
    assert file.pread(8, 1) == b"12345678"
    assert file.pread(100, 5) == b"56789"
    assert file.pread(5, 10) == b""
    file.close()


def test_truncate_sets_the_size_both_ways(disk: LocalDisk) -> None:
    file = disk.open("f", create=True)
    file.pwrite([b"abcdef"], 0)
    file.truncate(2)
    assert file.pread(9, 0) == b"ab"
    file.truncate(4)
    assert file.pread(9, 0) == b"ab\0\0"
    file.close()


def test_open_without_create_of_a_missing_file_is_disk_missing(disk: LocalDisk) -> None:
    with pytest.raises(DiskMissing) as caught:
        disk.open("folder/f")
    assert str(caught.value) == "open folder/f: No such file or directory"


def test_open_of_a_symbolic_link_is_refused(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(DiskFailed):
        disk.open("link")


def test_file_after_close_fails_and_never_reaches_another_file(disk: LocalDisk) -> None:
    file = disk.open("a", create=True)
    file.close()
    other = disk.open("b", create=True)  # gets the same descriptor number
    with pytest.raises(DiskFailed):
        file.pwrite([b"x"], 0)
    with pytest.raises(DiskFailed):
        file.close()
    assert other.size_bytes() == 0
    other.close()


def test_descriptors_are_not_inherited_by_children(disk: LocalDisk, tmp_path: Path) -> None:
    file = disk.open("a", create=True)
    seen = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in seen
    file.close()


# --- errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "leaf"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, DiskReadOnly),
        (errno.EACCES, DiskReadOnly),
        (errno.EPERM, DiskReadOnly),
        (errno.ENOENT, DiskMissing),
        (errno.EIO, DiskFailed),
        (errno.ENOTDIR, DiskFailed),
        (None, DiskFailed),
    ],
)
def test_disk_error_of_each_errno_is_its_leaf(number: int | None, leaf: type[DiskError]) -> None:
    error = disk_error("read", "f", OSError(number, "x") if number else OSError("x"))
    assert type(error) is leaf
    assert str(error).startswith("read f: ")


@pytest.mark.parametrize(
    ("function", "act"),
    [
        ("pread", lambda disk: disk.open("f").pread(1, 0)),
        ("pwritev", lambda disk: disk.open("f").pwrite([b"x"], 0)),
        ("fdatasync", lambda disk: disk.open("f").sync()),
        ("fstat", lambda disk: disk.open("f").size_bytes()),
        ("ftruncate", lambda disk: disk.open("f").truncate(1)),
        ("open", lambda disk: disk.open("f")),
        ("write", lambda disk: disk.replace("f", b"new")),
        ("fsync", lambda disk: disk.replace("f", b"new")),
        ("fsync", lambda disk: disk.sync_folder("")),
        ("rename", lambda disk: disk.rename("f", "g")),
        ("unlink", lambda disk: disk.remove("f")),
        ("mkdir", lambda disk: disk.make_folder("a/b")),
        ("listdir", lambda disk: disk.list_folder("")),
        ("statvfs", lambda disk: disk.space()),
    ],
)
def test_every_operation_translates_the_systems_error(
    disk: LocalDisk, monkeypatch: pytest.MonkeyPatch, function: str, act: Callable[[LocalDisk], object]
) -> None:
    disk.replace("f", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(DiskFailed) as caught:
        act(disk)
    monkeypatch.undo()
    assert isinstance(caught.value.__cause__, OSError)
    assert disk.read("f") == b"old"


def test_full_disk_is_disk_full_and_keeps_what_was_there(small_disk: LocalDisk, tmp_path: Path) -> None:
    small_disk.replace("small", b"old")
    file = small_disk.open("big", create=True)
    with pytest.raises(DiskFull):
        file.pwrite([bytes(64 << 10)] * (2 * SMALL_DISK_BYTES >> 16), 0)
    file.close()
    with pytest.raises(DiskFull):
        small_disk.replace("small", bytes(SMALL_DISK_BYTES))
    assert small_disk.read("small") == b"old"
    assert sorted(os.listdir(tmp_path / "small")) == ["big", "small"], "no leftover takes up the last space"
    assert small_disk.space().free_bytes == 0
    small_disk.remove("big")
    small_disk.replace("small", b"new")
    assert small_disk.read("small") == b"new"


def test_space_tells_size_and_one_device_per_disk(small_disk: LocalDisk, tmp_path: Path) -> None:
    small, large, same = small_disk.space(), LocalDisk(tmp_path).space(), LocalDisk(tmp_path).space()
    assert small.total_bytes == SMALL_DISK_BYTES
    assert 0 < small.free_bytes <= SMALL_DISK_BYTES
    assert small.device != large.device
    assert large.device == same.device


def test_read_only_disk_is_disk_read_only(small_disk: LocalDisk, tmp_path: Path) -> None:
    small_disk.replace("f", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "small")], check=True)
    with pytest.raises(DiskReadOnly):
        small_disk.replace("f", b"new")
    with pytest.raises(DiskReadOnly):
        small_disk.make_folder("a")
    assert small_disk.read("f") == b"old"


# --- names and folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b", f"a{TEMPORARY_SUFFIX}"]
)
def test_name_that_could_leave_the_folder_is_refused(disk: LocalDisk, name: str) -> None:
    for act in (disk.open, disk.read, disk.remove, lambda name: disk.replace(name, b""), lambda name: disk.rename("a", name)):
        with pytest.raises(ValueError, match="inside the state folder"):
            act(name)
    if name:
        for folder_act in (disk.make_folder, disk.list_folder, disk.sync_folder):
            with pytest.raises(ValueError, match="inside the state folder"):
                folder_act(name)


def test_replace_is_whole_after_a_crash_at_each_step(disk: LocalDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the replacement before each system call it makes; what is read then is old or new, and the next one succeeds."""
    disk.replace("f", b"old")
    for function in ("open", "write", "fsync", "rename"):

        def crash(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, function, crash)
        with pytest.raises(KeyboardInterrupt):
            disk.replace("f", b"new")
        monkeypatch.undo()
        assert disk.read("f") == b"old"
        assert disk.list_folder("") == ["f"]
    disk.replace("f", b"new")
    assert disk.read("f") == b"new"
    assert os.listdir(tmp_path) == ["f"], "the leftovers of the crashes were used up"


def test_replace_syncs_the_file_before_the_rename_and_the_folder_after(
    disk: LocalDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(fd: int) -> None:
        steps.append("sync folder" if Path(f"/proc/self/fd/{fd}").readlink() == tmp_path / "d" else "sync file")
        fsync(fd)

    def note_rename(old: str, new: str) -> None:
        steps.append("rename")
        rename(old, new)

    disk.make_folder("d")
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    disk.replace("d/f", b"x")
    assert steps == ["sync file", "rename", "sync folder"]


def test_replace_by_many_tasks_at_once_leaves_one_whole_content(disk: LocalDisk, tmp_path: Path) -> None:
    contents = [bytes([i]) * 50_000 for i in range(8)]
    threads = [threading.Thread(target=disk.replace, args=("f", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disk.read("f") in contents
    assert os.listdir(tmp_path) == ["f"]


def test_make_folder_makes_parents_durably_and_twice_is_harmless(disk: LocalDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink().name))
        fsync(fd)

    disk.make_folder("p")
    monkeypatch.setattr(os, "fsync", note)
    disk.make_folder("p/q/r")
    assert synced == ["p", "q"]
    disk.make_folder("p/q/r")
    assert disk.list_folder("p/q") == ["r"]


def test_make_folder_over_a_file_fails(disk: LocalDisk) -> None:
    disk.replace("f", b"")
    with pytest.raises(DiskFailed):
        disk.make_folder("f/g")


def test_make_folder_in_a_vanished_state_folder_does_not_make_it_again(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path / "gone")
    with pytest.raises(DiskMissing):
        disk.make_folder("a/b")
    assert not (tmp_path / "gone").exists()


def test_rename_remove_and_list_tell_the_names(disk: LocalDisk) -> None:
    disk.make_folder("d")
    for name in ("b", "a", "c"):
        disk.replace(f"d/{name}", name.encode())
    disk.rename("d/a", "d/b")
    disk.remove("d/c")
    disk.sync_folder("d")
    assert disk.list_folder("d") == ["b"]
    assert disk.read("d/b") == b"a"
    assert disk.list_folder("nowhere") == []
    for act in (disk.read, disk.remove, disk.sync_folder):
        with pytest.raises(DiskMissing):
            act("nowhere")
