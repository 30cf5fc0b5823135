"""How far the scrub of everything has come: the file `scrub`, JSON, atomically replaced.

Members, format 1: format (1), since_ns (since when this server has something to scrub), began_ns (when the running pass began; 0:
none runs), ended_ns (when the last full one ended; 0: never), all of them since 1970; ino, role (1 primary, 2 secondary) and record
(the next record to look at), counts (of the running pass, else of the last one: blocks, repaired, damaged, left).

Promises: what a cursor says was looked at, was; a cursor that can't be read begins anew. Called by the scrub's task alone.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dfs.core.errors import DiskMissing
from dfs.core.ids import Ino
from dfs.core.interfaces import Disk
from dfs.core.messages.scrub import NOTHING, ScrubCounts
from dfs.core.placement import Role

log = logging.getLogger(__name__)

NAME: Final = "scrub"
FORMAT: Final = 1


class Position(NamedTuple):
    """The next record to look at, in the order of a pass."""

    ino: Ino
    role: Role
    record: int


BEGINNING: Final = Position(Ino(1), Role.PRIMARY, 0)


@dataclass(frozen=True, slots=True)
class ScrubCursor:
    """What is known of the passes of one data server."""

    since_ns: int = 0
    """0: nothing was saved yet."""
    began_ns: int = 0
    ended_ns: int = 0
    position: Position = BEGINNING
    counts: ScrubCounts = NOTHING

    @property
    def is_running(self) -> bool:
        """Tell whether a pass has begun and not ended."""
        return bool(self.began_ns)


def load_cursor(disk: Disk) -> ScrubCursor:
    """Return what was saved. Raises: DiskError leaves."""
    try:
        raw = disk.read(NAME)
    except DiskMissing:
        return ScrubCursor()
    try:
        members = json.loads(raw)
        if members["format"] == FORMAT:
            return _parse(members)
    except (ValueError, TypeError, KeyError) as error:
        log.warning("%s can't be read (%r): scrubbing begins anew", NAME, error)
    return ScrubCursor()


def save_cursor(disk: Disk, cursor: ScrubCursor) -> None:
    """Put a cursor on disk. Raises: DiskError leaves."""
    members: dict[str, Any] = {
        "format": FORMAT,
        "since_ns": cursor.since_ns,
        "began_ns": cursor.began_ns,
        "ended_ns": cursor.ended_ns,
        **cursor.position._asdict(),
        "counts": list(cursor.counts),
    }
    disk.replace(NAME, json.dumps(members, indent=1).encode() + b"\n")


def _parse(members: dict[str, Any]) -> ScrubCursor:
    position = Position(Ino(int(members["ino"])), Role(members["role"]), int(members["record"]))
    counts = ScrubCounts(*map(int, members["counts"]))
    since_ns, began_ns, ended_ns = (int(members[name]) for name in ("since_ns", "began_ns", "ended_ns"))
    return ScrubCursor(since_ns, began_ns, ended_ns, position, counts)
