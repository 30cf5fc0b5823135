"""Goal: what waits is what was written last, in rising order, and costs what it takes. Method: random puts beside a model."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dfs.client.write_back.extents import RUN_BYTES_MAX, RUN_COST_BYTES, Extents, Run

PUTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 25)), max_size=30)


def filled(puts: list[tuple[int, int]], first: int = 1) -> tuple[Extents, dict[int, int]]:
    """Return extents and a model, byte by byte, each put with a value of its own."""
    extents, model = Extents(), {}
    for value, (start, length) in enumerate(puts, first):
        extents.put(start, bytes([value]) * length)
        model.update(dict.fromkeys(range(start, start + length), value))
    return extents, model


def shown(runs: list[Run]) -> dict[int, int]:
    for one, after in pairwise(runs):
        assert one.end <= after.start
    return {run.start + at: value for run in runs for at, value in enumerate(run.data)}


@given(PUTS)
def test_runs_hold_what_was_written_last_and_never_overlap(puts: list[tuple[int, int]]) -> None:
    extents, model = filled(puts)
    assert bool(extents) == bool(model)
    for start, end in ((0, 100), (17, 43), (60, 61)):
        found = {at + number: value for at, data in extents.pieces(start, end) for number, value in enumerate(data)}
        assert found == {at: value for at, value in model.items() if start <= at < end}
    cost = extents.cost_bytes
    runs = extents.take()
    assert cost == len(model) + RUN_COST_BYTES * len(runs) == sum(run.cost_bytes for run in runs)
    assert shown(runs) == model
    assert (extents.cost_bytes, bool(extents)) == (0, False)


@given(PUTS, PUTS)
def test_what_comes_back_lies_below_what_was_written_since(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> None:
    older, below = filled(old)
    newer, above = filled(new, 100)
    newer.put_below(older.take())
    assert shown(newer.take()) == below | above


def test_small_appends_become_one_run() -> None:
    extents = Extents()
    for number in range(1000):
        extents.put(50 + number * 100, b"%0100d" % number)
    (run,) = extents.take()
    assert (run.start, len(run.data)) == (50, 100_000)


def test_long_run_is_not_continued_so_that_it_can_be_stored_without_a_copy() -> None:
    extents = Extents()
    for number in range(5):
        extents.put(number * RUN_BYTES_MAX // 2, bytes(RUN_BYTES_MAX // 2))
    assert [len(run.data) for run in extents.take()] == [RUN_BYTES_MAX, RUN_BYTES_MAX, RUN_BYTES_MAX // 2]


def test_thousands_of_single_bytes_count_for_what_they_take() -> None:
    extents = Extents()
    for number in range(1000):
        extents.put(number * 4096, b"x")
    assert extents.cost_bytes >= 1000 * RUN_COST_BYTES
