"""Goal: operations cost the calls that the design allows, no more. Method: count them by request type on an in-process cluster
of four data servers with blocks of 512 bytes, with capabilities and without.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from dfs.core.errors import NotFound
from dfs.core.interfaces import Caller
from dfs.core.limits import LISTING_ENTRIES_MAX
from dfs.core.messages.inodes import AttributeChanges
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount

O_RDONLY, O_RDWR, O_CREAT, O_APPEND = 0o0, 0o2, 0o100, 0o2000
CTX = CallerContext()
DATA = bytes(range(256)) * 512


@pytest.fixture(scope="module", params=[(), (b"k" * 32,)], ids=["without-a-key", "with-a-key"])
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), keys=request.param) as cluster:
        yield cluster


@pytest.fixture
def mount(cluster: LocalCluster) -> Mount:
    return cluster.mount(attr_timeout_s=60.0)


def new_file(mount: Mount, path: bytes, data: bytes = DATA) -> int:
    handle = mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)
    mount.fs.write(CTX, handle, data, 0)
    return handle


def test_create_makes_one_meta_call(mount: Mount) -> None:
    with mount.counting() as calls:
        mount.fs.create(CTX, b"/created", 0o644, O_RDWR | O_CREAT)
    assert calls == {"Create": 1}


def test_write_of_128_kib_makes_one_call_per_data_server_and_none_to_meta(mount: Mount) -> None:
    handle = mount.fs.create(CTX, b"/written", 0o644, O_RDWR | O_CREAT)
    with mount.counting() as calls:
        mount.fs.write(CTX, handle, DATA, 0)
    assert calls == {"Put": 4}


def test_read_of_128_kib_makes_one_call_per_data_server_and_none_to_meta(mount: Mount) -> None:
    mount.fs.release(CTX, new_file(mount, b"/read"))
    handle = mount.fs.open(CTX, b"/read", O_RDONLY)
    with mount.counting() as calls:
        assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA
    assert calls == {"Get": 4}


def test_close_after_writing_makes_one_meta_call(mount: Mount) -> None:
    handle = new_file(mount, b"/closed")
    with mount.counting() as calls:
        mount.fs.flush(CTX, handle)
        mount.fs.release(CTX, handle)
    assert calls == {"Yield": 1}


def test_release_after_writing_without_flush_makes_one_meta_call(mount: Mount) -> None:
    handle = new_file(mount, b"/released")
    with mount.counting() as calls:
        mount.fs.release(CTX, handle)
    assert calls == {"Close": 1}


def test_release_of_a_file_only_read_makes_no_call(mount: Mount) -> None:
    mount.fs.release(CTX, new_file(mount, b"/only-read", b"x"))
    handle = mount.fs.open(CTX, b"/only-read", O_RDONLY)
    with mount.counting() as calls:
        mount.fs.flush(CTX, handle)
        mount.fs.release(CTX, handle)
    assert calls == {}


def test_append_to_a_small_file_makes_no_read(mount: Mount) -> None:
    handle = new_file(mount, b"/log", b"first ")
    with mount.counting() as calls:
        mount.fs.write(CTX, handle, b"second", 6)
    assert calls == {"Put": 2}
    assert mount.fs.read(CTX, handle, 100, 0) == b"first second"


def test_getattr_of_a_deep_path_makes_one_call_and_repeated_none(mount: Mount) -> None:
    path = b""
    for name in b"abcdefgh":
        path += b"/%c" % name
        mount.fs.mkdir(CTX, path, 0o755)
    other = mount.fs
    mount.fs.release(CTX, new_file(mount, path + b"/file", b"x"))
    with mount.counting() as calls:
        other.getattr(CTX, path + b"/file")
        other.getattr(CTX, path + b"/file")
    assert calls == {"Lookup": 1}


def folder_of_files(cluster: LocalCluster, path: bytes, count: int) -> list[bytes]:
    """Make a folder of empty files by another mount; return their paths in order."""
    maker = cluster.mount()
    maker.fs.mkdir(CTX, path, 0o711)
    paths = [b"%s/file%04d" % (path, number) for number in range(count)]
    for name in paths:
        maker.fs.mknod(CTX, name, stat.S_IFREG | 0o644, 0)
    return paths


def test_getattr_of_many_names_in_order_asks_for_them_together(cluster: LocalCluster, mount: Mount) -> None:
    paths = folder_of_files(cluster, b"/in-order", 300)
    with mount.counting() as calls:
        shown = [mount.fs.getattr(CTX, path) for path in paths]
    assert calls == {"Lookup": 1, "ListFolder": 6}  # 8, 16, 32, 64, 128, the rest
    assert shown == [cluster.mount().fs.getattr(CTX, path) for path in paths]


@pytest.mark.usefixtures("long_pledges")
def test_rename_of_many_names_in_order_asks_for_them_together(cluster: LocalCluster, mount: Mount) -> None:
    paths = folder_of_files(cluster, b"/renamed-in-order", 300)
    with mount.counting() as calls:
        for path in paths:
            mount.fs.getattr(CTX, path)
            with pytest.raises(NotFound):
                mount.fs.getattr(CTX, path + b"-new")
            mount.fs.rename(CTX, path, path + b"-new")
    assert calls.pop("Rename") == len(paths)
    assert calls.total() < 60


def test_getattr_of_many_names_in_order_by_who_may_not_list_makes_a_lookup_each(cluster: LocalCluster, mount: Mount) -> None:
    paths = folder_of_files(cluster, b"/not-listed", 20)
    stranger = CallerContext(Caller(1000, 1000, ()))
    with mount.counting() as calls:
        for path in paths:
            mount.fs.getattr(stranger, path)
    assert calls["Lookup"] == len(paths)


@pytest.fixture
def long_pledges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the number of calls not depend on how fast they are."""
    for module in ("dfs.client.metadata.whole_folders", "dfs.meta.state.pledges"):
        monkeypatch.setattr(f"{module}.PLEDGE_S", 3.0)


@pytest.mark.usefixtures("long_pledges")
def test_getattr_of_names_that_do_not_exist_asks_for_all_names_instead(cluster: LocalCluster, mount: Mount) -> None:
    paths = folder_of_files(cluster, b"/missing", 20)
    with mount.counting() as calls:
        for path in paths:
            with pytest.raises(NotFound):
                mount.fs.getattr(CTX, path + b"-not")
    assert calls == {"Lookup": 2, "ListNames": 1}


@pytest.mark.usefixtures("long_pledges")
def test_getattr_of_names_that_do_not_exist_by_who_may_not_list_makes_a_lookup_each(cluster: LocalCluster, mount: Mount) -> None:
    paths = folder_of_files(cluster, b"/missing-not-listed", 20)
    stranger = CallerContext(Caller(1000, 1000, ()))
    with mount.counting() as calls:
        for path in paths:
            with pytest.raises(NotFound):
                mount.fs.getattr(stranger, path + b"-not")
    assert calls == {"Lookup": len(paths), "ListNames": 4}  # at the second, fourth, eighth and sixteenth


@pytest.mark.usefixtures("long_pledges")
def test_names_that_are_looked_for_and_then_made_take_one_call_each(cluster: LocalCluster, mount: Mount) -> None:
    mount.fs.mkdir(CTX, b"/made", 0o755)
    makes: dict[str, Callable[[bytes], object]] = {
        "MakeFolder": lambda path: mount.fs.mkdir(CTX, path, 0o755),
        "Create": lambda path: mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT),
        "Rename": lambda path: mount.fs.rename(CTX, b"/made/old", path),
    }
    mount.fs.mknod(CTX, b"/made/old", stat.S_IFREG | 0o644, 0)
    for name in (b"/made/x", b"/made/y"):
        with pytest.raises(NotFound):
            mount.fs.getattr(CTX, name)
    for method, make in makes.items():
        path = b"/made/" + method.encode()
        with mount.counting() as calls:
            with pytest.raises(NotFound):
                mount.fs.getattr(CTX, path)
            make(path)
            assert mount.fs.getattr(CTX, path) == cluster.mount().fs.getattr(CTX, path)
        assert calls == {method: 1}


def test_name_that_another_mount_makes_in_a_folder_that_is_known_whole_is_seen_at_once(cluster: LocalCluster, mount: Mount) -> None:
    mount.fs.mkdir(CTX, b"/shared", 0o755)
    other = cluster.mount()
    makes: tuple[Callable[[bytes], object], ...] = (
        lambda path: other.fs.mkdir(CTX, path, 0o755),
        lambda path: other.fs.release(CTX, other.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)),
        lambda path: other.fs.rename(CTX, b"/to-share", path),
    )
    other.fs.mknod(CTX, b"/to-share", stat.S_IFREG | 0o644, 0)
    for number, make in enumerate(makes):
        folder = b"/shared/%d" % number
        mount.fs.mkdir(CTX, folder, 0o755)
        with mount.counting() as calls:
            for name in (b"/x", b"/y", b"/z"):
                with pytest.raises(NotFound):
                    mount.fs.getattr(CTX, folder + name)
        assert calls["ListNames"] >= 1
        make(folder + b"/z")
        assert mount.fs.getattr(CTX, folder + b"/z") == other.fs.getattr(CTX, folder + b"/z")


@pytest.mark.parametrize(
    "operation",
    [
        *("create", "mknod", "symlink", "link", "unlink", "unlink_open", "mkdir", "rmdir"),
        *("rename", "rename of a folder", "rename over a folder"),
    ],
)
def test_stat_of_a_folder_after_an_own_change_of_a_name_in_it_makes_no_call(
    cluster: LocalCluster, mount: Mount, operation: str
) -> None:
    folder = b"/changed-by-" + operation.replace(" ", "-").encode()
    mount.fs.mkdir(CTX, folder, 0o755)
    mount.fs.release(CTX, new_file(mount, folder + b"/old", b"x"))
    for inside in (b"/inside", b"/beside"):
        mount.fs.mkdir(CTX, folder + inside, 0o755)
    name = folder + b"/new"
    before = mount.fs.getattr(CTX, folder)
    operations: dict[str, Callable[[], object]] = {
        "create": lambda: mount.fs.create(CTX, name, 0o644, O_RDWR | O_CREAT),
        "mknod": lambda: mount.fs.mknod(CTX, name, 0o010644, 0),
        "symlink": lambda: mount.fs.symlink(CTX, name, b"old"),
        "link": lambda: mount.fs.link(CTX, folder + b"/old", name),
        "unlink": lambda: mount.fs.unlink(CTX, folder + b"/old"),
        "unlink_open": lambda: mount.fs.unlink_open(CTX, folder + b"/old", b"/.fuse_hidden0000000000000001"),
        "mkdir": lambda: mount.fs.mkdir(CTX, name, 0o755),
        "rmdir": lambda: mount.fs.rmdir(CTX, folder + b"/inside"),
        "rename": lambda: mount.fs.rename(CTX, folder + b"/old", name),
        "rename of a folder": lambda: mount.fs.rename(CTX, folder + b"/inside", name),
        "rename over a folder": lambda: mount.fs.rename(CTX, folder + b"/inside", folder + b"/beside"),
    }
    operations[operation]()
    if operation.startswith("rename "):
        mount.fs.getattr(CTX, folder)  # any number of paths may have changed, so this one is looked up anew
    with mount.counting() as calls:
        after = mount.fs.getattr(CTX, folder)
    assert calls == {}
    assert after.mtime_ns > before.mtime_ns
    assert after == cluster.mount().fs.getattr(CTX, folder)


def test_stat_of_a_file_after_its_rename_makes_no_call(cluster: LocalCluster, mount: Mount) -> None:
    for name in (b"/to-rename", b"/replaced"):
        mount.fs.release(CTX, new_file(mount, name, b"x"))
    before = mount.fs.getattr(CTX, b"/to-rename")
    with mount.counting() as calls:
        mount.fs.rename(CTX, b"/to-rename", b"/replaced")
        after = mount.fs.getattr(CTX, b"/replaced")
    assert calls == {"Rename": 1}
    assert after.ino == before.ino
    assert after.ctime_ns > before.ctime_ns
    assert after == cluster.mount().fs.getattr(CTX, b"/replaced")
    with pytest.raises(NotFound):
        mount.fs.getattr(CTX, b"/to-rename")


def test_rename_to_another_name_of_the_same_file_leaves_both(mount: Mount) -> None:
    mount.fs.release(CTX, new_file(mount, b"/first", b"x"))
    linked = mount.fs.link(CTX, b"/first", b"/second")
    mount.fs.rename(CTX, b"/first", b"/second")
    assert [mount.fs.getattr(CTX, name) for name in (b"/first", b"/second")] == [linked, linked]


def test_create_of_a_file_that_is_there_leaves_its_folders_times(cluster: LocalCluster, mount: Mount) -> None:
    mount.fs.mkdir(CTX, b"/folder", 0o755)
    mount.fs.release(CTX, new_file(mount, b"/folder/file", b"x"))
    before = mount.fs.getattr(CTX, b"/folder")
    cluster.mount().fs.setattr(CTX, b"/folder/file", AttributeChanges(mode=0o600))
    mount.fs.release(CTX, mount.fs.create(CTX, b"/folder/file", 0o644, O_RDWR | O_CREAT))
    assert mount.fs.getattr(CTX, b"/folder") == before


def test_listing_makes_one_call_per_4096_entries_and_the_stats_after_it_none(cluster: LocalCluster, mount: Mount) -> None:
    mount.fs.mkdir(CTX, b"/large", 0o755)
    for number in range(LISTING_ENTRIES_MAX + 1):
        mount.fs.symlink(CTX, b"/large/%d" % number, b"x")
    reader = cluster.mount(attr_timeout_s=60.0)
    with reader.counting() as calls:
        entries = reader.fs.list_folder(CTX, b"/large")
        for entry in entries:
            assert reader.fs.getattr(CTX, b"/large/" + entry.name).ino == entry.attributes.ino
    assert len({entry.name for entry in entries}) == LISTING_ENTRIES_MAX + 1
    assert calls == {"ListFolder": 2}


def test_fsync_reaches_every_data_server_once_and_then_meta(mount: Mount) -> None:
    handle = new_file(mount, b"/synced")
    with mount.counting() as calls:
        mount.fs.fsync(CTX, handle)
    assert calls == {"Sync": 4, "Commit": 1}


@pytest.mark.parametrize(("size_bytes", "servers"), [(0, 0), (1, 2), (512, 2), (513, 3), (1024, 3), (1025, 4), (4096, 4)])
def test_fsync_by_the_holder_reaches_the_servers_that_have_a_block(mount: Mount, size_bytes: int, servers: int) -> None:
    handle = new_file(mount, b"/synced-%d" % size_bytes, bytes(size_bytes))
    with mount.counting() as calls:
        mount.fs.fsync(CTX, handle)
    assert calls == Counter({"Sync": servers, "Commit": 1})


def test_fsync_without_the_grant_reaches_every_data_server(mount: Mount) -> None:
    handle = new_file(mount, b"/given-back", b"x")
    mount.fs.flush(CTX, handle)
    with mount.counting() as calls:
        mount.fs.fsync(CTX, handle)
    assert calls == {"Sync": 4, "Commit": 1}


def test_write_of_10_mib_is_divided_into_requests_within_the_limits(mount: Mount) -> None:
    data = bytes(10 << 20)
    handle = mount.fs.create(CTX, b"/huge", 0o644, O_RDWR | O_CREAT)
    with mount.counting() as calls:
        mount.fs.write(CTX, handle, data, 0)
    assert calls == {"Put": 8}  # two rounds: 4 MiB of blocks in both roles for each server at once
    with mount.counting() as calls:
        assert mount.fs.read(CTX, handle, len(data), 0) == data
    assert calls == {"Get": 8}


def test_read_around_a_server_known_to_be_down_makes_one_call_to_each_of_the_others(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/degraded")
    dead = cluster.wires[cluster.indexes[2]]
    dead.is_down = True
    counts = []
    for _ in range(20):
        with mount.counting() as calls:
            assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA
        counts.append(calls["Get"])
    dead.is_down = False
    assert counts.count(3) >= 10
