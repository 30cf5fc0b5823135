"""fallocate(2), for which Python has no function that takes a mode."""

from __future__ import annotations

import ctypes
import os
from typing import Final

KEEP_SIZE: Final = 1
PUNCH_HOLE: Final = 2
COLLAPSE_RANGE: Final = 8
ZERO_RANGE: Final = 16
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Make the system call of this name. Offset and length in bytes. Raises: OSError."""
    _LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
    if _LIBC.fallocate(fd, mode, offset, length):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
