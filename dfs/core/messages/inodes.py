"""What the meta-server says of an inode: its attributes and its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.cuts import Cut
from dfs.core.ids import Ino, Ticket
from dfs.core.placement import Layout


class Content(NamedTuple):
    """What a reader must know to read a file's bytes."""

    layout: Layout
    size_bytes: int
    cuts: tuple[Cut, ...]
    newest_cut: Ticket
    """The newest cut ticket ever made on the inode (cuts that were executed everywhere are forgotten, this is not)."""


class Attributes(NamedTuple):
    """An inode as stat(2) shows it, and what is needed to read it."""

    ino: Ino
    mode: int
    """File type and permission bits."""
    nlink: int
    uid: int
    gid: int
    rdev: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    content: Content
    """Size, layout and cuts; for a folder or a link the size alone means something."""
    is_sparse: bool = False
    """Whether blocks below the size may never have been written: the data servers know how many were (CountBlocks)."""
    is_settling: bool = False
    """Whether the holder of the grant has gone and meta still asks the data servers how far it wrote: the size and the cuts may be
    short of what was acknowledged, so nobody may go by them.
    """


class Entry(NamedTuple):
    """One name of a listing with the attributes of its inode."""

    name: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class AttributeChanges:
    """What setattr changes; a field left out stays as it is. Sizes are changed by Truncate."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    atime_now: bool = False
    """Set atime to meta's clock; what a caller who may write but does not own the file is allowed."""
    mtime_now: bool = False
