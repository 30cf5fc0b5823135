"""Goal: the Puts of a write carry every block to its two servers, each server once a round, within the limits, checksums right.
Method: properties over random layouts, offsets and sizes; each Put is taken apart as a data server does.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.client.blocks import put_plan
from dfs.client.blocks.put_plan import blocks_at_once, plan_puts
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.limits import REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.placement import Layout, Role
from dfs.core.plan import blocks_of
from dfs.core.records import checksum, unpack_checksums
from dfs.data.blocks.checks import check_put
from dfs.data.disk.geometry import Geometry

LAYOUTS = st.builds(lambda servers, start: Layout(start % servers, servers, 512), st.integers(2, 7), st.integers(0, 6))
INO, TICKET, GENERATION = Ino(9), Ticket(5), Generation(5 << 24 | 1)


@given(LAYOUTS, st.integers(0, 50).map(BlockNo), st.integers(1, 30 * 512))
def test_puts_carry_every_block_to_its_two_servers(layout: Layout, first: BlockNo, size: int) -> None:
    data = bytes(number * 31 % 251 for number in range(size))
    [puts] = plan_puts(INO, layout, TICKET, GENERATION, first, data)
    seen: dict[tuple[int, Role], bytes] = {}
    for server, put in puts.items():
        sums = list(unpack_checksums(put.checksums))
        sent, at = bytes(put.data), 0
        for segment in put.segments:
            numbers = blocks_of(segment, layout.servers)
            for number in numbers:
                length = segment.last_length if number == numbers[-1] else 512
                piece = sent[at : at + length]
                at += length
                assert layout.server_of(BlockNo(number), segment.role) == server
                assert sums.pop(0) == checksum(INO, BlockNo(number), GENERATION, piece)
                seen[number, segment.role] = piece
        assert at == len(sent) == len(put.data)
        assert not sums
    blocks = {first + at // 512: data[at : at + 512] for at in range(0, size, 512)}
    assert seen == {(number, role): piece for number, piece in blocks.items() for role in Role}


@given(LAYOUTS, st.integers(0, 50).map(BlockNo), st.integers(1, 30 * 512))
def test_every_put_is_one_that_a_data_server_takes(layout: Layout, first: BlockNo, size: int) -> None:
    for puts in plan_puts(INO, layout, TICKET, GENERATION, first, bytes(size)):
        for put in puts.values():
            check_put(put, Geometry(servers=layout.servers, block_size=512))


@given(st.integers(2, 255), st.sampled_from([512, 4096, 1 << 20]))
def test_one_round_stays_within_the_limits_of_a_request(servers: int, block_size: int) -> None:
    layout = Layout(0, servers, block_size)
    blocks = blocks_at_once(layout)
    per_server = 2 * -(-blocks // servers)
    assert blocks > 0
    assert per_server <= REQUEST_BLOCKS_MAX
    assert per_server * block_size <= REQUEST_DATA_BYTES_MAX


def test_write_of_more_than_one_round_is_divided_at_block_borders() -> None:
    layout = Layout(1, 3, 1 << 20)
    data = bytes((blocks_at_once(layout) + 2) << 20)
    rounds = plan_puts(INO, layout, TICKET, GENERATION, BlockNo(4), data)
    numbers = [
        sorted({number for put in puts.values() for segment in put.segments for number in blocks_of(segment, 3)}) for puts in rounds
    ]
    assert numbers == [list(range(4, 4 + blocks_at_once(layout))), [4 + blocks_at_once(layout), 5 + blocks_at_once(layout)]]
    assert put_plan.blocks_at_once(layout) == 6


@pytest.mark.parametrize("servers", [2, 3, 4, 7])
@pytest.mark.parametrize("block_size", [512, 65_536])
def test_largest_write_of_the_kernel_is_one_round(servers: int, block_size: int) -> None:
    data = memoryview(bytes(1 << 20))
    [puts] = plan_puts(INO, Layout(0, servers, block_size), TICKET, GENERATION, BlockNo(0), data)
    assert sum(len(put.data) for put in puts.values()) == 2 * len(data)
