"""What the kernel says about locks: struct flock, as libfuse hands it over (fcntl(2), 64-bit offsets), and flock(2)'s operations.

Used by binding.py to read and answer, and by operations.py, which knows only LockCall and the conversions here. Pure.
"""

from __future__ import annotations

import ctypes
import fcntl
from typing import Final, NamedTuple

from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange, whole_file


class FlockStruct(ctypes.Structure):
    """struct flock with _FILE_OFFSET_BITS = 64."""

    _fields_ = (
        ("l_type", ctypes.c_short),
        ("l_whence", ctypes.c_short),
        ("l_start", ctypes.c_longlong),
        ("l_len", ctypes.c_longlong),
        ("l_pid", ctypes.c_int),
    )


class LockCall(NamedTuple):
    """A call about a lock of fcntl(2), or its answer; offsets count from the start of the file."""

    kind: int
    """F_RDLCK, F_WRLCK or F_UNLCK."""
    first: int
    last: int
    pid: int


_OWNER_SIGN: Final = 1 << 63


def read_flock(struct: FlockStruct) -> LockCall:
    """Return what the kernel asks; a length of 0 reaches to the end."""
    last = struct.l_start + struct.l_len - 1 if struct.l_len else OFFSET_MAX
    return LockCall(struct.l_type, struct.l_start, last, struct.l_pid)


def fill_flock(struct: FlockStruct, answer: LockCall) -> None:
    """Answer F_GETLK."""
    struct.l_type = answer.kind
    struct.l_whence = 0
    struct.l_start = answer.first
    struct.l_len = 0 if answer.last == OFFSET_MAX else answer.last - answer.first + 1
    struct.l_pid = answer.pid


def to_owner(kind: LockKind, number: int) -> LockOwner:
    """Return the owner that the kernel names by an unsigned number of 64 bits."""
    return LockOwner(kind, number - (number & _OWNER_SIGN) * 2)


def to_range(call: LockCall, pid: int) -> LockRange:
    """Return what a call wants locked, for the process `pid`."""
    return LockRange(call.first, call.last, call.kind == fcntl.F_WRLCK, pid)


def to_whole_range(operation: int, pid: int) -> LockRange:
    """Return what a call of flock(2) wants locked."""
    return whole_file(is_exclusive=bool(operation & fcntl.LOCK_EX), pid=pid)
