"""Goal: statfs counts each disk once and both replicas, and status tells the truth. Method: examples of disks; one whole call."""

from __future__ import annotations

import pytest

from dfs.core.errors import Stopping
from dfs.core.ids import ROOT_INO
from dfs.core.messages.cluster import Space
from dfs.core.messages.data_server import ShowData
from dfs.core.messages.inspection import ShowMeta, StatFileSystem
from dfs.core.messages.names import MakeNode
from dfs.meta.upkeep.space import free_bytes, total_bytes
from tests.unit.meta.conftest import FakeContext, MetaUnderTest


@pytest.mark.parametrize(
    ("spaces", "total", "free"),
    [
        ([], 0, 0),
        ([Space(1000, 400, "a")] * 4, 500, 200),  # one disk under all servers
        ([Space(1000, 400, "a"), Space(1000, 400, "b")], 1000, 400),
        ([Space(1000, 100, "a"), Space(3000, 900, "b"), Space(1000, 800, "c")], 2500, 150),  # the fullest sets the limit
    ],
)
def test_space_of_disks(spaces: list[Space], total: int, free: int) -> None:
    assert total_bytes(spaces) == total
    assert free_bytes(spaces, len(spaces)) == free


def test_statfs_asks_the_servers_once_a_second_and_remembers_those_away(meta: MetaUnderTest) -> None:
    for index in range(4):
        meta.servers.server(index).space = Space(1000, 400, f"disk {index}")
    for _ in range(5):
        space = meta.service.call(FakeContext(), StatFileSystem())
    assert (space.total_bytes, space.free_bytes, space.inodes) == (2000, 800, 1)
    assert len(meta.servers.asked(ShowData)) == 4
    meta.servers.take_down(0)
    meta.clock.advance(2)
    assert meta.service.call(FakeContext(), StatFileSystem()).total_bytes == 2000
    assert len(meta.servers.asked(ShowData)) == 8


def test_status_counts_files_and_mounts_for_people_and_tools(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    for i in range(3):
        mount.call(MakeNode(mount.op(), ROOT_INO, b"f%d" % i, 0o644, 0))
    assert meta.service.status() == "serving 4 files, 1 mounts"
    meta.clock.advance(3)
    shown = meta.service.call(FakeContext(), ShowMeta())
    assert (shown.name, shown.state, shown.inodes, shown.reclaiming) == ("dfs", "ok", 4, 0)
    assert [(m.session, m.host, m.path, m.age_s) for m in shown.mounts] == [(mount.session, "host", b"/mnt", 3.0)]


def test_check_rises_with_work_and_a_stopped_service_says_so(meta: MetaUnderTest) -> None:
    first = meta.service.check()
    assert meta.service.check() > first
    meta.service.stop()
    with pytest.raises(Stopping):
        meta.service.check()
    with pytest.raises(Stopping):
        meta.service.call(FakeContext(), ShowMeta())
    assert meta.service.status() == "stopped"
