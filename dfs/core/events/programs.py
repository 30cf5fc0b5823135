"""What any program tells: that it started, ended or can't start, what it was configured as, and what holds up a shutdown."""

from __future__ import annotations

from dfs.core.events.event import EventKind, Level

SERVICE_READY = EventKind("SERVICE_READY", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e01", Level.INFO, "ready: {what}")
SERVICE_STOPPED = EventKind("SERVICE_STOPPED", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e02", Level.INFO, "stopped: {what}")
UNEXPECTED = EventKind("UNEXPECTED", "6d1f0c5be0a84d0f8f0b6a2f5a1c7e13", Level.ERROR, "a bug: {what}")
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
