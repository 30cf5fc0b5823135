"""How the C library's allocator treats memory that was freed, for programs that handle buffers of 100 KiB at every call.

By default glibc gives such buffers back to the kernel and gets them anew, page fault by page fault: up to 130 faults for a write of
128 KiB, a tenth of its processor time. Called by dfs/cli as the first thing a program does. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import logging
from typing import Final

log = logging.getLogger(__name__)

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""Numbers of mallopt(3)."""
KEPT_BYTES: Final = 64 << 20
"""Freed memory that the process keeps for its next calls."""
HEAP_BYTES_MAX: Final = 16 << 20
"""Buffers up to this size come from the heap: the largest body of a request."""
ARENAS: Final = 1
"""Threads share one heap, what one freed the next one uses: they take turns with the interpreter's lock anyway."""


def keep_freed_memory() -> None:
    """Tell the allocator to keep freed memory. Call it before the first thread starts."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in ((M_TRIM_THRESHOLD, KEPT_BYTES), (M_MMAP_THRESHOLD, HEAP_BYTES_MAX), (M_ARENA_MAX, ARENAS)):
        if not mallopt(option, value):
            log.debug("the allocator refuses option %d", option)
