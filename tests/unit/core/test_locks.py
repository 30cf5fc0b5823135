"""Goal: an owner's locked ranges are what fcntl(2) says. Method: compare with a model that colours every byte of a small file."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dfs.core.locks import OFFSET_MAX, LockRange, conflict, whole_file, with_range, without

BYTES = 12


@st.composite
def a_range(draw: st.DrawFn) -> LockRange:
    first = draw(st.integers(0, BYTES - 1))
    last = draw(st.integers(first, BYTES - 1))
    return LockRange(first, last, draw(st.booleans()), draw(st.integers(1, 2)))


STEPS = st.lists(st.tuples(a_range(), st.booleans()), max_size=12)


def colours(ranges: tuple[LockRange, ...]) -> list[tuple[bool, int] | None]:
    found: list[tuple[bool, int] | None] = [None] * BYTES
    for held in ranges:
        for at in range(held.first, held.last + 1):
            assert found[at] is None, "ranges of one owner overlap"
            found[at] = (held.is_exclusive, held.pid)
    return found


@given(STEPS)
def test_locking_and_unlocking_colours_bytes_as_the_model_does(steps: list[tuple[LockRange, bool]]) -> None:
    ranges: tuple[LockRange, ...] = ()
    model: list[tuple[bool, int] | None] = [None] * BYTES
    for wanted, is_lock in steps:
        ranges = with_range(ranges, wanted) if is_lock else without(ranges, wanted.first, wanted.last)
        model[wanted.first : wanted.last + 1] = [wanted[2:] if is_lock else None] * (wanted.last - wanted.first + 1)
        assert colours(ranges) == model
        assert list(ranges) == sorted(ranges)
        assert all(a.last + 1 < b.first or a[2:] != b[2:] for a, b in itertools.pairwise(ranges)), "not joined"


@given(STEPS, a_range())
def test_conflict_is_found_where_a_byte_is_held_and_one_of_both_is_exclusive(
    steps: list[tuple[LockRange, bool]], wanted: LockRange
) -> None:
    ranges: tuple[LockRange, ...] = ()
    for held, _ in steps:
        ranges = with_range(ranges, held)
    taken = [colour for colour in colours(ranges)[wanted.first : wanted.last + 1] if colour is not None]
    expected = bool(taken) and (wanted.is_exclusive or any(is_exclusive for is_exclusive, _ in taken))
    assert (conflict(ranges, wanted) is not None) == expected


def test_whole_file_reaches_past_any_size() -> None:
    assert without((whole_file(is_exclusive=True, pid=1),), 10, OFFSET_MAX) == (LockRange(0, 9, is_exclusive=True, pid=1),)
