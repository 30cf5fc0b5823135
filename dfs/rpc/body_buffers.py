"""Buffers of large bodies that are kept for the next ones: fresh memory has to be zeroed, and grown by copying as bytes come.

Owns the kept buffers, by size class, a few of each, the last used first: it is still in the processor's caches. Promises: what is
kept is bounded, however many connections there are; a buffer belongs to whoever took it until it is given back, and one that
somebody still looks at is not kept. Called by framing.py for the reader's side, and by whoever has read a body out.
"""

from __future__ import annotations

from collections import deque
from typing import Final

KEPT_BYTES: Final = range(64 << 10, 2 << 20)
"""Sizes that are kept: smaller buffers cost next to nothing, larger ones are rare."""
KEPT_PER_CLASS: Final = 4
"""Classes are the powers of two within KEPT_BYTES, so that at most 16 MiB are kept."""


class BodyBuffers:
    """Buffers for bodies, shared by all threads: every step is one call of a deque, which needs no mutex."""

    def __init__(self) -> None:
        self._kept: dict[int, deque[bytearray]] = {
            size.bit_length(): deque(maxlen=KEPT_PER_CLASS) for size in map((1).__lshift__, range(KEPT_BYTES.stop.bit_length()))
        }

    def take(self, size_bytes: int) -> bytearray | None:
        """Return a kept buffer that is now of this size, with anything in it; None if there is none of its class."""
        if size_bytes not in KEPT_BYTES:
            return None
        try:
            buffer = self._kept[size_bytes.bit_length()].pop()
            del buffer[size_bytes - 1 :]  # in any case: a buffer that somebody looks at can't change its size
            buffer += bytes(size_bytes - len(buffer))
        except (IndexError, BufferError):  # none there; or an error's traceback still holds a view of it
            return None
        return buffer

    def give_back(self, buffer: bytearray) -> None:
        """Keep a buffer for the next body; the caller has no more use for what is in it."""
        if len(buffer) in KEPT_BYTES:
            self._kept[len(buffer).bit_length()].append(buffer)
