"""How the last run of this server ended: the file `running`, JSON with boot id and whether it stopped cleanly.

The file is one sector, padded with blanks, and written in place: a full disk must not keep a server from starting, for how else
could anything on it be removed.

Promises: a run that did not reach its orderly stop is noticed at the next start, and told apart: the process alone died (what it
wrote is still in the kernel), or the whole machine (what was not synced may be lost). Called by the service's start and stop.

The mark of a run is written when the journal has been read and what was torn of it cut off, and before anything is answered. So
who finds the mark of this boot knows that every bad byte of the journal but those of the very last write rotted; and whoever was
ended before it came so far leaves the mark that it found, and the next start comes to the same conclusions.
"""

from __future__ import annotations

import enum
import json
from typing import Final

from dfs.core.errors import DiskMissing
from dfs.core.interfaces import Disk

NAME: Final = "running"
MARK_BYTES: Final = 512
"""One sector, so that the mark is never torn."""


class LastStop(enum.Enum):
    """How the last run ended."""

    FIRST_RUN = "there was none"
    CLEAN = "clean"
    PROCESS = "the process ended without stopping"
    MACHINE = "the machine stopped"


class RunningMark:
    """The mark of this run."""

    def __init__(self, disk: Disk, boot_id: str) -> None:
        self._disk = disk
        self._boot_id = boot_id
        self._has_begun = False

    def last_stop(self) -> LastStop:
        """Tell how the last run ended; before begin(). Raises: DiskError leaves."""
        try:
            raw = self._disk.read(NAME)
        except DiskMissing:
            return LastStop.FIRST_RUN
        try:
            members = json.loads(raw)
            is_clean, boot_id = members["clean"] is True, members["boot_id"]
        except (ValueError, TypeError, KeyError):
            return LastStop.MACHINE  # the mark is never torn: a disk that lost it can't be trusted in the rest either
        if is_clean:
            return LastStop.CLEAN
        return LastStop.PROCESS if boot_id == self._boot_id else LastStop.MACHINE

    def begin(self) -> None:
        """Mark this run as running: what follows from last_stop() is on disk, the journal read and cut.

        Raises: DiskError leaves.
        """
        self._write(is_clean=False)
        self._has_begun = True

    def end(self) -> None:
        """Mark this run as cleanly stopped: everything is synced. Raises: DiskError leaves.

        Where the last run's mark stayed, because what follows from it is not on disk, it stays now, too.
        """
        if self._has_begun:
            self._write(is_clean=True)

    def _write(self, *, is_clean: bool) -> None:
        mark = json.dumps({"boot_id": self._boot_id, "clean": is_clean}).encode().ljust(MARK_BYTES - 1) + b"\n"
        file = self._disk.open(NAME, create=True)
        try:
            file.pwrite([mark], 0)
            file.sync()
        finally:
            file.close()
        self._disk.sync_folder("")
