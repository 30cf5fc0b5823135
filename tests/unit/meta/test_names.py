"""Goal: names behave as POSIX says. Method: each rule through MetaService.call, as the client would."""

from __future__ import annotations

import stat

import pytest

from dfs.core.errors import (
    AccessDenied,
    AlreadyExists,
    DfsError,
    FolderNotEmpty,
    InvalidArgument,
    IsAFolder,
    NameTooLong,
    NotAFolder,
    NotFound,
    NotPermitted,
    StaleFile,
    TooManyLinks,
)
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.limits import LINKS_MAX
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.names import Link, ListFolder, MakeFolder, MakeNode, MakeSymlink, ReadLink, RemoveFolder, Rename, Unlink
from dfs.core.placement import start_for_path
from tests.unit.meta.conftest import MetaUnderTest, Mount


@pytest.fixture
def mount(meta: MetaUnderTest) -> Mount:
    return meta.mount()


def mkdir(mount: Mount, path: bytes, mode: int = 0o755, base: Ino = ROOT_INO) -> Attributes:
    return mount.call(MakeFolder(mount.op(), base, path, mode))


def rmdir(mount: Mount, path: bytes) -> None:
    mount.call(RemoveFolder(mount.op(), ROOT_INO, path))


def unlink(mount: Mount, path: bytes) -> Attributes:
    return mount.call(Unlink(mount.op(), ROOT_INO, path, False))


def link(mount: Mount, old: bytes, new: bytes) -> Attributes:
    return mount.call(Link(mount.op(), ROOT_INO, old, ROOT_INO, new))


def rename(mount: Mount, old: bytes, new: bytes, flags: int = 0) -> None:
    mount.call(Rename(mount.op(), ROOT_INO, old, ROOT_INO, new, flags))


def names_in(mount: Mount, path: bytes = b"") -> list[bytes]:
    return [entry.name for entry in mount.call(ListFolder(ROOT_INO, path, b"", 4096)).entries()]


# --- create ----------------------------------------------------------------------------------------------------------------


def test_create_new_file_is_empty_owned_and_placed_by_its_path(meta: MetaUnderTest, mount: Mount) -> None:
    mkdir(mount, b"a", 0o777)
    made = mount.acting_as(10, 20).create(b"a/f", 0o640).attributes
    assert (made.mode, made.nlink, made.uid, made.gid) == (stat.S_IFREG | 0o640, 1, 10, 20)
    assert made.content.size_bytes == 0
    assert made.content.layout == (start_for_path(b"/a/f", 4), 4, 512)
    assert mount.look(b"a/f") == made
    assert made.mtime_ns == meta.clock.wall_ns()


def test_create_below_an_inner_base_is_placed_by_the_path_from_the_root(mount: Mount) -> None:
    mkdir(mount, b"a")
    inner = mkdir(mount, b"a/b")
    made = [mount.call(MakeNode(mount.op(), inner.ino, b"f%d" % i, 0o644, 0)) for i in range(8)]
    assert [m.content.layout.start for m in made] == [start_for_path(b"/a/b/f%d" % i, 4) for i in range(8)]


def test_create_existing_file_opens_it_unless_exclusive(mount: Mount) -> None:
    first = mount.create(b"f")
    assert mount.create(b"f").attributes.ino == first.attributes.ino
    with pytest.raises(AlreadyExists):
        mount.create(b"f", exclusive=True)
    mkdir(mount, b"d")
    with pytest.raises(IsAFolder):
        mount.create(b"d")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"missing/f", NotFound),
        (b"f/g", NotAFolder),
        (b"n" * 256, NameTooLong),
        (b"/".join([b"n" * 200] * 330), NameTooLong),
        (b"a//b", InvalidArgument),
        (b"a/../b", InvalidArgument),
        (b".", InvalidArgument),
        (b"nul\0", InvalidArgument),
        (b"", InvalidArgument),
    ],
)
def test_create_at_an_impossible_path_is_refused(mount: Mount, path: bytes, error: type[DfsError]) -> None:
    mount.create(b"f")
    with pytest.raises(error):
        mount.create(path)


def test_create_without_permission_is_denied_and_changes_nothing(mount: Mount) -> None:
    mkdir(mount, b"d", 0o755)
    before = mount.look(b"d")
    user = mount.acting_as(10, 20)
    with pytest.raises(AccessDenied):
        user.create(b"d/f")
    mount.create(b"private", 0o600)
    with pytest.raises(AccessDenied):
        user.create(b"private")
    assert mount.look(b"d") == before


def test_lookup_through_a_folder_without_search_permission_is_denied(mount: Mount) -> None:
    mkdir(mount, b"d", 0o700)
    mkdir(mount, b"d/e")
    with pytest.raises(AccessDenied):
        mount.acting_as(10, 20).look(b"d/e")


def test_create_with_a_name_of_any_bytes_works(mount: Mount) -> None:
    name = bytes(byte for byte in range(1, 256) if byte != ord("/"))
    made = mount.create(name)
    assert mount.look(name).ino == made.attributes.ino
    assert names_in(mount) == [name]


# --- folders -----------------------------------------------------------------------------------------------------------------


def test_folder_links_count_its_subfolders(mount: Mount) -> None:
    root = mount.look(b"").nlink
    assert mkdir(mount, b"a").nlink == 2
    mkdir(mount, b"a/b")
    mount.create(b"a/f")
    assert mount.look(b"a").nlink == 3
    assert mount.look(b"").nlink == root + 1
    rmdir(mount, b"a/b")
    assert mount.look(b"a").nlink == 2


def test_mkdir_at_the_link_limit_is_refused(mount: Mount) -> None:
    root = mount.look(b"")
    mount.meta.running().store.change(lambda tx: tx.run("UPDATE inode SET nlink = ? WHERE ino = 1", LINKS_MAX))
    with pytest.raises(TooManyLinks):
        mkdir(mount, b"one more")
    assert mount.look(b"").ino == root.ino


def test_rmdir_of_the_unfit_is_refused(mount: Mount) -> None:
    mkdir(mount, b"d")
    mount.create(b"d/f")
    for path, error in ((b"d", FolderNotEmpty), (b"d/f", NotAFolder), (b"none", NotFound), (b"", InvalidArgument)):
        with pytest.raises(error):
            rmdir(mount, path)
    with pytest.raises(IsAFolder):
        unlink(mount, b"d")


def test_setgid_folder_passes_its_group_on(mount: Mount) -> None:
    mkdir(mount, b"shared", 0o2777)
    user = mount.acting_as(10, 20)
    assert mkdir(user, b"shared/sub").mode == stat.S_IFDIR | 0o2755
    assert mount.look(b"shared/sub").gid == 0
    assert user.create(b"shared/f").attributes.gid == 0


def test_listing_in_parts_returns_each_name_once_in_order(mount: Mount) -> None:
    expected = sorted(b"n%03d" % i for i in range(25))
    for name in reversed(expected):
        mount.call(MakeNode(mount.op(), ROOT_INO, name, 0o644, 0))
    got: list[bytes] = []
    more, after = True, b""
    while more:
        part = mount.call(ListFolder(ROOT_INO, b"", after, 10))
        got += [entry.name for entry in part.entries()]
        more, after = part.more, got[-1]
    assert got == expected
    assert not mount.call(ListFolder(ROOT_INO, b"", b"", 25)).more


def test_listing_needs_read_permission_and_a_folder(mount: Mount) -> None:
    mkdir(mount, b"d", 0o711)
    mount.create(b"f")
    with pytest.raises(AccessDenied):
        names_in(mount.acting_as(10, 20), b"d")
    with pytest.raises(NotAFolder):
        names_in(mount, b"f")


# --- links and nodes -----------------------------------------------------------------------------------------------------------


def test_symlink_keeps_its_target_and_is_never_followed(mount: Mount) -> None:
    made = mount.call(MakeSymlink(mount.op(), ROOT_INO, b"s", b"any \xff where"))
    assert made.mode == stat.S_IFLNK | 0o777
    assert made.content.size_bytes == 11
    assert mount.call(ReadLink(ROOT_INO, b"s")) == b"any \xff where"
    with pytest.raises(NotAFolder):
        mount.look(b"s/x")
    mount.create(b"f")
    with pytest.raises(InvalidArgument):
        mount.call(ReadLink(ROOT_INO, b"f"))
    with pytest.raises(NameTooLong):
        mount.call(MakeSymlink(mount.op(), ROOT_INO, b"t", b"x" * 4096))


def test_mknod_makes_each_type_and_devices_for_root_only(mount: Mount) -> None:
    mkdir(mount, b"d", 0o777)
    for name, kind in ((b"fifo", stat.S_IFIFO), (b"socket", stat.S_IFSOCK), (b"file", stat.S_IFREG)):
        made = mount.acting_as(10, 20).call(MakeNode(mount.op(), ROOT_INO, b"d/" + name, kind | 0o600, 99))
        assert (made.mode, made.rdev) == (kind | 0o600, 0)
    device = MakeNode(mount.op(), ROOT_INO, b"d/null", stat.S_IFCHR | 0o666, 259)
    with pytest.raises(NotPermitted):
        mount.acting_as(10, 20).call(device)
    assert mount.call(MakeNode(mount.op(), ROOT_INO, b"d/null", stat.S_IFCHR | 0o666, 259)).rdev == 259
    with pytest.raises(InvalidArgument):
        mount.call(MakeNode(mount.op(), ROOT_INO, b"d/x", stat.S_IFDIR | 0o755, 0))


def test_link_gives_one_inode_two_names(mount: Mount) -> None:
    made = mount.create(b"f").attributes
    assert link(mount, b"f", b"g").nlink == 2
    assert mount.look(b"g").ino == made.ino
    assert unlink(mount, b"f").nlink == 1
    assert mount.look(b"g").nlink == 1
    mkdir(mount, b"d")
    for old, new, error in ((b"d", b"e", NotPermitted), (b"g", b"g", AlreadyExists), (b"none", b"h", NotFound)):
        with pytest.raises(error):
            link(mount, old, new)


def test_unlink_in_a_sticky_folder_is_for_owners(mount: Mount) -> None:
    mkdir(mount, b"tmp", 0o1777)
    mount.acting_as(10, 20).create(b"tmp/f")
    with pytest.raises(NotPermitted):
        unlink(mount.acting_as(11, 20), b"tmp/f")
    unlink(mount.acting_as(10, 99), b"tmp/f")


def test_base_that_is_gone_is_stale(mount: Mount) -> None:
    gone = mkdir(mount, b"d")
    rmdir(mount, b"d")
    with pytest.raises(StaleFile):
        mkdir(mount, b"x", base=gone.ino)


# --- rename --------------------------------------------------------------------------------------------------------------------


def test_rename_moves_a_tree_and_its_link_counts(mount: Mount) -> None:
    for path in (b"a", b"a/b", b"a/b/c", b"z"):
        mkdir(mount, path)
    mount.create(b"a/b/c/f")
    rename(mount, b"a/b", b"z/y")
    assert mount.look(b"z/y/c/f").nlink == 1
    assert (mount.look(b"a").nlink, mount.look(b"z").nlink) == (2, 3)
    with pytest.raises(NotFound):
        mount.look(b"a/b")
    with pytest.raises(InvalidArgument):  # the way up follows the move
        rename(mount, b"z", b"z/y/c/z")


def test_rename_over_a_file_replaces_it(mount: Mount) -> None:
    old = mount.create(b"f").attributes
    replaced = mount.create(b"g").attributes
    link(mount, b"g", b"other name")
    rename(mount, b"f", b"g")
    assert mount.look(b"g").ino == old.ino
    assert mount.look(b"other name").ino == replaced.ino
    assert mount.look(b"other name").nlink == 1
    assert names_in(mount) == [b"g", b"other name"]


def test_rename_over_an_empty_folder_keeps_the_parents_link_count(mount: Mount) -> None:
    for path in (b"a", b"b", b"a/x"):
        mkdir(mount, path)
    rename(mount, b"a/x", b"b")
    assert names_in(mount) == [b"a", b"b"]
    assert mount.look(b"").nlink == 4
    assert mount.look(b"a").nlink == 2


def test_rename_of_one_inode_onto_its_other_name_does_nothing(mount: Mount) -> None:
    mount.create(b"f")
    link(mount, b"f", b"g")
    rename(mount, b"f", b"g")
    assert names_in(mount) == [b"f", b"g"]


def test_rename_that_is_impossible_is_refused_and_changes_nothing(mount: Mount) -> None:
    for path in (b"a", b"a/b", b"full", b"full/x", b"empty"):
        mkdir(mount, path)
    mount.create(b"f")
    cases: list[tuple[bytes, bytes, int, type[DfsError]]] = [
        (b"a", b"a/b/c", 0, InvalidArgument),
        (b"a", b"a/b", 0, InvalidArgument),
        (b"a", b"full", 0, FolderNotEmpty),
        (b"a/b", b"a", 0, FolderNotEmpty),
        (b"a", b"f", 0, NotAFolder),
        (b"f", b"empty", 0, IsAFolder),
        (b"f", b"empty", 1, AlreadyExists),
        (b"f", b"f", 1, AlreadyExists),
        (b"f", b"g", 2, InvalidArgument),
        (b"none", b"g", 0, NotFound),
        (b"f", b"none/g", 0, NotFound),
    ]
    before = [names_in(mount, path) for path in (b"", b"a", b"full")]
    for old, new, flags, error in cases:
        with pytest.raises(error):
            rename(mount, old, new, flags)
    assert [names_in(mount, path) for path in (b"", b"a", b"full")] == before


def test_rename_asks_both_folders_the_sticky_bit_and_the_moved_folder(mount: Mount) -> None:
    mkdir(mount, b"open", 0o777)
    mkdir(mount, b"closed", 0o755)
    mkdir(mount, b"sticky", 0o1777)
    mkdir(mount, b"open/roots", 0o755)
    mount.create(b"sticky/roots")
    user = mount.acting_as(10, 20)
    user.create(b"open/f")
    for old, new, error in (
        (b"open/f", b"closed/f", AccessDenied),
        (b"sticky/roots", b"open/g", NotPermitted),
        (b"open/f", b"sticky/roots", NotPermitted),
        (b"open/roots", b"sticky/r", AccessDenied),  # its ".." would change
    ):
        with pytest.raises(error):
            rename(user, old, new)
    rename(user, b"open/roots", b"open/renamed")
