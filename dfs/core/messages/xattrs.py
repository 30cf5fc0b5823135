"""Extended attributes, as requests."""

from __future__ import annotations

from dataclasses import dataclass

from dfs.core.ids import Ino
from dfs.core.messages.requests import Change, Done, Request


@dataclass(frozen=True, slots=True)
class SetXattr(Change[Done]):
    """Set an extended attribute.

    `flags`: those of setxattr(2): 1 = XATTR_CREATE, 2 = XATTR_REPLACE. Faults: AlreadyExists, NoAttribute, NotSupported
    (a namespace or name that is not kept), NotPermitted, AccessDenied, ArgumentTooBig, NoSpace (too many names).
    """

    base: Ino
    path: bytes
    name: bytes
    value: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class GetXattr(Request[bytes]):
    """Return the value of an extended attribute. Faults: NoAttribute, NotSupported, AccessDenied."""

    base: Ino
    path: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class ListXattrs(Request[tuple[bytes, ...]]):
    """Return the names of an inode's extended attributes, those that only root may see to root only."""

    base: Ino
    path: bytes


@dataclass(frozen=True, slots=True)
class RemoveXattr(Change[Done]):
    """Remove an extended attribute. Faults: as SetXattr."""

    base: Ino
    path: bytes
    name: bytes
