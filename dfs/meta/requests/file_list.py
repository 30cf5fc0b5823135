"""ListFiles: all files by name, page by page, for tools that look for damage.

Goes through the names in the order of the table, so that a page costs what it looks at. Called by the service; changes nothing.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import BadRequest, NotPermitted
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.interfaces import CallContext
from dfs.core.limits import LISTING_ENTRIES_MAX
from dfs.core.messages.inspection import FileList, ListFiles, NamedFile
from dfs.meta.state.checks import require_number
from dfs.meta.state.inodes import COLUMNS, Inode, attributes
from dfs.meta.state.store import Reader

_NAMES: Final = (
    f"SELECT d.parent, d.name, {COLUMNS} FROM dentry d JOIN inode i ON i.ino = d.ino "
    "WHERE (d.parent, d.name) > (?, ?) ORDER BY d.parent, d.name LIMIT ?"
)


def list_files(reader: Reader, ctx: CallContext, request: ListFiles) -> FileList:
    """Return the next names of regular files with content. Raises: NotPermitted, BadRequest."""
    if ctx.caller.uid != 0:
        raise NotPermitted(b"/")
    if not 1 <= request.limit <= LISTING_ENTRIES_MAX:
        raise BadRequest(f"limit: expected 1 to {LISTING_ENTRIES_MAX}, got {request.limit}")
    require_number(request.folder, "folder")
    rows = reader.all(_NAMES, request.folder, request.name, request.limit + 1)
    taken = rows[: request.limit]
    folders: dict[Ino, bytes] = {ROOT_INO: b""}
    files = []
    for parent, name, *columns in taken:
        inode = Inode._make(columns)
        if inode.is_regular and inode.size_bytes:
            path = _folder_path(reader, parent, folders) + b"/" + name
            files.append(NamedFile(path, inode.ino, attributes(reader, inode).content))
    folder, name = (taken[-1][0], taken[-1][1]) if taken else (request.folder, request.name)
    return FileList(tuple(files), folder, name, len(rows) > request.limit)


def _folder_path(reader: Reader, folder: Ino, known: dict[Ino, bytes]) -> bytes:
    """Return a folder's path without a slash at its end; what was found out is added to `known`."""
    way: list[tuple[Ino, bytes]] = []
    while folder not in known:
        row = reader.one("SELECT parent, name FROM folder WHERE ino = ?", folder)
        assert row is not None, "every folder but the root has a row"
        way.append((folder, row[1]))
        folder = row[0]
    for ino, name in reversed(way):
        known[ino] = known[folder] + b"/" + name
        folder = ino
    return known[folder]
