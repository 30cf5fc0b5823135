"""Goal: a listing that cannot have been meant is refused before anything is computed with it.

Method: one part of a good listing is something else. What answers of other kinds can't be is shown by tests/functional, with a
meta-server that lies.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import Any

import pytest

from dfs.client.metadata.answer_checks import why_impossible
from dfs.core.cuts import Cut
from dfs.core.ids import NUMBER_MAX, Ino, Ticket
from dfs.core.limits import FILE_BYTES_MAX, LISTING_ENTRIES_MAX
from dfs.core.messages.listings import InodeCuts, Listing, pack_listing

FILE = (7, stat.S_IFREG | 0o644, 1, 0, 0, 0, -1, 2, 3, 4096, 3, 4, 512, 1, 9, 0)
FOLDER = (5, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 1, 2, 3, 4096, 0, 0, 0, 0, 0, 0)
NAMES = (b"a", b"b", b"\xff")


def listing(*given: bytes, last: tuple[int, ...] = FILE, cuts: Any = (), **changes: Any) -> Listing:
    names = given or NAMES
    made = pack_listing(names, [FOLDER] * (len(names) - 1) + [last], [InodeCuts(Ino(7), cuts)] if cuts else (), more=True)
    return replace(made, **changes)


@pytest.mark.parametrize(
    "good",
    [
        listing(),
        listing(last=FOLDER),
        listing(b"a"),
        listing(cuts=(Cut(0, Ticket(9)),)),
        Listing(b"", b"", (), more=False),
    ],
)
def test_listing_that_can_be_is_believed(good: Listing) -> None:
    assert why_impossible(good) == ""


@pytest.mark.parametrize(
    "names", [(b"b", b"a"), (b"a", b"a"), (b".", b"a"), (b"..", b"a"), (b"a", b"b\0"), (b"", b"a"), (b"n" * 256,)]
)
def test_listing_with_names_that_cannot_be_is_refused(names: tuple[bytes, ...]) -> None:
    assert why_impossible(listing(*names)) != ""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[(0, 0), (0, NUMBER_MAX + 1), (1, 1 << 17), (2, -1), (3, 1 << 32), (4, -1), (5, -1), (6, -(1 << 63)), (9, -1)],
        *[(9, FILE_BYTES_MAX + 1), (10, 4), (11, 1), (11, 1 << 40), (12, 0), (12, 513), (13, 2), (14, NUMBER_MAX + 1), (15, -1)],
    ],
)
def test_listing_with_a_number_that_cannot_be_is_refused(column: int, value: int) -> None:
    last = (*FILE[:column], value, *FILE[column + 1 :])
    assert why_impossible(listing(last=last)) != ""
    assert why_impossible(listing(b"a", last=last)) != ""


@pytest.mark.parametrize(
    "bad",
    [
        listing(numbers=b""),
        listing(numbers=bytes(3 * 128 - 1)),
        listing(names=b"a/b"),
        Listing(b"", b"", (), more=True),
        pack_listing(
            [b"%04d" % number for number in range(LISTING_ENTRIES_MAX + 1)], [FILE] * (LISTING_ENTRIES_MAX + 1), (), more=False
        ),
        listing(cuts=(Cut(0, Ticket(0)),)),
        listing(cuts=(Cut(-1, Ticket(9)),)),
    ],
)
def test_listing_whose_parts_do_not_fit_is_refused(bad: Listing) -> None:
    assert why_impossible(bad) != ""
