"""Goal: a grant that is asked back is given back although another inode's turn is not to be had. Method: the recall task with real
turns and grants; who gives back is a recorder.
"""

from __future__ import annotations

import threading
from typing import cast

from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.recalls import RecallTask
from dfs.client.metadata.turns import Turns
from dfs.core.contexts import PlainContext
from dfs.core.errors import EndReason
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext
from tests.harness.waiting import wait_until
from tests.unit.client.parts import CLOCK, RANDOM, TASKS

FIRST, SECOND = Ino(1), Ino(2)


class Recorder:
    """Stands in for GrantCalls: notes what is given back."""

    def __init__(self, grants: Grants) -> None:
        self.given_back: list[Ino] = []
        self._grants = grants

    def give_back(self, ctx: CallContext, ino: Ino) -> None:
        self.given_back.append(ino)
        self._grants.end_recall(ino)


def test_recall_that_is_over_does_not_hold_up_the_next_one() -> None:
    grants, turns, stopping = Grants(CLOCK, TASKS), Turns(TASKS), threading.Event()
    recorder = Recorder(grants)
    task = RecallTask(grants=grants, calls=cast(GrantCalls, recorder), turns=turns, clock=CLOCK, random=RANDOM, tasks=TASKS)
    ctx = PlainContext("recalls", lambda: EndReason.SHUTDOWN if stopping.is_set() else None)
    running = TASKS.spawn("recalls", lambda: task.run(ctx))
    with turns.hold(PlainContext(), FIRST):  # a writer who waits for the grant that a third mount holds
        task.recall([FIRST, SECOND])
        grants.end_recall(FIRST)  # meta has told him that it is not his
        wait_until(lambda: recorder.given_back == [SECOND], "the second grant to be given back")
    stopping.set()
    task.wake()
    assert running.join(5)
