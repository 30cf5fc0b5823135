"""Goal: what only this machine has is found exactly. Method: clusters made up, one trouble each, and servers that answer a look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dfs.cli.inhibit.cluster_look import LOOKS_PER_SEARCH, ClusterLook, is_of_this_machine
from dfs.cli.inhibit.only_copies import describe, find_only_copies, with_neighbours
from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError, Unreachable
from dfs.core.ids import ServerIndex
from dfs.core.messages.cluster import RoleState, ServerStatus, Shape, Space
from dfs.core.messages.data_server import DataStatus, Identity
from dfs.core.placement import Role
from tests.unit.cli.diagnosis.test_cluster_rules import away, server

COMPLETE, REBUILDING, SUSPECT, LOST = RoleState.COMPLETE, RoleState.REBUILDING, RoleState.SUSPECT, RoleState.LOST
LOCAL = {ServerIndex(1)}


def found(*changed: ServerStatus, local: set[ServerIndex] = LOCAL) -> list[tuple[int, Role, int]]:
    """Return what is found in a cluster of four."""
    statuses = {ServerIndex(index): server(index) for index in range(4)} | {each.index: each for each in changed}
    return [(each.server, each.role, each.twin) for each in find_only_copies(statuses, local, 4)]


def test_well_neighbours_have_copies_even_if_all_are_on_this_machine() -> None:
    assert found() == []
    assert found(local={ServerIndex(index) for index in range(4)}) == []


@pytest.mark.parametrize(
    "neighbour",
    [
        away(2),
        server(2, secondary=REBUILDING, reason="x"),
        server(2, secondary=SUSPECT, reason="x"),
        server(2, reason="disk fails"),
    ],
)
def test_neighbour_in_trouble_makes_this_one_the_only_one(neighbour: ServerStatus) -> None:
    assert found(neighbour) == [(1, Role.PRIMARY, 2)]


def test_who_is_no_neighbour_does_not_matter() -> None:
    assert found(away(3)) == []


def test_copy_that_this_machine_lacks_is_not_the_only_good_one() -> None:
    assert found(away(2), away(1)) == []
    assert found(away(2), server(1, primary=LOST, reason="x")) == []
    assert found(away(2), server(1, primary=SUSPECT, reason="x")) == [(1, Role.PRIMARY, 2)]


def test_reason_names_both_servers_and_does_not_change_with_the_progress() -> None:
    one, other = (server(2, secondary=REBUILDING, reason="x", progress=progress) for progress in ("43%", "44%"))
    texts = {describe(find_only_copies({0: server(0), 1: server(1), 2: each}, LOCAL, 4)) for each in (one, other)}  # type: ignore[dict-item]
    assert texts == {
        "data server 1 has the only good primary copies: the others are on data server 2, which is rebuilding in its secondary role"
    }


def test_only_neighbours_are_asked() -> None:
    assert with_neighbours(LOCAL, 5) == {0, 1, 2}
    assert with_neighbours(LOCAL, 2) == {0, 1}


class Answering:
    """Data servers that answer ShowData, but for those that are away; `asked` are those of the last look."""

    def __init__(self, servers: int = 4) -> None:
        self.shape = Shape("c1", servers, 512)
        self.away: set[int] = set()
        self.asked: set[int] = set()

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        assert cluster == ""

    def call(self, *call: Any) -> Any:
        raise AssertionError("all are asked at once")

    def call_all(
        self, ctx: object, calls: Mapping[ServerIndex, Any], patience_s: float | None = None
    ) -> dict[ServerIndex, DataStatus | DfsError]:
        self.asked = set(calls)
        return {index: self._answer(index) for index in calls}

    def _answer(self, index: ServerIndex) -> DataStatus | DfsError:
        if index in self.away:
            return Unreachable(f"data server {index}", "Connection refused")
        return DataStatus(Identity(self.shape, index, "disk", COMPLETE, COMPLETE, 1), Space(100, 50, "8:1"), "")


def look(answering: Answering, *local: str) -> ClusterLook:
    return ClusterLook(answering, ["a:1", "b:1", "c:1", "d:1"], lambda address: address in local)  # type: ignore[arg-type]


def test_look_asks_this_machine_s_servers_and_their_neighbours_only() -> None:
    answering = Answering()
    seen = look(answering, "b:1")
    assert seen.look(PlainContext()) == ()
    assert answering.asked == {0, 1, 2}
    answering.away = {2}
    assert [each.twin for each in seen.look(PlainContext())] == [2]
    answering.away = {1, 2}
    assert seen.look(PlainContext()) == (), "a stopped server keeps nobody's machine up"


def test_look_on_a_machine_without_data_servers_asks_nobody_and_one_not_formatted_has_nothing() -> None:
    answering = Answering()
    assert look(answering).look(PlainContext()) == ()
    assert answering.asked == set()
    unformatted = Answering(servers=0)
    unformatted.away = {2}
    assert look(unformatted, "b:1").look(PlainContext()) == ()


def test_address_that_comes_later_is_found() -> None:
    answering, mine = Answering(), list[str]()
    answering.away = {2}
    seen = ClusterLook(answering, ["a:1", "b:1", "c:1", "d:1"], lambda address: address in mine)  # type: ignore[arg-type]
    assert seen.look(PlainContext()) == ()
    mine.append("b:1")
    assert any(seen.look(PlainContext()) for _ in range(LOOKS_PER_SEARCH))


@pytest.mark.parametrize(
    ("address", "is_here"),
    [("127.0.0.1:9100", True), ("localhost:9100", True), ("192.0.2.7:9100", False), ("no-such.invalid:1", False)],
)
def test_address_of_this_machine_is_told_from_another_s(address: str, is_here: bool) -> None:
    assert is_of_this_machine(address) is is_here
