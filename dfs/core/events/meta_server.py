"""What the meta-server tells: its disk and its state, the cluster that it made, and sessions that ended badly."""

from __future__ import annotations

from dfs.core.events.event import EventKind, Level

CLUSTER_FORMATTED = EventKind(
    "CLUSTER_FORMATTED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e03",
    Level.INFO,
    "made a new file system: cluster {cluster}, {servers} data servers, blocks of {block_size} bytes",
)
META_READ_ONLY = EventKind(
    "META_READ_ONLY",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0d",
    Level.CRITICAL,
    "the meta-server is read-only, nothing can be changed {until}: {reason}",
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
SESSION_EXPIRED = EventKind(
    "SESSION_EXPIRED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0e",
    Level.WARNING,
    "client session {session} ({host}:{path}) has expired: no heartbeat for {silent_s:.0f} s",
)
MOUNT_CRASHED = EventKind(
    "MOUNT_CRASHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8a",
    Level.WARNING,
    "the mount {host}:{path} is back, but its former session {session} was never ended: it had crashed or was killed",
)
