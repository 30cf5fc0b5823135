"""Goal: what the servers answer becomes the right finding, with the command that cures it.
Method: answers made up, one trouble each.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from dfs.cli.diagnosis.findings import Finding, Harm, exit_code
from dfs.cli.diagnosis.judging import diagnose
from dfs.cli.diagnosis.observations import ClusterSeen, Observations
from dfs.cli.tools.cluster_health import ClusterReport
from dfs.core.ids import ServerIndex, SessionId
from dfs.core.messages.cluster import MetaStatus, MountStatus, RoleState, ServerStatus, Shape, Space
from dfs.core.messages.scrub import ScrubCounts, ScrubStatus

SHAPE = Shape("c1", 4, 512)
NOW_NS = 1_700_000_000 * 10**9
GIB = 1 << 30
COMPLETE = RoleState.COMPLETE


def server(index: int, **changes: object) -> ServerStatus:
    space = Space(100 * GIB, 50 * GIB, "8:1")
    well = ServerStatus(
        ServerIndex(index), f"10.0.0.{index + 1}:9100", True, "", COMPLETE, COMPLETE, space, "", wall_ns=NOW_NS, release="1.0"
    )
    return replace(well, **changes)  # type: ignore[arg-type]


def away(index: int) -> ServerStatus:
    blank = RoleState.BLANK
    return server(
        index, reachable=False, reason="Connection refused", primary=blank, secondary=blank, space=Space(0, 0, ""), wall_ns=0
    )


def seen(*changed: ServerStatus, **meta: object) -> ClusterSeen:
    by_index = {each.index: each for each in changed}
    servers = tuple(by_index.get(ServerIndex(index), server(index)) for index in range(4))
    well = MetaStatus(SHAPE, "dfs", "ok", (), (), 1, 0, wall_ns=NOW_NS, release="1.0")
    report = ClusterReport("127.0.0.1:9000", replace(well, **meta), servers)  # type: ignore[arg-type]
    return ClusterSeen("127.0.0.1:9000", report, "", NOW_NS - 10**8, NOW_NS + 10**8, "1.0")


def found(cluster: ClusterSeen) -> tuple[Finding, ...]:
    return diagnose(Observations(cluster=cluster, units=()))


def test_healthy_cluster_has_no_finding() -> None:
    assert found(seen()) == ()


SITUATIONS = [
    ("server-down", seen(away(2)), Harm.WAITING, "on 10.0.0.3: systemctl restart dfs-data@2"),
    (
        "server-rebuilding",
        seen(server(1, primary=RoleState.REBUILDING, reason="primary rebuilding, secondary complete", progress="43%")),
        Harm.AT_RISK,
        "dfsctl status (wait; stop neither it nor its neighbours)",
    ),
    ("server-rebuilding", seen(server(1, secondary=RoleState.SUSPECT, reason="x")), Harm.AT_RISK, "dfsctl status (wait"),
    ("data-lost", seen(server(1, primary=RoleState.LOST, reason="x")), Harm.LOST, "dfsctl lost"),
    (
        "server-blank",
        seen(server(3, primary=RoleState.BLANK, secondary=RoleState.BLANK, reason="blank")),
        Harm.WAITING,
        "dfsctl status",
    ),
    ("disk-full", seen(server(0, space=Space(100 * GIB, 1000, "8:1"))), Harm.WAITING, "remove files"),
    ("disk-nearly-full", seen(server(0, space=Space(100 * GIB, 2 * GIB, "8:1"))), Harm.SOON, "remove files"),
    ("disk-full", seen(state="disk full: 5 bytes free"), Harm.WAITING, "journalctl --vacuum-size=200M"),
    ("blocks-corrupt", seen(server(2, reason="3 records do not verify")), Harm.AT_RISK, "dfsctl scrub --server 2 --wait"),
    (
        "blocks-corrupt",
        seen(server(2, scrub=ScrubStatus(is_on=True, counts=ScrubCounts(9, 0, 2, 0)))),
        Harm.LOST,
        "dfsctl lost --everywhere",
    ),
    ("address-wrong", seen(server(1, reason="expected server 1 of 4, got server 0 of 2")), Harm.WAITING, "see [data:1] address"),
    ("key-wrong", seen(replace(away(1), reason="key not accepted: wrong key: x")), Harm.WAITING, "dfsctl key show"),
    ("key-wrong", ClusterSeen("127.0.0.1:9000", None, "wrong key: x", is_key_refused=True), Harm.STOPPED, "dfsctl key show"),
    (
        "address-wrong",
        seen(replace(away(1), reason="expected data server 1 of x, got data server 2 of x")),
        Harm.WAITING,
        "see [data:1]",
    ),
    ("meta-rolled-back", seen(state="rolled back: 5 marks"), Harm.AT_RISK, "dfsctl meta accept-rollback"),
    ("meta-read-only", seen(state="read-only: EIO"), Harm.STOPPED, "systemctl restart dfs-meta"),
    ("not-formatted", seen(state="waiting to format"), Harm.STOPPED, "systemctl start dfs.target"),
    (
        "client-crashed",
        seen(mounts=(MountStatus(SessionId(4), "desk", b"/mnt/dfs", 21.0),)),
        Harm.WAITING,
        'on desk: systemctl status "dfs-mount@*"',
    ),
    ("clock-off", seen(server(3, wall_ns=NOW_NS + 60 * 10**9)), Harm.SOON, "systemctl restart systemd-timesyncd"),
    ("clock-off", seen(wall_ns=NOW_NS - 60 * 10**9), Harm.SOON, "systemctl restart systemd-timesyncd"),
    ("releases-differ", seen(server(3, release="0.9")), Harm.SOON, "install the same release"),
]


@pytest.mark.parametrize(
    ("situation", "cluster", "harm", "cure"), SITUATIONS, ids=[f"{row[0]}-{row[2].name}" for row in SITUATIONS]
)
def test_one_trouble_is_the_first_finding_with_its_harm_and_cure(
    situation: str, cluster: ClusterSeen, harm: Harm, cure: str
) -> None:
    first = found(cluster)[0]
    assert (first.situation, first.harm) == (situation, harm)
    assert any(command.startswith(cure) for command in first.cures)
    assert first.evidence
    assert exit_code([first]) == (2 if harm is Harm.LOST else 1)


def test_meta_that_does_not_answer_and_what_is_no_meta_are_told_apart() -> None:
    refused = ClusterSeen("10.0.0.1:9000", None, "meta-server at 10.0.0.1:9000 does not answer: Connection refused")
    other = ClusterSeen("10.0.0.1:9000", None, "meta-server at 10.0.0.1:9000 does not answer as it should: HTTP status 404")
    assert [finding.situation for finding in found(refused)] == ["meta-down"]
    assert found(refused)[0].cures[-1] == "on 10.0.0.1: systemctl restart dfs-meta"
    assert [finding.situation for finding in found(other)] == ["address-wrong"]


def test_two_neighbours_away_are_worse_than_two_that_share_no_block() -> None:
    apart, side_by_side = found(seen(away(0), away(2))), found(seen(away(1), away(2)))
    assert {finding.situation for finding in apart} == {"server-down"}
    assert side_by_side[0].situation == "neighbours-down"
    swapped = [replace(away(index), reason=f"expected data server {index} of x, got another of x") for index in (1, 2)]
    assert found(seen(*swapped))[0].situation == "address-wrong"
    assert (exit_code(apart), exit_code(side_by_side)) == (1, 2)
    assert found(seen(away(3), server(0, primary=RoleState.SUSPECT, reason="x")))[0].situation == "server-down"


def test_worst_trouble_is_named_first() -> None:
    ranked = found(seen(away(2), server(0, space=Space(100 * GIB, 2 * GIB, "8:1")), state="read-only: EIO"))
    assert [finding.situation for finding in ranked] == ["meta-read-only", "server-down", "disk-nearly-full"]
