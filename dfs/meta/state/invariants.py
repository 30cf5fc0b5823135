"""What always holds between the meta-server's tables, as queries that find where it does not.

Promises: reads one committed state and changes nothing; a healthy store yields nothing, at any moment between two transactions.
Costs a scan of all tables. Called by checks of the whole file system and by the simulator; never by a request.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Final

from dfs.meta.state.store import Reader

ROOT: Final = 1

_FOLDER: Final = f"(mode & {0o170000}) = {stat.S_IFDIR}"
_REGULAR: Final = f"(mode & {0o170000}) = {stat.S_IFREG}"
_LINK: Final = f"(mode & {0o170000}) = {stat.S_IFLNK}"

_UNREACHED: Final = (
    f"WITH RECURSIVE below(ino) AS (SELECT {ROOT} UNION SELECT d.ino FROM dentry d JOIN below b ON d.parent = b.ino) "
    f"SELECT ino FROM inode WHERE {_FOLDER} AND ino NOT IN below"
)
_TARGETS: Final = (
    f"SELECT ino FROM inode WHERE {_LINK} AND ino NOT IN (SELECT ino FROM symlink) "
    f"UNION SELECT ino FROM symlink WHERE ino NOT IN (SELECT ino FROM inode WHERE {_LINK})"
)
_COUNTED: Final = "SELECT found, inodes FROM (SELECT count(*) AS found FROM inode), counter WHERE found != inodes"
_QUERIES: Final = (
    (
        "inode {} has a last name and is no orphan",
        "SELECT ino FROM last_name WHERE ino NOT IN (SELECT ino FROM inode WHERE nlink = 0)",
    ),
    (
        "a name in folder {} leads to inode {}, which does not exist",
        "SELECT parent, ino FROM dentry WHERE ino NOT IN (SELECT ino FROM inode)",
    ),
    (
        "a name stands in {}, which is not a folder",
        f"SELECT DISTINCT parent FROM dentry WHERE parent NOT IN (SELECT ino FROM inode WHERE {_FOLDER})",
    ),
    (
        "inode {} has {} links and {} names",
        f"SELECT ino, sum(links), sum(names) FROM (SELECT ino, nlink AS links, 0 AS names FROM inode WHERE NOT {_FOLDER} UNION ALL "
        f"SELECT ino, 0, 1 FROM dentry WHERE ino IN (SELECT ino FROM inode WHERE NOT {_FOLDER})) "
        "GROUP BY ino HAVING sum(links) != sum(names)",
    ),
    (
        "folder {} has {} links and {} sub-folders",
        f"SELECT ino, sum(links), sum(below) FROM (SELECT ino, nlink AS links, 0 AS below FROM inode WHERE {_FOLDER} UNION ALL "
        f"SELECT parent, 0, 1 FROM folder WHERE parent IN (SELECT ino FROM inode WHERE {_FOLDER})) "
        "GROUP BY ino HAVING sum(links) != sum(below) + 2",
    ),
    (
        "folder {} does not know the one name that leads to it",
        f"SELECT ino FROM inode i WHERE {_FOLDER} AND ino != {ROOT} AND 1 != (SELECT count(*) FROM folder f JOIN dentry d "
        "ON d.parent = f.parent AND d.name = f.name AND d.ino = f.ino WHERE f.ino = i.ino)",
    ),
    (
        "folder {} has {} names",
        "SELECT d.ino, count(*) AS names FROM dentry d JOIN inode i ON i.ino = d.ino "
        f"WHERE {_FOLDER} GROUP BY d.ino HAVING names > 1",
    ),
    ("the row of folder {} is left over", f"SELECT ino FROM folder WHERE ino NOT IN (SELECT ino FROM inode WHERE {_FOLDER})"),
    ("folder {} can't be reached from the root", _UNREACHED),
    ("link {} has no target, or is none", _TARGETS),
    ("there are {} inodes and {} are counted", _COUNTED),
    ("inode {} has a size of {} bytes", "SELECT ino, size_bytes FROM inode WHERE size_bytes < 0"),
    (
        "inode {} has a grant and is not a regular file",
        f"SELECT ino FROM grant_ WHERE ino NOT IN (SELECT ino FROM inode WHERE {_REGULAR})",
    ),
    (
        "inode {} is held by session {}, which does not exist",
        "SELECT ino, session FROM grant_ WHERE fence = 0 AND session NOT IN (SELECT session FROM session)",
    ),
    ("inode {} has cuts and does not exist", "SELECT DISTINCT ino FROM cut WHERE ino NOT IN (SELECT ino FROM inode)"),
    (
        "inode {} has a cut with ticket {} above its newest, {}",
        "SELECT c.ino, c.ticket, i.newest_cut FROM cut c JOIN inode i ON i.ino = c.ino WHERE c.ticket > i.newest_cut",
    ),
    (
        "inode {} has a cut at {} that a newer one makes superfluous",
        "SELECT a.ino, a.offset FROM cut a JOIN cut b ON a.ino = b.ino AND a.ticket < b.ticket AND a.offset >= b.offset",
    ),
    ("inode {} is being reclaimed and exists", "SELECT ino FROM reclaim WHERE ino IN (SELECT ino FROM inode)"),
    ("inode {} has attributes and does not exist", "SELECT DISTINCT ino FROM xattr WHERE ino NOT IN (SELECT ino FROM inode)"),
    (
        "an answer is kept for session {}, which does not exist",
        "SELECT DISTINCT session FROM answer WHERE session NOT IN (SELECT session FROM session)",
    ),
    (
        "an answer to operation {} is kept, which session {} has acknowledged",
        "SELECT a.op, a.session FROM answer a JOIN session s ON s.session = a.session WHERE a.op < s.acknowledged",
    ),
    (
        "number {} is in use and not below the mark, {}",
        "SELECT number, mark FROM (SELECT ino AS number FROM inode UNION SELECT ticket FROM grant_ UNION SELECT fence FROM grant_ "
        "UNION SELECT session FROM session UNION SELECT newest_cut FROM inode UNION SELECT ino FROM reclaim), counter "
        "WHERE number >= mark",
    ),
)


def broken_invariants(reader: Reader) -> Iterator[str]:
    """Yield, for people, what does not hold. Raises: what reading raises."""
    for text, query in _QUERIES:
        for row in reader.all(query):
            yield text.format(*row)
