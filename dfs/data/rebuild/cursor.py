"""How far the copying of each role has come: the file `rebuild`, JSON, atomically replaced; gone when nothing is being copied.

Members, format 1: format (1), and per role that is being copied, under "primary" or "secondary": disk (UUID of the state folder
copied from), phase ("floors", "strips" or "ended"), ino and index (the next record to ask for; while floors are copied ino is the
last one copied), data_bytes (copied so far), is_salvage (the source is not complete, so this copy will not be either), since (of a
suspect role: the tick of the source from which on its strips are compared; 0: all).

Promises: what a cursor says was copied is on disk, because it is saved after a sync; a cursor that can't be read begins anew.
Called by a role's rebuild.
"""

from __future__ import annotations

import enum
import json
import logging
from dataclasses import asdict, dataclass
from typing import Any, Final

from dfs.core.errors import DiskMissing
from dfs.core.ids import Ino
from dfs.core.interfaces import Disk, Tasks
from dfs.core.placement import Role

log = logging.getLogger(__name__)

NAME: Final = "rebuild"
FORMAT: Final = 1
NO_INO: Final = Ino(0)
"""Below all inodes."""


class Phase(enum.StrEnum):
    """What is being copied."""

    FLOORS = "floors"
    STRIPS = "strips"
    ENDED = "ended"
    """Everything there was; the role is lost, because its source was not complete."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one role has come."""

    disk: str = ""
    """"": nothing is copied yet."""
    phase: Phase = Phase.FLOORS
    ino: Ino = NO_INO
    index: int = 0
    data_bytes: int = 0
    is_salvage: bool = False
    since: int = 0
    """Only what changed at the source since this tick is compared; 0: everything is copied."""


class Cursors:
    """Keeps the cursors of both roles in memory and, when saved, on disk."""

    def __init__(self, disk: Disk, tasks: Tasks) -> None:
        self._disk = disk
        self._lock = tasks.keyed_lock()
        self._saved: dict[Role, Cursor] = {}

    def start(self) -> None:
        """Read what was saved. Raises: DiskError leaves."""
        try:
            raw = self._disk.read(NAME)
        except DiskMissing:
            return
        try:
            members = json.loads(raw)
            if members["format"] == FORMAT:
                self._saved = {role: _parse(members[role.name.lower()]) for role in Role if role.name.lower() in members}
        except (ValueError, TypeError, KeyError) as error:
            log.warning("%s can't be read (%r): copying begins anew", NAME, error)

    def saved(self, role: Role) -> Cursor:
        """Return a role's cursor as it is on disk."""
        return self._saved.get(role, Cursor())

    def save(self, role: Role, cursor: Cursor) -> None:
        """Put a role's cursor on disk; what it says was copied must be there. Raises: DiskError leaves."""
        with self._lock.hold(NAME):
            self._write({**self._saved, role: cursor})

    def forget(self, role: Role) -> None:
        """Remove a role's cursor: it is complete. Raises: DiskError leaves."""
        with self._lock.hold(NAME):
            if role in self._saved:
                self._write({other: cursor for other, cursor in self._saved.items() if other is not role})

    def _write(self, cursors: dict[Role, Cursor]) -> None:
        if cursors:
            members: dict[str, Any] = {"format": FORMAT, **{role.name.lower(): asdict(c) for role, c in cursors.items()}}
            self._disk.replace(NAME, json.dumps(members, indent=1).encode() + b"\n")
        else:
            self._disk.remove(NAME)
            self._disk.sync_folder("")
        self._saved = cursors


def _parse(members: dict[str, Any]) -> Cursor:
    phase, ino = Phase(members.pop("phase")), Ino(int(members.pop("ino")))
    cursor = Cursor(**members, phase=phase, ino=ino)
    if not (isinstance(cursor.disk, str) and isinstance(cursor.index, int) and isinstance(cursor.data_bytes, int)):
        raise ValueError(f"odd cursor {cursor}")
    return cursor
