"""Goal: on a full disk under the meta-server nothing new is made, removing goes on, and it serves changes again by itself.
Method: the whole meta-server on a small tmpfs, or with a disk whose free space the test says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.errors import DiskFailed, NoSpace, ReadOnly
from dfs.core.events.meta_server import META_DISK_FITS, META_DISK_FULL, META_READ_ONLY, META_WRITES_AGAIN
from dfs.core.ids import ROOT_INO
from dfs.core.messages.cluster import Space
from dfs.core.messages.inodes import AttributeChanges
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import Link, MakeFolder, MakeSymlink, SetAttributes, Unlink
from dfs.core.messages.xattrs import SetXattr
from dfs.host.disk import LocalDisk
from dfs.meta.settings import MetaSettings
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.tmpfs import tmpfs_on
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount

TOTAL_BYTES = 800 << 20
HELD_BYTES = 64 << 20


class FakeRoom:
    """A disk whose free space is what the test says."""

    def __init__(self) -> None:
        self.free_bytes = TOTAL_BYTES
        self.fails = False

    def look(self) -> Space:
        if self.fails:
            raise DiskFailed("statvfs", ".", "it is gone")
        return Space(TOTAL_BYTES, self.free_bytes, "disk")


@pytest.fixture
def disk() -> FakeRoom:
    return FakeRoom()


@pytest.fixture
def meta(tmp_path: Path, disk: FakeRoom) -> Iterator[MetaUnderTest]:
    servers = FakeDataServers()
    running = MetaUnderTest(tmp_path / "meta.db", MetaSettings(data_servers=servers.names), servers=servers, look=disk.look)
    running.start()
    wait_until(lambda: servers.cluster != "")
    yield running
    running.stop()


def state(meta: MetaUnderTest) -> str:
    return meta.service.call(FakeContext(), ShowMeta()).state


def change_mode(mount: Mount, path: bytes, mode: int) -> None:
    mount.call(SetAttributes(mount.op(), ROOT_INO, path, AttributeChanges(mode=mode)))


def change_mode_until_refused(mount: Mount, path: bytes) -> int:
    """Use up the space that SQLite's log has taken already; return the last mode that was acknowledged."""
    acknowledged = mount.look(path).mode & 0o777
    for mode in range(0o700):
        try:
            change_mode(mount, path, mode)
        except ReadOnly as error:
            assert b"full" in error.path  # noqa: PT017  # what was acknowledged before matters too
            return acknowledged
        acknowledged = mode
    raise AssertionError("the disk never filled up")


def test_nearly_full_disk_refuses_what_is_new_and_takes_what_is_not(meta: MetaUnderTest, disk: FakeRoom) -> None:
    mount = meta.mount()
    old, other = mount.create(b"old"), mount.create(b"other")
    disk.free_bytes = HELD_BYTES - 1
    for refused in (
        lambda: mount.create(b"new"),
        lambda: mount.call(MakeFolder(mount.op(), ROOT_INO, b"folder", 0o755)),
        lambda: mount.call(MakeSymlink(mount.op(), ROOT_INO, b"link", b"old")),
        lambda: mount.call(Link(mount.op(), ROOT_INO, b"old", ROOT_INO, b"second")),
        lambda: mount.call(SetXattr(mount.op(), ROOT_INO, b"old", b"user.a", b"1", 0)),
    ):
        with pytest.raises(NoSpace):
            refused()
    assert "disk full" in state(meta)
    meta.until(lambda: bool(meta.events.of(META_DISK_FULL)))
    assert mount.create(b"old").attributes.ino == old.attributes.ino
    change_mode(mount, b"old", 0o600)
    mount.call(Unlink(mount.op(), ROOT_INO, b"other", False))
    assert other.attributes.ino != old.attributes.ino
    disk.free_bytes = HELD_BYTES
    mount.create(b"new")
    meta.until(lambda: bool(meta.events.of(META_DISK_FITS)))
    assert "disk full" not in state(meta)


def test_disk_that_can_not_be_asked_is_not_called_full(meta: MetaUnderTest, disk: FakeRoom) -> None:
    mount = meta.mount()
    disk.fails = True
    mount.create(b"new")
    assert "full" not in state(meta)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[MetaUnderTest]:
    servers = FakeDataServers()
    with tmpfs_on(tmp_path / "small", "size=4M") as folder:
        look = LocalDisk(folder).space
        running = MetaUnderTest(folder / "meta.db", MetaSettings(data_servers=servers.names), servers=servers, look=look)
        running.start()
        wait_until(lambda: servers.cluster != "")
        yield running
        running.stop()


def fill(path: Path) -> None:
    """Take all space of the disk, as another program does."""
    with path.open("wb", buffering=0) as file:
        for size_bytes in (1 << 20, 4096, 1):
            try:
                while file.write(b"x" * size_bytes) == size_bytes:
                    pass
            except OSError:
                continue


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_disk_filled_by_others_turns_meta_read_only_until_there_is_space(small: MetaUnderTest) -> None:
    mount = small.mount()
    mount.create(b"kept")
    fill(small.path.parent / "filler")
    with pytest.raises(NoSpace):
        mount.create(b"new")
    mode = change_mode_until_refused(mount, b"kept")
    assert "until there is space" in state(small)
    assert mount.look(b"kept").mode & 0o777 == mode
    (small.path.parent / "filler").unlink()
    small.until(lambda: bool(small.events.of(META_WRITES_AGAIN)))
    mount.create(b"new")
    small.until(lambda: state(small) in ("ok", "waiting for sessions"))
    assert len(small.events.of(META_READ_ONLY)) == len(small.events.of(META_WRITES_AGAIN)) == 1


@pytest.mark.parametrize(("free_bytes", "takes"), [(64 << 20, True), ((64 << 20) - 1, False)])
def test_log_takes_its_space_at_the_start_only_of_a_disk_with_plenty(tmp_path: Path, free_bytes: int, *, takes: bool) -> None:
    disk = FakeRoom()
    disk.free_bytes = free_bytes
    settings = MetaSettings(data_servers=FakeDataServers().names, log_bytes=1 << 20)
    meta = MetaUnderTest(tmp_path / "meta.db", settings, look=disk.look)
    meta.start()
    try:
        assert ((tmp_path / "meta.db-wal").stat().st_size >= 1 << 20) is takes
    finally:
        meta.stop()
