"""SQLite as the meta-server uses it: how its file is opened and brought to the present version, and what its errors mean.

Promises: what a connection commits has been synced (WAL, synchronous=FULL). Called by store.py alone, which decides who reads and
writes when, and what an error of the disk leads to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

from dfs.core.errors import ReadOnly
from dfs.core.start_errors import StateError, TooNew
from dfs.meta.state.schema import APPLICATION_ID, MIGRATIONS

_STATEMENTS_CACHED: Final = 256
_BUSY_TIMEOUT_S: Final = 5.0
_CHECKPOINT_PAGES: Final = 4000
PROBE_BYTES: Final = 64 << 10
"""What must fit before changes are tried again after the disk was full."""
_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""SQLite's words for ENOSPC: in the database and its log, and in the log's index."""


class StoreBug(Exception):
    """SQLite refused a statement for a reason that is not the disk: our own mistake."""


# --- opening -------------------------------------------------------------------------------------------------------------------


def connect(path: str) -> sqlite3.Connection:
    """Open or create the file. Raises: sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_CACHED,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute("PRAGMA cache_size = -32768")  # KiB
    return connection


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the tables to the present version, one transaction per step. Raises: StateError; sqlite3.Error."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StateError(f"{path} to be the database of a meta-server", f"application id {application:#x}")
    if version > len(MIGRATIONS):
        raise TooNew(f"{path} of version {len(MIGRATIONS)} or older", f"version {version}")
    for number in range(version, len(MIGRATIONS)):
        script = MIGRATIONS[number]
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number + 1}; COMMIT;"
        )


def take_log_space(writer: sqlite3.Connection, size_bytes: int) -> None:
    """Let the log take so much of the disk now, before anything else is done.

    While a log grows, every sync has the file system write down the file's new length, too: a commit then takes several times
    as long as in space that is there already. Ends early where the disk is full. Raises: sqlite3.Error.
    """
    try:
        writer.execute("PRAGMA synchronous = NORMAL")  # nothing here has to survive: no sync for each commit
        try:
            for _ in range(-(-size_bytes // PROBE_BYTES)):
                writer.execute("INSERT OR REPLACE INTO probe VALUES (1, zeroblob(?))", (PROBE_BYTES,))
            writer.execute("DELETE FROM probe")
        finally:
            writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    except sqlite3.Error as error:
        if not is_full(error):
            raise


def probe(writer: sqlite3.Connection) -> bool:
    """Write PROBE_BYTES durably and take them back; False if a reader is in the way. Raises: sqlite3.Error.

    First the log goes into the database, so that it begins anew in the space that it has taken already: as far as that reaches,
    changes that need nothing more (removals) go on although the disk is full.
    """
    (is_busy, _, _) = writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    if is_busy:
        return False
    writer.execute("INSERT OR REPLACE INTO probe VALUES (1, zeroblob(?))", (PROBE_BYTES,))
    writer.execute("DELETE FROM probe")
    return True


# --- errors --------------------------------------------------------------------------------------------------------------------


def is_full(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the disk is full."""
    return getattr(error, "sqlite_errorcode", None) in _FULL


def is_bug(error: sqlite3.Error) -> bool:
    """Tell whether an error is a mistake of ours, and not the disk's."""
    return isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)) or (
        getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    )


@contextlib.contextmanager
def starting(path: str) -> Iterator[None]:
    """Turn errors of opening the file into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(f"{path} to be a usable database of a meta-server", str(error)) from error


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn errors of reading into ours."""
    try:
        yield
    except sqlite3.Error as error:
        if is_bug(error):
            raise StoreBug(str(error)) from error
        raise ReadOnly(f"{path}: {error}".encode()) from error
