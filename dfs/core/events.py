"""Facts that an operator should act on. Each is an Event with a stable MESSAGE_ID, a level and fields (conventions: Logs).

A kind is never renumbered or reused; the journal and the message catalogue, packaging/dfs.catalog, find it by its id. What its
template names is what its fields in the journal are named: {server} is DFS_SERVER, {free} is DFS_FREE.
"""

from __future__ import annotations

import enum
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex

REQUEST_FIELD: Final = "DFS_REQUEST"
"""The journal field that names the user's operation, the same on all hosts: `journalctl DFS_REQUEST=...`."""


class Level(enum.IntEnum):
    """Syslog's levels, as logging has them."""

    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


@dataclass(frozen=True, slots=True)
class EventKind:
    """What sort of thing happened."""

    name: str
    message_id: str
    """32 hex digits."""
    level: Level
    template: str
    """Formatted with the event's fields and details."""
    also: tuple[str, ...] = ()
    """Fields that every event of the kind has besides those that its template names."""

    def names(self) -> frozenset[str]:
        """Return the names of the fields and details that every event of the kind has; it may have others."""
        return frozenset(self.also) | {name for _, name, _, _ in string.Formatter().parse(self.template) if name}

    def fields(self) -> frozenset[str]:
        """Return the same as journal fields."""
        return frozenset(journal_field(name) for name in self.names())


def journal_field(name: str) -> str:
    """Return the journal field of a name in a template or of an event's detail."""
    return f"DFS_{name.upper()}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. Fields that do not apply stay None; further words go into `details`."""

    kind: EventKind
    server: ServerIndex | None = None
    ino: Ino | None = None
    path: bytes | None = None
    block: BlockNo | None = None
    generation: Generation | None = None
    peer: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def fields(self) -> dict[str, str]:
        """Return the journal fields: DFS_SERVER, DFS_INO, DFS_PATH, DFS_BLOCK, DFS_GENERATION, DFS_PEER, and a detail each."""
        return {journal_field(name): str(value) for name, value in self._words().items() if value is not None}

    def message(self) -> str:
        """Return the line for people. Raises: KeyError if a detail of the template is missing."""
        return self.kind.template.format(**self._words())

    def _words(self) -> dict[str, object]:
        """Return everything by its name in templates. A name of a file that is not known is shown as such."""
        return {
            "server": self.server,
            "ino": self.ino,
            "path": ("?" if "path" in self.kind.names() else None)
            if self.path is None
            else self.path.decode("utf-8", "backslashreplace"),
            "block": self.block,
            "generation": self.generation,
            "peer": self.peer,
            **self.details,
        }


SERVICE_READY = EventKind("SERVICE_READY", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e01", Level.INFO, "ready: {what}")
SERVICE_STOPPED = EventKind("SERVICE_STOPPED", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e02", Level.INFO, "stopped: {what}")
CLUSTER_FORMATTED = EventKind(
    "CLUSTER_FORMATTED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e03",
    Level.INFO,
    "made a new file system: cluster {cluster}, {servers} data servers, blocks of {block_size} bytes",
)
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
CORRUPT_RECORD = EventKind(
    "CORRUPT_RECORD",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e06",
    Level.ERROR,
    "inode {ino} block {block}: the {role} copy on this server does not verify; kept in {quarantine}",
    also=("server",),
)
WRITE_WAITS = EventKind(
    "WRITE_WAITS",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e07",
    Level.WARNING,
    "writing waits for server {server}: {reason}",
)
WRITE_GOES_ON = EventKind(
    "WRITE_GOES_ON",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e08",
    Level.INFO,
    "writing to server {server} goes on after {waited_s:.1f} s",
)
READ_ONE_COPY = EventKind(
    "READ_ONE_COPY",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e09",
    Level.WARNING,
    "server {server} does not answer, reading from the other copies: {reason}",
)
READ_BOTH_COPIES = EventKind(
    "READ_BOTH_COPIES",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0a",
    Level.INFO,
    "server {server} answers again after {waited_s:.1f} s",
)
META_WAITS = EventKind("META_WAITS", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0b", Level.WARNING, "waiting for {peer}: {reason}")
META_GOES_ON = EventKind(
    "META_GOES_ON", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0c", Level.INFO, "{peer} answers again after {waited_s:.1f} s"
)
META_READ_ONLY = EventKind(
    "META_READ_ONLY",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0d",
    Level.CRITICAL,
    "the meta-server is read-only, nothing can be changed {until}: {reason}",
)
SESSION_EXPIRED = EventKind(
    "SESSION_EXPIRED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0e",
    Level.WARNING,
    "client session {session} ({host}:{path}) has expired: no heartbeat for {silent_s:.0f} s",
)
LEASE_LOST = EventKind(
    "LEASE_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0f",
    Level.ERROR,
    "this mount lost its lease with the meta-server; open files must be opened again",
)
JOURNAL_TORN = EventKind(
    "JOURNAL_TORN",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e10",
    Level.WARNING,
    "{name}: {count} bytes after the last whole entry are left out (an unclean stop)",
    also=("server",),
)
SERVER_REFUSED = EventKind(
    "SERVER_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e11",
    Level.ERROR,
    "{peer} is not used: {reason}",
)
COPIES_DIFFER = EventKind(
    "COPIES_DIFFER",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e12",
    Level.ERROR,
    "{path} (inode {ino}) block {block}: both copies verify at generation {generation} but differ",
)
UNEXPECTED = EventKind("UNEXPECTED", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e13", Level.ERROR, "a bug: {what}")
UNCLEAN_START = EventKind(
    "UNCLEAN_START",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e14",
    Level.WARNING,
    "the last stop was not clean: {what}",
    also=("server",),
)

MAP_PAGE_LOST = EventKind(
    "MAP_PAGE_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e20",
    Level.ERROR,
    "inode {ino}: the map page in slot {slot} of the {role} strip does not verify; its group is {group}, kept in {quarantine}",
    also=("server",),
)
JOURNAL_DAMAGED = EventKind(
    "JOURNAL_DAMAGED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e21",
    Level.ERROR,
    "{name}: {count} synced bytes at {offset} do not verify, kept in {quarantine}; this server is not trusted until compared",
    also=("server",),
)
FLOORS_LOST = EventKind(
    "FLOORS_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e22",
    Level.ERROR,
    "a table of floors does not verify, kept in {quarantine}; this server is not trusted until compared",
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
DATA_SERVER_FORMATTED = EventKind(
    "DATA_SERVER_FORMATTED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e26",
    Level.INFO,
    "this server is now data server {server} of cluster {cluster}: {servers} servers, blocks of {block_size} bytes",
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
DISK_FAILED = EventKind(
    "DISK_FAILED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e44",
    Level.CRITICAL,
    "the disk of this server fails: {reason}; {what}",
    also=("server",),
)

SCRUB_FINISHED = EventKind(
    "SCRUB_FINISHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e50",
    Level.INFO,
    "everything on this server was read: {blocks} blocks, {repaired} copies repaired, {damaged} damaged, {left} not compared",
    also=("server",),
)
SCRUB_REPAIRED = EventKind(
    "SCRUB_REPAIRED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e51",
    Level.WARNING,
    "inode {ino} from block {block} on: {count} {role} copies on server {server} were bad or older, repaired by a scrub",
)
SCRUB_LATE = EventKind(
    "SCRUB_LATE",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e52",
    Level.ERROR,
    "the scrub has not read all that is on this server for {days} days; raise scrub_mb_s, or see what is in its way: {reason}",
    also=("server",),
)
META_WRITES_AGAIN = EventKind(
    "META_WRITES_AGAIN",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e60",
    Level.INFO,
    "the disk of the meta-server takes writes again: changes are served",
)
META_DISK_FULL = EventKind(
    "META_DISK_FULL",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e61",
    Level.ERROR,
    "the disk of the meta-server is full: {free} bytes free, {held} held in reserve; nothing new can be made, removing goes on",
)
META_DISK_FITS = EventKind(
    "META_DISK_FITS",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e62",
    Level.INFO,
    "there is room on the disk of the meta-server again: {free} bytes free",
)
META_ROLLED_BACK = EventKind(
    "META_ROLLED_BACK",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e63",
    Level.ERROR,
    "this meta-server's state is older than what the data servers remember ({what}): it was put back from a copy. It serves, but "
    "has nothing removed from them until a newer backup is restored, or this one accepted with `dfsctl meta accept-rollback`",
)
META_ROLLBACK_ACCEPTED = EventKind(
    "META_ROLLBACK_ACCEPTED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e64",
    Level.INFO,
    "the older state of this meta-server was accepted ({what}): blocks that it does not know are removed after a week",
)
STRAYS_FOUND = EventKind(
    "STRAYS_FOUND",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e65",
    Level.INFO,
    "data servers hold blocks of {count} inodes that the meta-server does not know: in quarantine, removed after {days} days",
)
PORT_TAKEN = EventKind("PORT_TAKEN", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e80", Level.ERROR, "{program} can't start: {reason}")
FOLDER_NOT_MOUNTED = EventKind(
    "FOLDER_NOT_MOUNTED", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e81", Level.ERROR, "{program} can't start: {reason}"
)
FOLDER_UNUSABLE = EventKind("FOLDER_UNUSABLE", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e82", Level.ERROR, "{program} can't start: {reason}")
CONFIG_WRONG = EventKind("CONFIG_WRONG", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e83", Level.ERROR, "{program} can't start: {reason}")
PEER_MISSING = EventKind("PEER_MISSING", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e84", Level.ERROR, "{program} ends: {reason}")
MOUNT_POINT_UNUSABLE = EventKind(
    "MOUNT_POINT_UNUSABLE", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e85", Level.ERROR, "{program} can't start: {reason}"
)
STATE_TOO_NEW = EventKind("STATE_TOO_NEW", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e86", Level.ERROR, "{program} can't start: {reason}")
PROGRAM_FAILED = EventKind("PROGRAM_FAILED", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e87", Level.ERROR, "{program} ends: {reason}")
RELEASES_DIFFER = EventKind(
    "RELEASES_DIFFER",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e88",
    Level.WARNING,
    "this mount is of dfs {own}, the meta-server of dfs {other}",
)
CLOCK_OFF = EventKind(
    "CLOCK_OFF",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e89",
    Level.WARNING,
    "the clock of this machine is {off_s:.1f} s {direction} that of the meta-server",
)
MOUNT_CRASHED = EventKind(
    "MOUNT_CRASHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8a",
    Level.WARNING,
    "the mount {host}:{path} is back, but its former session {session} was never ended: it had crashed or was killed",
)
FILES_HIDDEN = EventKind(
    "FILES_HIDDEN",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8d",
    Level.WARNING,
    "the mount on {path} hides {count} entries that were written into the folder below it while nothing was mounted",
)
WRITE_STALLED = EventKind(
    "WRITE_STALLED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8b",
    Level.ERROR,
    "writing has waited for server {server} for {waited_s:.0f} s and goes on waiting: {reason}",
)
DISK_NEARLY_FULL = EventKind(
    "DISK_NEARLY_FULL",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8c",
    Level.WARNING,
    "the disk of this server is nearly full: {free} of {total} bytes are left for new blocks",
    also=("server",),
)

ONLY_GOOD_COPY = EventKind(
    "ONLY_GOOD_COPY",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ed0",
    Level.WARNING,
    "this host has the only good copy of something, a shutdown waits for up to {max_s:.0f} s: {reason}",
)
OTHER_COPIES_BACK = EventKind(
    "OTHER_COPIES_BACK",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ed1",
    Level.INFO,
    "there are good copies elsewhere again after {held_s:.0f} s, a shutdown of this host waits no more",
)
SHUTDOWN_DELAYED = EventKind(
    "SHUTDOWN_DELAYED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ed2",
    Level.WARNING,
    "the shutdown of this host waits for up to {max_s:.0f} s: {reason}",
)
SHUTDOWN_UNSAFE = EventKind(
    "SHUTDOWN_UNSAFE",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ed3",
    Level.ERROR,
    "the shutdown of this host goes on after {waited_s:.0f} s, with the only good copy of something: {reason}",
)

LINES_LEFT_OUT = EventKind(
    "LINES_LEFT_OUT",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e70",
    Level.WARNING,
    "{count} more lines of the same kind were left out in {period_s:.0f} s, the first of them: {example}",
)

CONFIG_RELOADED = EventKind(
    "CONFIG_RELOADED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e90",
    Level.INFO,
    "the configuration was read again: {changes}",
)
CONFIG_NEEDS_RESTART = EventKind(
    "CONFIG_NEEDS_RESTART",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e91",
    Level.WARNING,
    "changed in the configuration, but counts only after a restart of this program: {changes}",
)
CONFIG_REFUSED = EventKind(
    "CONFIG_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e92",
    Level.ERROR,
    "the configuration was not read again, what was read before stays in force: {reason}",
)
INSECURE_NETWORK = EventKind(
    "INSECURE_NETWORK",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea0",
    Level.WARNING,
    "{what} listens beyond loopback without a key (insecure_network = yes): everybody who reaches it can read and change all files",
)
AUTHENTICATION_FAILED = EventKind(
    "AUTHENTICATION_FAILED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea1",
    Level.WARNING,
    "a request from {peer} was refused, {reason}: {words}",
)
KEYS_RELOADED = EventKind(
    "KEYS_RELOADED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea2",
    Level.INFO,
    "the keys were read again: {keys}",
)
CLIENT_REFUSED = EventKind(
    "CLIENT_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ec0",
    Level.WARNING,
    "a client at {peer} was refused: {reason}",
)
CERTIFICATE_READ = EventKind(
    "CERTIFICATE_READ",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb0",
    Level.INFO,
    "TLS is on with the certificate of {name} in {file}, valid until {until}",
)
CERTIFICATE_EXPIRES = EventKind(
    "CERTIFICATE_EXPIRES",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb1",
    Level.WARNING,
    "the certificate of {name} in {file} is valid for {days} more days only, until {until}",
)
CERTIFICATE_EXPIRES_SOON = EventKind(
    "CERTIFICATE_EXPIRES_SOON",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb2",
    Level.ERROR,
    "the certificate of {name} in {file} is valid until {until} ({days} days left): no connection is made with it after that",
)
CERTIFICATE_REFUSED = EventKind(
    "CERTIFICATE_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb3",
    Level.ERROR,
    "the files of [tls] have changed and can't be used, what was read before stays in force: {reason}",
)
TLS_REFUSED = EventKind(
    "TLS_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb4",
    Level.WARNING,
    "refused a connection from {peer}: {reason}",
)

LIMIT_REACHED = EventKind(
    "LIMIT_REACHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea8",
    Level.WARNING,
    "refused {peer}, which is over the limit on {limit} ({reason})",
)

WRITES_LOST = EventKind(
    "WRITES_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ec8",
    Level.ERROR,
    "{path}: about {count} bytes that programs had written are lost, they could not be stored: {reason}",
    also=("ino",),
)

ALL_KINDS: tuple[EventKind, ...] = tuple(value for value in list(globals().values()) if isinstance(value, EventKind))
