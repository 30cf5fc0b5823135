"""Goal: no number is issued twice. Method: crashes, failing transactions, and servers that know a higher mark."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dfs.core.errors import NoSpace, NotFound
from dfs.core.ids import NUMBER_MAX
from dfs.meta.state.numbers import MARK_STEP, Numbers
from dfs.meta.state.store import Transaction
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import MetaUnderTest


def durable_mark(meta: MetaUnderTest) -> int:
    row = meta.running().store.read(lambda reader: reader.one("SELECT mark FROM counter"))
    assert row is not None
    return int(row[0])


def test_numbers_rise_across_crashes_below_a_durable_mark(meta: MetaUnderTest) -> None:
    seen: list[int] = []
    for start in range(3):
        mount = meta.mount()
        for i in range(3):
            opened = mount.create(b"f%d-%d" % (start, i))
            seen += [opened.attributes.ino, opened.grant.ticket]
            assert opened.grant.ticket < durable_mark(meta)
        meta.crash()
    assert seen == sorted(set(seen))


def test_mark_of_a_transaction_that_failed_is_raised_again(meta: MetaUnderTest) -> None:
    store = meta.running().store
    start = durable_mark(meta)
    numbers = Numbers(start, lambda: None)

    def fail(tx: Transaction) -> None:
        assert numbers.take(tx) == start
        raise NotFound(b"x")

    with pytest.raises(NotFound):
        store.change(fail)
    assert durable_mark(meta) == start
    assert store.change(numbers.take) == start + 1
    assert durable_mark(meta) == numbers.mark > start + 1


def test_series_that_is_used_up_is_an_error(meta: MetaUnderTest) -> None:
    numbers = Numbers(NUMBER_MAX - 5, lambda: None)
    with pytest.raises(NoSpace):
        meta.running().store.change(numbers.take)


def test_servers_are_told_each_mark(meta: MetaUnderTest) -> None:
    meta.mount()
    wait_until(lambda: all(meta.servers.server(i).identity.mark == durable_mark(meta) for i in range(4)))
    meta.servers.take_down(2)
    store, numbers_used = meta.running().store, MARK_STEP + 1
    mount = meta.mount()
    mount.create(b"f")
    store.change(lambda tx: [tx.run("UPDATE counter SET mark = mark + ?", numbers_used)])
    meta.crash()
    mount.create(b"g")
    meta.until(lambda: meta.servers.server(0).identity.mark == durable_mark(meta))
    assert meta.servers.server(2).identity.mark < durable_mark(meta)
    meta.servers.bring_up()
    meta.until(lambda: meta.servers.server(2).identity.mark == durable_mark(meta))


def test_restored_meta_goes_above_what_a_server_knows(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    known = durable_mark(meta) + 500_000
    meta.servers.server(3).identity = replace(meta.servers.server(3).identity, mark=known)
    meta.crash()
    wait_until(lambda: durable_mark(meta) > known)
    wait_until(lambda: not meta.running().sessions.is_live(mount.session))
    assert meta.mount().create(b"f").attributes.ino > known
