"""Goal: every state of a block's two copies has the right name, and the outcome is that of the worst finding. Method: tables."""

from __future__ import annotations

import pytest

from dfs.cli.tools.damage import Finding, Kind, Result, by_kind, judge, result_of
from dfs.core.ids import BlockNo, Generation, Ino
from dfs.core.messages.blocks import Copy, CopyState

NEW = Copy(CopyState.PRESENT, 512, 7, Generation(9))
OLD = Copy(CopyState.PRESENT, 512, 6, Generation(8))
OTHER = Copy(CopyState.PRESENT, 512, 5, Generation(9))
ABSENT = Copy(CopyState.ABSENT, 0, 0, Generation(0))
CORRUPT = Copy(CopyState.CORRUPT, 0, 0, Generation(0))
UNKNOWN = Copy(CopyState.UNKNOWN, 0, 0, Generation(0))

CASES = (
    (NEW, NEW, None),
    (NEW, OLD, Kind.STALE),
    (NEW, OTHER, Kind.DIFFERS),
    (NEW, ABSENT, Kind.MISSING),
    (NEW, UNKNOWN, Kind.MISSING),
    (NEW, CORRUPT, Kind.CORRUPT),
    (ABSENT, CORRUPT, Kind.LOST),
    (UNKNOWN, CORRUPT, Kind.LOST),
    (UNKNOWN, UNKNOWN, Kind.LOST),
    (CORRUPT, CORRUPT, Kind.LOST),
    (ABSENT, ABSENT, Kind.GONE),
    (ABSENT, UNKNOWN, Kind.GONE),
)


@pytest.mark.parametrize(("first", "second", "kind"), CASES)
def test_pair_of_copies_is_judged_the_same_both_ways(first: Copy, second: Copy, kind: Kind | None) -> None:
    for primary, secondary in ((first, second), (second, first)):
        assert judge(primary, secondary, has_holes=False) is kind
        assert judge(primary, secondary, has_holes=True) is (None if kind is Kind.GONE else kind)


def test_findings_of_a_file_are_grouped_by_kind_and_by_what_was_repaired() -> None:
    before = {BlockNo(9): Kind.STALE, BlockNo(3): Kind.STALE, BlockNo(4): Kind.LOST, BlockNo(5): Kind.STALE}
    found = by_kind("/f", Ino(2), before, {BlockNo(4): Kind.LOST, BlockNo(9): Kind.STALE})
    assert found == [
        Finding(Kind.STALE, "/f", 2, 2, 3, True),
        Finding(Kind.LOST, "/f", 2, 1, 4, False),
        Finding(Kind.STALE, "/f", 2, 1, 9, False),
    ]
    assert result_of(found) is Result.DAMAGE_LEFT
    assert result_of(found[:1]) is Result.REPAIRED
    assert result_of([]) is Result.CLEAN
