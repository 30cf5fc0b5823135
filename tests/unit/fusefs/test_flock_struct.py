"""Goal: what the kernel says of locks is read and answered exactly. Method: examples at the edges of the numbers."""

from __future__ import annotations

import fcntl
import struct

import pytest

from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.fusefs.flock_struct import FlockStruct, LockCall, fill_flock, read_flock, to_owner, to_range, to_whole_range


@pytest.mark.parametrize(
    ("start", "length", "first", "last"),
    [(0, 0, 0, OFFSET_MAX), (10, 1, 10, 10), (10, 0, 10, OFFSET_MAX), (5 << 32, 1 << 33, 5 << 32, (7 << 32) - 1)],
)
def test_range_is_read_and_answered_as_the_kernel_writes_it(start: int, length: int, first: int, last: int) -> None:
    kernel = struct.pack("hh4xqqi4x", fcntl.F_WRLCK, 0, start, length, 42)
    asked = FlockStruct.from_buffer_copy(kernel)
    call = read_flock(asked)
    assert call == LockCall(fcntl.F_WRLCK, first, last, 42)
    answer = FlockStruct()
    fill_flock(answer, call)
    assert bytes(answer)[:28] == kernel[:28]


@pytest.mark.parametrize(("number", "signed"), [(0, 0), (1 << 62, 1 << 62), ((1 << 64) - 1, -1), (1 << 63, -(1 << 63))])
def test_owner_of_64_bits_without_sign_fits_a_signed_number(number: int, signed: int) -> None:
    assert to_owner(LockKind.RECORD, number) == LockOwner(LockKind.RECORD, signed)


def test_kind_of_lock_decides_whether_it_is_exclusive() -> None:
    assert to_range(LockCall(fcntl.F_RDLCK, 1, 2, 0), 7) == LockRange(1, 2, is_exclusive=False, pid=7)
    assert to_range(LockCall(fcntl.F_WRLCK, 1, 2, 0), 7) == LockRange(1, 2, is_exclusive=True, pid=7)
    assert to_whole_range(fcntl.LOCK_SH, 7) == LockRange(0, OFFSET_MAX, is_exclusive=False, pid=7)
    assert to_whole_range(fcntl.LOCK_EX | fcntl.LOCK_NB, 7) == LockRange(0, OFFSET_MAX, is_exclusive=True, pid=7)
