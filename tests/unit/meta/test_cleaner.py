"""Goal: a cut is forgotten when, and only when, every server executed it and still is what it was. Method: single steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.ids import Ino, ServerIndex
from dfs.core.messages.blocks import Clean
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.content import Truncate
from dfs.core.messages.data_server import Identify
from dfs.core.messages.requests import Request
from dfs.meta.upkeep.cleaner import Cleaner
from tests.unit.meta.conftest import MetaUnderTest, Mount, holding


@pytest.fixture
def cleaner(meta: MetaUnderTest) -> Cleaner:
    parts = meta.running()
    return Cleaner(parts.store, parts.cluster, meta.servers)


def cut_file(mount: Mount, name: bytes, *sizes: int) -> Ino:
    """Make a file with a cut at each of the rising sizes."""
    made = mount.create(name).grant
    for size in sizes:
        held = mount.call(Truncate(mount.op(), made.ino, b"", size, True, holding(Ino(0), 0, 0)))
    mount.call(Truncate(mount.op(), made.ino, b"", sizes[-1], True, holding(made.ino, held.ticket, sizes[-1])))
    return made.ino


def test_cuts_executed_everywhere_are_forgotten_but_not_the_newest_ticket(meta: MetaUnderTest, cleaner: Cleaner) -> None:
    ino = cut_file(meta.mount(), b"f", 10, 20, 30)
    before = meta.content(ino)
    assert len(before.cuts) > 1
    assert cleaner.step(PlainContext())
    assert meta.content(ino) == before._replace(cuts=())
    assert all(meta.servers.server(i).cleaned == [(ino, before.cuts)] for i in range(4))
    assert cleaner.step(PlainContext())
    assert len(meta.servers.asked(Clean)) == 4


def test_many_inodes_are_cleaned_in_batches_with_one_second_round_each(meta: MetaUnderTest, cleaner: Cleaner) -> None:
    mount = meta.mount()
    inos = [cut_file(mount, b"f%d" % i, 5) for i in range(20)]
    identified = len(meta.servers.asked(Identify))
    assert cleaner.step(PlainContext())
    assert not any(meta.content(ino).cuts for ino in inos)
    assert len(meta.servers.asked(Identify)) - identified == 4


def test_cut_stays_while_a_server_is_away_or_rebuilds(meta: MetaUnderTest, cleaner: Cleaner) -> None:
    ino = cut_file(meta.mount(), b"f", 10)
    meta.servers.take_down(3)
    assert not cleaner.step(PlainContext())
    assert meta.content(ino).cuts
    meta.servers.bring_up()
    identity = meta.servers.server(2).identity
    meta.servers.server(2).identity = replace(identity, secondary=RoleState.REBUILDING)
    assert not cleaner.step(PlainContext())
    assert meta.content(ino).cuts
    meta.servers.server(2).identity = identity
    assert cleaner.step(PlainContext())
    assert not meta.content(ino).cuts


def test_cut_stays_if_a_server_lost_its_disk_between_the_rounds(meta: MetaUnderTest, cleaner: Cleaner) -> None:
    ino = cut_file(meta.mount(), b"f", 10)

    def lose(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, Identify) and server == 0:
            meta.servers.server(1).identity = replace(meta.servers.server(1).identity, disk="another")

    meta.servers.before_answer = lose
    assert not cleaner.step(PlainContext())
    assert meta.content(ino).cuts


def test_cut_stays_if_a_server_was_suspect_between_the_rounds(meta: MetaUnderTest, cleaner: Cleaner) -> None:
    ino = cut_file(meta.mount(), b"f", 10)

    def lose_power(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, Identify) and server == 2:  # it is complete again already, with what a neighbour had not cleaned yet
            meta.servers.before_answer = lambda server, request: None
            identity = meta.servers.server(2).identity
            meta.servers.server(2).identity = replace(identity, doubts=identity.doubts + 1)

    meta.servers.before_answer = lose_power
    assert not cleaner.step(PlainContext())
    assert meta.content(ino).cuts
    assert cleaner.step(PlainContext())
    assert not meta.content(ino).cuts


def test_newer_cut_made_meanwhile_stays(meta: MetaUnderTest, cleaner: Cleaner) -> None:
    mount = meta.mount()
    made = mount.create(b"f").grant
    first = mount.call(Truncate(mount.op(), made.ino, b"", 10, True, holding(made.ino, made.ticket, 50)))

    def cut_again(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, Identify) and server == 0:
            meta.servers.before_answer = lambda server, request: None
            mount.call(Truncate(mount.op(), made.ino, b"", 20, True, holding(made.ino, first.ticket, 15)))

    meta.servers.before_answer = cut_again
    cleaner.step(PlainContext())
    (left,) = meta.content(made.ino).cuts
    assert (left.offset, left.ticket > first.ticket) == (15, True)


def test_cleaning_happens_by_itself_soon_after_a_cut(meta: MetaUnderTest) -> None:
    ino = cut_file(meta.mount(), b"f", 10)
    meta.until(lambda: not meta.content(ino).cuts)
