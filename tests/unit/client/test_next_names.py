"""Goal: names looked at in order are asked for together, others are not. Method: count what would be asked for."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dfs.client.metadata.next_names import ENTRIES_MAX, NextNames, just_before
from dfs.core.limits import NAME_BYTES_MAX

NAMES = [b"%06d" % number for number in range(10_000)]


def calls_and_entries(asked: list[bytes], there: list[bytes]) -> tuple[int, int]:
    """Return how many calls are made for names of one folder, and how many entries they bring."""
    names, known, calls, entries = NextNames(), set[bytes](), 0, 0
    for name in asked:
        if name in known:
            continue
        calls += 1
        wanted = names.entries_from(b"/f", name)
        if wanted:
            at = there.index(name)
            page = there[at : at + wanted]
            known.update(page)
            entries += len(page)
            names.learned(b"/f", page[-1])
    return calls, entries


def test_names_in_order_are_asked_for_together() -> None:
    calls, entries = calls_and_entries(NAMES, NAMES)
    assert calls < len(NAMES) / ENTRIES_MAX + 10
    assert entries <= len(NAMES)


def test_names_in_falling_order_are_asked_for_one_by_one() -> None:
    assert calls_and_entries(NAMES[::-1], NAMES) == (len(NAMES), 0)


def test_names_at_random_bring_few_that_nobody_wants() -> None:
    asked = random.Random(1).sample(NAMES, 1000)
    assert calls_and_entries(asked, NAMES)[1] < 8 * len(asked)


def test_names_of_two_folders_in_turn_are_asked_for_one_by_one() -> None:
    names = NextNames()
    assert all(names.entries_from(folder, name) == 0 for name in NAMES[:9] for folder in (b"/a", b"/b"))


def test_name_that_does_not_exist_begins_anew() -> None:
    names = NextNames()
    for name in NAMES[:9]:
        assert names.entries_from(b"/f", name) == 0
        names.missed()


@given(st.binary(min_size=1, max_size=NAME_BYTES_MAX).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_just_before_a_name_is_a_name_before_it_and_after_its_predecessors(name: bytes) -> None:
    before = just_before(name)
    assert before < name
    assert len(before) <= NAME_BYTES_MAX
    assert name[:-1] < before or not name[:-1]
