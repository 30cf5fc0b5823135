"""Goal: a listing says what was put into it. Method: pack entries as Hypothesis makes them, and read them back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs.core.cuts import Cut
from dfs.core.ids import Ino, Ticket
from dfs.core.messages.listings import InodeCuts, pack_listing

NUMBERS = st.tuples(*[st.integers(-(1 << 63), (1 << 63) - 1)] * 13, st.booleans(), st.integers(0, 9), st.booleans())
NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name)
CUTS = (Cut(5, Ticket(6)), Cut(7, Ticket(8)))


@given(st.lists(st.tuples(NAMES, NUMBERS), max_size=5), st.booleans())
def test_entries_come_back_as_they_were_packed(rows: list[tuple[bytes, tuple[int, ...]]], more: bool) -> None:
    listing = pack_listing([name for name, _ in rows], [numbers for _, numbers in rows], (), more=more)
    assert listing.more == more
    found = listing.entries()
    assert [entry.name for entry in found] == [name for name, _ in rows]
    for (_, attributes), (_, numbers) in zip(found, rows, strict=True):
        content = attributes.content
        assert (*attributes[:9], content.size_bytes, *content.layout) == numbers[:13]
        assert (attributes.is_sparse, content.newest_cut, attributes.is_settling, content.cuts) == (*numbers[13:], ())


def test_cuts_are_those_of_their_inode() -> None:
    numbers = [(ino, *[1] * 15) for ino in (5, 6, 5)]
    entries = pack_listing([b"a", b"b", b"c"], numbers, [InodeCuts(Ino(5), CUTS)], more=False).entries()
    assert [entry.attributes.content.cuts for entry in entries] == [CUTS, (), CUTS]
