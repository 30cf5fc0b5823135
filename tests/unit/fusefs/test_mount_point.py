"""Goal: the kernel's list of mounts is read right whatever the names, and lazy and missing mounts are told apart.

Method: texts as proc_pid_mountinfo(5) describes them, made from any bytes a path can have. Real mounts are in tests/fuse.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.start_errors import MountPointError
from dfs.fusefs import mount_point
from dfs.fusefs.mount_point import MountedAt, check_mount_point, find_device, is_automount, is_device_mounted, parse_mountinfo, show

PATHS = st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & {0, 47}), min_size=1, max_size=4).map(
    lambda names: b"/" + b"/".join(names)
)


def escape(path: bytes) -> bytes:
    """Write a path as the kernel does (mangle_path)."""
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else bytes([byte]) for byte in path)


def line(point: bytes, device: bytes = b"0:47") -> bytes:
    return b"36 35 %s /root %s rw,noatime master:1 - fuse.dfs 127.0.0.1:9000 rw,user_id=0\n" % (device, escape(point))


@given(points=st.lists(PATHS, max_size=5))
def test_any_mount_point_is_read_back(points: list[bytes]) -> None:
    assert parse_mountinfo(b"".join(line(point) for point in points)) == [
        MountedAt(point, b"0:47", b"fuse.dfs", b"127.0.0.1:9000", frozenset({b"rw", b"noatime", b"user_id=0"})) for point in points
    ]


def test_device_on_top_is_found_and_gone_when_unmounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(mount_point, "MOUNTINFO", table)
    table.write_bytes(line(b"/mnt", b"0:40") + line(b"/mnt", b"0:41"))
    assert find_device(b"/mnt") == b"0:41"
    assert find_device(b"/mnt/x") is None
    assert is_device_mounted(b"0:40")
    table.write_bytes(line(b"/mnt", b"0:40"))
    assert not is_device_mounted(b"0:41")


def test_waiting_automount_is_a_free_mount_point_and_one_that_is_mounted_on_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, point = tmp_path / "mountinfo", tmp_path / "mnt"
    point.mkdir()
    monkeypatch.setattr(mount_point, "MOUNTINFO", table)
    waiting = b"40 35 0:50 / %s rw shared:1 - autofs systemd-1 rw,fd=55\n" % escape(bytes(point))
    table.write_bytes(waiting)
    assert is_automount(bytes(point))
    assert check_mount_point(bytes(point)) == bytes(point)
    table.write_bytes(waiting + line(bytes(point)))
    assert not is_automount(bytes(point))
    with pytest.raises(MountPointError, match="mounted already"):
        check_mount_point(bytes(point))


def test_mount_point_is_resolved_through_links_and_dots(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to(tmp_path / "a/../real")
    assert check_mount_point(bytes(tmp_path / "a/../one")) == bytes((tmp_path / "real").resolve())


def test_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(MountPointError, match="circle of links"):
        check_mount_point(bytes(tmp_path / "one"))


def test_missing_fuse_device_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_point, "FUSE_DEVICE", tmp_path / "no-fuse")
    (tmp_path / "mnt").mkdir()
    with pytest.raises(MountPointError, match="kernel module fuse"):
        check_mount_point(bytes(tmp_path / "mnt"))


def test_odd_path_is_shown_in_plain_utf_8() -> None:
    assert show(b"/m\xc3\xa9\xff") == "/mé\\udcff"
