"""Goal: blocks live where R4 says, for every layout, and the place of a file does not depend on machine or process.
Method: properties over random layouts, and known answers for the hash.
"""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.placement import Layout, Role, record_index, start_for_path

LAYOUTS = st.builds(
    lambda servers, start, block_size: Layout(start % servers, servers, block_size),
    st.integers(2, 255),
    st.integers(0, 254),
    st.sampled_from([512, 4096]),
)
BLOCKS = st.integers(0, 1 << 40).map(BlockNo)


@given(LAYOUTS, BLOCKS)
def test_replicas_of_a_block_are_on_the_two_neighbours_that_r4_names(layout: Layout, block_no: BlockNo) -> None:
    assert layout.server_of(block_no, Role.PRIMARY) == (layout.start + block_no) % layout.servers
    assert layout.server_of(block_no, Role.SECONDARY) == (layout.start + block_no + 1) % layout.servers


@given(LAYOUTS, st.integers(0, 254), st.sampled_from(Role))
def test_first_block_on_a_server_is_the_lowest_that_lives_there(layout: Layout, number: int, role: Role) -> None:
    server = ServerIndex(number % layout.servers)
    lowest = next(block for block in range(layout.servers) if layout.server_of(BlockNo(block), role) == server)
    assert layout.first_block_on(server, role) == lowest


@given(LAYOUTS, BLOCKS, st.sampled_from(Role))
def test_neighbours_in_a_strip_are_neighbouring_records(layout: Layout, block_no: BlockNo, role: Role) -> None:
    following = BlockNo(block_no + layout.servers)
    assert layout.server_of(following, role) == layout.server_of(block_no, role)
    assert record_index(following, layout.servers) == record_index(block_no, layout.servers) + 1


@given(LAYOUTS, st.integers(0, 1 << 50))
def test_block_of_an_offset_holds_that_byte(layout: Layout, offset: int) -> None:
    block_no = layout.block_of(offset)
    assert block_no * layout.block_size <= offset < (block_no + 1) * layout.block_size


@given(st.binary(max_size=300), st.integers(2, 255))
def test_start_is_a_server(path: bytes, servers: int) -> None:
    assert 0 <= start_for_path(path, servers) < servers


def test_start_is_the_same_in_every_process_and_release() -> None:
    assert [start_for_path(path, 7) for path in (b"/", b"/a", b"/folder/file", b"/\xff\x00")] == [1, 4, 3, 3]  # by b2sum -l 64
    code = "from dfs.core.placement import start_for_path; print(start_for_path(b'/folder/file', 251))"
    seen = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert seen == {b"%d\n" % start_for_path(b"/folder/file", 251)}


def test_files_of_one_folder_are_spread_over_all_servers() -> None:
    counts = [0] * 4
    for number in range(4000):
        counts[start_for_path(b"/folder/file%d" % number, 4)] += 1
    assert all(900 < count < 1100 for count in counts)


@given(LAYOUTS, st.integers(0, 20_000))
def test_servers_below_a_size_are_those_with_a_replica_of_a_block_below_it(layout: Layout, size_bytes: int) -> None:
    blocks = range(-(-size_bytes // layout.block_size))
    assert set(layout.servers_below(size_bytes)) == {layout.server_of(BlockNo(number), role) for number in blocks for role in Role}
    assert len(set(layout.servers_below(size_bytes))) == len(layout.servers_below(size_bytes))
