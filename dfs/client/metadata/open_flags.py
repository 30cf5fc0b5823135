"""The flags of open(2) that matter here, with the values of Linux on the architectures that Debian calls generic (amd64, arm64,
i386, riscv64, ppc64el, s390x and armhf agree on all of these).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ACCESS_MODE: Final = 0o3
READ_ONLY: Final = 0o0
WRITE_ONLY: Final = 0o1
READ_WRITE: Final = 0o2
CREATE: Final = 0o100
EXCLUSIVE: Final = 0o200
TRUNCATE: Final = 0o1000
APPEND: Final = 0o2000


@dataclass(frozen=True, slots=True)
class OpenMode:
    """What a handle is for."""

    read: bool
    write: bool
    append: bool
    exclusive: bool
    truncate: bool


def open_mode(flags: int) -> OpenMode:
    """Return what the flags of open(2) ask for."""
    access = flags & ACCESS_MODE
    return OpenMode(
        read=access != WRITE_ONLY,
        write=access != READ_ONLY,
        append=bool(flags & APPEND),
        exclusive=bool(flags & EXCLUSIVE),
        truncate=bool(flags & TRUNCATE) and access != READ_ONLY,
    )
