"""Goal: `dfsctl status` shows the cluster as the issue demands, whoever does not answer.
Method: a meta-server and data servers that answer by rote; the JSON is compared whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import pytest

from dfs.cli.tools.cluster_health import Health
from dfs.cli.tools.status import ask_cluster, describe_scrub, show_bytes, to_json, to_text
from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError, Unreachable
from dfs.core.ids import ServerIndex, SessionId
from dfs.core.interfaces import CallContext
from dfs.core.messages.cluster import MetaStatus, MountStatus, RoleState, ServerAddress, Shape, Space
from dfs.core.messages.data_server import DataStatus, Identity
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import ScrubCounts, ScrubStatus

A = TypeVar("A")
SHAPE = Shape("c1", 2, 512)
ADDRESSES = (ServerAddress(ServerIndex(0), "127.0.0.1:9100"), ServerAddress(ServerIndex(1), "127.0.0.1:9101"))
MOUNTS = (MountStatus(SessionId(7), "host", b"/mnt/\xff", 0.25),)


class RoteMeta:
    """A meta-server with one answer."""

    def __init__(self, answer: MetaStatus | DfsError) -> None:
        self._answer = answer

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        if isinstance(self._answer, DfsError):
            raise self._answer
        return cast("A", self._answer)


class RoteServers:
    """Data servers with one answer each; notes what it was told."""

    def __init__(self, answers: Mapping[int, DataStatus | DfsError]) -> None:
        self._answers = answers
        self.addresses: dict[ServerIndex, str] = {}
        self.cluster = "never told"

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        self.addresses, self.cluster = dict(addresses), cluster

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        return {server: cast("A | DfsError", self._answers[server]) for server in calls}

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        raise AssertionError("status asks all servers at once")


def data_status(index: int, *, progress: str = "") -> DataStatus:
    identity = Identity(SHAPE, ServerIndex(index), "disk", RoleState.COMPLETE, RoleState.COMPLETE, 0)
    return DataStatus(identity, Space(4 << 30, 3 << 30, "8:1"), progress)


def meta_status(shape: Shape = SHAPE, state: str = "ok", addresses: tuple[ServerAddress, ...] = ADDRESSES) -> MetaStatus:
    return MetaStatus(shape, "test", state, addresses, MOUNTS, 12, 0)


def test_status_of_a_healthy_cluster_as_json_has_exactly_the_documented_members() -> None:
    servers = RoteServers({0: data_status(0), 1: data_status(1, progress="comparing 5 of 9 strips")})
    report = ask_cluster(PlainContext(), "127.0.0.1:9000", RoteMeta(meta_status()), servers)
    assert report.health() is Health.HEALTHY
    assert servers.addresses == {0: "127.0.0.1:9100", 1: "127.0.0.1:9101"}
    server: dict[str, Any] = {
        "index": 0,
        "address": "127.0.0.1:9100",
        "state": "ok",
        "primary": "complete",
        "secondary": "complete",
        "total_bytes": 4 << 30,
        "free_bytes": 3 << 30,
        "progress": "",
        "scrub": {
            "on": False,
            "running": False,
            "percent": 0.0,
            "bytes_per_s": 0,
            "left_s": None,
            "last_pass_ns": 0,
            "blocks": 0,
            "repaired": 0,
            "damaged": 0,
            "left": 0,
            "trouble": "",
        },
    }
    assert json.loads(to_json(report)) == {
        "cluster": {"uuid": "c1", "n": 2, "block_size": 512},
        "meta": {"address": "127.0.0.1:9000", "state": "ok"},
        "servers": [server, server | {"index": 1, "address": "127.0.0.1:9101", "progress": "comparing 5 of 9 strips"}],
        "mounts": [{"id": 7, "host": "host", "path": "/mnt/\\xff"}],
    }


def test_status_tells_how_far_a_scrub_is_how_fast_and_when_the_last_pass_ended() -> None:
    counts = ScrubCounts(1200, 3, 1, 0)
    scrub = ScrubStatus(True, True, 42.5, 9_500_000, 7500.0, 1_700_000_000_000_000_000, counts, "secondary copies: away")
    shown = describe_scrub(scrub)
    assert shown == (
        "42.5% at 9.5 MB/s, about 2.1 h left; last full pass ended 2023-11-14 22:13:20 UTC; "
        "1200 blocks, 3 copies repaired, 1 blocks damaged, 0 not compared; secondary copies: away"
    )
    assert describe_scrub(ScrubStatus()) == "off, no full pass yet"
    servers = RoteServers({0: data_status(0), 1: replace(data_status(1), scrub=scrub)})
    report = ask_cluster(PlainContext(), "m:1", RoteMeta(meta_status()), servers)
    assert shown in to_text(report)
    assert json.loads(to_json(report))["servers"][1]["scrub"]["percent"] == 42.5


def test_status_of_a_server_whose_disk_fails_says_so_and_is_degraded() -> None:
    failing = replace(data_status(1), trouble="the disk fails: write journal/1: Input/output error")
    report = ask_cluster(PlainContext(), "m:1", RoteMeta(meta_status()), RoteServers({0: data_status(0), 1: failing}))
    assert report.health() is Health.DEGRADED
    assert "the disk fails" in to_text(report)


def test_status_with_a_dead_server_of_two_shows_it_and_is_at_risk_only_with_both() -> None:
    dead = Unreachable("data server 1 at 127.0.0.1:9101", "connection refused")
    one = ask_cluster(PlainContext(), "m:1", RoteMeta(meta_status()), RoteServers({0: data_status(0), 1: dead}))
    both = ask_cluster(PlainContext(), "m:1", RoteMeta(meta_status()), RoteServers({0: dead, 1: dead}))
    shown = json.loads(to_json(one))["servers"][1]
    assert shown["state"].startswith("unreachable: ")
    assert "connection refused" in shown["state"]
    assert (shown["primary"], shown["secondary"]) == ("unknown", "unknown")
    assert (one.health(), both.health()) == (Health.DEGRADED, Health.AT_RISK)
    assert "connection refused" in to_text(one)
    assert "DATA AT RISK" in to_text(both)


def test_status_before_the_first_mount_is_degraded_and_says_why() -> None:
    meta = meta_status(Shape("", 0, 512), "waiting to format", ())
    report = ask_cluster(PlainContext(), "m:1", RoteMeta(meta), RoteServers({}))
    assert report.health() is Health.DEGRADED
    assert "waiting to format" in to_text(report)
    assert json.loads(to_json(report))["servers"] == []


def test_status_without_an_answer_of_meta_is_its_error() -> None:
    with pytest.raises(Unreachable):
        ask_cluster(PlainContext(), "m:1", RoteMeta(Unreachable("meta at m:1", "timeout")), RoteServers({}))


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (4 << 40, "4.0 TiB"), (1 << 62, "4096.0 PiB")]
)
def test_bytes_are_shown_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert show_bytes(count) == shown
