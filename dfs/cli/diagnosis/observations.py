"""What the sources saw, as plain facts; the input of all rules. Pure.

A source that could not look is None, and `unseen` says why: the rules judge by what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dfs.cli.tools.cluster_health import ClusterReport

META: Final = "meta-server"


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """What the servers answered."""

    meta_address: str
    report: ClusterReport | None
    """None: the meta-server did not answer."""
    trouble: str = ""
    """Why it did not."""
    sent_ns: int = 0
    """Wall time of this machine before the servers were asked."""
    received_ns: int = 0
    """Wall time when all had answered."""
    release: str = ""
    """The release of dfs that asks."""
    is_key_refused: bool = False
    """Whether the meta-server did not answer because one side does not accept the other's key."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One of this machine's dfs units, as `systemctl show` tells."""

    name: str
    active: str
    """ActiveState: active, activating, failed, inactive, ..."""
    result: str
    """Result of its last run: success, exit-code, signal, watchdog, oom-kill, ..."""
    exit_status: int
    """ExecMainStatus: exit code, or signal number, of its last run."""
    restarts: int
    """How often systemd has restarted it by itself."""
    status_text: str
    """What it says of itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    at_s: float
    """Seconds since 1970."""
    unit: str
    """The unit that wrote it, or the program's name where no unit did."""
    message_id: str
    """Empty: not an event."""
    message: str
    fields: Mapping[str, str]
    """Its DFS_ fields."""


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that was looked at."""

    cluster: ClusterSeen | None = None
    units: tuple[Unit, ...] | None = None
    entries: tuple[Entry, ...] | None = None
    """In order of time."""
    config_trouble: str = ""
    """Why the configuration could not be read, so that the servers could not be asked."""
    unseen: tuple[str, ...] = ()
    """Which sources could not be looked at, and why; for people."""


def server_subject(index: object) -> str:
    """Return what findings call a data server."""
    return f"data server {index}"


def disk_subject(index: object) -> str:
    """Return what findings call the room on a data server's disk."""
    return f"the disk of data server {index}"


def blocks_subject(index: object) -> str:
    """Return what findings call the blocks that a data server stores."""
    return f"blocks on data server {index}"


def unit_subject(unit: str) -> str:
    """Return what findings call whatever a unit runs."""
    name, _, instance = unit.removesuffix(".service").partition("@")
    if name == "dfs-meta":
        return META
    if name == "dfs-data" and instance:
        return server_subject(instance)
    if name == "dfs-mount" and instance:
        return f"mount {_path_of(instance)}"
    return unit


def _path_of(instance: str) -> str:
    """Return the path that an instance's name stands for (systemd-escape --path, the other way)."""
    text = instance.replace("-", "/")
    raw, rest = bytearray(), text
    while rest:
        head, found, tail = rest.partition("\\x")
        raw += head.encode("utf-8", "surrogateescape")
        if not found:
            break
        try:
            raw.append(int(tail[:2], 16))
            rest = tail[2:]
        except ValueError:
            raw += b"\\x"
            rest = tail
    return "/" + raw.decode("utf-8", "backslashreplace").lstrip("/")
