"""Goal: I6, a repeated call has no second effect, before and after a crash of meta. Method: every kind of change, sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dfs.core.errors import AlreadyExists, BadRequest, DuplicateRefused, NotFound
from dfs.core.ids import ROOT_INO, Generation, Ino, OpId
from dfs.core.messages.content import Acquire, Close, Truncate, Yield
from dfs.core.messages.inodes import AttributeChanges
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.names import (
    Create,
    Link,
    ListFolder,
    MakeFolder,
    MakeNode,
    MakeSymlink,
    Open,
    RemoveFolder,
    Rename,
    SetAttributes,
    Unlink,
)
from dfs.core.messages.requests import Change
from dfs.core.messages.sessions import OpenFile
from dfs.core.messages.xattrs import RemoveXattr, SetXattr
from tests.unit.meta.conftest import MetaUnderTest, Mount, holding

Make = Callable[[OpId, Ino, int], Change[Any]]

CHANGES: dict[str, Make] = {
    "create": lambda op, ino, ticket: Create(op, ROOT_INO, b"new", 0o644, True),
    "open": lambda op, ino, ticket: Open(op, ROOT_INO, b"f", True, True),
    "mkdir": lambda op, ino, ticket: MakeFolder(op, ROOT_INO, b"new", 0o755),
    "mknod": lambda op, ino, ticket: MakeNode(op, ROOT_INO, b"new", 0o644, 0),
    "symlink": lambda op, ino, ticket: MakeSymlink(op, ROOT_INO, b"new", b"target"),
    "link": lambda op, ino, ticket: Link(op, ROOT_INO, b"f", ROOT_INO, b"new"),
    "unlink": lambda op, ino, ticket: Unlink(op, ROOT_INO, b"f", False),
    "rmdir": lambda op, ino, ticket: RemoveFolder(op, ROOT_INO, b"d"),
    "rename": lambda op, ino, ticket: Rename(op, ROOT_INO, b"f", ROOT_INO, b"g", 1),
    "set_attributes": lambda op, ino, ticket: SetAttributes(op, ROOT_INO, b"f", AttributeChanges(mode=0o600)),
    "acquire": lambda op, ino, ticket: Acquire(op, ino, Generation((ticket << 24) + 1)),
    "truncate": lambda op, ino, ticket: Truncate(op, ino, b"", 5, True, holding(ino, ticket, 9)),
    "yield_grant": lambda op, ino, ticket: Yield(op, holding(ino, ticket, 9, dirty=True)),
    "setxattr": lambda op, ino, ticket: SetXattr(op, ino, b"", b"user.new", b"value", 1),
    "removexattr": lambda op, ino, ticket: RemoveXattr(op, ROOT_INO, b"d", b"user.old"),
    "close": lambda op, ino, ticket: Close(op, OpenFile(ino, op), holding(ino, ticket, 9, dirty=True)),
}


IN_MEMORY = {"lock", "unlock", "assert_locks"}
"""Changes whose effect and whose answers are memory only: tests/unit/meta/test_locks.py."""


@pytest.fixture
def mount(meta: MetaUnderTest) -> Mount:
    mount = meta.mount()
    mount.call(MakeFolder(mount.op(), ROOT_INO, b"d", 0o755))
    mount.call(SetXattr(mount.op(), ROOT_INO, b"d", b"user.old", b"value", 0))
    return mount


def tables(meta: MetaUnderTest) -> list[list[tuple[Any, ...]]]:
    """Return everything that a second effect would change; the epoch and the mark are the starts' business."""
    names = ("inode", "dentry", "folder", "symlink", "cut", "grant_", "session", "answer", "reclaim", "xattr", "last_name")
    return [meta.running().store.read(lambda reader, name=name: reader.all(f"SELECT * FROM {name}")) for name in names]  # type: ignore[misc]


def test_changes_listed_here_are_all_there_are() -> None:
    assert set(CHANGES) | IN_MEMORY == {name for name, method in META_METHODS.items() if issubclass(method, Change)}


@pytest.mark.parametrize("crash", [False, True], ids=["same process", "after a crash"])
@pytest.mark.parametrize("name", CHANGES)
def test_change_repeated_with_its_operation_answers_the_same_and_changes_nothing(
    meta: MetaUnderTest, mount: Mount, name: str, crash: bool
) -> None:
    made = mount.create(b"f").grant
    request = CHANGES[name](mount.op(), made.ino, made.ticket)
    first = mount.call(request)
    before = tables(meta)
    if crash:
        meta.crash()
    meta.clock.advance(1)
    assert mount.call(request) == first
    assert tables(meta) == before


def test_change_repeated_with_a_new_operation_has_its_effect(mount: Mount) -> None:
    mount.create(b"f", exclusive=True)
    with pytest.raises(AlreadyExists):
        mount.create(b"f", exclusive=True)


def test_late_duplicate_below_the_acknowledged_is_refused(meta: MetaUnderTest, mount: Mount) -> None:
    late = mount.op()
    for number in range(200):
        mount.acknowledged = mount.ops[0]
        mount.call(MakeNode(mount.op(), ROOT_INO, b"n%d" % number, 0o644, 0))
    for _ in range(2):
        for request in (
            MakeFolder(late, ROOT_INO, b"late", 0o755),
            Open(late, ROOT_INO, b"n1", True, False),
            Close(late, OpenFile(Ino(1), late), holding(Ino(1), 0, 0)),
        ):
            with pytest.raises(DuplicateRefused):
                mount.call(request)
        mount.acknowledged = 0
        meta.crash()
    assert b"late" not in [entry.name for entry in mount.call(ListFolder(ROOT_INO, b"", b"", 4096)).entries()]


def test_acknowledged_answers_are_forgotten(meta: MetaUnderTest, mount: Mount) -> None:
    for number in range(300):
        mount.acknowledged = mount.ops[0] + 1
        mount.call(MakeNode(mount.op(), ROOT_INO, b"n%d" % number, 0o644, 0))
    row = meta.running().store.read(lambda reader: reader.one("SELECT count(*) FROM answer"))
    assert row is not None
    assert 1 <= row[0] <= 70


def test_error_is_the_answer_to_its_duplicates_too(mount: Mount) -> None:
    request = Unlink(mount.op(), ROOT_INO, b"not yet", False)
    with pytest.raises(NotFound):
        mount.call(request)
    mount.create(b"not yet")
    with pytest.raises(NotFound):
        mount.call(request)
    assert mount.look(b"not yet").nlink == 1


def test_operation_number_used_for_another_call_is_refused(mount: Mount) -> None:
    op = mount.op()
    mount.call(MakeFolder(op, ROOT_INO, b"x", 0o755))
    with pytest.raises(BadRequest):
        mount.call(MakeNode(op, ROOT_INO, b"y", 0o644, 0))
    with pytest.raises(BadRequest):
        mount.call(MakeNode(OpId(0), ROOT_INO, b"y", 0o644, 0))
