"""Goal: what this mount believes of its grants is never more than what meta gave it. Method: the table alone, with answers that
come late, commits that cross writes, and recalls.
"""

from __future__ import annotations

import threading

import pytest

from dfs.client.metadata.grants import Grants, Held, Tail
from dfs.core.ids import COUNTER_MAX, Ino, OpId, SessionId, Ticket, generation_of
from dfs.core.messages.content import Grant, Yield
from dfs.core.messages.inodes import Content
from dfs.core.messages.sessions import Holding
from dfs.core.placement import Layout
from tests.harness.local_cluster import CallerContext
from tests.unit.client.parts import TASKS, ManualClock

INO, SESSION = Ino(7), SessionId(3)


def grant(ticket: int, size: int = 0) -> Grant:
    return Grant(INO, Ticket(ticket), Content(Layout(0, 4, 512), size, (), Ticket(0)))


def make(ticket: int = 10, size: int = 0) -> tuple[Grants, ManualClock]:
    """Return a table that holds one grant."""
    clock = ManualClock()
    grants = Grants(clock, TASKS)
    with grants.expect(SESSION) as expectation:
        assert grants.adopt(expectation, grant(ticket, size))
    return grants, clock


def held(grants: Grants) -> Held:
    found = grants.held(INO)
    assert found is not None
    return found


def leave(grants: Grants) -> None:
    grants.end(
        grants.leave(INO, SESSION, lambda old: Yield(OpId(1), old.holding() if old else Holding(INO, Ticket(0), 0, 0, False)))
    )


def test_answer_with_an_older_or_the_same_grant_changes_nothing() -> None:
    grants, _ = make(10)
    grants.wrote(INO, Ticket(10), 500, None)
    with grants.expect(SESSION) as expectation:
        assert grants.adopt(expectation, grant(10, 0))
        assert grants.adopt(expectation, grant(9, 0))
    assert held(grants).content.size_bytes == 500


def test_answer_that_was_asked_for_before_the_grant_was_given_back_is_not_believed() -> None:
    grants, _ = make(10)
    with grants.expect(SESSION) as expectation:
        leave(grants)
        assert not grants.adopt(expectation, grant(10))
    assert grants.held(INO) is None


def test_no_grant_is_believed_while_meta_may_not_know_that_it_was_given_back() -> None:
    grants, _ = make(10)
    unfinished = grants.leave(INO, SESSION, lambda old: Yield(OpId(1), Holding(INO, Ticket(10), 0, 0, False)))
    with grants.expect(SESSION) as expectation:
        assert not grants.adopt(expectation, grant(10))
    grants.end(unfinished)
    with grants.expect(SESSION) as expectation:
        assert grants.adopt(expectation, grant(11))


def test_grant_of_an_expired_session_is_not_believed() -> None:
    grants, _ = make(10)
    with grants.expect(SESSION) as expectation:
        grants.forget_all(SESSION)
        assert not grants.adopt(expectation, grant(12))
    assert grants.inodes() == []


def test_ticket_under_which_was_written_is_not_taken_again_once_it_was_forgotten() -> None:
    grants, _ = make(10)
    assert grants.next_generation(INO, Ticket(10)) == generation_of(Ticket(10), 1)
    grants.forget(INO, Ticket(10))
    with grants.expect(SESSION) as expectation:
        assert not grants.adopt(expectation, grant(10))
        assert grants.adopt(expectation, grant(11))
    assert grants.next_generation(INO, Ticket(11)) == generation_of(Ticket(11), 1)


def test_no_grant_gives_ticket_zero_and_is_not_held() -> None:
    grants = Grants(ManualClock(), TASKS)
    with grants.expect(SESSION) as expectation:
        assert not grants.adopt(expectation, grant(0))


def test_generations_rise_and_end_with_the_counter() -> None:
    grants, _ = make(10)
    assert [grants.next_generation(INO, Ticket(10)) for _ in range(3)] == [generation_of(Ticket(10), n) for n in (1, 2, 3)]
    assert grants.next_generation(INO, Ticket(9)) is None
    object.__setattr__(held(grants), "counter", COUNTER_MAX)
    assert grants.next_generation(INO, Ticket(10)) is None


def test_write_counts_only_under_the_ticket_it_was_made_with() -> None:
    grants, clock = make(10, size=100)
    assert grants.wrote(INO, Ticket(10), 50, Tail(0, b"x"))
    assert (held(grants).content.size_bytes, held(grants).mtime_ns, held(grants).unsaved) == (100, clock.wall_ns(), True)
    assert not grants.wrote(INO, Ticket(9), 900, None)
    assert held(grants).content.size_bytes == 100


def test_commit_that_crosses_a_write_leaves_the_rest_to_be_committed() -> None:
    grants, clock = make(10)
    grants.wrote(INO, Ticket(10), 50, None)
    told = held(grants).holding()
    clock.now_s += 1
    grants.wrote(INO, Ticket(10), 50, None)
    grants.committed(told)
    assert grants.unsaved() == [INO]
    grants.committed(held(grants).holding())
    assert grants.unsaved() == []
    assert held(grants).holding() == Holding(INO, Ticket(10), 50, 0, False)


def test_after_a_restart_of_meta_what_was_written_is_told_again() -> None:
    grants, _ = make(10)
    grants.next_generation(INO, Ticket(10))
    grants.doubt_commits()
    assert grants.unsaved() == [INO]


def test_junk_outlives_the_grant_but_not_the_session() -> None:
    grants, _ = make(10)
    grants.mark_junk(INO, SESSION)
    assert held(grants).holding().dirty
    grants.forget(INO)
    with grants.expect(SESSION) as expectation:
        grants.adopt(expectation, grant(11))
    assert held(grants).junk
    grants.end_junk(INO)
    assert not held(grants).junk
    grants.mark_junk(INO, SESSION)
    grants.forget_all(SESSION)
    assert not grants.has_junk(INO)
    grants.mark_junk(INO, SESSION)
    assert not grants.has_junk(INO)


def test_given_back_junk_is_told_and_forgotten() -> None:
    grants, _ = make(10)
    grants.mark_junk(INO, SESSION)
    told: list[Holding] = []

    def request(old: Held | None) -> Yield:
        assert old is not None
        told.append(old.holding())
        return Yield(OpId(1), told[0])

    grants.leave(INO, SESSION, request)
    assert told[0].dirty
    assert not grants.has_junk(INO)
    assert grants.view(INO) is not None


def test_recall_is_timed_from_its_first_asking_and_waited_for() -> None:
    grants, clock = make(10)
    assert grants.recalled_for_s(INO) is None
    grants.recall([INO])
    clock.now_s += 2
    grants.recall([INO])
    assert grants.recalled_for_s(INO) == pytest.approx(2)
    assert grants.recalls() == (INO,)
    waiting = threading.Thread(target=grants.wait_for_recalls, args=(CallerContext(), clock.now_s + 100))
    waiting.start()
    grants.end_recall(INO)
    waiting.join(2)
    assert not waiting.is_alive()


def test_since_is_the_first_ticket_of_an_unbroken_time_of_holding() -> None:
    grants, _ = make(10)
    with grants.expect(SESSION) as expectation:
        grants.adopt(expectation, grant(20))
    assert (held(grants).ticket, held(grants).since) == (20, 10)
    grants.forget(INO)
    with grants.expect(SESSION) as expectation:
        grants.adopt(expectation, grant(30), Ticket(10))
    assert (held(grants).ticket, held(grants).since) == (30, 10)
    leave(grants)
    with grants.expect(SESSION) as expectation:
        grants.adopt(expectation, grant(40))
    assert (held(grants).ticket, held(grants).since) == (40, 40)
