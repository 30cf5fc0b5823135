"""Goal: tools can go through all files by name, page by page, and nobody but root. Method: a small tree, pages of every size."""

from __future__ import annotations

import pytest

from dfs.core.errors import BadRequest, NotPermitted
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.interfaces import Caller
from dfs.core.messages.content import Commit
from dfs.core.messages.inspection import FileList, ListFiles
from dfs.core.messages.names import Link, MakeFolder
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, holding


def pages(meta: MetaUnderTest, limit: int) -> list[FileList]:
    found = [meta.service.call(FakeContext(), ListFiles(Ino(0), b"", limit))]
    while found[-1].more:
        found.append(meta.service.call(FakeContext(), ListFiles(found[-1].next_folder, found[-1].next_name, limit)))
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_list_files_in_pages_names_each_file_with_content_once(meta: MetaUnderTest, limit: int) -> None:
    mount = meta.mount()
    mount.call(MakeFolder(mount.op(), ROOT_INO, b"a", 0o755))
    mount.call(MakeFolder(mount.op(), ROOT_INO, b"a/b", 0o755))
    for path in (b"z", b"a/x", b"a/b/y\xff", b"a/b/empty"):
        grant = mount.create(path).grant
        if path != b"a/b/empty":
            mount.call(Commit(holding(grant.ino, grant.ticket, 100)))
    mount.call(Link(mount.op(), ROOT_INO, b"z", ROOT_INO, b"a/z2"))
    files = [file for page in pages(meta, limit) for file in page.files]
    assert sorted(file.path for file in files) == [b"/a/b/y\xff", b"/a/x", b"/a/z2", b"/z"]
    assert {file.ino for file in files if file.path in (b"/z", b"/a/z2")} == {mount.look(b"z").ino}
    assert all(file.content == mount.look(file.path[1:]).content for file in files)


def test_list_files_is_for_root_and_within_limits(meta: MetaUnderTest) -> None:
    with pytest.raises(NotPermitted):
        meta.service.call(FakeContext(caller=Caller(1000, 1000)), ListFiles(Ino(0), b"", 10))
    for limit in (0, 4097):
        with pytest.raises(BadRequest):
            meta.service.call(FakeContext(), ListFiles(Ino(0), b"", limit))
