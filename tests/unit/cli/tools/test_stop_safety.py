"""Goal: a data server may be stopped exactly if both neighbours can be relied on for its blocks. Method: clusters made up, one
trouble each, and the rule compared with a look at every block.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.cli.tools.stop_safety import judge_stop, to_json, to_text
from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.messages.cluster import RoleState
from dfs.core.placement import Layout, Role
from dfs.core.start_errors import UsageError
from tests.unit.cli.diagnosis.test_cluster_rules import away, seen, server

COMPLETE, REBUILDING, SUSPECT = RoleState.COMPLETE, RoleState.REBUILDING, RoleState.SUSPECT


def losers(*changed: object, stopped: int = 1) -> list[tuple[int, str]]:
    """Return whose copies can't be relied on, with the reason, when a server of four is stopped."""
    report = seen(*changed).report  # type: ignore[arg-type]
    assert report is not None
    return [(loss.twin, loss.reason) for loss in judge_stop(report, ServerIndex(stopped)).losses]


def test_any_server_of_a_healthy_cluster_may_be_stopped() -> None:
    assert [losers(stopped=index) for index in range(4)] == [[]] * 4


def test_only_the_neighbours_matter_and_only_in_the_role_that_holds_the_other_copy() -> None:
    assert losers(away(3)) == []
    assert losers(away(1)) == []
    assert [twin for twin, _ in losers(away(0))] == [0]
    assert [twin for twin, _ in losers(away(0), away(2))] == [2, 0]
    assert losers(server(2, primary=REBUILDING, reason="primary rebuilding, secondary complete")) == []
    assert losers(server(0, secondary=SUSPECT, reason="primary complete, secondary suspect")) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (away(2), "unreachable: Connection refused"),
        (server(2, secondary=REBUILDING, reason="x", progress="43%"), "rebuilding in its secondary role (43%)"),
        (server(2, secondary=SUSPECT, reason="x"), "suspect in its secondary role"),
        (server(2, secondary=RoleState.LOST, reason="x"), "lost in its secondary role"),
        (server(2, reason="3 records do not verify"), "not well: 3 records do not verify"),
        (server(2, reason="expected server 2 of 4, got server 0 of 2"), "not well: expected server 2"),
    ],
)
def test_neighbour_that_can_not_be_relied_on_is_named_with_the_reason(changed: object, words: str) -> None:
    (loss,) = losers(changed)
    assert loss[0] == 2
    assert words in loss[1]


@given(stopped=st.integers(0, 3), down=st.sets(st.integers(0, 3)), start=st.integers(0, 3))
def test_verdict_is_what_a_look_at_every_block_tells(stopped: int, down: set[int], start: int) -> None:
    layout = Layout(start, 4, 512)
    up = set(range(4)) - down - {stopped}
    blocks = [{int(layout.server_of(BlockNo(number), role)) for role in Role} for number in range(8)]
    own = [holders for holders in blocks if stopped in holders]
    assert bool(losers(*map(away, down), stopped=stopped)) == any(not holders & up for holders in own)


def test_no_such_server_is_wrong_usage_and_an_empty_cluster_has_nothing_to_lose() -> None:
    report = seen().report
    assert report is not None
    with pytest.raises(UsageError, match="0 to 3, got 4"):
        judge_stop(report, ServerIndex(4))
    unformatted = replace(report, meta=replace(report.meta, shape=report.meta.shape._replace(servers=0)))
    assert judge_stop(unformatted, ServerIndex(4)).losses == ()


def test_verdict_is_shown_to_people_and_programs() -> None:
    report = seen(away(2)).report
    assert report is not None
    safety = judge_stop(report, ServerIndex(1))
    assert "NOT SAFE" in to_text(safety)
    words = "one block in 4 of every file (primary copies): the other copy is on data server 2, which is unreachable"
    assert words in to_text(safety)
    assert json.loads(to_json(safety)) == {
        "server": 1,
        "safe": False,
        "losses": [{"role": "primary", "twin": 2, "reason": "which is unreachable: Connection refused"}],
    }
    assert to_text(judge_stop(report, ServerIndex(0))).startswith("safe: while data server 0 is stopped everything")
