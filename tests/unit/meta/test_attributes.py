"""Goal: chmod, chown and utimens as POSIX has them. Method: SetAttributes through MetaService.call with several callers."""

from __future__ import annotations

import stat

import pytest

from dfs.core.errors import AccessDenied, BadRequest, NotPermitted
from dfs.core.ids import ROOT_INO
from dfs.core.messages.inodes import AttributeChanges, Attributes
from dfs.core.messages.names import SetAttributes
from tests.unit.meta.conftest import MetaUnderTest, Mount


@pytest.fixture
def mount(meta: MetaUnderTest) -> Mount:
    """A mount with a file f of user 10, group 20."""
    mount = meta.mount()
    mount.create(b"f", 0o644)
    change(mount, uid=10, gid=20)
    meta.clock.advance(5)
    return mount


def change(mount: Mount, **changes: int) -> Attributes:
    return mount.call(SetAttributes(mount.op(), ROOT_INO, b"f", AttributeChanges(**changes)))  # type: ignore[arg-type]


def test_chmod_changes_the_bits_and_ctime_only(meta: MetaUnderTest, mount: Mount) -> None:
    before = mount.look(b"f")
    after = change(mount.acting_as(10, 20), mode=0o100600)
    assert after == before._replace(mode=stat.S_IFREG | 0o600, ctime_ns=meta.clock.wall_ns())
    assert mount.look(b"f") == after


def test_changes_by_strangers_are_refused_whole(mount: Mount) -> None:
    before = mount.look(b"f")
    for changes, error in (
        ({"mode": 0o777}, NotPermitted),
        ({"uid": 11}, NotPermitted),
        ({"mtime_ns": 5}, NotPermitted),
        ({"atime_now": True, "mtime_now": True}, AccessDenied),
    ):
        with pytest.raises(error):
            change(mount.acting_as(11, 20), **changes)
    with pytest.raises(NotPermitted):  # the owner may change the mode, but not give the file away
        change(mount.acting_as(10, 20), mode=0o600, uid=11)
    assert mount.look(b"f") == before


def test_chown_by_the_owner_to_an_own_group_clears_set_id(mount: Mount) -> None:
    change(mount, mode=0o6755)
    after = change(mount.acting_as(10, 20, 30), gid=30)
    assert (after.uid, after.gid, after.mode) == (10, 30, stat.S_IFREG | 0o755)


def test_times_are_set_exactly_or_to_the_present(meta: MetaUnderTest, mount: Mount) -> None:
    after = change(mount, atime_ns=-1, mtime_ns=123_456_789_012_345_678)
    assert (after.atime_ns, after.mtime_ns) == (-1, 123_456_789_012_345_678)
    after = change(mount, mtime_now=True)
    assert (after.atime_ns, after.mtime_ns) == (-1, meta.clock.wall_ns())
    change(mount, mode=0o666)
    change(mount.acting_as(11, 11), atime_now=True, mtime_now=True)


def test_no_change_leaves_ctime(mount: Mount) -> None:
    before = mount.look(b"f")
    assert change(mount) == before


def test_values_out_of_range_are_refused(mount: Mount) -> None:
    for name, value in (("uid", -1), ("gid", 1 << 32), ("mode", 1 << 20), ("mtime_ns", 1 << 63)):
        with pytest.raises(BadRequest):
            change(mount, **{name: value})
