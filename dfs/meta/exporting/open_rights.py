"""What sessions have opened files for, where the meta-server judges permissions itself: squashed users (decision record 21).

A file stays readable or writable for whoever has it open so, whatever happens to its permission bits. Only opens that were judged
here are noted, never what a client says it has open. Memory only: after a restart of the meta-server the bits decide, as on NFS.
"""

from __future__ import annotations

from typing import Final

from dfs.core.capability import Right
from dfs.core.ids import Ino, SessionId
from dfs.core.interfaces import Tasks

INODES_MAX: Final = 65_536
"""Of one session; beyond it the oldest are forgotten, so that the bits decide."""


class OpenRights:
    """The rights of all sessions. Its mutex is innermost."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._of_session: dict[SessionId, dict[Ino, Right]] = {}

    def note(self, session: SessionId, ino: Ino, rights: Right) -> None:
        """Note that a session was allowed to open an inode."""
        with self._mutex:
            known = self._of_session.setdefault(session, {})
            known[ino] = known.pop(ino, Right.NONE) | rights
            if len(known) > INODES_MAX:
                del known[next(iter(known))]

    def of(self, session: SessionId, ino: Ino) -> Right:
        """Return what a session was allowed."""
        return self._of_session.get(session, {}).get(ino, Right.NONE)

    def forget(self, session: SessionId, ino: Ino) -> None:
        """Note that a session has closed an inode."""
        with self._mutex:
            self._of_session.get(session, {}).pop(ino, None)

    def forget_session(self, session: SessionId) -> None:
        """Forget a session that lives no more."""
        with self._mutex:
            self._of_session.pop(session, None)
