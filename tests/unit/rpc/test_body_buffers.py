"""Goal: a kept buffer never shows what was in it before, nor takes memory without bound, nor changes under whoever looks at it.

Method: bodies of many sizes through readers that share buffers; buffers given back with and without a view on them.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.limits import BODY_BYTES_TRUSTED
from dfs.rpc.body_buffers import KEPT_BYTES, KEPT_PER_CLASS, BodyBuffers
from dfs.rpc.framing import MessageReader, parse_request_head, request_head
from tests.unit.rpc.test_framing import fed

LOW, HIGH = KEPT_BYTES.start, KEPT_BYTES.stop
SIZES = st.integers(LOW - 2, LOW + 2) | st.integers(2 * LOW - 2, 2 * LOW + 2) | st.integers(LOW, 4 * LOW)


@given(sizes=st.lists(SIZES, min_size=2, max_size=6), piece_bytes=st.integers(10_000, 300_000))
def test_each_body_is_whole_whatever_stood_in_its_buffer(sizes: list[int], piece_bytes: int) -> None:
    buffers = BodyBuffers()
    for number, size in enumerate(sizes):
        body = bytes([number + 1]) * size
        reader = MessageReader(parse_request_head, buffers=buffers)
        [message] = fed(reader, request_head("h:1", b"", size) + body, piece_bytes)
        assert message.body == body
        buffers.give_back(message.body)


def test_body_of_about_the_same_size_gets_the_kept_buffer() -> None:
    buffers = BodyBuffers()
    kept = bytearray(3 * LOW)
    buffers.give_back(kept)
    assert buffers.take(3 * LOW + 100) is kept
    assert len(kept) == 3 * LOW + 100
    buffers.give_back(kept)
    assert buffers.take(3 * LOW - 100) is kept
    assert len(kept) == 3 * LOW - 100
    assert buffers.take(3 * LOW) is None


def test_memory_of_a_kept_buffer_is_claimed_only_as_bytes_come() -> None:
    buffers = BodyBuffers()
    size = 4 * BODY_BYTES_TRUSTED
    buffers.give_back(bytearray(size))
    claimed: list[int] = []
    reader = MessageReader(parse_request_head, claimed.append, buffers)
    [message] = fed(reader, request_head("h:1", b"", size) + bytes(size), size)
    assert len(message.body) == size
    assert claimed == [BODY_BYTES_TRUSTED, BODY_BYTES_TRUSTED, 2 * BODY_BYTES_TRUSTED]


@pytest.mark.parametrize("size", [LOW, LOW + 1, LOW + 2])
def test_buffer_that_somebody_looks_at_is_not_handed_out(size: int) -> None:
    buffers = BodyBuffers()
    kept = bytearray(LOW + 1)
    view = memoryview(kept)
    buffers.give_back(kept)
    assert buffers.take(size) is None
    assert len(view) == LOW + 1


def test_what_is_kept_is_bounded() -> None:
    buffers = BodyBuffers()
    for size in (1, LOW - 1, LOW, 2 * LOW, HIGH - 1, HIGH, 5 * HIGH):
        for _ in range(3 * KEPT_PER_CLASS):
            buffers.give_back(bytearray(size))
    taken = [len(kept) for size in (LOW, 2 * LOW, HIGH - 1) for _ in range(100) if (kept := buffers.take(size)) is not None]
    assert len(taken) == 3 * KEPT_PER_CLASS
    assert all(a <= b for a, b in pairwise(taken))
    assert buffers.take(1) is None
    assert buffers.take(HIGH) is None
