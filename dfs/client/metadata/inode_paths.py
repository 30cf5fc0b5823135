"""Paths that begin at an inode instead of the root: `57` is inode 57 itself, `57/name` a name in that folder (pure).

The kernel names what it knows by its number, so a boundary that hears the kernel itself need not know how a path leads there, and
what another mount has renamed meanwhile is still found. Made by dfs/fusefs/channel; understood wherever the client takes a path.
"""

from __future__ import annotations

from dfs.core.errors import InvalidArgument
from dfs.core.ids import Ino


def path_of_inode(ino: int) -> bytes:
    """Return the path of an inode itself."""
    return b"%d" % ino


def inode_of(path: bytes) -> Ino | None:
    """Return the inode that a path is by its number alone; None for any other path."""
    return Ino(int(path)) if path.isdigit() else None


def split_at_inode(path: bytes) -> tuple[Ino, bytes]:
    """Return the inode at which a path begins that has no slash in front, and the rest. Raises: InvalidArgument."""
    number, _, rest = path.partition(b"/")
    if not number.isdigit():
        raise InvalidArgument(path)
    return Ino(int(number)), rest
