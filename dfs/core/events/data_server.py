"""What a data server tells: its disk, what it stores there, rebuilds and scrubs."""

from __future__ import annotations

from dfs.core.events.event import EventKind, Level

DATA_SERVER_FORMATTED = EventKind(
    "DATA_SERVER_FORMATTED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e26",
    Level.INFO,
    "this server is now data server {server} of cluster {cluster}: {servers} servers, blocks of {block_size} bytes",
)
UNCLEAN_START = EventKind(
    "UNCLEAN_START",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e14",
    Level.WARNING,
    "the last stop was not clean: {what}",
    also=("server",),
)
CORRUPT_RECORD = EventKind(
    "CORRUPT_RECORD",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e06",
    Level.ERROR,
    "inode {ino} block {block}: the {role} copy on this server does not verify; kept in {quarantine}",
    also=("server",),
)
MAP_PAGE_LOST = EventKind(
    "MAP_PAGE_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e20",
    Level.ERROR,
    "inode {ino}: the map page in slot {slot} of the {role} strip does not verify; its group is {group}, kept in {quarantine}",
    also=("server",),
)
BLOCKS_UNREADABLE = EventKind(
    "BLOCKS_UNREADABLE",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e23",
    Level.ERROR,
    "inode {ino} block {block}: the disk can't read the {role} copy on this server: {reason}",
    also=("server",),
)
STRIP_UNREADABLE = EventKind(
    "STRIP_UNREADABLE",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e2f",
    Level.ERROR,
    "inode {ino}: the disk can't read the {role} strip on this server: {reason}; it is read from the other copies, writing waits",
    also=("server",),
)
JOURNAL_TORN = EventKind(
    "JOURNAL_TORN",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e10",
    Level.WARNING,
    "{name}: {count} bytes after the last whole entry are left out (an unclean stop)",
    also=("server",),
)
JOURNAL_DAMAGED = EventKind(
    "JOURNAL_DAMAGED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e21",
    Level.ERROR,
    "{name}: {count} bytes at {offset} do not verify, kept in {quarantine}; this server is not trusted until compared",
    also=("server",),
)
FLOORS_LOST = EventKind(
    "FLOORS_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e22",
    Level.ERROR,
    "a table of floors does not verify, kept in {quarantine}; this server is not trusted until compared",
    also=("server",),
)
DISK_TROUBLE = EventKind(
    "DISK_TROUBLE",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e24",
    Level.ERROR,
    "the disk of this server takes no writes, journalled blocks can't be put in place: {reason}",
    also=("server",),
)
DISK_GOES_ON = EventKind(
    "DISK_GOES_ON",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e25",
    Level.INFO,
    "the disk of this server takes writes again",
    also=("server",),
)
DISK_FAILED = EventKind(
    "DISK_FAILED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e44",
    Level.CRITICAL,
    "the disk of this server fails: {reason}; {what}",
    also=("server",),
)
DISK_NEARLY_FULL = EventKind(
    "DISK_NEARLY_FULL",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8c",
    Level.WARNING,
    "the disk of this server is nearly full: {free} of {total} bytes are left for new blocks",
    also=("server",),
)
NO_NEW_BLOCKS = EventKind(
    "NO_NEW_BLOCKS",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e30",
    Level.ERROR,
    "the disk of this server is full: {free} bytes free, {held} of them held in reserve; new blocks are refused",
    also=("server",),
)
NEW_BLOCKS_FIT = EventKind(
    "NEW_BLOCKS_FIT",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e31",
    Level.INFO,
    "the disk of this server takes new blocks again: {free} bytes free",
    also=("server",),
)
REBUILD_STARTED = EventKind(
    "REBUILD_STARTED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e40",
    Level.WARNING,
    "the {role} strips of this server are copied from server {peer}, which is {source}: {reason}",
    also=("server",),
)
REBUILD_PROGRESS = EventKind(
    "REBUILD_PROGRESS",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e41",
    Level.INFO,
    "copying the {role} strips from server {peer}: {progress}",
    also=("server",),
)
REBUILD_FINISHED = EventKind(
    "REBUILD_FINISHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e42",
    Level.INFO,
    "the {role} strips are {state}: {progress}",
    also=("server", "peer"),
)
DATA_LOST = EventKind(
    "DATA_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e43",
    Level.CRITICAL,
    "data is lost: {what}; reading it fails until it is overwritten or the loss is accepted (dfsctl lost, dfsctl accept-loss)",
    also=("server",),
)
SCRUB_FINISHED = EventKind(
    "SCRUB_FINISHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e50",
    Level.INFO,
    "everything on this server was read: {blocks} blocks, {repaired} copies repaired, {damaged} damaged, {left} not compared",
    also=("server",),
)
SCRUB_LATE = EventKind(
    "SCRUB_LATE",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e52",
    Level.ERROR,
    "the scrub has not read all that is on this server for {days} days; raise scrub_mb_s, or see what is in its way: {reason}",
    also=("server",),
)
