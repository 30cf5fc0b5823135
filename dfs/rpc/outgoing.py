"""Messages on their way out, in pieces: the bulk of a message is handed to the kernel where it stands.

Owns what is left to be sent of a message. Promises: the bytes leave in order, each once; small neighbours are one piece, since the
kernel takes longer for a piece than it takes to copy it. Called by exchange.py and server_connection.py; never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dfs.core.records import Buffer
from dfs.rpc.transport import Transport

LARGE_BYTES: Final = 16 << 10
"""Pieces of this size are not copied."""
PIECES_AT_ONCE_MAX: Final = 64
"""Well below IOV_MAX of every system."""


def gathered(parts: Sequence[Buffer]) -> list[Buffer]:
    """Return the same bytes in few pieces: large parts as they are, those between them joined."""
    pieces: list[Buffer] = []
    small: list[Buffer] = []
    for part in parts:
        if len(part) < LARGE_BYTES:
            small.append(part)
            continue
        if small:
            pieces.append(b"".join(small))
            small = []
        pieces.append(part)
    if small:
        pieces.append(b"".join(small))
    return pieces


class Outgoing:
    """What is left to be sent of a message. False when nothing is."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Sequence[Buffer]) -> None:
        self._pieces = [memoryview(piece) for piece in pieces if len(piece)]

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def send(self, sock: Transport, flags: int = 0) -> None:
        """Send all of it. Raises: BlockingIOError: the rest is for another call; OSError."""
        pieces = self._pieces
        while pieces:
            count = sock.send(pieces[0], flags) if len(pieces) == 1 else sock.sendmsg(pieces[:PIECES_AT_ONCE_MAX], (), flags)
            done = 0
            while done < len(pieces) and count >= len(pieces[done]):
                count -= len(pieces[done])
                done += 1
            del pieces[:done]
            if count:
                pieces[0] = pieces[0][count:]
