"""Goal: the verdict on a cluster is right (issue: 0 healthy, 1 degraded, 2 when two neighbours are not healthy).
Method: examples of server states; a property over all rings of servers against the definition.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.cli.tools.cluster_health import ClusterReport, Health, has_unhealthy_neighbours, status_of
from dfs.core.errors import Unreachable
from dfs.core.ids import ServerIndex
from dfs.core.messages.cluster import MetaStatus, RoleState, ServerAddress, ServerStatus, Shape, Space
from dfs.core.messages.data_server import DataStatus, Identity

SHAPE = Shape("c1", 4, 512)


def meta(state: str = "ok", shape: Shape = SHAPE) -> MetaStatus:
    return MetaStatus(shape, "test", state, (), (), 1, 0)


def server(index: int, primary: RoleState = RoleState.COMPLETE, secondary: RoleState = RoleState.COMPLETE) -> ServerStatus:
    identity = Identity(SHAPE, ServerIndex(index), "disk", primary, secondary, 0)
    answer = DataStatus(identity, Space(1000, 500, "d"), "")
    return status_of(ServerAddress(ServerIndex(index), f"127.0.0.1:{9100 + index}"), answer, SHAPE)


def dead(index: int) -> ServerStatus:
    return status_of(ServerAddress(ServerIndex(index), "127.0.0.1:1"), Unreachable("data server", "refused"), SHAPE)


def health(*servers: ServerStatus, state: str = "ok") -> Health:
    return ClusterReport("127.0.0.1:9000", meta(state), servers).health()


def test_health_all_servers_complete_is_healthy() -> None:
    assert health(*(server(index) for index in range(4))) is Health.HEALTHY


@pytest.mark.parametrize("state", ["waiting to format", "waiting for sessions", "read-only: disk full"])
def test_health_meta_not_ok_is_degraded(state: str) -> None:
    assert health(*(server(index) for index in range(4)), state=state) is Health.DEGRADED


def test_health_without_servers_is_degraded() -> None:
    assert health() is Health.DEGRADED


def test_health_one_dead_server_is_degraded() -> None:
    assert health(server(0), dead(1), server(2), server(3)) is Health.DEGRADED


def test_health_two_dead_servers_that_share_no_block_is_degraded() -> None:
    assert health(dead(0), server(1), dead(2), server(3)) is Health.DEGRADED


def test_health_two_dead_neighbours_is_at_risk() -> None:
    assert health(server(0), dead(1), dead(2), server(3)) is Health.AT_RISK


def test_health_first_and_last_server_are_neighbours() -> None:
    assert health(dead(0), server(1), server(2), dead(3)) is Health.AT_RISK


@pytest.mark.parametrize("state", [RoleState.BLANK, RoleState.SUSPECT, RoleState.REBUILDING, RoleState.LOST])
def test_health_server_incomplete_in_one_role_is_not_healthy(state: RoleState) -> None:
    assert health(server(0), server(1, secondary=state), server(2), server(3)) is Health.DEGRADED
    assert health(server(0), server(1, secondary=state), dead(2), server(3)) is Health.AT_RISK


def test_server_of_another_cluster_is_refused_with_both_values() -> None:
    answer = DataStatus(
        Identity(SHAPE._replace(cluster="c2"), ServerIndex(1), "disk", RoleState.COMPLETE, RoleState.COMPLETE, 0),
        Space(1, 1, "d"),
        "",
    )
    status = status_of(ServerAddress(ServerIndex(1), "127.0.0.1:9101"), answer, SHAPE)
    assert "c1" in status.reason
    assert "c2" in status.reason


def test_server_that_is_blank_says_so() -> None:
    answer = DataStatus(
        Identity(Shape("", 0, 0), ServerIndex(1), "disk", RoleState.BLANK, RoleState.BLANK, 0), Space(1, 1, "d"), ""
    )
    assert status_of(ServerAddress(ServerIndex(1), "127.0.0.1:9101"), answer, SHAPE).reason == "blank"


@given(st.lists(st.booleans(), min_size=2, max_size=9))
def test_neighbours_on_the_ring_are_those_that_share_blocks(healthy: list[bool]) -> None:
    count = len(healthy)
    pairs = {(block % count, (block + 1) % count) for block in range(count)}  # R4, over all blocks
    assert has_unhealthy_neighbours(healthy) == any(not healthy[a] and not healthy[b] for a, b in pairs)
