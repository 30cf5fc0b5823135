"""Until when everything that this server stored is known to be on its disk: the file `synced`, JSON, atomically replaced.

Members, format 1: format (1), journal (the position up to which the journal was synced when the file was written; may be
missing), and per role, under "primary" or "secondary": disk and tick, the moment (AskMoment) of the neighbour
that holds the other replica, asked before a sync of everything began that has ended well. What a power cut can have taken from
the role was stored at the neighbour since that moment, or up to LATE_PUT_S before it (decision record 12). No moment: it may be
anything.

Promises: a moment is noted only after the sync; a file that can't be read says nothing. Called by a role's rebuild, and by the
service when what was synced can't be relied on either.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any, Final

from dfs.core.errors import DiskMissing
from dfs.core.interfaces import Disk, Tasks
from dfs.core.messages.rebuild import Moment
from dfs.core.placement import Role

log = logging.getLogger(__name__)

NAME: Final = "synced"
FORMAT: Final = 1


class SyncMoments:
    """Keeps the moments of both roles in memory and on disk."""

    def __init__(self, disk: Disk, tasks: Tasks) -> None:
        self._disk = disk
        self._lock = tasks.keyed_lock()
        self._moments: dict[Role, Moment] = {}
        self._journal = 0

    def start(self) -> None:
        """Read what was saved. Raises: DiskError leaves."""
        try:
            members = json.loads(self._disk.read(NAME))
            if members.pop("format") == FORMAT:
                self._journal = int(members.get("journal", 0))
                self._moments = {role: _parse(members[role.name.lower()]) for role in Role if role.name.lower() in members}
        except DiskMissing:
            return
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s can't be read (%r): it is not known what was synced", NAME, error)

    def of(self, role: Role) -> Moment | None:
        """Return until when everything of a role is on disk."""
        return self._moments.get(role)

    @property
    def journal(self) -> int:
        """Return a position up to which the journal is on disk: what does not verify before it is not torn, it rotted."""
        return self._journal

    def note(self, role: Role, moment: Moment, journal: int) -> None:
        """Note that everything stored before a moment is on disk, and the journal up to a position. Raises: DiskError leaves."""
        with self._lock.hold(NAME):
            self._journal = max(self._journal, journal)
            self._write({**self._moments, role: moment})

    def forget(self) -> None:
        """Note that something is missing that was synced. Raises: DiskError leaves."""
        with self._lock.hold(NAME):
            if self._moments:
                self._write({})

    def _write(self, moments: dict[Role, Moment]) -> None:
        members: dict[str, Any] = {"format": FORMAT, "journal": self._journal}
        members |= {role.name.lower(): asdict(moment) for role, moment in moments.items()}
        self._disk.replace(NAME, json.dumps(members, indent=1).encode() + b"\n")
        self._moments = moments


def _parse(members: dict[str, Any]) -> Moment:
    moment = Moment(**members)
    if not (isinstance(moment.disk, str) and isinstance(moment.tick, int)):
        raise ValueError(f"odd moment {moment}")
    return moment
