"""Goal: the plan of a range sends every block of it to exactly the two servers that hold it, once in each role, and nothing else.
Method: properties over random layouts and ranges.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.messages.blocks import Run
from dfs.core.placement import Layout, Role
from dfs.core.plan import blocks_of, plan_range, run_on, segment_of, slices_of

BLOCK_SIZE = 4
LAYOUTS = st.builds(lambda servers, start: Layout(start % servers, servers, BLOCK_SIZE), st.integers(2, 9), st.integers(0, 8))
FIRSTS = st.integers(0, 1000).map(BlockNo)
COUNTS = st.integers(1, 40)


@given(LAYOUTS, FIRSTS, COUNTS)
def test_plan_names_every_block_once_in_each_role_on_its_server(layout: Layout, first: BlockNo, count: int) -> None:
    last = BlockNo(first + count - 1)
    seen: Counter[tuple[int, Role]] = Counter()
    for server, runs in plan_range(layout, first, last).items():
        assert [run.role for run in runs] == sorted({run.role for run in runs})
        for run in runs:
            for number in blocks_of(run, layout.servers):
                assert layout.server_of(BlockNo(number), run.role) == server
                seen[number, run.role] += 1
    assert seen == Counter({(number, role): 1 for number in range(first, last + 1) for role in Role})


@given(LAYOUTS, FIRSTS, COUNTS)
def test_plan_asks_each_server_once(layout: Layout, first: BlockNo, count: int) -> None:
    plan = plan_range(layout, first, BlockNo(first + count - 1))
    assert len(plan) == min(layout.servers, count + 1)


@given(LAYOUTS, FIRSTS, COUNTS, st.integers(1, BLOCK_SIZE))
def test_slices_and_segments_carry_exactly_the_bytes_of_their_blocks(
    layout: Layout, first: BlockNo, count: int, last_length: int
) -> None:
    data = bytes(number % 256 for number in range((count - 1) * BLOCK_SIZE + last_length))
    last = BlockNo(first + count - 1)
    rebuilt = bytearray(len(data))
    for runs in plan_range(layout, first, last).values():
        for run in runs:
            segment = segment_of(run, layout.servers, last, last_length, BLOCK_SIZE)
            slices = slices_of(run, layout.servers, first, BLOCK_SIZE, memoryview(data))
            assert len(slices) == segment.blocks
            assert [len(piece) for piece in slices] == [BLOCK_SIZE] * (segment.blocks - 1) + [segment.last_length]
            if run.role is Role.SECONDARY:
                continue
            for number, piece in zip(blocks_of(run, layout.servers), slices, strict=True):
                at = (number - first) * BLOCK_SIZE
                rebuilt[at : at + len(piece)] = piece
    assert rebuilt == data


@given(LAYOUTS, FIRSTS, st.sampled_from(Role))
def test_server_without_a_block_of_the_range_has_no_run(layout: Layout, first: BlockNo, role: Role) -> None:
    holder = layout.server_of(first, role)
    assert run_on(layout, holder, role, first, first) == Run(role, first, 1)
    stranger = ServerIndex((holder + 1) % layout.servers)
    assert run_on(layout, stranger, role, first, first) is None
