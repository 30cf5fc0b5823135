"""Making a restored database fit to be served: the data servers have gone on since it was taken.

| they may know                              | what is done about it                                                        |
|--------------------------------------------|------------------------------------------------------------------------------|
| numbers issued since                       | the mark goes far above the highest that they were told                      |
| cuts made since: floors above newest_cut   | newest_cut of every file becomes a new number, so that nobody is refused     |
| blocks written under grants held then      | every grant is settled under a new number: the size follows what is stored   |
| sessions that went on                      | all are forgotten: mounts open new ones                                      |

Files made since are not known any more, and their blocks stay on the servers: a restored meta-server has nothing removed until that
is accepted (rollback.py, which does the same to a database that was copied back by hand, while it is served). Called by
dfs/cli/tools/restore.py on a file that no meta-server uses.
"""

from __future__ import annotations

from collections.abc import Callable

from dfs.core.ids import NUMBER_MAX
from dfs.core.interfaces import Clock, Tasks
from dfs.core.start_errors import StateError
from dfs.meta.state.numbers import NUMBERS_SKIPPED
from dfs.meta.state.store import Store, Transaction


def adopt_restored(path: str, tasks: Tasks, clock: Clock, cluster: str, highest_mark: int, *, is_everyone: bool) -> int:
    """Bring a restored database up to what the data servers know; return its number of inodes.

    Arguments: the file, the cluster's uuid (empty: no server could be asked), the highest mark that any data server
    was told, and whether all of them could be asked.
    Raises: StateError if the file is damaged, or another cluster's.
    """
    store = Store(path, tasks, clock, lambda failure: None)
    try:
        found = store.read(lambda reader: (reader.one("PRAGMA quick_check"), reader.one("SELECT uuid FROM cluster")))
        if found[0] != ("ok",):
            raise StateError("a snapshot that SQLite finds in order", str(found[0]))
        if cluster and found[1] != (cluster,):
            raise StateError(f"a snapshot of cluster {cluster}", f"one of {found[1]}")
        return store.change(lambda tx: _adopt(tx, highest_mark, is_everyone))
    finally:
        store.close()


def bring_up(tx: Transaction, take: Callable[[], int]) -> None:
    """Make an older database's files and grants fit for servers that have gone on; `take` issues numbers above all they know."""
    tx.run("UPDATE inode SET newest_cut = ? WHERE block_size != 0", take())
    for (ino,) in tx.all("SELECT ino FROM grant_"):
        number = take()  # each inode is settled under a ticket of its own
        tx.run("UPDATE grant_ SET fence = ? WHERE ino = ?", number, ino)
        tx.run("UPDATE inode SET newest_cut = ? WHERE ino = ?", number, ino)
    tx.run("DELETE FROM stray")


def _adopt(tx: Transaction, highest_mark: int, is_everyone: bool) -> int:
    row = tx.one("SELECT mark, inodes FROM counter")
    assert row is not None
    own, inodes = int(row[0]), int(row[1])
    number = max(own, highest_mark) + NUMBERS_SKIPPED

    def take() -> int:
        nonlocal number
        number += 1
        return number

    bring_up(tx, take)
    if number >= NUMBER_MAX:
        raise StateError(f"numbers below {NUMBER_MAX}", str(number))
    tx.run("UPDATE counter SET mark = ?", number + 1)
    tx.run("DELETE FROM session")
    tx.run("DELETE FROM answer")
    if highest_mark > own or not is_everyone:
        tx.run("INSERT OR REPLACE INTO rollback VALUES (1, ?, ?)", own, highest_mark if highest_mark > own else 0)
    return inodes
