"""Goal: what is named by an inode's number is that inode, wherever its names went, and an open still asks what a name leads to.

Method: two FileSystems on an in-process cluster of real services; one uses numbers as the channel of our own does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dfs.core.errors import InvalidArgument, NotFound, StaleFile
from dfs.core.ids import Ino
from dfs.core.messages.inodes import AttributeChanges
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount

O_RDONLY, O_RDWR, O_CREAT = 0o0, 0o2, 0o100
CTX = CallerContext()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("numbers"), 2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def mount(cluster: LocalCluster) -> Mount:
    return cluster.mount()


@pytest.fixture(scope="module")
def other(cluster: LocalCluster) -> Mount:
    return cluster.mount()


@pytest.fixture
def folder(mount: Mount, request: pytest.FixtureRequest) -> bytes:
    """Return the number of a new folder whose name is that of the test, as a path."""
    mount.fs.mkdir(CTX, b"/" + request.node.name.encode(), 0o755)
    return b"%d" % mount.fs.getattr(CTX, b"/" + request.node.name.encode()).ino


def write(mount: Mount, path: bytes, content: bytes) -> Ino:
    """Make a file; return its inode."""
    handle = mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)
    mount.fs.write(CTX, handle, content, 0)
    ino = mount.fs.getattr(CTX, b"", handle).ino
    mount.fs.flush(CTX, handle)
    mount.fs.release(CTX, handle)
    return ino


def read(mount: Mount, path: bytes) -> bytes:
    handle = mount.fs.open(CTX, path, O_RDONLY)
    try:
        return mount.fs.read(CTX, handle, 1000, 0)
    finally:
        mount.fs.release(CTX, handle)


def test_names_in_a_folder_follow_it_when_another_mount_moves_it(mount: Mount, other: Mount, folder: bytes) -> None:
    ino = write(mount, folder + b"/file", b"content")
    path = b"/test_names_in_a_folder_follow_it_when_another_mount_moves_it"
    other.fs.rename(CTX, path, path + b"-moved")
    assert mount.fs.getattr(CTX, folder + b"/file").ino == ino
    assert read(mount, folder + b"/file") == b"content"
    assert [entry.name for entry in mount.fs.list_folder(CTX, folder)] == [b"file"]
    assert [entry.name for entry in other.fs.list_folder(CTX, path + b"-moved")] == [b"file"]


def test_every_operation_takes_a_number(mount: Mount, other: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/a", b"0123456789")
    mount.fs.setattr(CTX, ino, AttributeChanges(mode=0o600))
    mount.fs.truncate(CTX, ino, 4)
    mount.fs.setxattr(CTX, ino, b"user.x", b"v", 0)
    mount.fs.link(CTX, ino, folder + b"/b")
    mount.fs.symlink(CTX, folder + b"/link", b"a")
    mount.fs.mkdir(CTX, folder + b"/sub", 0o700)
    mount.fs.rename(CTX, folder + b"/a", folder + b"/c")
    link = b"%d" % mount.fs.getattr(CTX, folder + b"/link").ino
    assert mount.fs.readlink(CTX, link) == b"a"
    assert (mount.fs.listxattr(CTX, ino), mount.fs.getxattr(CTX, ino, b"user.x")) == ((b"user.x",), b"v")
    shown = other.fs.getattr(CTX, folder + b"/b")
    assert (shown.mode & 0o777, shown.nlink, shown.content.size_bytes) == (0o600, 2, 4)
    mount.fs.unlink(CTX, folder + b"/b")
    mount.fs.rmdir(CTX, folder + b"/sub")
    assert sorted(entry.name for entry in other.fs.list_folder(CTX, folder)) == [b"c", b"link"]


def test_open_by_number_asks_what_the_name_leads_to(mount: Mount, other: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/file", b"old")
    keeper = other.fs.open(CTX, folder + b"/file", O_RDONLY)
    write(other, folder + b"/new", b"new")
    other.fs.rename(CTX, folder + b"/new", folder + b"/file")
    with pytest.raises(StaleFile):
        mount.fs.open(CTX, ino, O_RDONLY)
    newer = b"%d" % mount.fs.getattr(CTX, folder + b"/file").ino
    assert newer != ino, "who opens looks the name up again, and must not get what was cached"
    assert read(mount, newer) == b"new"
    other.fs.release(CTX, keeper)


def test_open_by_number_of_what_another_mount_has_removed_is_stale(mount: Mount, other: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/file", b"old")
    other.fs.unlink(CTX, folder + b"/file")
    with pytest.raises(StaleFile):
        mount.fs.open(CTX, ino, O_RDONLY)
    with pytest.raises(NotFound):
        mount.fs.open(CTX, folder + b"/file", O_RDONLY)


def test_own_renames_and_other_names_do_not_make_an_open_stale(mount: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/a", b"content")
    mount.fs.link(CTX, ino, folder + b"/b")
    mount.fs.rename(CTX, folder + b"/b", folder + b"/c")
    assert read(mount, ino) == b"content"
    mount.fs.unlink(CTX, folder + b"/c")
    assert read(mount, ino) == b"content"


def test_file_that_lost_its_names_while_open_is_still_there_by_its_number(mount: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/file", b"content")
    handle = mount.fs.open(CTX, ino, O_RDWR)
    mount.fs.unlink(CTX, folder + b"/file")
    mount.fs.setattr(CTX, ino, AttributeChanges(mode=0o600))
    shown = mount.fs.getattr(CTX, ino)
    assert (shown.nlink, shown.mode & 0o777) == (0, 0o600)
    assert read(mount, ino) == b"content"
    mount.fs.release(CTX, handle)


def test_rename_over_an_open_file_is_one_step_and_leaves_it_whole(mount: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/old", b"old")
    handle = mount.fs.open(CTX, ino, O_RDONLY)
    write(mount, folder + b"/new", b"new")
    with mount.counting() as made:
        mount.fs.rename(CTX, folder + b"/new", folder + b"/old")
    assert made == {"Rename": 1}
    assert mount.fs.read(CTX, handle, 100, 0) == b"old"
    assert mount.fs.getattr(CTX, ino).nlink == 0
    mount.fs.release(CTX, handle)
    assert read(mount, folder + b"/old") == b"new"


def test_what_is_believed_of_a_number_costs_no_call_and_ends(mount: Mount, folder: bytes) -> None:
    ino = write(mount, folder + b"/file", b"content")
    mount.fs.getattr(CTX, folder + b"/file")
    with mount.counting() as made:
        (believed,) = mount.fs.believed([(folder + b"/file", ino)])
        mount.fs.getattr(CTX, b"%d" % ino)
    assert not made
    assert believed.attributes == mount.fs.getattr(CTX, b"%d" % ino)
    assert 0 < believed.attributes_s <= 1
    assert 0 < believed.name_s <= 1
    assert mount.fs.believed([(folder + b"/other", ino)])[0].name_s == 0


def test_look_asks_only_for_what_is_not_believed(cluster: LocalCluster, folder: bytes) -> None:
    mount = cluster.mount()
    ino = write(mount, folder + b"/file", b"content")
    for path in (folder + b"/file", b"%d" % ino):
        mount.fs.set_timeouts(60.0, None)
        shown = mount.fs.getattr(CTX, path)
        with mount.counting() as made:
            looked = mount.fs.look(CTX, path)
        assert not made
        assert looked.attributes == shown
        assert 0 < looked.attributes_s <= 60
        assert (looked.name_s > 0) == (b"/" in path)
        mount.fs.set_timeouts(0.0, None)
        mount.fs.setattr(CTX, path, AttributeChanges(mode=0o600))
        with mount.counting() as made:
            looked = mount.fs.look(CTX, path)
        assert made == {"Lookup": 1}
        assert (looked.attributes.mode & 0o777, looked.attributes_s, looked.name_s) == (0o600, 0, 0)
        mount.fs.setattr(CTX, path, AttributeChanges(mode=0o644))


def test_message_names_a_file_by_its_path(mount: Mount, folder: bytes) -> None:
    ino = b"%d" % write(mount, folder + b"/file", b"content")
    handle = mount.fs.open(CTX, ino, O_RDONLY)
    with pytest.raises(InvalidArgument, match="/test_message_names_a_file_by_its_path/file"):
        mount.fs.read(CTX, handle, 10, -1)
    mount.fs.release(CTX, handle)
