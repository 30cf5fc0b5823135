"""Goal: POSIX's permission rules. Method: the rules as examples, and one oracle for the permission bits over all modes."""

from __future__ import annotations

import stat
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.errors import AccessDenied, NotPermitted
from dfs.core.interfaces import Caller
from dfs.core.permissions import (
    READ,
    SEARCH,
    WRITE,
    born_gid,
    born_mode,
    may_access,
    mode_after_chmod,
    mode_after_chown,
    require_removable,
    require_settable_times,
)

ROOT, OWNER, GROUP, OTHER = Caller(0, 0), Caller(10, 20), Caller(11, 99, (20,)), Caller(12, 99)


@dataclass(frozen=True)
class Thing:
    mode: int
    uid: int = 10
    gid: int = 20


def file(bits: int) -> Thing:
    return Thing(stat.S_IFREG | bits)


def folder(bits: int, uid: int = 10) -> Thing:
    return Thing(stat.S_IFDIR | bits, uid)


@given(bits=st.integers(0, 0o777), want=st.integers(0, 7), who=st.sampled_from([OWNER, GROUP, OTHER]))
def test_may_access_any_bits_asks_the_first_class_that_fits_only(bits: int, want: int, who: Caller) -> None:
    shift = {OWNER: 6, GROUP: 3, OTHER: 0}[who]
    assert may_access(file(bits), who, want) == all(bits >> shift & bit for bit in (4, 2, 1) if want & bit)


def test_may_access_root_needs_an_execute_bit_to_run_a_file_only() -> None:
    assert may_access(file(0), ROOT, READ | WRITE)
    assert not may_access(file(0o600), ROOT, SEARCH)
    assert may_access(file(0o001), ROOT, SEARCH)
    assert may_access(folder(0), ROOT, READ | WRITE | SEARCH)


def test_require_removable_sticky_folder_lets_owners_only() -> None:
    sticky, victim = folder(0o1777, uid=5), Thing(stat.S_IFREG, uid=10)
    require_removable(sticky, victim, OWNER, b"x")
    require_removable(sticky, victim, Caller(5, 5), b"x")
    require_removable(sticky, victim, ROOT, b"x")
    with pytest.raises(NotPermitted):
        require_removable(sticky, victim, OTHER, b"x")
    with pytest.raises(AccessDenied):
        require_removable(folder(0o1555, uid=5), victim, OWNER, b"x")


def test_born_in_setgid_folder_takes_its_group_and_folders_inherit_the_bit() -> None:
    parent = folder(0o2777)
    assert born_gid(parent, OTHER) == 20
    assert born_gid(folder(0o777), OTHER) == 99
    assert born_mode(parent, OTHER, stat.S_IFDIR | 0o755) == stat.S_IFDIR | 0o2755
    assert born_mode(parent, OTHER, stat.S_IFREG | 0o2755) == stat.S_IFREG | 0o755
    assert born_mode(parent, GROUP, stat.S_IFREG | 0o2755) == stat.S_IFREG | 0o2755


def test_chmod_by_others_is_refused_and_foreign_setgid_is_dropped() -> None:
    with pytest.raises(NotPermitted):
        mode_after_chmod(file(0o644), GROUP, 0o666, 20, b"x")
    stranger_group = Caller(10, 77)
    assert mode_after_chmod(file(0), stranger_group, 0o2755, 20, b"x") == stat.S_IFREG | 0o755
    assert mode_after_chmod(file(0), OWNER, 0o2755, 20, b"x") == stat.S_IFREG | 0o2755
    assert mode_after_chmod(file(0), ROOT, 0o6755, 20, b"x") == stat.S_IFREG | 0o6755


def test_chown_by_owner_allows_own_groups_and_clears_set_id_bits() -> None:
    owner = Caller(10, 20, (30,))
    assert mode_after_chown(file(0o6755), owner, 10, 30, b"x") == stat.S_IFREG | 0o755
    assert mode_after_chown(file(0o6745), owner, 10, 30, b"x") == stat.S_IFREG | 0o2745  # without group execute: a lock mark
    assert mode_after_chown(folder(0o6755), owner, 10, 30, b"x") == stat.S_IFDIR | 0o6755
    assert mode_after_chown(file(0o6755), ROOT, 1, 1, b"x") == stat.S_IFREG | 0o6755
    for uid, gid in ((11, 20), (10, 31)):
        with pytest.raises(NotPermitted):
            mode_after_chown(file(0o755), owner, uid, gid, b"x")
    with pytest.raises(NotPermitted):
        mode_after_chown(file(0o755), GROUP, 10, 20, b"x")


def test_times_by_others_need_write_permission_and_the_present() -> None:
    require_settable_times(file(0o000), OWNER, both_now=False, path=b"x")
    require_settable_times(file(0o020), GROUP, both_now=True, path=b"x")
    with pytest.raises(AccessDenied):
        require_settable_times(file(0o044), GROUP, both_now=True, path=b"x")
    with pytest.raises(NotPermitted):
        require_settable_times(file(0o022), GROUP, both_now=False, path=b"x")


@pytest.mark.parametrize(
    ("mode", "bits", "is_allowed"),
    [
        (0o6777, 0o0777, True),
        (0o6777, 0o4777, True),
        (0o6777, 0o0775, False),
        (0o4777, 0o6777, False),
        (0o4777, 0o4777, False),
        (0o6755, 0o0755, False),
    ],
)
def test_set_id_bits_may_be_taken_away_by_who_may_write_and_nothing_else(mode: int, bits: int, is_allowed: bool) -> None:
    inode, writer = file(mode), OTHER
    if is_allowed:
        assert mode_after_chmod(inode, writer, bits, inode.gid, b"f") == stat.S_IFREG | bits
    else:
        with pytest.raises(NotPermitted):
            mode_after_chmod(inode, writer, bits, inode.gid, b"f")
