"""Goal: CountBlocks tells how many blocks are stored, wherever they stand.

Method: requests to one server, before and after a checkpoint.
"""

from __future__ import annotations

import pytest

from dfs.core.errors import BadRequest
from dfs.core.ids import Ino
from dfs.core.messages.blocks import BlockCounts, CountBlocks
from tests.harness.memory_disk import MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer, P, S, generation


def count(server: OneServer, below: int) -> BlockCounts:
    return server.service.call(CONTEXT, CountBlocks(Ino(7), below))


def test_blocks_in_the_journal_and_in_place_are_counted_once() -> None:
    server = OneServer(MemoryDisk(), servers=2)
    assert count(server, 1000) == BlockCounts(0, 0)
    server.put(7, generation(1), (P, 0, [b"x" * 512] * 3), (S, 1, [b"x" * 512]))
    server.put(7, generation(1, 2), (P, 8000, [b"y" * 512]))
    for _ in range(2):
        assert count(server, 10_000) == BlockCounts(4, 1)
        assert count(server, 8000) == BlockCounts(3, 1)
        assert count(server, 3) == BlockCounts(2, 1)
        assert count(server, 0) == BlockCounts(0, 0)
        server.checkpoint()
    server.put(7, generation(1, 3), (P, 0, [b"z" * 512]))
    assert count(server, 10_000) == BlockCounts(4, 1)
    server.restart()
    assert count(server, 10_000) == BlockCounts(4, 1)


def test_impossible_number_is_refused() -> None:
    with pytest.raises(BadRequest):
        count(OneServer(MemoryDisk()), -1)
