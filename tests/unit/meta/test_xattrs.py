"""Goal: extended attributes are kept with their inode, durably, within their limits, for whom the rules allow.

Method: requests to a meta-server in this process; the system calls are in tests/fuse/test_posix_xattrs.py.
"""

from __future__ import annotations

import stat

import pytest

from dfs.core.errors import (
    AccessDenied,
    ArgumentTooBig,
    DfsError,
    InvalidArgument,
    NameTooLong,
    NoAttribute,
    NotPermitted,
    NotSupported,
)
from dfs.core.ids import ROOT_INO
from dfs.core.messages.names import MakeFolder, MakeNode, Unlink
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from tests.unit.meta.conftest import MetaUnderTest, Mount


def put(mount: Mount, path: bytes, name: bytes, value: bytes = b"value", flags: int = 0) -> None:
    mount.call(SetXattr(mount.op(), ROOT_INO, path, name, value, flags))


def get(mount: Mount, path: bytes, name: bytes) -> bytes:
    return mount.call(GetXattr(ROOT_INO, path, name))


def test_xattr_outlives_a_crash(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    mount.create(b"f")
    put(mount, b"f", b"user.\xff", bytes(range(256)))
    meta.crash()
    assert get(mount, b"f", b"user.\xff") == bytes(range(256))


def test_xattrs_go_with_their_inode(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    mount.call(MakeNode(mount.op(), ROOT_INO, b"f", stat.S_IFIFO | 0o644, 0))
    put(mount, b"f", b"trusted.a")
    before = meta.running().store.read(lambda reader: reader.one("SELECT count(*) FROM xattr"))
    mount.call(Unlink(mount.op(), ROOT_INO, b"f", False))
    assert before == (1,)
    assert meta.running().store.read(lambda reader: reader.one("SELECT count(*) FROM xattr")) == (0,)


@pytest.mark.parametrize(
    ("name", "value", "flags", "error"),
    [
        (b"user.", b"", 0, InvalidArgument),
        (b"user.a\0b", b"", 0, InvalidArgument),
        (b"user.a", b"", 3, InvalidArgument),
        (b"user.a", b"", 2, NoAttribute),
        (b"user." + b"n" * 251, b"", 0, NameTooLong),
        (b"user.a", bytes(65_537), 0, ArgumentTooBig),
        (b"system.posix_acl_access", b"", 0, NotSupported),
        (b"security.capability", b"", 0, NotSupported),
        (b"a", b"", 0, NotSupported),
    ],
)
def test_what_can_not_be_kept_is_refused(meta: MetaUnderTest, name: bytes, value: bytes, flags: int, error: type[DfsError]) -> None:
    mount = meta.mount()
    mount.create(b"f")
    with pytest.raises(error):
        put(mount, b"f", name, value, flags)
    assert mount.call(ListXattrs(ROOT_INO, b"f")) == ()


def test_caller_gets_what_its_rights_allow(meta: MetaUnderTest) -> None:
    root = meta.mount()
    owner, stranger = root.acting_as(10, 20), root.acting_as(11, 21)
    root.call(MakeFolder(root.op(), ROOT_INO, b"d", 0o1777))
    owner.create(b"d/f", 0o640)
    put(owner, b"d/f", b"user.a")
    put(root, b"d/f", b"trusted.t")
    put(root, b"d/f", b"security.s")
    assert owner.call(ListXattrs(ROOT_INO, b"d/f")) == (b"security.s", b"user.a")
    assert get(stranger, b"d/f", b"security.s") == b"value"
    for call, error in (
        (lambda: get(stranger, b"d/f", b"user.a"), AccessDenied),
        (lambda: put(stranger, b"d/f", b"user.a"), AccessDenied),
        (lambda: get(owner, b"d/f", b"trusted.t"), NoAttribute),
        (lambda: put(owner, b"d/f", b"trusted.t"), NotPermitted),
        (lambda: put(owner, b"d/f", b"security.s"), NotPermitted),
        (lambda: put(owner, b"d", b"user.sticky"), NotPermitted),
        (lambda: owner.call(RemoveXattr(owner.op(), ROOT_INO, b"d/f", b"user.none")), NoAttribute),
    ):
        with pytest.raises(error):
            call()
