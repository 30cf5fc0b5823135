"""Making a restored database fit to be served: the data servers have gone on since it was taken.

| they may know                              | what is done about it                                                        |
|--------------------------------------------|------------------------------------------------------------------------------|
| numbers issued since                       | the mark goes far above the highest that they were told                      |
| cuts made since: floors above newest_cut   | newest_cut of every file becomes a new number, so that nobody is refused     |
| blocks written under grants held then      | every grant is settled under a new number: the size follows what is stored   |
| sessions that went on                      | all are forgotten: mounts open new ones                                      |

Files made since are not known any more, and their blocks stay on the servers: a restored meta-server never deletes what it does
not know. Called by dfs/cli/restore.py on a file that no meta-server uses.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import StateError
from dfs.core.ids import NUMBER_MAX
from dfs.core.interfaces import Tasks
from dfs.meta.store import Store, Transaction

NUMBERS_SKIPPED: Final = 1_000_000
"""Far more than a meta-server can have issued before it told any data server of its last mark."""


def adopt_restored(path: str, tasks: Tasks, cluster: str, highest_mark: int) -> int:
    """Bring a restored database up to what the data servers know; return its number of inodes.

    Arguments: the file, the cluster's uuid (empty: no server could be asked), and the highest mark that any data server was told.
    Raises: StateError if the file is damaged, or another cluster's.
    """
    store = Store(path, tasks, lambda failure: None)
    try:
        found = store.read(lambda reader: (reader.one("PRAGMA quick_check"), reader.one("SELECT uuid FROM cluster")))
        if found[0] != ("ok",):
            raise StateError("a snapshot that SQLite finds in order", str(found[0]))
        if cluster and found[1] != (cluster,):
            raise StateError(f"a snapshot of cluster {cluster}", f"one of {found[1]}")
        return store.change(lambda tx: _adopt(tx, highest_mark))
    finally:
        store.close()


def _adopt(tx: Transaction, highest_mark: int) -> int:
    row = tx.one("SELECT mark, inodes FROM counter")
    assert row is not None
    number = max(row[0], highest_mark) + NUMBERS_SKIPPED
    tx.run("UPDATE inode SET newest_cut = ? WHERE block_size != 0", number)
    for (ino,) in tx.all("SELECT ino FROM grant_"):
        number += 1  # each inode is settled under a ticket of its own
        tx.run("UPDATE grant_ SET fence = ? WHERE ino = ?", number, ino)
        tx.run("UPDATE inode SET newest_cut = ? WHERE ino = ?", number, ino)
    if number >= NUMBER_MAX:
        raise StateError(f"numbers below {NUMBER_MAX}", str(number))
    tx.run("UPDATE counter SET mark = ?", number + 1)
    tx.run("DELETE FROM session")
    tx.run("DELETE FROM answer")
    return int(row[1])
