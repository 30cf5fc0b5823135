"""Goal: strips of removed files are dropped on every server, once each. Method: single steps with servers away."""

from __future__ import annotations

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.messages.blocks import Drop
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import MakeNode, MakeSymlink, Unlink
from dfs.meta.upkeep import reclaimer as module
from dfs.meta.upkeep.reclaimer import Reclaimer
from tests.unit.meta.conftest import FakeContext, MetaUnderTest


@pytest.fixture
def reclaimer(meta: MetaUnderTest) -> Reclaimer:
    parts = meta.running()
    return Reclaimer(parts.store, parts.cluster, meta.servers)


def remove_files(meta: MetaUnderTest, count: int) -> list[Ino]:
    mount = meta.mount()
    inos = [mount.call(MakeNode(mount.op(), ROOT_INO, b"f%d" % i, 0o644, 0)).ino for i in range(count)]
    for i in range(count):
        mount.call(Unlink(mount.op(), ROOT_INO, b"f%d" % i, False))
    return inos


def backlog(meta: MetaUnderTest) -> int:
    return meta.service.call(FakeContext(), ShowMeta()).reclaiming


def dropped(meta: MetaUnderTest, index: int) -> list[Ino]:
    return sorted(meta.servers.server(index).dropped)


def test_removed_files_are_dropped_everywhere_in_batches(
    meta: MetaUnderTest, reclaimer: Reclaimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_INODES", 4)
    inos = remove_files(meta, 10)
    assert backlog(meta) == 10
    assert reclaimer.step(PlainContext())
    assert all(dropped(meta, i) == inos for i in range(4))
    assert backlog(meta) == 0
    assert len(meta.servers.asked(Drop)) == 3 * 4


def test_server_that_was_away_drops_later_and_the_others_not_again(meta: MetaUnderTest, reclaimer: Reclaimer) -> None:
    inos = remove_files(meta, 3)
    meta.servers.take_down(2)
    assert not reclaimer.step(PlainContext())
    assert backlog(meta) == 3
    meta.crash()
    parts = meta.running()
    again = Reclaimer(parts.store, parts.cluster, meta.servers)
    assert not again.step(PlainContext())
    meta.servers.bring_up()
    assert again.step(PlainContext())
    assert backlog(meta) == 0
    assert all(dropped(meta, i) == inos for i in range(4))


def test_only_regular_files_have_strips_to_drop(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    mount.call(MakeSymlink(mount.op(), ROOT_INO, b"s", b"t"))
    mount.call(Unlink(mount.op(), ROOT_INO, b"s", False))
    assert backlog(meta) == 0


def test_dropping_happens_by_itself_after_an_unlink(meta: MetaUnderTest) -> None:
    inos = remove_files(meta, 1)
    meta.until(lambda: backlog(meta) == 0)
    assert dropped(meta, 3) == inos
