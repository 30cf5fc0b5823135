"""Goal: on a full disk under one data server the program gets ENOSPC, the file keeps what was acknowledged, and overwriting,
repairing, truncating and unlinking go on.
Method: a real cluster in which one server's state folder is a tmpfs of a few MiB, filled through the mount.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.tmpfs import tmpfs_on
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

DISK_BYTES = 8 << 20
CHUNK_BYTES = 100_000
CHUNKS_MAX = 500


def chunk(number: int) -> bytes:
    return number.to_bytes(4, "little") * (CHUNK_BYTES // 4)


@pytest.fixture
def cramped(make_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """Return a running cluster of three whose server 1 has a small disk."""
    cluster = make_cluster(n=3)
    cluster.allow("the disk of this server is full", "the disk of this server is nearly full", "fails with ENOSPC")
    with tmpfs_on(cluster.state_folder(1), f"size={DISK_BYTES}"), closing(cluster):
        cluster.start(mounts=1)
        yield cluster


def fill(path: Path) -> int:
    """Write until the disk is full; return how many bytes were acknowledged."""
    acknowledged = 0
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        for number in range(CHUNKS_MAX):
            try:
                written = os.write(fd, chunk(number))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return acknowledged
            acknowledged += written
            if written < CHUNK_BYTES:
                with pytest.raises(OSError, match="No space"):
                    os.write(fd, chunk(number)[written:])
                return acknowledged
    finally:
        os.close(fd)
    raise AssertionError("the disk never filled up")


def content(size_bytes: int) -> bytes:
    return b"".join(chunk(number) for number in range(size_bytes // CHUNK_BYTES + 1))[:size_bytes]


def remount(cluster: Cluster) -> Path:
    """Return the mount's folder with nothing cached."""
    assert cluster.mount().unmount() == 0
    cluster.restart(cluster.mount())
    return cluster.mount().path


def test_program_gets_enospc_and_the_file_keeps_what_was_acknowledged(cramped: Cluster) -> None:
    path = cramped.mount().path / "file"
    acknowledged = fill(path)
    assert acknowledged > DISK_BYTES // 2
    log = cramped.data(1).log_text()
    assert log.count("the disk of this server is nearly full") == 1
    assert log.index("is nearly full") < log.index("the disk of this server is full")
    assert path.stat().st_size == acknowledged
    assert path.read_bytes() == content(acknowledged)
    assert (remount(cramped) / "file").read_bytes() == content(acknowledged)
    cramped.stop()
    cramped.start(mounts=1)
    assert path.read_bytes() == content(acknowledged)


def test_full_disk_still_takes_overwrites_truncation_and_unlink_and_then_new_files(cramped: Cluster) -> None:
    path = cramped.mount().path / "file"
    acknowledged = fill(path)
    newer = b"n" * acknowledged
    for _ in range(2):
        fd = os.open(path, os.O_WRONLY)
        assert sum(os.pwrite(fd, newer[at : at + CHUNK_BYTES], at) for at in range(0, acknowledged, CHUNK_BYTES)) == acknowledged
        os.fsync(fd)
        os.close(fd)
    assert (remount(cramped) / "file").read_bytes() == newer
    os.truncate(path, 1000)
    assert path.read_bytes() == newer[:1000]
    path.unlink()

    def fits() -> bool:
        try:
            (cramped.mount().path / "next").write_bytes(content(CHUNK_BYTES))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        return True

    wait_until(fits, "the space of the removed file", 30)
    assert (remount(cramped) / "next").read_bytes() == content(CHUNK_BYTES)


def test_bad_copy_on_a_full_disk_is_still_repaired(cramped: Cluster) -> None:
    path = cramped.mount().path / "file"
    acknowledged = fill(path)
    cramped.allow("was corrupt, repaired", "does not verify")
    strip = next(cramped.state_folder(1).glob("strips/*/*.p"))
    damaged = strip.read_bytes()
    cramped.data(1).stop()
    with strip.open("r+b") as file:
        file.seek(512 + 16 + 100)
        file.write(bytes([damaged[512 + 16 + 100] ^ 0xFF]))
    cramped.restart(cramped.data(1))
    assert (remount(cramped) / "file").read_bytes() == content(acknowledged)
    cramped.mount().wait_for_log("repaired from the other copy")
    cramped.data(1).stop()
    assert strip.read_bytes()[512 + 16 + 100] == damaged[512 + 16 + 100]
    cramped.restart(cramped.data(1))
