"""Goal: a cut voids exactly the bytes at or past it in blocks older than it, however many cuts there are and were forgotten.
Method: properties against a model that keeps every cut ever made and looks at each byte.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs.core.cuts import Cut, add_cut, newest_ticket, valid_length
from dfs.core.ids import BlockNo, Ticket, generation_of

BLOCK_SIZE = 8
OFFSETS = st.lists(st.integers(0, 40), max_size=8)


def cuts_made(offsets: list[int]) -> list[Cut]:
    """Return cuts with rising tickets 10, 20, ..."""
    return [Cut(offset, Ticket(10 * (number + 1))) for number, offset in enumerate(offsets)]


def kept(made: list[Cut]) -> tuple[Cut, ...]:
    cuts: tuple[Cut, ...] = ()
    for cut in made:
        cuts = add_cut(cuts, cut)
    return cuts


@given(OFFSETS)
def test_kept_cuts_rise_in_offset_and_ticket(offsets: list[int]) -> None:
    cuts = kept(cuts_made(offsets))
    assert list(cuts) == sorted(cuts)
    assert len({cut.offset for cut in cuts}) == len(cuts)
    assert sorted(cut.ticket for cut in cuts) == [cut.ticket for cut in cuts]


@given(OFFSETS, st.integers(0, 5), st.integers(1, 90), st.integers(0, BLOCK_SIZE))
def test_valid_length_with_the_kept_cuts_is_that_with_all_cuts_ever_made(
    offsets: list[int], block: int, ticket: int, length: int
) -> None:
    made = cuts_made(offsets)
    expected = 0
    for at in range(length):
        byte = block * BLOCK_SIZE + at
        if any(ticket < cut.ticket and byte >= cut.offset for cut in made):
            break
        expected = at + 1
    got = valid_length(kept(made), BlockNo(block), BLOCK_SIZE, generation_of(Ticket(ticket), 3), length)
    assert got == expected


@given(OFFSETS, st.integers(0, 5), st.integers(0, BLOCK_SIZE))
def test_block_written_under_the_newest_ticket_is_untouched(offsets: list[int], block: int, length: int) -> None:
    cuts = kept(cuts_made(offsets))
    generation = generation_of(Ticket(max(1, newest_ticket(cuts))), 1)
    assert valid_length(cuts, BlockNo(block), BLOCK_SIZE, generation, length) == length


@given(OFFSETS)
def test_newest_ticket_is_that_of_the_last_cut(offsets: list[int]) -> None:
    made = cuts_made(offsets)
    assert newest_ticket(kept(made)) == (made[-1].ticket if made else 0)
