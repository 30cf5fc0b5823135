"""Goal: what is counted adds up, whoever counts at the same time, and takes no more memory than there are keys.

Method: notes by hand and by threads, read back.
"""

from __future__ import annotations

import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dfs.core.meters import OK, CallMeter, Tally, Waits
from dfs.core.metrics import EVENTS, LATENCY_BOUNDS_S, Sample


def make() -> CallMeter:
    return CallMeter(threading.Lock())


def test_call_meter_tells_results_durations_and_bytes_by_key() -> None:
    meter = make()
    meter.note(("put",), OK, 0.002, 100, 10)
    meter.note(("put",), "NoSpace", 0.003, 100, 20)
    meter.note(("get",), OK, 20.0)
    put, get = meter.read()
    assert (put.key, put.results, put.received_bytes, put.sent_bytes) == (("put",), {OK: 1, "NoSpace": 1}, 200, 30)
    assert put.duration.sum_s == pytest.approx(0.005)
    assert (get.results, sum(get.duration.counts), get.duration.counts[-1]) == ({OK: 1}, 1, 1)


@given(st.lists(st.floats(0, 100), max_size=50))
@example([0.001, 10.0])
def test_each_duration_is_in_the_first_bucket_that_holds_it(durations: list[float]) -> None:
    meter = make()
    for duration in durations:
        meter.note(("x",), OK, duration)
    for counts in meter.read():
        for number, bound in enumerate(LATENCY_BOUNDS_S):
            assert sum(counts.duration.counts[: number + 1]) == sum(duration <= bound for duration in durations)
        assert sum(counts.duration.counts) == len(durations)


def test_nothing_is_lost_when_many_threads_count() -> None:
    meter, tally, rounds = make(), Tally(threading.Lock()), 2000

    def count() -> None:
        for _ in range(rounds):
            meter.note(("put",), OK, 0.001, 1, 2)
            tally.add("word")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (counts,) = meter.read()
    assert (counts.results[OK], counts.received_bytes, counts.sent_bytes) == (4 * rounds, 4 * rounds, 8 * rounds)
    assert list(tally.samples(EVENTS)) == [Sample(EVENTS, ("word",), 4 * rounds)]


def test_what_was_read_does_not_change_any_more() -> None:
    meter = make()
    meter.note(("put",), "NoSpace", 0.1)
    before = meter.read()
    meter.note(("put",), "NoSpace", 0.1)
    assert before[0].results == {OK: 0, "NoSpace": 1}


def test_tally_tells_the_words_that_it_expects_from_the_beginning() -> None:
    tally = Tally(threading.Lock(), ("a", "b"))
    tally.add("b", 3)
    assert [(sample.labels, sample.value) for sample in tally.samples(EVENTS)] == [(("a",), 0), (("b",), 3)]


def test_waits_are_counted_and_those_under_way_known_by_their_beginning() -> None:
    waits = Waits(threading.Lock())
    first, second = waits.begin(1.0), waits.begin(2.0)
    assert sorted(waits.under_way()) == [1.0, 2.0]
    waits.end(first)
    assert waits.under_way() == [2.0]
    waits.end(second)
    assert (waits.under_way(), waits.count) == ([], 2)
