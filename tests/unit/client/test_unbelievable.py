"""Goal: a data server that refuses a put by numbers that can't be keeps nobody asking meta for ever. Method: each answer once."""

from __future__ import annotations

import pytest

from dfs.client.blocks.replication import _believable
from dfs.core.errors import BadAnswer, Conflict, DfsError, NoSpace, StaleTicket
from dfs.core.ids import GENERATION_MAX, NUMBER_MAX, Ino, ServerIndex, Ticket, generation_of
from dfs.core.messages.blocks import Put, Sync
from dfs.core.messages.requests import Done, Request

TICKET = Ticket(7)
GENERATION = generation_of(TICKET, 5)
PUT = Put(Ino(1), TICKET, GENERATION, (), b"", b"")


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (PUT, Conflict(1, 0, GENERATION - 1)),
        (PUT, Conflict(1, 0, GENERATION_MAX + 1)),
        (PUT, Conflict(1, 0, 1 << 200)),
        (PUT, StaleTicket(1, TICKET)),
        (PUT, StaleTicket(1, -1)),
        (PUT, StaleTicket(1, NUMBER_MAX + 1)),
        (Sync(Ino(1)), StaleTicket(1, TICKET + 1)),
        (Sync(Ino(1)), Conflict(1, 0, GENERATION)),
    ],
)
def test_refusal_by_impossible_numbers_is_a_bad_answer(request_: Request[Done], answer: DfsError) -> None:
    believed = _believable(ServerIndex(2), request_, answer)
    assert isinstance(believed, BadAnswer)
    assert believed.peer == "data server 2"


@pytest.mark.parametrize(
    "answer",
    [Done(), NoSpace(), Conflict(1, 0, GENERATION), Conflict(1, 0, GENERATION_MAX), StaleTicket(1, 8), StaleTicket(1, NUMBER_MAX)],
)
def test_answer_that_can_be_is_believed(answer: Done | DfsError) -> None:
    assert _believable(ServerIndex(2), PUT, answer) is answer
