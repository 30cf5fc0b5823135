"""Goal: meta is told once, when the last use of an inode ends. Method: the table of handles and aliases alone."""

from __future__ import annotations

import pytest

from dfs.client.metadata.handles import Handles
from dfs.client.metadata.heartbeat import ClosedFiles
from dfs.client.metadata.open_flags import OpenMode, open_mode
from dfs.core.errors import AlreadyExists, BadHandle, NotFound, StaleFile
from dfs.core.ids import Ino, OpId
from dfs.core.messages.sessions import OpenFile
from tests.unit.client.parts import TASKS

MODE = open_mode(0o2)


def file(op: int, ino: int = 7) -> OpenFile:
    return OpenFile(Ino(ino), OpId(op))


def test_flags_of_open_are_read_as_linux_writes_them() -> None:
    assert open_mode(0o0) == OpenMode(read=True, write=False, append=False, exclusive=False, truncate=False)
    assert open_mode(0o1 | 0o2000 | 0o1000) == OpenMode(read=False, write=True, append=True, exclusive=False, truncate=True)
    assert open_mode(0o2 | 0o100 | 0o200).exclusive
    assert not open_mode(0o0 | 0o1000).truncate


def test_only_the_last_handle_closes_and_names_the_newest_open() -> None:
    handles = Handles(TASKS)
    first, second = handles.add(file(5), b"/a", MODE), handles.add(file(9), b"/a", MODE)
    assert handles.count(Ino(7)) == 2
    assert handles.remove(first.number)[1] is None
    assert handles.remove(second.number)[1] == file(9)
    assert handles.open_files() == ()


def test_alias_keeps_the_inode_open_after_the_last_handle() -> None:
    handles = Handles(TASKS)
    handle = handles.add(file(5), b"/a", MODE)
    handles.add_alias(b"/.fuse_hidden", file(8))
    assert handles.alias(b"/.fuse_hidden") == 7
    assert handles.remove(handle.number)[1] is None
    assert handles.open_files() == (file(8),)
    assert handles.remove_alias(b"/.fuse_hidden") == file(8)
    assert handles.alias(b"/.fuse_hidden") is None


def test_closed_handle_and_unknown_alias_are_refused() -> None:
    handles = Handles(TASKS)
    number = handles.add(file(5), b"/a", MODE).number
    handles.remove(number)
    for use in (handles.get, handles.remove):
        with pytest.raises(BadHandle):
            use(number)
    with pytest.raises(NotFound):
        handles.remove_alias(b"/x")
    handles.add_alias(b"/x", file(6))
    with pytest.raises(AlreadyExists):
        handles.add_alias(b"/x", file(7))


def test_handle_of_a_gone_inode_is_stale_but_can_be_closed() -> None:
    handles = Handles(TASKS)
    number = handles.add(file(5), b"/a", MODE).number
    handles.mark_stale(Ino(7))
    assert handles.open_files() == ()
    with pytest.raises(StaleFile):
        handles.get(number)
    handles.remove(number)


def test_open_that_nobody_wants_is_closed_only_if_the_inode_is_not_in_use() -> None:
    handles, closed = Handles(TASKS), ClosedFiles(TASKS)
    handle = handles.add(file(5), b"/a", MODE)
    closed.abandon(handles, file(9))
    assert closed.take() == ()
    assert handles.remove(handle.number)[1] == file(9)
    closed.abandon(handles, file(10))
    assert closed.take() == (file(10),)
