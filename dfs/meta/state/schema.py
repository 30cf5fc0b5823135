"""The meta-server's tables: what every column means, its sentinels, and what always holds between them.

MIGRATIONS[i] turns version i into version i + 1 (PRAGMA user_version; 0 is an empty file). A script that was released is
never edited: a change of the tables is a new script at the end. dfs/meta/state/database.py runs them, each in one transaction.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x64667331
"""PRAGMA application_id, "dfs1": tells our file from any other SQLite file."""

_VERSION_1: Final = """
-- Exactly one row: what the whole server counts.
CREATE TABLE counter (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    mark    INTEGER NOT NULL,       -- all inode, ticket and session numbers ever issued are below it; only rises
    epoch   INTEGER NOT NULL,       -- starts of the server so far
    inodes  INTEGER NOT NULL        -- rows in inode
);

-- No row: not formatted, no attempt made. One row: what the file system is, or is about to be, made as.
CREATE TABLE cluster (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    uuid        TEXT    NOT NULL,   -- of the cluster; servers may know it from the moment it stands here
    servers     INTEGER NOT NULL,   -- N, 2 .. 255
    block_size  INTEGER NOT NULL,   -- bytes, a power of two
    phase       INTEGER NOT NULL    -- 0: servers are being prepared; 1: formatted, not every server knows; 2: every server knows
);

-- Where the data servers listen. Rows 0 .. cluster.servers - 1, none if there is no row in cluster.
CREATE TABLE server (
    server  INTEGER PRIMARY KEY,    -- index
    address TEXT    NOT NULL UNIQUE -- host:port
);

-- One row per inode, the root folder 1 included. A row with nlink = 0 is an orphan: without a name, but open somewhere, or
-- possibly open in a session that has not come back since the server's start.
CREATE TABLE inode (
    ino         INTEGER PRIMARY KEY,
    mode        INTEGER NOT NULL,   -- type and permission bits
    nlink       INTEGER NOT NULL,   -- names; of a folder 2 + its sub-folders; 0: an orphan, never a folder
    uid         INTEGER NOT NULL,
    gid         INTEGER NOT NULL,
    rdev        INTEGER NOT NULL,   -- device number; 0 unless a device
    atime_ns    INTEGER NOT NULL,   -- since 1970
    mtime_ns    INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    size_bytes  INTEGER NOT NULL,   -- of a regular file as last committed by a holder; of a link the target's length
    start       INTEGER NOT NULL,   -- x, the server with replica 1 of block 0; 0 unless a regular file
    servers     INTEGER NOT NULL,   -- N when the file was made; 0 unless a regular file
    block_size  INTEGER NOT NULL,   -- when the file was made; 0 unless a regular file
    newest_cut  INTEGER NOT NULL    -- highest ticket of any cut or fence ever made on it; 0: none; only rises
);
CREATE INDEX orphan ON inode (ino) WHERE nlink = 0;

-- One row per name. Every ino has a row in inode; the root folder has no name.
CREATE TABLE dentry (
    parent  INTEGER NOT NULL,       -- inode of a folder
    name    BLOB    NOT NULL,       -- 1 .. 255 bytes without / and NUL, not . or ..
    ino     INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;

-- Where a folder stands, to find the way up; one row per folder but the root. Mirrors its one row in dentry.
CREATE TABLE folder (
    ino     INTEGER PRIMARY KEY,
    parent  INTEGER NOT NULL,
    name    BLOB    NOT NULL
);

-- Targets of symbolic links.
CREATE TABLE symlink (
    ino     INTEGER PRIMARY KEY,
    target  BLOB    NOT NULL        -- 1 .. 4095 bytes
);

-- Truncations that some data server may not have executed yet. Per inode offsets and tickets rise together; the highest
-- ticket is at most inode.newest_cut.
CREATE TABLE cut (
    ino     INTEGER NOT NULL,
    ticket  INTEGER NOT NULL,       -- blocks of a generation below ticket << 24 are concerned
    offset  INTEGER NOT NULL,       -- their bytes from here on are void
    PRIMARY KEY (ino, ticket)
) WITHOUT ROWID;

-- Write grants that are not free.
CREATE TABLE grant_ (
    ino      INTEGER PRIMARY KEY,
    session  INTEGER NOT NULL,      -- holder; while settling it may have no row in session any more
    ticket   INTEGER NOT NULL,      -- under which the holder writes
    op       INTEGER NOT NULL,      -- the holder's newest operation that was answered with the grant: an older Yield is late
    mtime_ns INTEGER NOT NULL,      -- newest time that the holder committed; 0: none. An older or equal one is a late duplicate
    fence    INTEGER NOT NULL       -- 0: held. Else the holder is gone and the inode is being settled under this ticket
);
CREATE INDEX grant_of_session ON grant_ (session);
CREATE INDEX grant_settling ON grant_ (ino) WHERE fence != 0;

-- Client sessions that have neither ended nor expired.
CREATE TABLE session (
    session      INTEGER PRIMARY KEY,
    nonce        BLOB    NOT NULL UNIQUE, -- 16 bytes chosen by the client: a repeated OpenSession finds its session
    host         TEXT    NOT NULL,
    path         BLOB    NOT NULL,        -- mount point
    acknowledged INTEGER NOT NULL         -- answers to operations below it arrived and are forgotten here
);

-- Answers of changing calls whose arrival the session has not acknowledged (I6). Written with the change itself.
CREATE TABLE answer (
    session INTEGER NOT NULL,
    op      INTEGER NOT NULL,       -- at least session.acknowledged
    method  TEXT    NOT NULL,       -- class of the request
    answer  TEXT    NOT NULL,       -- JSON of the plain value
    PRIMARY KEY (session, op)
) WITHOUT ROWID;

-- Removed regular files whose strips not every data server has dropped. The inode has no row in inode any more.
CREATE TABLE reclaim (
    ino       INTEGER PRIMARY KEY,
    confirmed BLOB    NOT NULL      -- bit set, little-endian: bit i is set when server i has dropped it; empty: none
);

INSERT INTO counter (id, mark, epoch, inodes) VALUES (1, 2, 0, 1);
INSERT INTO inode VALUES (1, 16877, 2, 0, 0, 0, 0, 0, 0, 4096, 0, 0, 0, 0);
"""

_VERSION_2: Final = """
-- Extended attributes. Every ino has a row in inode.
CREATE TABLE xattr (
    ino     INTEGER NOT NULL,
    name    BLOB    NOT NULL,       -- 1 .. 255 bytes with its namespace; all names of an inode with a NUL each: at most 65,536
    value   BLOB    NOT NULL,       -- 0 .. 65,536 bytes
    PRIMARY KEY (ino, name)
);

-- 1: blocks below the size may never have been written, so that only the data servers know how much the file occupies.
ALTER TABLE inode ADD COLUMN sparse INTEGER NOT NULL DEFAULT 0;
"""

_VERSION_3: Final = """
-- Empty, but for a moment while it is found out whether a disk that was full takes writes again.
CREATE TABLE probe (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    filler  BLOB    NOT NULL
);

-- No row: no data server remembers more than this database. One row: this database is older, and nobody has accepted that yet, so
-- data servers are told to remove nothing.
CREATE TABLE rollback (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    own     INTEGER NOT NULL,       -- its mark when that was noticed
    seen    INTEGER NOT NULL        -- the highest mark that a data server remembered; 0: some could not be asked
);

-- Quarantine: inodes without a row in inode or reclaim of which data servers hold strips. After a week they go to reclaim.
CREATE TABLE stray (
    ino      INTEGER PRIMARY KEY,
    waited_s INTEGER NOT NULL       -- how long the server has run since it first saw them
);
"""

_VERSION_4: Final = """
-- The way up from an inode that is no folder: whether it stands in the folder that a client is confined to.
CREATE INDEX dentry_of_inode ON dentry (ino);

-- Where the last name of an orphan stood; no row for orphans of before this version. Every ino has a row in inode with nlink = 0.
CREATE TABLE last_name (
    ino     INTEGER PRIMARY KEY,
    parent  INTEGER NOT NULL        -- inode of a folder, which may be gone
);

-- Who may use the session: the client's proved name, or its address; empty: anybody, as for sessions of before this version.
ALTER TABLE session ADD COLUMN owner TEXT NOT NULL DEFAULT '';

-- What its client was allowed when that was last looked at (dfs/core/exports.py); empty: everything.
ALTER TABLE session ADD COLUMN terms TEXT NOT NULL DEFAULT '';
"""

MIGRATIONS: Final[tuple[str, ...]] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
