"""What this mount has open: handles, and aliases of files that were unlinked while open.

Tells when the last use of an inode ends, so that meta can be told once. An alias is the name that libfuse gives to a file it
unlinks while open: it leads to the inode in this mount alone and keeps it open. Memory only; its mutex is innermost.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfs.client.metadata.inode_paths import inode_of
from dfs.client.metadata.open_flags import OpenMode
from dfs.core.errors import AlreadyExists, BadHandle, NotFound, StaleFile
from dfs.core.ids import Ino, OpId
from dfs.core.interfaces import Tasks
from dfs.core.messages.sessions import OpenFile


@dataclass(frozen=True, slots=True)
class Handle:
    """An open file."""

    number: int
    ino: Ino
    path: bytes
    """As it was opened; for messages."""
    mode: OpenMode


@dataclass(slots=True)
class _OpenInode:
    opened_by: OpId
    handles: int = 0
    aliases: int = 0
    is_stale: bool = False
    """The inode was gone when meta was told again that it is open."""


class Handles:
    """The table of handles and aliases."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._last_number = 0
        self._handles: dict[int, Handle] = {}
        self._aliases: dict[bytes, Ino] = {}
        self._inodes: dict[Ino, _OpenInode] = {}

    def add(self, file: OpenFile, path: bytes, mode: OpenMode) -> Handle:
        """Make a handle for an inode that meta has noted as open."""
        with self._mutex:
            self._last_number += 1
            handle = Handle(self._last_number, file.ino, path, mode)
            self._handles[handle.number] = handle
            self._used(file).handles += 1
            return handle

    def get(self, number: int) -> Handle:
        """Return a handle. Raises: BadHandle; StaleFile if its inode no longer exists."""
        with self._mutex:
            handle = self._handles.get(number)
            if handle is None:
                raise BadHandle
            if self._inodes[handle.ino].is_stale:
                raise StaleFile(handle.path)
            return handle

    def opened_again(self, file: OpenFile) -> bool:
        """Note that meta counts a later call as the one that opened an inode, if it is in use here. Result: whether it is."""
        with self._mutex:
            if file.ino not in self._inodes:
                return False
            self._used(file)
            return True

    def remove(self, number: int) -> tuple[Handle, OpenFile | None]:
        """Forget a handle. Result: it, and the file to close if nothing else here has it open. Raises: BadHandle."""
        with self._mutex:
            handle = self._handles.pop(number, None)
            if handle is None:
                raise BadHandle
            self._inodes[handle.ino].handles -= 1
            return handle, self._closed(handle.ino)

    def add_alias(self, alias: bytes, file: OpenFile) -> None:
        """Let `alias` lead to an inode that lost its name. Raises: AlreadyExists."""
        with self._mutex:
            if alias in self._aliases:
                raise AlreadyExists(alias)
            self._aliases[alias] = file.ino
            self._used(file).aliases += 1

    def remove_alias(self, alias: bytes) -> OpenFile | None:
        """Forget an alias. Result: the file to close if nothing else here has it open. Raises: NotFound."""
        with self._mutex:
            ino = self._aliases.pop(alias, None)
            if ino is None:
                raise NotFound(alias)
            self._inodes[ino].aliases -= 1
            return self._closed(ino)

    def alias(self, path: bytes) -> Ino | None:
        """Return the inode that a path is an alias of, or names by its number."""
        return self._aliases.get(path) if path.startswith(b"/") else inode_of(path)

    def count(self, ino: Ino) -> int:
        """Return how many handles the inode has."""
        with self._mutex:
            known = self._inodes.get(ino)
            return 0 if known is None else known.handles

    def numbers(self, ino: Ino) -> tuple[int, ...]:
        """Return the handles of an inode."""
        with self._mutex:
            return tuple(number for number, handle in self._handles.items() if handle.ino == ino)

    def is_open(self, ino: Ino) -> bool:
        """Tell whether a handle or an alias keeps the inode open."""
        with self._mutex:
            return ino in self._inodes

    def open_files(self) -> tuple[OpenFile, ...]:
        """Return all inodes in use that still exist."""
        with self._mutex:
            return tuple(OpenFile(ino, known.opened_by) for ino, known in self._inodes.items() if not known.is_stale)

    def mark_stale(self, ino: Ino) -> None:
        """Note that an inode in use no longer exists."""
        with self._mutex:
            known = self._inodes.get(ino)
            if known is not None:
                known.is_stale = True

    # --- under the mutex ---------------------------------------------------------------------------------------------------

    def _used(self, file: OpenFile) -> _OpenInode:
        known = self._inodes.setdefault(file.ino, _OpenInode(file.opened_by))
        known.opened_by = max(known.opened_by, file.opened_by)
        return known

    def _closed(self, ino: Ino) -> OpenFile | None:
        known = self._inodes[ino]
        if known.handles or known.aliases:
            return None
        del self._inodes[ino]
        return OpenFile(ino, known.opened_by)
