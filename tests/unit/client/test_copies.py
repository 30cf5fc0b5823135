"""Goal: what a data server answers is taken apart exactly, and bytes that do not verify never pass (I2). Method: answers made by
hand, whole and damaged.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.client.blocks.copies import Found, Stripe, copies_of, data_of, split_answer, take_all
from dfs.client.blocks.settling import runs_of
from dfs.core.errors import BadAnswer
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex
from dfs.core.messages.blocks import Blocks, Copy, CopyState, Run, pack_copies
from dfs.core.placement import Layout, Role
from dfs.core.plan import blocks_of
from dfs.core.records import checksum

LAYOUT = Layout(0, 4, 16)
INO, SERVER, GENERATION = Ino(9), ServerIndex(0), Generation(77)
HOLE = Copy(CopyState.ABSENT, 0, 0, Generation(0))


def present(number: int, data: bytes) -> Copy:
    return Copy(CopyState.PRESENT, len(data), checksum(INO, BlockNo(number), GENERATION, data), GENERATION)


def found(blocks: dict[int, bytes | None]) -> Found:
    copies = [HOLE if data is None else present(number, data) for number, data in blocks.items()]
    return Found(pack_copies(copies), memoryview(b"".join(data for data in blocks.values() if data)))


BLOCKS: dict[int, bytes | None] = {0: b"a" * 16, 4: None, 8: b"short", 12: b"b" * 16}


def test_blocks_are_filled_up_and_holes_are_zeros() -> None:
    pieces = take_all(SERVER, INO, LAYOUT, Stripe(BlockNo(0), 4), found(BLOCKS))
    assert pieces is not None
    assert [bytes(piece) for piece in pieces] == [b"a" * 16, bytes(16), b"short" + bytes(11), b"b" * 16]


@given(st.integers(0, 36), st.integers(0, 7))
def test_any_flipped_bit_of_the_data_is_noticed(at: int, bit: int) -> None:
    good = found(BLOCKS)
    assert good.data is not None
    data = bytearray(good.data)
    data[at] ^= 1 << bit
    with pytest.raises(BadAnswer, match="does not verify"):
        take_all(SERVER, INO, LAYOUT, Stripe(BlockNo(0), 4), Found(good.copies, memoryview(data)))


def test_data_of_another_file_or_block_is_noticed() -> None:
    for ino, first in ((Ino(8), 0), (INO, 4)):
        with pytest.raises(BadAnswer):
            take_all(SERVER, ino, LAYOUT, Stripe(BlockNo(first), 4), found(BLOCKS))


@pytest.mark.parametrize("state", [CopyState.CORRUPT, CopyState.UNKNOWN])
def test_stripe_with_a_bad_copy_is_not_taken_as_a_whole(state: CopyState) -> None:
    copies = pack_copies([present(0, b"a" * 16), Copy(state, 0, 0, Generation(0))])
    assert take_all(SERVER, INO, LAYOUT, Stripe(BlockNo(0), 2), Found(copies, memoryview(b"a" * 16))) is None


def test_data_of_one_copy_is_found_behind_those_before_it() -> None:
    good = found(BLOCKS)
    assert good.data is not None
    copies = copies_of(SERVER, good)
    assert bytes(data_of(SERVER, INO, BlockNo(8), copies, 2, good.data)) == b"short"
    with pytest.raises(BadAnswer):
        data_of(SERVER, INO, BlockNo(4), copies, 2, good.data)


def test_answer_is_split_by_runs_and_its_data_by_the_copies() -> None:
    one, two, three = found({0: b"a" * 16, 4: b"b"}), found({1: b"cc"}), found({2: b"unsent"})
    assert one.data is not None
    assert two.data is not None
    answer = Blocks(one.copies + two.copies + three.copies, bytes(one.data) + bytes(two.data))
    send = (Run(Role.PRIMARY, BlockNo(0), 2), Run(Role.SECONDARY, BlockNo(1), 1))
    tell = (Run(Role.SECONDARY, BlockNo(2), 1),)
    assert split_answer(SERVER, send, tell, answer) == [(send[0], one), (send[1], two), (tell[0], Found(three.copies, None))]


@pytest.mark.parametrize(
    "answer",
    [
        Blocks(b"", b""),
        Blocks(found({0: b"a"}).copies, b""),
        Blocks(found({0: b"a"}).copies, b"ab"),
        Blocks(found({0: b"a"}).copies + b"x", b"a"),
        Blocks(b"\x09" + bytes(19), b""),
    ],
)
def test_answer_that_does_not_fit_the_question_is_refused(answer: Blocks) -> None:
    run = Run(Role.PRIMARY, BlockNo(0), 1)

    def take_apart() -> None:
        [(_, what)] = split_answer(SERVER, (run,), (), answer)
        copies_of(SERVER, what)
        take_all(SERVER, INO, LAYOUT, Stripe(BlockNo(0), 1), what)

    with pytest.raises(BadAnswer):
        take_apart()


@given(st.sets(st.integers(0, 60)), st.integers(2, 5))
def test_runs_name_exactly_the_blocks_they_were_made_of(numbers: set[int], servers: int) -> None:
    runs = runs_of(Role.PRIMARY, [BlockNo(number) for number in sorted(numbers)], servers)
    assert sorted(number for run in runs for number in blocks_of(run, servers)) == sorted(numbers)
