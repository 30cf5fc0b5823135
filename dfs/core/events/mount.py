"""What a mount tells: servers that it waits for, its lease, and what became of what programs wrote."""

from __future__ import annotations

from dfs.core.events.event import EventKind, Level

WRITE_WAITS = EventKind(
    "WRITE_WAITS",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e07",
    Level.WARNING,
    "writing waits for server {server}: {reason}",
)
WRITE_STALLED = EventKind(
    "WRITE_STALLED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8b",
    Level.ERROR,
    "writing has waited for server {server} for {waited_s:.0f} s and goes on waiting: {reason}",
)
WRITE_GOES_ON = EventKind(
    "WRITE_GOES_ON",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e08",
    Level.INFO,
    "writing to server {server} goes on after {waited_s:.1f} s",
)
WRITES_LOST = EventKind(
    "WRITES_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ec8",
    Level.ERROR,
    "{path}: about {count} bytes that programs had written are lost, they could not be stored: {reason}",
    also=("ino",),
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
LEASE_LOST = EventKind(
    "LEASE_LOST",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e0f",
    Level.ERROR,
    "this mount lost its lease with the meta-server; open files must be opened again",
)
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
FILES_HIDDEN = EventKind(
    "FILES_HIDDEN",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e8d",
    Level.WARNING,
    "the mount on {path} hides {count} entries that were written into the folder below it while nothing was mounted",
)
