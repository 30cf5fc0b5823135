"""Which inodes a client that is confined to a folder can reach: those that have a name in it or below it (decision record 21).

A path leads down only: names are looked up from a base, `..` is no name, and nothing follows symbolic links but the client's own
kernel. What remains is the base, and inodes that are named by their number. The client's root is inode 1 to it; here it becomes the
folder's. Every other number is looked up: up from all its names, until one way comes past the folder. Nothing is remembered, so
nothing can be out of date: a file that was moved out is out of reach (ESTALE), as on NFS.

Changes nothing. Called by gate.py, in the state that was committed when the request came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from dfs.core.errors import StaleFile
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.messages.content import Acquire, Certify, Close, Commit, Truncate, Yield
from dfs.core.messages.inspection import FindStrays, ListFiles
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, Unlock
from dfs.core.messages.names import (
    Create,
    Link,
    ListFolder,
    ListNames,
    Lookup,
    MakeFolder,
    MakeNode,
    MakeSymlink,
    Open,
    ReadLink,
    RemoveFolder,
    Rename,
    SetAttributes,
    Unlink,
)
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import AssertOpens, Heartbeat
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from dfs.meta.state.store import Reader

BASES: Final[dict[type[Request[Any]], tuple[str, ...]]] = {
    **dict.fromkeys((Lookup, ReadLink, ListFolder, ListNames, Create, Open, MakeFolder, MakeNode, MakeSymlink), ("base",)),
    **dict.fromkeys((Unlink, RemoveFolder, SetAttributes, Truncate), ("base",)),
    **dict.fromkeys((SetXattr, GetXattr, ListXattrs, RemoveXattr), ("base",)),
    **dict.fromkeys((Link, Rename), ("base", "new_base")),
}
"""Fields that say where a path begins; inode 1 is the client's root."""

NUMBERS: Final[dict[type[Request[Any]], Callable[[Any], tuple[Ino, ...]]]] = {
    **dict.fromkeys((Acquire, Certify, Lock, FindLock, AssertLocks), lambda request: (request.ino,)),
    AssertOpens: lambda request: tuple(file.ino for file in request.files),
}
"""Inodes that are named by their number."""

OWN: Final[frozenset[type[Request[Any]]]] = frozenset({Commit, Yield, Close, Unlock, Heartbeat})
"""Requests that name inodes and have an effect only where the session holds, or has open, what they name, by one of the others."""

NOT_FOR_CLIENTS: Final[frozenset[type[Request[Any]]]] = frozenset({ListFiles, FindStrays})
"""Requests that name inodes, and that no client with limits may make at all."""

_CHILD: Final = "SELECT ino FROM dentry WHERE parent = ? AND name = ?"
_FOLDER: Final = "SELECT 1 FROM folder WHERE ino = ?"
_UP: Final = (
    "WITH RECURSIVE up(ino) AS ("
    "SELECT parent FROM dentry WHERE ino = ?1 UNION SELECT parent FROM last_name WHERE ino = ?1 "
    "UNION SELECT f.parent FROM up JOIN folder f ON f.ino = up.ino) "
    "SELECT 1 FROM up WHERE ino = ?2 LIMIT 1"
)


def find_folder(reader: Reader, path: str) -> Ino | None:
    """Return the folder that an export is; None if it does not exist. Permissions do not matter."""
    ino = ROOT_INO
    for name in filter(None, path.encode("utf-8", "surrogateescape").split(b"/")):
        row = reader.one(_CHILD, ino, name)
        if row is None:
            return None
        ino = row[0]
    return ino if ino == ROOT_INO or reader.one(_FOLDER, ino) is not None else None


def is_below(reader: Reader, ino: Ino, folder: Ino) -> bool:
    """Tell whether an inode is `folder`, or has a name somewhere below it, or had its last one there."""
    return ino == folder or reader.one(_UP, ino, folder) is not None


def names_inodes(request: Request[Any]) -> bool:
    """Tell whether confine() has anything to do with a request."""
    return type(request) in BASES or type(request) in NUMBERS


def confine(reader: Reader, request: Request[Any], path: str) -> Request[Any]:
    """Return the request as it is meant by a client whose root is the folder at `path`.

    Raises: StaleFile for an inode that is not below it, as for one that does not exist; or if there is no such folder.
    """
    root = find_folder(reader, path)
    if root is None:
        raise StaleFile(path.encode("utf-8", "surrogateescape"))
    for ino in NUMBERS[type(request)](request) if type(request) in NUMBERS else ():
        _require(reader, ino, root)
    changes: dict[str, Any] = {}
    for field in BASES.get(type(request), ()):
        base = getattr(request, field)
        if base == ROOT_INO:
            changes[field] = root
        else:
            _require(reader, base, root)
    return replace(request, **changes) if changes else request


def _require(reader: Reader, ino: Ino, root: Ino) -> None:
    if not -(1 << 63) <= ino < 1 << 63 or not is_below(reader, ino, root):
        raise StaleFile(b"inode %d" % ino)
