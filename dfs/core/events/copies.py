"""What is told of the copies of a block by whoever compared them: a mount that read it, or a scrub."""

from __future__ import annotations

from dfs.core.events.event import EventKind, Level

NO_GOOD_COPY = EventKind(
    "NO_GOOD_COPY",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e04",
    Level.ERROR,
    "{path} (inode {ino}) block {block}: no good copy, the read fails with EIO; primary is {primary}, secondary is {secondary}",
)
COPY_REPAIRED = EventKind(
    "COPY_REPAIRED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e05",
    Level.WARNING,
    "{path} (inode {ino}) block {block}: the {role} copy on server {server} was {state}, repaired from the other copy",
)
COPIES_DIFFER = EventKind(
    "COPIES_DIFFER",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e12",
    Level.ERROR,
    "{path} (inode {ino}) block {block}: both copies verify at generation {generation} but differ",
)
SCRUB_REPAIRED = EventKind(
    "SCRUB_REPAIRED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e51",
    Level.WARNING,
    "inode {ino} from block {block} on: {count} {role} copies on server {server} were bad or older, repaired by a scrub",
)
