"""The diary of a mount's sessions in a file that is locked while the mount lives: the next mount there knows that it is dead.

Owns one small file, a nonce in hexadecimal per line, in a folder that a restart of the machine empties. Promises: what
left_behind() tells were sessions of a process that has ended, for its lock on the file is gone. Losing the file loses nothing:
sessions of a dead mount then end when their leases run out. Called by dfs/client/metadata/session.py; opened by dfs/cli/mount.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dfs.core.limits import ENDED_SESSIONS_MAX, NONCE_BYTES

LOG = logging.getLogger(__name__)

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_NONCE: Final = re.compile(rb"^[0-9a-f]{%d}$" % (2 * NONCE_BYTES), re.MULTILINE)


class SessionFile:
    """A diary whose file this process has locked."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        found = _NONCE.findall(os.pread(fd, ENDED_SESSIONS_MAX * (2 * NONCE_BYTES + 1), 0))
        self._left_behind = [bytes.fromhex(line.decode()) for line in found[:ENDED_SESSIONS_MAX]]
        self._own: list[bytes] = []

    def left_behind(self) -> list[bytes]:
        """See SessionDiary: the oldest, at most ENDED_SESSIONS_MAX."""
        return self._left_behind

    def begin(self, nonce: bytes) -> None:
        """See SessionDiary."""
        if nonce not in self._own:
            self._own.append(nonce)
            self._write([*self._left_behind, *self._own])

    def keep_only(self, nonce: bytes) -> None:
        """See SessionDiary."""
        self._left_behind, self._own = [], [nonce]
        self._write(self._own)

    def clear(self) -> None:
        """See SessionDiary."""
        self._left_behind, self._own = [], []
        self._write([])

    def _write(self, nonces: list[bytes]) -> None:
        text = b"".join([b"%s\n" % nonce.hex().encode() for nonce in nonces])
        try:
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))
        except OSError as error:
            LOG.warning(
                "if this mount is killed, its session ends only when its lease runs out: its diary can't be written: %s", error
            )


@contextlib.contextmanager
def session_diary(path: Path | None) -> Iterator[SessionFile | None]:
    """Lock the diary at `path` (None: nowhere), made if it is missing; it is removed at the end if nothing is left in it.

    Result: None if another mount that lives has it, or if it can't be had; the log says so, and files are served nevertheless.
    """
    if path is None:
        yield None
        return
    try:
        fd = _locked(path)
    except OSError as error:
        LOG.info("if this mount is killed, its session ends only when its lease runs out: no diary in %s: %s", path, error.strerror)
        yield None
        return
    try:
        yield SessionFile(fd)
    finally:
        if os.fstat(fd).st_size == 0:
            path.unlink(missing_ok=True)
        os.close(fd)


def _locked(path: Path) -> int:
    """Return a descriptor of the file, locked. Raises: OSError, BlockingIOError if somebody else has it locked."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, fd):
                return fd
        except OSError:
            os.close(fd)
            raise
        os.close(fd)  # removed by its last owner between our opening and our locking it


def _is_still(path: Path, fd: int) -> bool:
    """Tell whether the file that is open is the one of that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
