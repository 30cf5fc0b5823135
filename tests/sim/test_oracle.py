"""Goal: the simulator's oracle lets pass what may be, and nothing else. Method: small histories, right ones and wrong ones."""

from __future__ import annotations

import pytest

from tests.sim.contents import AppendFile, Change, Look, Outcome, RegisterFile
from tests.sim.names import FOLDER, Explanation, Kind, Listed, NameOp, Node, State, explain


def change(tag: int, start: int, end: int | None, began: int, ended: int | None, outcome: Outcome = Outcome.ACKNOWLEDGED) -> Change:
    return Change(tag, "mount", 1, start, end, began, 0.0, outcome, ended)


def wrong(changes: list[Change], data: bytes, *, owner: str = "mount", opened: int = 100) -> list[str]:
    """Return what is wrong with a read of a whole file, by a mount that opened it at a stamp."""
    return list(RegisterFile(b"/r", changes).check(Look(owner, 100, 100.0, opened), 0, 1000, data))


ONE = change(1, 0, 4, 1, 2)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ([], b""),
        ([ONE], b"\1\1\1\1"),
        ([ONE, change(2, 2, 6, 3, 4)], b"\1\1\2\2\2\2"),
        ([ONE, change(2, 0, 4, 3, None, Outcome.RUNNING)], b"\1\1\2\2"),
        ([ONE, change(2, 0, 4, 3, 4, Outcome.LOST)], b"\2\2\2\2"),
        ([ONE, change(0, 2, None, 3, 4)], b"\1\1"),
        ([ONE, change(0, 2, None, 3, 4), change(0, 5, None, 5, 6)], b"\1\1\0\0\0"),
        ([change(1, 4, 6, 1, 2)], b"\0\0\0\0\1\1"),
    ],
)
def test_what_may_be_read_is_passed(changes: list[Change], data: bytes) -> None:
    assert wrong(changes, data) == []


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ([ONE], b""),
        ([ONE], b"\1\1\1"),
        ([ONE], b"\1\1\1\1\0"),
        ([ONE], b"\1\1\0\1"),
        ([ONE], b"\1\1\7\1"),
        ([ONE, change(2, 2, 6, 3, 4)], b"\1\1\1\1\2\2"),
        ([ONE, change(0, 2, None, 3, 4)], b"\1\1\1\1"),
        ([ONE, change(0, 2, None, 3, 4), change(0, 4, None, 5, 6)], b"\1\1\1\1"),
    ],
    ids=[
        "all lost",
        "shortened",
        "lengthened",
        "a hole",
        "by nobody",
        "overwritten came back",
        "truncated came back",
        "in two steps",
    ],
)
def test_what_may_not_be_read_is_told(changes: list[Change], data: bytes) -> None:
    assert wrong(changes, data)


def test_other_mount_sees_a_size_when_it_opened_after_it_was_published() -> None:
    assert wrong([ONE], b"", owner="other") == []
    published = change(1, 0, 4, 1, 2)
    published.published, published.published_s = 50, 99.5
    assert wrong([published], b"", owner="other", opened=40) == []
    assert wrong([published], b"", owner="other", opened=60)


def test_junk_past_the_size_may_not_appear_after_the_next_write() -> None:
    failed, later = change(1, 0, 4, 1, 2, Outcome.FAILED), change(2, 8, 9, 3, 4)
    file = RegisterFile(b"/r", [failed, later])
    look = Look("mount", 100, 100.0, 100)
    junk = b"\1\1\1\1\0\0\0\0\2"
    assert list(file.check(look, 0, 1000, junk)) == []
    file.note_acknowledged(later)
    assert list(file.check(look, 0, 1000, junk))
    assert list(file.check(look, 0, 1000, bytes(8) + b"\2")) == []


@pytest.mark.parametrize("content", [b"\1\1\2\2", b"\1\1\0\2\2\3", b"\1\1\3\3\2\2"])
def test_appends_in_order_are_passed(content: bytes) -> None:
    changes = [change(1, 0, 2, 1, 2), change(2, 0, 2, 3, 4), change(3, 0, 2, 1, 5, Outcome.LOST)]
    assert list(AppendFile(b"/a", changes).check(content)) == []


@pytest.mark.parametrize("content", [b"\1\1\2", b"\2\2\1\1", b"\1\1\2\2\1\1", b"\1\2\2\1", b"\1\1\0\0\0\2\2", b"\1\1\2\2\4"])
def test_appends_lost_doubled_torn_or_out_of_order_are_told(content: bytes) -> None:
    changes = [change(1, 0, 2, 1, 2), change(2, 0, 2, 3, 4), change(3, 0, 2, 1, 5, Outcome.LOST)]
    assert list(AppendFile(b"/a", changes).check(content))


def name_op(number: int, kind: Kind, name: str, began: int, ended: int | None, done: bool | None, other: str = "") -> NameOp:
    refusal = "" if done is not False else "AlreadyExists" if kind is Kind.CREATE else "NotFound"
    return NameOp(number, kind, name, other, began, ended, is_known=done is not None, refusal=refusal)


def test_names_with_an_order_are_explained() -> None:
    history = [
        name_op(1, Kind.CREATE, "a", 1, 4, True),
        name_op(2, Kind.CREATE, "a", 2, 5, False),
        name_op(3, Kind.RENAME, "a", 3, None, None, "b"),
        name_op(4, Kind.UNLINK, "a", 6, 7, False),
    ]
    assert explain(history, {"b": Node("file", 1)}) == Explanation((("b", Node("file", 1)),))


@pytest.mark.parametrize(
    "history",
    [
        [name_op(1, Kind.CREATE, "a", 1, 2, False)],
        [name_op(1, Kind.CREATE, "a", 1, 2, True), name_op(2, Kind.CREATE, "a", 3, 4, True)],
        [name_op(1, Kind.CREATE, "a", 1, 2, True), name_op(2, Kind.UNLINK, "a", 3, 4, False)],
        [name_op(1, Kind.UNLINK, "a", 1, 2, False), name_op(2, Kind.CREATE, "a", 3, 4, True)],
    ],
    ids=["nobody had made it", "made twice", "lost", "came back from nowhere"],
)
def test_names_without_an_order_are_told(history: list[NameOp]) -> None:
    assert isinstance(explain(history, {} if history[0].refusal else None), str)


FILE, OTHER, LINK = Node("file", 1), Node("file", 2), Node("link", 3)
TREE: State = (("a", FOLDER), ("a/x", FILE), ("b", FOLDER), ("f", FILE), ("g", OTHER), ("l", LINK))


@pytest.mark.parametrize(
    ("kind", "name", "other", "refusal"),
    [
        (Kind.CREATE, "f", "", "AlreadyExists"),
        (Kind.CREATE, "n/x", "", "NotFound"),
        (Kind.MKDIR, "f/x", "", "NotAFolder"),
        (Kind.MKDIR, "l", "", "AlreadyExists"),
        (Kind.LINK, "a", "n", "NotPermitted"),
        (Kind.LINK, "f", "g", "AlreadyExists"),
        (Kind.LINK, "n", "g", "NotFound"),
        (Kind.UNLINK, "a", "", "IsAFolder"),
        (Kind.RMDIR, "a", "", "FolderNotEmpty"),
        (Kind.RMDIR, "f", "", "NotAFolder"),
        (Kind.RENAME, "a", "a/y", "InvalidArgument"),
        (Kind.RENAME, "b", "a", "FolderNotEmpty"),
        (Kind.RENAME, "b", "f", "NotAFolder"),
        (Kind.RENAME, "f", "b", "IsAFolder"),
        (Kind.RENAME, "a/x", "a", "IsAFolder"),
        (Kind.RENAME, "n", "f", "NotFound"),
        (Kind.READLINK, "f", "", "InvalidArgument"),
        (Kind.LIST, "f", "", "NotAFolder"),
    ],
)
def test_names_refuse_what_posix_refuses(kind: Kind, name: str, other: str, refusal: str) -> None:
    assert NameOp(9, kind, name, other, 0).apply(TREE) == (TREE, refusal, None)


@pytest.mark.parametrize(
    ("kind", "name", "other", "gone", "new"),
    [
        (Kind.RENAME, "a", "b", {"a", "a/x"}, {"b": FOLDER, "b/x": FILE}),
        (Kind.RENAME, "a", "b/a", {"a", "a/x"}, {"b/a": FOLDER, "b/a/x": FILE}),
        (Kind.RENAME, "g", "f", {"g"}, {"f": OTHER}),
        (Kind.RENAME, "l", "f", {"l"}, {"f": LINK}),
        (Kind.RENAME, "f", "a/x", set(), {}),
        (Kind.LINK, "l", "b/l", set(), {"b/l": LINK}),
        (Kind.RMDIR, "b", "", {"b"}, {}),
        (Kind.MKDIR, "b/n", "", set(), {"b/n": FOLDER}),
        (Kind.SYMLINK, "n", "", set(), {"n": Node("link", 9)}),
    ],
)
def test_names_change_as_posix_says(kind: Kind, name: str, other: str, gone: set[str], new: dict[str, Node]) -> None:
    expected = {path: node for path, node in TREE if path not in gone} | new
    assert NameOp(9, kind, name, other, 0).apply(TREE) == (tuple(sorted(expected.items())), "", None)


def test_listing_counts_names_of_files_and_folders_in_folders() -> None:
    _, _, seen = NameOp(9, Kind.LIST, "", "", 0).apply((*TREE, ("b/c", FOLDER)))
    expected = (
        Listed("a", "folder", 2),
        Listed("b", "folder", 3),
        Listed("f", "file", 2),
        Listed("g", "file", 1),
        Listed("l", "link", 1),
    )
    assert seen == frozenset(expected)
