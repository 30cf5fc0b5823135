"""Goal: a database that is older than what data servers remember serves, issues no number twice, has nothing removed until told.
Method: the file is copied and put back by hand, or restored, under a whole meta-server with fake data servers.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dfs.core.errors import NotPermitted
from dfs.core.events.meta_server import META_ROLLBACK_ACCEPTED, META_ROLLED_BACK, STRAYS_FOUND
from dfs.core.ids import ROOT_INO, Ino
from dfs.core.interfaces import NOBODY
from dfs.core.messages.blocks import Clean, Drop
from dfs.core.messages.content import Close, Truncate
from dfs.core.messages.inspection import AcceptRollback, ShowMeta, TakeBackup
from dfs.core.messages.names import Unlink
from dfs.core.messages.sessions import OpenFile
from dfs.core.messages.snapshots import StoreSnapshot
from dfs.host.clock import SystemClock
from dfs.host.tasks import ThreadTasks
from dfs.meta.state.store import Row
from dfs.meta.upkeep.marks import ADVANCE_S
from dfs.meta.upkeep.restoring import adopt_restored
from dfs.meta.upkeep.strays import FIRST_SCAN_S, QUARANTINE_DAYS, SCAN_INTERVAL_S
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount, holding

ROOT = FakeContext()


def copy_of(meta: MetaUnderTest) -> Path:
    """Copy the database as an administrator does who knows SQLite."""
    path = meta.path.parent / "copy.db"
    with closing(sqlite3.connect(meta.path)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    return path


def put_back(meta: MetaUnderTest, path: Path) -> None:
    """Stop cleanly, put an older file in place of the database and start."""
    meta.service.stop()
    for name in meta.path.parent.glob("meta.db*"):
        name.unlink()
    shutil.copy(path, meta.path)
    meta.service = meta._new()
    meta.start()


def state(meta: MetaUnderTest) -> str:
    return meta.service.call(ROOT, ShowMeta()).state


def is_held(meta: MetaUnderTest) -> bool:
    return state(meta).startswith("rolled back")


def make_file(mount: Mount, name: bytes) -> Ino:
    opened = mount.create(name)
    ino, ticket = opened.attributes.ino, opened.grant.ticket
    mount.call(Close(mount.op(), OpenFile(ino, mount.op()), holding(ino, ticket, 100)))
    return ino


def remove(mount: Mount, name: bytes) -> None:
    mount.call(Unlink(mount.op(), ROOT_INO, name, False))


def dropped(meta: MetaUnderTest) -> set[Ino]:
    return {ino for index in range(4) for ino in meta.servers.server(index).dropped}


@pytest.fixture
def older(meta: MetaUnderTest) -> tuple[Ino, Ino]:
    """Put an older copy back; return a file that it knows and the newest file, which it does not know."""
    known = make_file(meta.mount(), b"known")
    path = copy_of(meta)
    unknown = make_file(meta.mount(), b"unknown")
    put_back(meta, path)
    wait_until(lambda: is_held(meta))
    return known, unknown


def test_copy_put_back_by_hand_is_noticed_told_and_remembered_over_starts(meta: MetaUnderTest, older: tuple[Ino, Ino]) -> None:
    (event,) = meta.events.of(META_ROLLED_BACK)
    assert "accept-rollback" in event.message()
    meta.crash()
    assert is_held(meta)
    assert len(meta.events.of(META_ROLLED_BACK)) == 2


def test_older_state_serves_and_issues_no_number_again(meta: MetaUnderTest, older: tuple[Ino, Ino]) -> None:
    known, unknown = older
    mount = meta.mount()
    assert mount.session > unknown
    assert mount.look(b"known").ino == known
    assert mount.look(b"known").content.newest_cut > unknown  # no floor that a server was told since refuses readers
    assert make_file(mount, b"new") > unknown


def test_number_needed_before_any_server_answered_is_not_one_issued_in_the_lost_time(meta: MetaUnderTest) -> None:
    path = copy_of(meta)
    unknown = make_file(meta.mount(), b"unknown")
    meta.service.stop()
    meta.servers.take_down(0, 1, 2, 3)
    put_back(meta, path)
    assert make_file(meta.mount(), b"early") > unknown
    assert not is_held(meta)
    meta.servers.bring_up()
    meta.until(lambda: is_held(meta))
    assert make_file(meta.mount(), b"late") > unknown


def test_nothing_is_removed_until_it_is_accepted_and_then_by_itself(meta: MetaUnderTest, older: tuple[Ino, Ino]) -> None:
    mount = meta.mount()
    removed, cut = make_file(mount, b"removed"), make_file(mount, b"cut")
    remove(mount, b"removed")
    mount.call(Truncate(mount.op(), ROOT_INO, b"cut", 10, False, holding(cut, 0, 0)))
    before = [len(meta.servers.asked(kind)) for kind in (Drop, Clean, StoreSnapshot)]
    meta.age(20, mount)
    assert [len(meta.servers.asked(kind)) for kind in (Drop, Clean, StoreSnapshot)] == before
    with pytest.raises(NotPermitted):
        meta.service.call(FakeContext(caller=NOBODY), AcceptRollback())
    assert is_held(meta)
    meta.service.call(ROOT, AcceptRollback())
    assert not is_held(meta)
    meta.until(lambda: removed in dropped(meta))
    meta.until(lambda: len(meta.servers.asked(Clean)) > before[1])
    meta.until(lambda: len(meta.servers.asked(StoreSnapshot)) > before[2])
    assert meta.events.of(META_ROLLBACK_ACCEPTED)
    meta.crash()
    wait_until(lambda: meta.running().care.rollback.may_remove)
    assert not is_held(meta)


def test_option_of_a_start_accepts_before_and_after_it_is_noticed(meta: MetaUnderTest, older: tuple[Ino, Ino]) -> None:
    path = copy_of(meta)
    meta.settings = replace(meta.settings, accept_rollback=True)
    meta.crash()
    assert not is_held(meta)
    make_file(meta.mount(), b"more")
    put_back(meta, path)
    wait_until(lambda: len(meta.events.of(META_ROLLBACK_ACCEPTED)) >= 2)
    assert not is_held(meta)
    meta.settings = replace(meta.settings, accept_rollback=False)
    meta.crash()
    wait_until(lambda: meta.running().care.rollback.may_remove)


def test_nothing_is_removed_before_the_marks_of_all_servers_but_one_are_known(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    gone = make_file(mount, b"gone")
    meta.servers.take_down(0, 1, 2, 3)
    remove(mount, b"gone")
    meta.crash()
    for index in (2, 3):
        meta.servers.down.discard(meta.servers.names[index])
    meta.until(lambda: len(meta.running().care.marks._known) == 2)
    meta.age(20, mount)
    assert gone not in dropped(meta)
    meta.servers.down.discard(meta.servers.names[0])
    meta.until(lambda: gone in meta.servers.server(0).dropped)


def test_copy_from_before_a_backup_is_noticed_although_no_time_has_passed(meta: MetaUnderTest) -> None:
    path = copy_of(meta)
    mark = meta.servers.server(0).identity.mark
    meta.service.call(ROOT, TakeBackup())
    wait_until(lambda: all(meta.servers.server(index).identity.mark > mark for index in range(4)))
    meta.crash()  # no clean stop, which would raise the mark as well
    put_back(meta, path)
    wait_until(lambda: is_held(meta))


def test_copy_of_a_working_server_is_noticed_when_it_went_on_for_a_few_seconds(meta: MetaUnderTest) -> None:
    path = copy_of(meta)
    mark = meta.servers.server(0).identity.mark
    make_file(meta.mount(), b"unknown")
    meta.clock.advance(ADVANCE_S)
    meta.until(lambda: all(meta.servers.server(index).identity.mark > mark for index in range(4)))
    meta.crash()
    put_back(meta, path)
    wait_until(lambda: is_held(meta))


def test_restored_file_is_held_if_servers_remember_more_or_could_not_all_be_asked(meta: MetaUnderTest) -> None:
    mark = meta.running().care.marks._numbers.mark
    cluster = meta.servers.cluster
    for number, (highest, is_everyone, held) in enumerate(((mark, True, 0), (mark + 1, True, 1), (mark, False, 1))):
        path = shutil.copy(copy_of(meta), meta.path.parent / f"restored{number}.db")
        adopt_restored(str(path), ThreadTasks(), SystemClock(), cluster, highest, is_everyone=is_everyone)
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT count(*) FROM rollback").fetchone() == (held,)


def let_scans_pass(meta: MetaUnderTest, duration_s: float) -> None:
    """Let time pass in which strays are looked for."""
    worker = meta.running().workers.strays
    for _ in range(int(duration_s // SCAN_INTERVAL_S) + 1):
        meta.clock.advance(SCAN_INTERVAL_S)
        worker.wake()
        meta.until(lambda: not worker._is_woken)


def test_strips_of_unknown_inodes_are_let_go_a_week_after_acceptance_and_known_ones_never(
    meta: MetaUnderTest, older: tuple[Ino, Ino]
) -> None:
    known, unknown = older
    for index in range(4):
        meta.servers.server(index).strips = {known, unknown}
    let_scans_pass(meta, QUARANTINE_DAYS * 86_400)
    assert not meta.events.of(STRAYS_FOUND)
    meta.service.call(ROOT, AcceptRollback())
    let_scans_pass(meta, FIRST_SCAN_S + (QUARANTINE_DAYS - 1) * 86_400)
    assert meta.events.of(STRAYS_FOUND)
    assert unknown not in dropped(meta)
    let_scans_pass(meta, 2 * 86_400)
    meta.until(lambda: all(unknown in meta.servers.server(index).dropped for index in range(4)))
    assert known not in dropped(meta)
    assert all(meta.servers.server(index).strips == {known} for index in range(4))


def test_stray_that_is_gone_is_forgotten_and_one_server_away_stops_the_scan(meta: MetaUnderTest) -> None:
    stray = Ino(9999)
    meta.servers.server(2).strips = {stray}
    wait_until(lambda: meta.running().care.rollback.may_doubt)
    let_scans_pass(meta, FIRST_SCAN_S)

    def rows() -> list[Row]:
        return meta.running().store.read(lambda reader: reader.all("SELECT ino FROM stray"))

    meta.until(lambda: rows() == [(stray,)])
    meta.servers.take_down(1)
    meta.servers.server(2).strips = set()
    let_scans_pass(meta, SCAN_INTERVAL_S)
    assert rows() == [(stray,)]
    meta.servers.bring_up()
    let_scans_pass(meta, SCAN_INTERVAL_S)
    meta.until(lambda: rows() == [])
