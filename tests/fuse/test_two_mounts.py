"""Goal: two mounts of one file system show the same files. Method: two real mounts, plain system calls on both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster


@pytest.fixture
def two(make_cluster: Callable[..., Cluster]) -> tuple[Path, Path]:
    """Return the roots of two mounts of one cluster."""
    cluster = make_cluster()
    cluster.start(mounts=2)
    return cluster.mount(0).path, cluster.mount(1).path


def test_what_one_mount_closed_the_other_opens(two: tuple[Path, Path]) -> None:
    one, other = two
    for size in (0, 1, 511, 512, 513, 70_000, 300_000):
        content = os.urandom(size)
        (one / "file").write_bytes(content)
        assert (other / "file").read_bytes() == content
        (other / "file").write_bytes(content[::-1])
        assert (one / "file").read_bytes() == content[::-1]


def test_names_made_renamed_and_removed_are_seen_by_the_other(two: tuple[Path, Path]) -> None:
    one, other = two
    (one / "folder").mkdir()
    (one / "folder" / "a").write_text("a")
    assert os.listdir(other / "folder") == ["a"]
    (other / "folder" / "a").rename(other / "folder" / "b")
    assert os.listdir(one / "folder") == ["b"]
    assert (one / "folder" / "b").read_text() == "a"
    (one / "folder" / "b").unlink()
    (one / "folder").rmdir()
    assert os.listdir(other) == []


def test_file_removed_by_one_mount_stays_open_in_the_other(two: tuple[Path, Path]) -> None:
    one, other = two
    content = os.urandom(50_000)
    (one / "file").write_bytes(content)
    fd = os.open(other / "file", os.O_RDWR)
    try:
        (one / "file").unlink()
        assert os.pread(fd, 60_000, 0) == content
        assert os.pwrite(fd, b"still writable", 0) == 14
        assert os.pread(fd, 14, 0) == b"still writable"
    finally:
        os.close(fd)


def test_appends_of_both_mounts_to_one_file_lose_nothing(two: tuple[Path, Path]) -> None:
    one, other = two
    (one / "log").touch()
    writers = [
        subprocess.Popen([sys.executable, "-c", APPENDER, str(root / "log"), letter]) for root, letter in ((one, "a"), (other, "b"))
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    lines = (one / "log").read_text().splitlines()
    for letter in "ab":
        assert [line for line in lines if line.startswith(letter)] == [f"{letter}{number:06d}" for number in range(200)]
    assert len(lines) == 400


APPENDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for number in range(200):
    os.write(fd, f"{sys.argv[2]}{number:06d}\\n".encode())
"""


def test_truncated_by_one_mount_is_short_in_the_other_and_zeros_when_extended(two: tuple[Path, Path]) -> None:
    one, other = two
    (one / "file").write_bytes(b"x" * 10_000)
    os.truncate(other / "file", 700)
    assert (one / "file").read_bytes() == b"x" * 700
    os.truncate(one / "file", 3_000)
    assert (other / "file").read_bytes() == b"x" * 700 + bytes(2_300)
