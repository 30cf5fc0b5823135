"""Goal: every name that the kernel may still believe is known, and no other. Method: a clock that the test moves."""

from __future__ import annotations

from dfs.fusefs.channel.given_names import GivenName, GivenNames

A, B, C = (GivenName(folder, name) for folder, name in ((1, b"a"), (1, b"b"), (5, b"c")))


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_names_are_taken_until_they_expire_and_once_only() -> None:
    clock = Clock()
    given = GivenNames(clock)
    given.note((A,), 1.0)
    clock.now_s += 0.6
    given.note((B, C), 1.0)
    given.note((B,), 1.0)
    clock.now_s += 0.6
    assert given.take() == [B, C]
    assert given.take() == []


def test_name_that_is_not_believed_at_all_is_none() -> None:
    given = GivenNames(Clock())
    given.note((A,), 0.0)
    assert given.take() == []


def test_what_has_expired_takes_no_room() -> None:
    clock = Clock()
    given = GivenNames(clock)
    for _ in range(1000):
        given.note((A,), 1.0)
        clock.now_s += 0.1
    assert len(given._given) < 20


def test_name_with_little_time_left_stays_known_behind_one_with_more() -> None:
    clock = Clock()
    given = GivenNames(clock)
    given.note((A,), 5.0)
    given.note((B,), 0.1)
    clock.now_s += 1.0
    given.note((C,), 1.0)
    assert given.take() == [A, C]
