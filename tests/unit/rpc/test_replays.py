"""Goal: of all messages of a process each is taken once at most, whatever the order, in bounded memory. Method: against a set
of what was taken.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs.rpc.replays import WINDOW, ReplayWindows

COUNTERS = st.one_of(st.integers(0, 3 * WINDOW), st.integers(0, 20), st.integers(0, 1 << 62))


@given(st.lists(st.tuples(st.sampled_from("abc"), COUNTERS), max_size=60))
def test_message_is_taken_once_and_new_ones_are_taken(messages: list[tuple[str, int]]) -> None:
    windows, taken = ReplayWindows(), set()
    newest: dict[str, int] = {}
    for process, counter in messages:
        is_taken = windows.take(process, counter, 1)
        behind = newest.get(process, counter) - counter
        assert is_taken == ((process, counter) not in taken and behind < WINDOW)
        if is_taken:
            taken.add((process, counter))
            newest[process] = max(newest.get(process, counter), counter)


def test_last_counter_of_the_window_is_good_once() -> None:
    windows = ReplayWindows()
    assert windows.take("a", WINDOW, 1)
    assert not windows.take("a", 0, 1)
    assert windows.take("a", 1, 1)
    assert not windows.take("a", 1, 1)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5), st.integers(1, 8)), max_size=80))
def test_forgotten_process_is_not_taken_for_a_new_one(messages: list[tuple[int, int, int]]) -> None:
    windows, taken = ReplayWindows(processes_max=4), set()
    for process, counter, time_ms in messages:
        if windows.take(str(process), counter, time_ms):
            assert (process, counter, time_ms) not in taken
            taken.add((process, counter, time_ms))
        assert len(windows) <= 4


def test_room_is_made_by_the_longest_silent_process() -> None:
    windows = ReplayWindows(processes_max=2)
    assert windows.take("a", 1, 10)
    assert windows.take("b", 1, 11)
    assert windows.take("a", 2, 12)
    assert windows.take("c", 1, 12), "b is forgotten"
    assert not windows.take("b", 1, 11)
    assert windows.take("a", 3, 13)
