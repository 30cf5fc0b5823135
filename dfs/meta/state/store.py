"""The meta-server's store: transactions, group commit, and what can still be done once the disk refused a write.

Promises: `change` answers only after the transaction's fsync (WAL, synchronous=FULL), so that what was answered survives
kill -9 and a power cut; work that raises leaves nothing behind; `read` sees committed state only. The first error of the disk
turns the store read-only: no later change is attempted on a file of unknown state. If the disk was merely full and the
transaction was taken back, that state is known: recover() lifts it once a durable write succeeds. Anything else (a failed write
or fsync, damage) stays until the process is started anew.

Group commit: who finds no leader becomes it and runs all work that is queued, each in a savepoint, under one COMMIT. A caller
that is alone never hands over to another thread. Lock order: `_mutex` is innermost, nothing else is taken under it.

Called by every module of dfs/meta; work runs on the leader's thread, so it must not wait and not ask its caller's context.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from dfs.core.errors import ReadOnly, Stopping
from dfs.core.interfaces import POLL_S, Clock, Tasks
from dfs.core.meters import OK, CallCounts, CallMeter
from dfs.meta.state import database

A = TypeVar("A")
Row = tuple[Any, ...]

_READERS_KEPT: Final = 8
_READ, _CHANGE, _COMMIT = ("read",), ("change",), ("commit",)
"""What is timed."""


class Reader:
    """A connection inside a transaction, for reading. Valid during the call of the work it is given to."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def one(self, sql: str, *values: object) -> Row | None:
        """Return the first row, or None."""
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: object) -> list[Row]:
        """Return all rows."""
        return self._connection.execute(sql, values).fetchall()


class Transaction(Reader):
    """A connection inside a writing transaction, for one piece of work."""

    __slots__ = ("_afters", "_undos")

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._undos: list[Callable[[], None]] = []
        self._afters: list[Callable[[], None]] = []

    def run(self, sql: str, *values: object) -> int:
        """Change rows; return how many."""
        return self._connection.execute(sql, values).rowcount

    def run_many(self, sql: str, rows: list[Row]) -> None:
        """Change rows, one statement per element of `rows`."""
        self._connection.executemany(sql, rows)

    def undo(self, action: Callable[[], None]) -> None:
        """Have a change of memory taken back if this work, or its transaction, fails. Runs in reverse order."""
        self._undos.append(action)

    def after(self, action: Callable[[], None]) -> None:
        """Have a change of memory made once the transaction is durable, before any later work begins."""
        self._afters.append(action)

    def take_back(self) -> None:
        """Run what `undo` noted."""
        while self._undos:
            self._undos.pop()()

    def finish(self) -> None:
        """Run what `after` noted."""
        for action in self._afters:
            action()


@dataclass(eq=False, slots=True)
class _Job(Generic[A]):
    """Work that waits for a leader, then its outcome."""

    work: Callable[[Transaction], A]
    began_s: float
    transaction: Transaction | None = None
    answer: A | None = None
    error: BaseException | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """Why the store is read-only."""

    reason: str
    is_full: bool
    """Whether the disk was full and nothing else is wrong, so that recover() may lift it."""


@dataclass(slots=True)
class StoreCounts:
    """What the store has done since it was opened; tests and the service's proof of work look at it."""

    commits: int = 0
    changes: int = 0
    reads: int = 0


@dataclass(eq=False, slots=True)
class _Readers:
    idle: list[sqlite3.Connection] = field(default_factory=list)
    closed: bool = False


class Store:
    """The meta-server's database file."""

    def __init__(self, path: str, tasks: Tasks, clock: Clock, on_failure: Callable[[StoreFailure], None]) -> None:
        """Open or create the file and bring it to the present version.

        Arguments: `path`: of the file, in a folder that exists; `on_failure`: told why, each time that the store turns read-only.
        Raises: StateError if the file is not ours, is newer than this program, or cannot be opened.
        """
        self.counts = StoreCounts()
        self._path = path
        self._on_failure = on_failure
        self._failure: StoreFailure | None = None
        self._clock = clock
        self._mutex = tasks.mutex()
        self._meter = CallMeter(contextlib.nullcontext())
        """Under the mutex, which is taken anyway where something ends."""
        self._committed_s: float | None = None
        """What the last commit took, until the leader notes it."""
        self._freed = tasks.signal(self._mutex)
        self._queue: list[_Job[Any]] = []
        self._writing = False
        self._readers = _Readers()
        with database.starting(path):
            self._writer = self._connect()
            database.migrate(self._writer, path)

    @property
    def failure(self) -> StoreFailure | None:
        """Why the store is read-only; None while it is not."""
        return self._failure

    def times(self) -> list[CallCounts]:
        """Return how often, and how long, was read, changed (with the wait for others) and committed."""
        with self._mutex:
            return self._meter.read()

    def read(self, work: Callable[[Reader], A]) -> A:
        """Return what `work` returns; all its reads see one committed state. Raises: what work raises; Stopping; ReadOnly."""
        began_s = self._clock.monotonic_s()
        connection = self._take_reader()
        try:
            with database.translated(self._path):
                connection.execute("BEGIN")
                try:
                    return work(Reader(connection))
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
        finally:
            self._give_reader(connection, self._clock.monotonic_s() - began_s)

    def copy(self) -> bytes:
        """Return the database as one file's bytes, as of one moment; changes go on meanwhile. Raises: Stopping; ReadOnly."""
        connection = self._take_reader()
        try:
            with database.translated(self._path), contextlib.closing(sqlite3.connect(":memory:")) as copy:
                connection.backup(copy)
                return copy.serialize()
        finally:
            self._give_reader(connection)

    def change(self, work: Callable[[Transaction], A]) -> A:
        """Run `work` in a transaction and return what it returned, once that is durable.

        Raises: what work raises, with nothing changed; ReadOnly if the disk failed, now or before; Stopping.
        """
        job = _Job(work, self._clock.monotonic_s())
        with self._mutex:
            if self._readers.closed:
                raise Stopping
            self._queue.append(job)
            while self._writing and not job.done:
                self._freed.wait(POLL_S)
            batch: list[_Job[Any]] = []
            if not job.done:
                self._writing = True
                batch, self._queue = self._queue, batch
        if batch:
            try:
                self._lead(batch)
            except BaseException as error:
                for unfinished in batch:  # nobody may take a missing outcome for success
                    unfinished.error = unfinished.error or error
                raise
            finally:
                self._hand_over(batch)
        if job.error is not None:
            raise job.error
        return job.answer  # type: ignore[return-value]  # no error: the work's own answer, which may be None

    def recover(self) -> bool:
        """Serve changes again if the disk was full and takes a durable write now; tell whether changes are served.

        Raises: Stopping.
        """
        failure = self._failure
        if failure is None or not failure.is_full:
            return failure is None
        with self._mutex:
            while self._writing:
                self._freed.wait(POLL_S)
            if self._readers.closed:
                raise Stopping
            self._writing = True
        try:
            is_written = database.probe(self._writer)
        except sqlite3.Error as error:
            self._failure = self._failed(error)
            return False
        else:
            if is_written:
                self._failure = None
            return is_written
        finally:
            self._hand_over([])

    def take_log_space(self, size_bytes: int) -> None:
        """Let the log take so much of the disk now, before anything else is done. Raises: StateError if it cannot be written."""
        with database.starting(self._path):
            database.take_log_space(self._writer, size_bytes)

    def close(self) -> None:
        """Refuse new work, wait for work under way, write the log back into the file and close it."""
        with self._mutex:
            self._readers.closed = True
            while self._writing or self._queue:
                self._freed.wait(POLL_S)
            idle, self._readers.idle = self._readers.idle, []
        for connection in idle:
            connection.close()
        self._writer.close()

    # --- the leader ------------------------------------------------------------------------------------------------

    def _hand_over(self, batch: list[_Job[Any]]) -> None:
        now_s = self._clock.monotonic_s()
        with self._mutex:
            for job in batch:
                job.done = True
                self._meter.note(_CHANGE, OK, now_s - job.began_s)
            if self._committed_s is not None:
                self._meter.note(_COMMIT, OK, self._committed_s)
                self._committed_s = None
            self._writing = False
            self._freed.notify_all()

    def _lead(self, batch: list[_Job[Any]]) -> None:
        """Run all jobs of the batch and commit those that succeed. Errors are left in the jobs."""
        if self._failure is not None:
            _refuse(batch, self._failure.reason, None)
            return
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            for job in batch:
                _run(writer, job, alone=len(batch) == 1)
            if any(job.error is None for job in batch):
                began_s = self._clock.monotonic_s()
                writer.execute("COMMIT")
                self._committed_s = self._clock.monotonic_s() - began_s
                self.counts.commits += 1
                self.counts.changes += len(batch)
            elif writer.in_transaction:
                writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._fail(batch, error)
        else:
            for job in batch:
                if job.error is None and job.transaction is not None:
                    job.transaction.finish()

    def _fail(self, batch: list[_Job[Any]], error: sqlite3.Error) -> None:
        """Turn read-only: nothing of the batch has happened, and nothing more will until recover() says so."""
        failure = self._failed(error)
        for job in reversed(batch):
            if job.transaction is not None:
                job.transaction.take_back()
        _refuse(batch, failure.reason, error)
        self._failure = failure
        self._on_failure(failure)

    def _failed(self, error: sqlite3.Error) -> StoreFailure:
        """Take the open transaction back, and return what an error of the disk means."""
        is_full = database.is_full(error)
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            is_full = False  # nobody knows what stands in the file; closing the connection rolls back as well
        return StoreFailure(f"{self._path}: {error}", is_full)

    # --- connections -----------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        return database.connect(self._path)

    def _take_reader(self) -> sqlite3.Connection:
        with self._mutex:
            if self._readers.closed:
                raise Stopping
            self.counts.reads += 1
            if self._readers.idle:
                return self._readers.idle.pop()
        with database.translated(self._path):
            connection = self._connect()
            connection.execute("PRAGMA query_only = 1")
        return connection

    def _give_reader(self, connection: sqlite3.Connection, took_s: float | None = None) -> None:
        with self._mutex:
            if took_s is not None:
                self._meter.note(_READ, OK, took_s)
            if not self._readers.closed and len(self._readers.idle) < _READERS_KEPT:
                self._readers.idle.append(connection)
                return
        connection.close()


def _run(writer: sqlite3.Connection, job: _Job[Any], *, alone: bool) -> None:
    """Run one job; on its own error take back what it did. Raises sqlite3.Error if the disk failed."""
    job.transaction = transaction = Transaction(writer)
    if not alone:
        writer.execute("SAVEPOINT job")
    try:
        job.answer = job.work(transaction)
    except Exception as error:  # it belongs to the thread that waits for this job, whatever it is
        if isinstance(error, sqlite3.Error):
            if not database.is_bug(error):
                raise
            bug = database.StoreBug(str(error))
            bug.__cause__ = error
            job.error = bug
        else:
            job.error = error
        transaction.take_back()
        writer.execute("ROLLBACK" if alone else "ROLLBACK TO job")
    if not alone:
        writer.execute("RELEASE job")


def _refuse(batch: list[_Job[Any]], reason: str, cause: BaseException | None) -> None:
    for job in batch:
        error = ReadOnly(reason.encode())
        error.__cause__ = cause
        job.error = error
