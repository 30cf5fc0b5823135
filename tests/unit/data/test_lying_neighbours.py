"""Goal: a neighbour that answers nonsense while a lost disk is rebuilt from it neither ends the server nor has it copy for ever.

Method: a ring whose other servers answer through tests/harness/lying_service.py; every step of the background work must end as it
does for a neighbour that is away. What the liars wrote is thrown away afterwards, and honest neighbours give everything back.
"""

from __future__ import annotations

from typing import Any

import pytest

from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext
from dfs.core.limits import FILE_BYTES_MAX
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify, Identity, ShowData
from dfs.core.messages.rebuild import Pull, Pulled
from dfs.core.messages.requests import Request
from dfs.core.placement import Role
from tests.harness.lying_service import LyingService
from tests.unit.data.ring import CONTEXT, Ring
from tests.unit.data.test_rebuild import COMPLETE, assert_all_there, filled


class OfRing:
    """One server of a ring as a BlockApi."""

    def __init__(self, ring: Ring, index: int) -> None:
        self._ring = ring
        self._index = index

    def call(self, ctx: CallContext, request: Request[Any]) -> Any:
        return Ring.call(self._ring, self._index, request)


@pytest.mark.parametrize("seed", range(10))
def test_neighbours_that_answer_nonsense_end_nothing_and_are_waited_for(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = filled(3)
    ring.lose_disk(1)
    liars = {index: LyingService(OfRing(ring, index), f"data server {index}", seed) for index in (0, 2)}

    def call(index: int, request: Request[Any]) -> Any:
        return liars[index].call(CONTEXT, request) if index in liars else Ring.call(ring, index, request)

    with monkeypatch.context() as patch:
        patch.setattr(ring, "call", call)
        for _ in range(50):
            for role in Role:
                ring.step(1, role)
            ring.clock.advance(1)
    assert sum(liar.lies for liar in liars.values()) > 1
    assert ring.call(1, ShowData()).identity.index == 1
    ring.lose_disk(1)
    ring.rebuild()
    assert ring.states(1) == COMPLETE
    assert_all_there(ring)


@pytest.mark.parametrize(
    "changes",
    [
        {"mark": -1},
        {"mark": 1 << 40},
        {"mark": 1 << 63},
        {"shape": {"block_size": 0}},
        {"shape": {"block_size": 500}},
        {"shape": {"block_size": 1 << 40}},
        {"shape": {"cluster": ""}},
    ],
)
def test_identity_that_can_not_be_is_not_adopted(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ring = filled(3)
    ring.lose_disk(1)

    def call(index: int, request: Request[Any]) -> Any:
        answer = Ring.call(ring, index, request)
        if isinstance(request, Identify) and isinstance(answer, Identity) and index != 1:
            shape = answer.shape._replace(**changes.get("shape", {}))
            return Identity(
                shape, answer.index, answer.disk, answer.primary, answer.secondary, changes.get("mark", answer.mark), answer.doubts
            )
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(ring, "call", call)
        ring.rebuild(1)
    assert ring.states(1) == (RoleState.BLANK, RoleState.BLANK)
    ring.rebuild()
    assert_all_there(ring)


def test_source_that_never_gets_on_is_waited_for_and_not_asked_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = filled(3)
    ring.lose_disk(1)
    pulls: list[Pull] = []

    def call(index: int, request: Request[Any]) -> Any:
        answer = Ring.call(ring, index, request)
        if isinstance(request, Pull):
            pulls.append(request)
            following = (request.ino, request.index) if len(pulls) % 2 else (Ino(1 << 50), FILE_BYTES_MAX + 1)
            return Pulled(answer.disk, answer.state, (), Ino(following[0]), following[1], 0, answer.highest, True)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(ring, "call", call)
        for _ in range(20):
            for role in Role:
                ring.step(1, role)
    assert len(pulls) > 4
    assert all((pull.ino, pull.index) == (1, 0) for pull in pulls)
    assert "after (1, 0) comes" in ring.service(1).status()
    ring.rebuild()
    assert_all_there(ring)
