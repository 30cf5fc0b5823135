"""Rows of the inode table and what belongs to them: reading, making, counting down, deleting.

Owns the mapping of columns to fields. Knows nothing of permissions or paths (dfs/meta/state/paths.py).
"""

from __future__ import annotations

import stat
from typing import Final, NamedTuple

from dfs.core.cuts import Cut, add_cut
from dfs.core.errors import StaleFile, TooManyLinks
from dfs.core.ids import NO_TICKET, Ino, Ticket
from dfs.core.limits import LINKS_MAX
from dfs.core.messages.inodes import Attributes, Content
from dfs.core.placement import Layout
from dfs.meta.state.store import Reader, Transaction

FOLDER_SIZE_BYTES: Final = 4096
"""What stat shows as the size of a folder."""
NO_LAYOUT: Final = Layout(0, 0, 0)
"""Layout of what is not a regular file."""
COLUMNS: Final = (
    "i.ino, i.mode, i.nlink, i.uid, i.gid, i.rdev, i.atime_ns, i.mtime_ns, i.ctime_ns, "
    "i.size_bytes, i.start, i.servers, i.block_size, i.sparse, i.newest_cut, "
    "EXISTS (SELECT 1 FROM grant_ g WHERE g.ino = i.ino AND g.fence != 0)"
)
"""Columns of an Inode, for queries where the inode table is called i."""

_SELECT: Final = f"SELECT {COLUMNS} FROM inode i WHERE i.ino = ?"
_INSERT: Final = (
    "INSERT INTO inode (ino, mode, nlink, uid, gid, rdev, atime_ns, mtime_ns, ctime_ns, "
    f"size_bytes, start, servers, block_size, sparse, newest_cut) VALUES ({', '.join('?' * 15)})"
)


class Inode(NamedTuple):
    """One row."""

    ino: Ino
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    size_bytes: int
    start: int
    servers: int
    block_size: int
    sparse: int
    newest_cut: Ticket
    settling: int = 0
    """1 while what a holder that has gone wrote is being settled; not a column of its own."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


def find(reader: Reader, ino: Ino) -> Inode | None:
    """Return an inode, or None."""
    row = reader.one(_SELECT, ino)
    return None if row is None else Inode._make(row)


def get(reader: Reader, ino: Ino) -> Inode:
    """Return an inode. Raises: StaleFile if it does not exist (any more)."""
    row = reader.one(_SELECT, ino)
    if row is None:
        raise StaleFile(b"inode %d" % ino)
    return Inode._make(row)


def cuts_of(reader: Reader, inode: Inode) -> tuple[Cut, ...]:
    """Return the cuts that some data server may not have executed, in rising order."""
    if inode.newest_cut == NO_TICKET:
        return ()
    return tuple(map(Cut._make, reader.all("SELECT offset, ticket FROM cut WHERE ino = ? ORDER BY ticket", inode.ino)))


def attributes_of(inode: Inode, cuts: tuple[Cut, ...]) -> Attributes:
    """Return the inode as callers see it."""
    layout = Layout(inode.start, inode.servers, inode.block_size) if inode.servers else NO_LAYOUT
    content = Content(layout, inode.size_bytes, cuts, inode.newest_cut)
    return Attributes(*inode[:9], content, bool(inode.sparse), bool(inode.settling))


def attributes(reader: Reader, inode: Inode) -> Attributes:
    """Return the inode as callers see it, with its cuts read."""
    return attributes_of(inode, cuts_of(reader, inode))


def insert(tx: Transaction, inode: Inode) -> None:
    """Add an inode."""
    tx.run(_INSERT, *inode[:-1])
    tx.run("UPDATE counter SET inodes = inodes + 1")


def delete(tx: Transaction, inode: Inode) -> None:
    """Remove an inode without names that nobody has open; what its strips occupy is reclaimed later."""
    ino = inode.ino
    tx.run("DELETE FROM inode WHERE ino = ?", ino)
    tx.run("DELETE FROM xattr WHERE ino = ?", ino)
    tx.run("UPDATE counter SET inodes = inodes - 1")
    if not inode.nlink:
        tx.run("DELETE FROM last_name WHERE ino = ?", ino)
    if inode.is_regular:
        tx.run("INSERT INTO reclaim VALUES (?, x'')", ino)
        tx.run("DELETE FROM grant_ WHERE ino = ?", ino)
        if inode.newest_cut:
            tx.run("DELETE FROM cut WHERE ino = ?", ino)
    elif inode.is_folder:
        tx.run("DELETE FROM folder WHERE ino = ?", ino)
    elif stat.S_ISLNK(inode.mode):
        tx.run("DELETE FROM symlink WHERE ino = ?", ino)


def record_cut(tx: Transaction, inode: Inode, cut: Cut) -> None:
    """Record a truncation, the newest of the inode; the size is the caller's business."""
    old = cuts_of(tx, inode)
    if len(add_cut(old, cut)) <= len(old):
        tx.run("DELETE FROM cut WHERE ino = ? AND offset >= ?", inode.ino, cut.offset)
    tx.run("INSERT INTO cut (ino, ticket, offset) VALUES (?, ?, ?)", inode.ino, cut.ticket, cut.offset)
    tx.run("UPDATE inode SET newest_cut = ? WHERE ino = ?", cut.ticket, inode.ino)


def require_room_for_link(inode: Inode, path: bytes) -> None:
    """Raise TooManyLinks if the inode can't get one more."""
    if inode.nlink >= LINKS_MAX:
        raise TooManyLinks(path)
