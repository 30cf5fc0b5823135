"""Copies of what did not verify, kept before anything is written over it.

Promises: nothing bad is lost before it is in `quarantine/`, and the same bytes are kept once. Called wherever a record, a map
page, a journal segment or a table of floors fails its checksum. Never deletes.
"""

from __future__ import annotations

import zlib
from typing import Final

from dfs.core.ids import BlockNo, Ino
from dfs.core.interfaces import Disk
from dfs.core.placement import Role

FOLDER: Final = "quarantine"
ROLE_LETTERS: Final = {Role.PRIMARY: "p", Role.SECONDARY: "s"}
"""How a role is written in file names."""


class Quarantine:
    """The folder `quarantine/` of one data server."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def start(self) -> None:
        """Make the folder. Raises: DiskError leaves."""
        self._disk.make_folder(FOLDER)

    def keep_record(self, ino: Ino, role: Role, block_no: BlockNo, raw: bytes) -> str:
        """Keep a bad record as it stood in its strip; return the name of the copy. Raises: DiskError leaves."""
        return self.keep(f"{ino:010x}.{ROLE_LETTERS[role]}.{block_no}", raw)

    def keep(self, what: str, raw: bytes) -> str:
        """Keep bad bytes under a name made of `what` and their sum; return that name. Raises: DiskError leaves."""
        name = f"{FOLDER}/{what}.{zlib.crc32(raw):08x}"
        self._disk.replace(name, raw)
        return name
