"""Goal: tables that contradict each other are told, and looking for it grows with the tables only. Method: tables made by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from dfs.meta.state.invariants import broken_invariants
from dfs.meta.state.schema import MIGRATIONS
from dfs.meta.state.store import Reader

FILES = 2000
FOLDERS = 2000
STEPS_PER_ROW_MAX = 1000


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    """Many files in one folder and many folders in another."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in MIGRATIONS:
            connection.executescript(script)
        inode = "INSERT INTO inode VALUES (?, ?, ?, 0, 0, 0, 1, 1, 1, 0, 0, 4, 512, 0, 0)"
        files, folders = range(2, FILES + 2), range(FILES + 2, FILES + FOLDERS + 2)
        connection.executemany(inode, [(ino, 0o100644, 1) for ino in files] + [(ino, 0o040755, 2) for ino in folders])
        connection.executemany("INSERT INTO dentry VALUES (1, ?, ?)", [(b"%d" % ino, ino) for ino in (*files, *folders)])
        connection.executemany("INSERT INTO folder VALUES (?, 1, ?)", [(ino, b"%d" % ino) for ino in folders])
        connection.execute("UPDATE inode SET nlink = ? WHERE ino = 1", (FOLDERS + 2,))
        connection.execute("UPDATE counter SET inodes = ?, mark = 100000", (FILES + FOLDERS + 1,))
        yield connection


def test_sound_tables_cost_steps_in_proportion_to_their_rows(tables: sqlite3.Connection) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1000
        return 0

    tables.set_progress_handler(count, 1000)
    assert list(broken_invariants(Reader(tables))) == []
    assert steps < STEPS_PER_ROW_MAX * (FILES + FOLDERS)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("UPDATE inode SET nlink = 3 WHERE ino = 2", "inode 2 has 3 links and 1 names"),
        ("UPDATE inode SET nlink = 1 WHERE ino = 2; DELETE FROM dentry WHERE ino = 2", "inode 2 has 1 links and 0 names"),
        (f"UPDATE inode SET nlink = 5 WHERE ino = {FILES + 2}", f"folder {FILES + 2} has 5 links and 0 sub-folders"),
        (f"DELETE FROM dentry WHERE ino = {FILES + 2}", f"folder {FILES + 2} can't be reached from the root"),
    ],
)
def test_contradiction_is_told(tables: sqlite3.Connection, harm: str, told: str) -> None:
    tables.executescript(harm)
    assert told in list(broken_invariants(Reader(tables)))
