"""Goal: the verdict on a block's copies obeys I2 to I5, for every pair of answers. Method: all pairs of states with random
generations, against the invariants said in words.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.choose import Verdict, choose
from dfs.core.ids import Generation
from dfs.core.messages.blocks import Copy, CopyState
from dfs.core.placement import Role

P, A, C, U = CopyState.PRESENT, CopyState.ABSENT, CopyState.CORRUPT, CopyState.UNKNOWN
D, N = CopyState.DOUBTED, CopyState.UNDECIDED
SUSPECT = (D, N)


def copy(state: CopyState, generation: int = 5, checksum: int = 77) -> Copy:
    return Copy(state, 4, checksum, Generation(generation)) if state.has_bytes else Copy(state, 0, 0, Generation(0))


COPIES = st.builds(copy, st.sampled_from(CopyState), st.integers(1, 3), st.integers(0, 1))
ANSWERS = st.none() | COPIES


@given(ANSWERS, ANSWERS)
def test_only_a_verified_copy_of_the_highest_generation_is_taken(primary: Copy | None, secondary: Copy | None) -> None:
    told = {Role.PRIMARY: primary, Role.SECONDARY: secondary}
    present = {role: one for role, one in told.items() if one is not None and one.state.has_bytes}
    if None in told.values():  # nobody knows whether a suspect server's copy is the newest
        present = {role: one for role, one in present.items() if one.state is P}
    choice = choose(primary, secondary)
    assert (choice.verdict is Verdict.COPY) == bool(present)
    if choice.source is not None:
        assert present[choice.source].generation == max(one.generation for one in present.values())


@given(ANSWERS, ANSWERS)
def test_repair_only_raises_the_generation_of_the_other_copy(primary: Copy | None, secondary: Copy | None) -> None:
    told = {Role.PRIMARY: primary, Role.SECONDARY: secondary}
    choice = choose(primary, secondary)
    if choice.repair is not None:
        assert choice.source is not None
        source, repaired = told[choice.source], told[choice.repair]
        assert source is not None
        assert repaired is not None
        assert choice.repair is not choice.source
        assert repaired.generation < source.generation


@given(ANSWERS, ANSWERS)
def test_zeros_need_the_word_of_both_or_of_the_only_one_that_answers(primary: Copy | None, secondary: Copy | None) -> None:
    states = [one.state for one in (primary, secondary) if one is not None]
    is_hole = choose(primary, secondary).verdict is Verdict.HOLE
    assert is_hole == (A in states and not {P, D, C} & set(states))


@given(ANSWERS, ANSWERS)
def test_loss_is_declared_only_when_both_have_answered(primary: Copy | None, secondary: Copy | None) -> None:
    verdict = choose(primary, secondary).verdict
    assert verdict is not Verdict.LOST or (primary is not None and secondary is not None)
    if verdict is Verdict.WAIT:
        assert None in (primary, secondary) or N in (primary.state, secondary.state)  # type: ignore[union-attr]
    if verdict is Verdict.LOST:
        assert N not in (primary.state, secondary.state)  # type: ignore[union-attr]


@given(COPIES, COPIES)
def test_roles_are_alike(primary: Copy, secondary: Copy) -> None:
    one, two = choose(primary, secondary), choose(secondary, primary)
    assert (one.verdict, one.differ) == (two.verdict, two.differ)
    assert (one.repair is None) == (two.repair is None)


@pytest.mark.parametrize(
    ("primary", "secondary", "verdict"),
    [
        (copy(P), copy(P), Verdict.COPY),
        (copy(C), copy(P), Verdict.COPY),
        (copy(U), copy(A), Verdict.HOLE),
        (copy(A), copy(A), Verdict.HOLE),
        (copy(C), copy(A), Verdict.LOST),
        (copy(C), copy(C), Verdict.LOST),
        (copy(U), copy(U), Verdict.LOST),
        (None, copy(A), Verdict.HOLE),
        (None, copy(U), Verdict.WAIT),
        (None, copy(C), Verdict.WAIT),
        (None, None, Verdict.WAIT),
        (copy(D), None, Verdict.WAIT),
        (copy(N), None, Verdict.WAIT),
        (copy(D), copy(D), Verdict.COPY),
        (copy(D), copy(N), Verdict.COPY),
        (copy(D), copy(U), Verdict.COPY),
        (copy(N), copy(A), Verdict.HOLE),
        (copy(N), copy(N), Verdict.WAIT),
        (copy(N), copy(U), Verdict.WAIT),
        (copy(N), copy(C), Verdict.WAIT),
    ],
)
def test_verdict_on_two_answers_is_the_designs(primary: Copy | None, secondary: Copy | None, verdict: Verdict) -> None:
    assert choose(primary, secondary).verdict is verdict


def test_copy_of_a_suspect_server_that_is_older_gives_way_and_one_that_is_the_same_is_as_good() -> None:
    older = choose(copy(D, 4), copy(P, 5))
    assert (older.source, older.repair) == (Role.SECONDARY, Role.PRIMARY)
    newer = choose(copy(D, 6), copy(P, 5))
    assert (newer.source, newer.repair) == (Role.PRIMARY, Role.SECONDARY)
    same = choose(copy(D), copy(P))
    assert (same.verdict, same.repair, same.differ) == (Verdict.COPY, None, False)


def test_copies_of_one_generation_with_other_bytes_differ_and_nothing_is_repaired() -> None:
    choice = choose(copy(P, 5, 1), copy(P, 5, 2))
    assert choice.differ
    assert choice.repair is None
