"""Goal: the bytes of a message leave in order, each once, however the kernel takes them; only small pieces are copied.

Method: parts of all sizes through a socket that takes any number of bytes, or none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dfs.core.records import Buffer
from dfs.rpc.outgoing import LARGE_BYTES, PIECES_AT_ONCE_MAX, Outgoing, gathered

PARTS = st.lists(st.sampled_from([0, 1, 7, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 5]), max_size=12)


class MoodySocket:
    """Takes some of what it is given, or says that it has no room."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.taken = bytearray()

    def _take(self, data: bytes) -> int:
        if self.random.random() < 0.3:
            raise BlockingIOError
        count = self.random.randint(1, len(data))
        self.taken += data[:count]
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        return self._take(bytes(data))

    def sendmsg(self, buffers: Sequence[Buffer], ancillary: Sequence[Any] = (), flags: int = 0, /) -> int:
        assert 1 < len(buffers) <= PIECES_AT_ONCE_MAX
        return self._take(b"".join(buffers))


@given(PARTS, st.integers())
def test_message_arrives_as_it_was_whatever_the_socket_takes(sizes: list[int], seed: int) -> None:
    parts = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    sock = MoodySocket(seed)
    unsent = Outgoing(gathered(parts))
    while unsent:
        try:
            unsent.send(sock)  # type: ignore[arg-type]
        except BlockingIOError:
            continue
    assert sock.taken == b"".join(parts)


@given(PARTS)
def test_large_parts_are_not_copied_and_small_ones_joined(sizes: list[int]) -> None:
    parts = [bytes(size) for size in sizes]
    pieces = gathered(parts)
    assert b"".join(pieces) == b"".join(parts)
    large = [part for part in parts if len(part) >= LARGE_BYTES]
    assert [piece for piece in pieces if any(piece is part for part in large)] == large
    assert len(pieces) <= 2 * len(large) + 1


def test_more_pieces_than_the_kernel_takes_at_once_are_sent() -> None:
    parts = [bytes([number % 251]) * LARGE_BYTES for number in range(3 * PIECES_AT_ONCE_MAX)]
    sock = MoodySocket(1)
    unsent = Outgoing(gathered(parts))
    while unsent:
        try:
            unsent.send(sock)  # type: ignore[arg-type]
        except BlockingIOError:
            continue
    assert sock.taken == b"".join(parts)
