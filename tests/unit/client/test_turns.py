"""Goal: one at a time per inode, first come first served, and who waits can be ended. Method: threads that note their order."""

from __future__ import annotations

import threading

import pytest

from dfs.client.metadata.turns import Turns
from dfs.core.errors import Interrupted
from dfs.core.ids import Ino
from tests.harness.local_cluster import CallerContext
from tests.harness.waiting import wait_until
from tests.unit.client.parts import TASKS

A, B = Ino(1), Ino(2)


def test_turns_of_one_inode_come_one_after_the_other_in_order() -> None:
    turns, order, inside = Turns(TASKS), [], []

    def work(number: int) -> None:
        with turns.hold(CallerContext(), A):
            inside.append(number)
            assert len(inside) == 1
            order.append(number)
            inside.pop()

    threads = []
    with turns.hold(CallerContext(), A):
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_until(lambda: len(turns._queues[A]) == number + 2, "the thread to queue up")  # noqa: B023
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]
    assert not turns._queues


def test_turns_of_different_inodes_do_not_wait_for_each_other() -> None:
    turns = Turns(TASKS)
    with turns.hold(CallerContext(), A), turns.hold(CallerContext(), B):
        assert turns.is_taken(A)
        assert turns.is_taken(B)
    assert not turns.is_taken(A)


def test_one_that_waits_is_ended_and_leaves_the_queue_to_the_next() -> None:
    turns, killed, result = Turns(TASKS), CallerContext(), []

    def wait(ctx: CallerContext, name: str) -> None:
        try:
            with turns.hold(ctx, A):
                result.append(name)
        except Interrupted:
            result.append("killed")

    with turns.hold(CallerContext(), A):
        first = threading.Thread(target=wait, args=(killed, "first"))
        first.start()
        wait_until(lambda: len(turns._queues[A]) == 2, "the first to queue up")
        second = threading.Thread(target=wait, args=(CallerContext(), "second"))
        second.start()
        killed.end()
        first.join(2)
        assert result == ["killed"]
    second.join(2)
    assert result == ["killed", "second"]


def test_turn_is_free_again_after_an_error() -> None:
    turns = Turns(TASKS)
    with pytest.raises(ValueError, match="x"), turns.hold(CallerContext(), A):
        raise ValueError("x")
    assert not turns.is_taken(A)
