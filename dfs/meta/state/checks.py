"""Checks of what callers send: every number and name is within its limits before anything is looked up or stored.

A value that no correct client sends is a BadRequest; one that a program may pass to a system call is a FileError leaf.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import BadRequest, FileTooLarge, InvalidArgument, NameTooLong
from dfs.core.ids import NUMBER_MAX
from dfs.core.limits import FILE_BYTES_MAX, NAME_BYTES_MAX, TREE_PATH_BYTES_MAX

INT64_MAX: Final = (1 << 63) - 1
INT64_MIN: Final = -(1 << 63)
ID_MAX: Final = (1 << 32) - 2
"""Highest uid or gid; the one above means "unchanged" to chown(2)."""


def split_path(path: bytes) -> list[bytes]:
    """Return the names in a path relative to a folder; [] for the folder itself.

    Raises: NameTooLong; InvalidArgument for an empty name, ".", ".." or a NUL byte.
    """
    if not path:
        return []
    if len(path) > TREE_PATH_BYTES_MAX:
        raise NameTooLong(path[:NAME_BYTES_MAX])
    if b"\0" in path:
        raise InvalidArgument(path)
    names = path.split(b"/")
    for name in names:
        if len(name) > NAME_BYTES_MAX:
            raise NameTooLong(path)
        if not name or name in (b".", b".."):
            raise InvalidArgument(path)
    return names


def require_number(value: int, what: str) -> None:
    """Raise BadRequest unless `value` can be an inode, ticket or session number (0 .. 2**40 - 1)."""
    if not 0 <= value <= NUMBER_MAX:
        raise BadRequest(f"{what}: expected 0 to {NUMBER_MAX}, got {value}")


def require_op(value: int) -> None:
    """Raise BadRequest unless `value` can number an operation (1 .. 2**63 - 1)."""
    if not 1 <= value <= INT64_MAX:
        raise BadRequest(f"op: expected 1 to {INT64_MAX}, got {value}")


def require_time(value: int, what: str) -> None:
    """Raise BadRequest unless `value` is a time in nanoseconds that 64 bits hold."""
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadRequest(f"{what}: expected nanoseconds in 64 bits, got {value}")


def require_id(value: int, what: str) -> None:
    """Raise BadRequest unless `value` can be a uid or gid."""
    if not 0 <= value <= ID_MAX:
        raise BadRequest(f"{what}: expected 0 to {ID_MAX}, got {value}")


def require_mode(value: int) -> None:
    """Raise BadRequest unless `value` is a mode of 16 bits."""
    if not 0 <= value <= 0o177777:
        raise BadRequest(f"mode: expected 0 to 0o177777, got {value:#o}")


def require_size(value: int, path: bytes) -> None:
    """Raise InvalidArgument for a negative size, FileTooLarge for one over FILE_BYTES_MAX."""
    if value < 0:
        raise InvalidArgument(path)
    if value > FILE_BYTES_MAX:
        raise FileTooLarge(path)
