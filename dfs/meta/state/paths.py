"""Finding inodes by name: one small query per component, with search permission asked of every folder on the way.

Symbolic links are never followed: the kernel does that. Used inside transactions of any kind; changes nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.errors import InvalidArgument, NotAFolder, NotFound, StaleFile
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.interfaces import Caller
from dfs.core.permissions import SEARCH, require_access
from dfs.meta.state.checks import require_number, split_path
from dfs.meta.state.inodes import COLUMNS, Inode, get
from dfs.meta.state.store import Reader

_CHILD: Final = f"SELECT {COLUMNS} FROM dentry d JOIN inode i ON i.ino = d.ino WHERE d.parent = ? AND d.name = ?"


class Place(NamedTuple):
    """A name in a folder and what stands there."""

    folder: Inode
    name: bytes
    inode: Inode | None
    path: bytes
    """As the caller gave it, for messages."""

    def existing(self) -> Inode:
        """Return what stands there. Raises: NotFound."""
        if self.inode is None:
            raise NotFound(self.path)
        return self.inode


def child(reader: Reader, folder: Ino, name: bytes) -> Inode | None:
    """Return what stands at a name in a folder."""
    row = reader.one(_CHILD, folder, name)
    return None if row is None else Inode._make(row)


def resolve(reader: Reader, caller: Caller, base: Ino, path: bytes) -> Inode:
    """Return the inode at `path` below `base`; an empty path is the base itself.

    Raises: NotFound, NotAFolder, AccessDenied, NameTooLong, InvalidArgument; StaleFile if the base is gone.
    """
    require_number(base, "base")
    names = split_path(path)
    inode = get(reader, base)
    return _walk(reader, caller, inode, names, path)


def locate(reader: Reader, caller: Caller, base: Ino, path: bytes) -> Place:
    """Return the place that `path` names, whether or not something stands there; its folder does.

    Raises: as resolve; InvalidArgument for an empty path, which names no place.
    """
    require_number(base, "base")
    names = split_path(path)
    if not names:
        raise InvalidArgument(path)
    folder = _walk(reader, caller, get(reader, base), names[:-1], path)
    _require_searchable(folder, caller, path)
    return Place(folder, names[-1], child(reader, folder.ino, names[-1]), path)


def full_path(reader: Reader, place: Place, base: Ino) -> bytes:
    """Return a place's path from the root, with a leading slash."""
    if base == ROOT_INO:
        return b"/" + place.path
    names = [place.name]
    folder = place.folder.ino
    while folder != ROOT_INO:
        row = reader.one("SELECT parent, name FROM folder WHERE ino = ?", folder)
        if row is None:
            raise StaleFile(place.path)
        folder = row[0]
        names.append(row[1])
    return b"/" + b"/".join(reversed(names))


def is_below(reader: Reader, folder: Ino, ancestor: Ino) -> bool:
    """Tell whether `folder` is `ancestor` or stands anywhere below it."""
    while folder != ancestor:
        row = reader.one("SELECT parent FROM folder WHERE ino = ?", folder)
        if row is None:
            return False
        folder = row[0]
    return True


def _walk(reader: Reader, caller: Caller, inode: Inode, names: list[bytes], path: bytes) -> Inode:
    for name in names:
        _require_searchable(inode, caller, path)
        row = reader.one(_CHILD, inode.ino, name)
        if row is None:
            raise NotFound(path)
        inode = Inode._make(row)
    return inode


def _require_searchable(inode: Inode, caller: Caller, path: bytes) -> None:
    if not inode.is_folder:
        raise NotAFolder(path)
    require_access(inode, caller, SEARCH, path)
