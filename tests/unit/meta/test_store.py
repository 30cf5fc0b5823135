"""Goal: durable, all-or-nothing transactions that share commits. Method: a real database file, threads, and a disk that is full."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfs.core.errors import NotFound, ReadOnly, Stopping
from dfs.core.start_errors import StateError
from dfs.host.clock import SystemClock
from dfs.host.tasks import ThreadTasks
from dfs.meta.state.database import PROBE_BYTES, StoreBug
from dfs.meta.state.store import Reader, Store, StoreFailure, Transaction

TASKS = ThreadTasks()
Open = Callable[[], Store]


@pytest.fixture
def failures() -> list[StoreFailure]:
    return []


@pytest.fixture
def reopen(tmp_path: Path, failures: list[StoreFailure]) -> Iterator[Open]:
    stores: list[Store] = []

    def make() -> Store:
        stores.append(Store(str(tmp_path / "meta.db"), TASKS, SystemClock(), failures.append))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def put(ino: int) -> Callable[[Transaction], int]:
    return lambda tx: tx.run("INSERT INTO symlink VALUES (?, x'00')", ino)


def count(store: Store) -> int:
    row = store.read(lambda reader: reader.one("SELECT count(*) FROM symlink"))
    assert row is not None
    return int(row[0])


def test_change_object_lost_without_close_is_there_after_reopen(reopen: Open) -> None:
    reopen().change(put(7))
    assert count(reopen()) == 1


def test_change_that_raises_leaves_nothing_and_undoes_memory_in_reverse(reopen: Open) -> None:
    store, undone = reopen(), list[str]()

    def work(tx: Transaction) -> None:
        put(1)(tx)
        tx.undo(lambda: undone.append("first"))
        tx.undo(lambda: undone.append("second"))
        tx.after(lambda: undone.append("never"))
        raise NotFound(b"x")

    with pytest.raises(NotFound):
        store.change(work)
    assert count(store) == 0
    assert undone == ["second", "first"]


def test_read_during_an_open_transaction_sees_the_committed_state_only(reopen: Open) -> None:
    store = reopen()
    seen: list[int] = []

    def work(tx: Transaction) -> None:
        put(1)(tx)
        seen.append(count(store))

    store.change(work)
    assert seen == [0]
    assert count(store) == 1


def test_change_from_many_threads_shares_commits_and_errors_stay_with_their_caller(reopen: Open) -> None:
    store, ready, go = reopen(), threading.Event(), threading.Event()
    outcomes: dict[int, str] = {}

    def slow(tx: Transaction) -> None:
        ready.set()
        go.wait(10)

    def call(ino: int) -> None:
        def work(tx: Transaction) -> None:
            put(ino)(tx)
            if ino % 5 == 0:
                raise NotFound(b"%d" % ino)

        try:
            store.change(work)
            outcomes[ino] = "done"
        except NotFound as error:
            outcomes[ino] = error.path.decode()

    leader = threading.Thread(target=store.change, args=(slow,))
    leader.start()
    assert ready.wait(10)
    before = store.counts.commits
    threads = [threading.Thread(target=call, args=(ino,)) for ino in range(20)]
    for thread in threads:
        thread.start()
    while len(store._queue) < 20:
        threads[0].join(0.01)
    go.set()
    for thread in [leader, *threads]:
        thread.join(10)
    assert outcomes == {ino: str(ino) if ino % 5 == 0 else "done" for ino in range(20)}
    assert count(store) == 16
    assert store.counts.commits - before == 2


def test_change_alone_runs_on_the_callers_thread(reopen: Open) -> None:
    assert reopen().change(lambda tx: threading.get_ident()) == threading.get_ident()


def test_change_on_a_full_disk_turns_read_only_and_reads_go_on(reopen: Open, failures: list[StoreFailure]) -> None:
    store = reopen()
    store.change(put(1))
    undone: list[int] = []

    def fill(tx: Transaction) -> None:
        tx.undo(lambda: undone.append(1))
        for ino in range(2, 100):
            tx.run("INSERT INTO symlink VALUES (?, zeroblob(100000))", ino)

    row = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {row[0] + 2}")
    with pytest.raises(ReadOnly, match="full"):
        store.change(fill)
    with pytest.raises(ReadOnly, match="full"):
        store.change(put(2))
    assert undone == [1]
    assert count(store) == 1
    assert len(failures) == 1
    assert store.failure == failures[0]
    assert count(reopen()) == 1


def limit_pages(store: Store, more: int) -> None:
    """Let the database grow by so many pages: SQLite then says what it says on a full disk."""
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages + more}")


def test_full_disk_is_recovered_from_when_a_durable_write_fits_and_nothing_acknowledged_is_lost(reopen: Open) -> None:
    store = reopen()
    store.change(put(1))
    limit_pages(store, 1)
    with pytest.raises(ReadOnly, match="full"):
        store.change(lambda tx: tx.run("INSERT INTO symlink VALUES (2, zeroblob(?))", PROBE_BYTES))
    assert store.failure is not None
    assert store.failure.is_full
    assert not store.recover()
    with pytest.raises(ReadOnly, match="full"):
        store.change(put(3))
    limit_pages(store, 2 * PROBE_BYTES // 4096)
    assert store.recover()
    assert store.failure is None
    store.change(put(4))
    assert [row[0] for row in store.read(lambda reader: reader.all("SELECT ino FROM symlink ORDER BY ino"))] == [1, 4]
    assert store.read(lambda reader: reader.all("SELECT * FROM probe")) == []
    assert count(reopen()) == 2


class FailingWriter:
    """A connection whose disk fails at one statement with a code of SQLite's."""

    def __init__(self, connection: sqlite3.Connection, statement: str, code: int) -> None:
        self.connection = connection
        self.statement = statement
        self.code = code

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == self.statement:
            error = sqlite3.OperationalError("the disk fails")
            error.sqlite_errorcode = self.code
            raise error
        return self.connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


@pytest.mark.parametrize(
    ("statement", "code"),
    [("COMMIT", sqlite3.SQLITE_IOERR_FSYNC), ("COMMIT", sqlite3.SQLITE_IOERR_WRITE), ("COMMIT", sqlite3.SQLITE_CORRUPT)],
)
def test_disk_that_fails_in_another_way_stays_read_only_until_a_restart(
    reopen: Open, statement: str, code: int, failures: list[StoreFailure]
) -> None:
    store = reopen()
    healthy = store._writer
    store._writer = FailingWriter(healthy, statement, code)  # type: ignore[assignment]
    with pytest.raises(ReadOnly, match="the disk fails"):
        store.change(put(1))
    store._writer = healthy
    assert [failure.is_full for failure in failures] == [False]
    assert not store.recover()
    with pytest.raises(ReadOnly, match="the disk fails"):
        store.change(put(2))
    assert count(reopen()) == 0


def test_full_disk_on_which_the_rollback_fails_stays_read_only_until_a_restart(reopen: Open) -> None:
    store = reopen()
    healthy = store._writer
    commit_fails = FailingWriter(healthy, "COMMIT", sqlite3.SQLITE_FULL)
    store._writer = FailingWriter(commit_fails, "ROLLBACK", sqlite3.SQLITE_IOERR)  # type: ignore[arg-type,assignment]
    with pytest.raises(ReadOnly):
        store.change(put(1))
    store._writer = healthy
    healthy.execute("ROLLBACK")
    assert not store.recover()


def test_change_with_a_wrong_statement_is_a_bug_of_that_caller_only(reopen: Open) -> None:
    store = reopen()
    store.change(put(1))
    with pytest.raises(StoreBug, match="UNIQUE"):
        store.change(put(1))
    with pytest.raises(StoreBug, match="no such table"):
        store.read(lambda reader: reader.one("SELECT * FROM missing"))
    store.change(put(2))
    assert count(store) == 2


def test_read_that_writes_is_refused(reopen: Open) -> None:
    def cheat(reader: Reader) -> None:
        reader.one("INSERT INTO symlink VALUES (5, x'00') RETURNING ino")

    store = reopen()
    with pytest.raises((StoreBug, ReadOnly)):
        store.read(cheat)
    assert count(store) == 0


def test_open_foreign_or_newer_file_is_refused_with_both_versions(tmp_path: Path, reopen: Open) -> None:
    (tmp_path / "meta.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError, match="usable database"):
        reopen()
    (tmp_path / "meta.db").unlink()
    store = reopen()
    store._writer.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="version 99"):
        reopen()


def test_closed_store_refuses_work(reopen: Open) -> None:
    store = reopen()
    store.close()
    with pytest.raises(Stopping):
        store.change(put(1))
    with pytest.raises(Stopping):
        count(store)


def log_bytes(tmp_path: Path) -> int:
    return (tmp_path / "meta.db-wal").stat().st_size


def test_log_that_took_its_space_does_not_grow_while_changes_are_made(reopen: Open, tmp_path: Path) -> None:
    store = reopen()
    store.take_log_space(1 << 20)
    size_bytes = log_bytes(tmp_path)
    assert size_bytes >= 1 << 20
    for number in range(100):
        store.change(put(number))
    assert count(store) == 100
    assert log_bytes(tmp_path) == size_bytes
    assert count(reopen()) == 100  # as after a crash: the log is read, what it held before is not
    assert len(store.copy()) < 1 << 20


def test_log_that_takes_its_space_leaves_every_later_commit_to_be_synced(reopen: Open) -> None:
    store = reopen()
    store.take_log_space(1 << 17)
    level: list[Any] = []
    store.change(lambda tx: level.append(tx.one("PRAGMA synchronous")))
    assert level == [(2,)]  # FULL


def test_log_takes_no_space_on_a_full_disk(reopen: Open, failures: list[StoreFailure]) -> None:
    store = reopen()
    limit_pages(store, 1)
    store.take_log_space(1 << 20)
    assert failures == []
    limit_pages(store, 1 << 20)
    store.change(put(1))
    assert count(store) == 1
