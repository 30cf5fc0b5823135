"""Which session has which inode open: memory only, asserted again by the clients after a restart (design section 7).

It decides when an inode without names may go: when no session has it open, and every session known from before the start has
said what it has open, ended or expired. Until then such an inode is an orphan. Removal and opening meet here: an inode that a
transaction under way removes is condemned, and `register` refuses it, and anything looked up before the removal became visible.

An open or an assertion that arrives once more after the close, as a late duplicate, has no effect: nobody would ever close again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dfs.core.ids import Ino, OpId, SessionId
from dfs.core.interfaces import Tasks
from dfs.core.messages.sessions import OpenFile
from dfs.meta.state.store import Transaction


class _Closed(NamedTuple):
    """The newest open of an inode that was closed."""

    opened_by: OpId
    acknowledged: OpId
    """What its session had acknowledged then."""


class Opens:
    """The opens of all sessions. Its mutex is innermost."""

    def __init__(self, tasks: Tasks, orphans: Iterable[Ino], returning: Iterable[SessionId]) -> None:
        """Begin with what is known from before the start.

        Arguments: `orphans`: inodes with nlink = 0; `returning`: sessions that have not yet said what they have open.
        """
        self._mutex = tasks.mutex()
        self._of_session: dict[SessionId, dict[Ino, OpId]] = {}
        self._users: dict[Ino, int] = {}
        self._closed: dict[SessionId, dict[Ino, _Closed]] = {}
        """Those of which a duplicate may still arrive."""
        self._orphans = set(orphans)
        self._returning = set(returning)
        self._condemned: set[Ino] = set()
        self._removals = 0

    def removals(self) -> int:
        """Return a number that changes with every removal that becomes visible; for `register`."""
        with self._mutex:
            return self._removals

    def register(self, session: SessionId, file: OpenFile, removals: int) -> bool:
        """Note an open of an inode that was looked up outside a writing transaction, after removals() said `removals`.

        Result: False if the inode may have been removed since: look it up and open it inside a writing transaction.
        """
        with self._mutex:
            if self._removals != removals or file.ino in self._condemned:
                return False
            self._add(session, file)
            return True

    def register_inside(self, tx: Transaction, session: SessionId, file: OpenFile) -> None:
        """Note an open of an inode that was looked up or made inside the writing transaction `tx`."""
        with self._mutex:
            before = self._of_session.get(session, {}).get(file.ino)
            self._add(session, file)
        tx.undo(lambda: self._restore(session, file.ino, before))

    def drop(self, session: SessionId, files: Iterable[OpenFile], acknowledged: OpId) -> list[Ino]:
        """Note closes; one that names an older open than the newest is late and has no effect.

        Arguments: `acknowledged`: what the session has acknowledged by now.
        Result: inodes that may be removed now, if they still have no names.
        """
        with self._mutex:
            free: list[Ino] = []
            opened, closed = self._of_session.get(session, {}), self._closed.setdefault(session, {})
            for ino, opened_by in files:
                before = closed.get(ino)
                closed[ino] = _Closed(opened_by if before is None else max(before.opened_by, opened_by), acknowledged)
                if opened.get(ino, opened_by + 1) <= opened_by:
                    del opened[ino]
                    self._count_down(ino, free)
            return free

    def acknowledged(self, session: SessionId, below: OpId) -> None:
        """Forget closes of which late duplicates are refused as such from now on: opens by operations below a number, assertions
        of a time when less was acknowledged.
        """
        with self._mutex:
            closed = self._closed.get(session)
            if closed:
                self._closed[session] = {ino: each for ino, each in closed.items() if max(each) >= below}

    def reassert(self, session: SessionId, files: Iterable[OpenFile]) -> list[Ino]:
        """Note what a session has open after a start. Result: as for drop."""
        with self._mutex:
            for file in files:
                self._add(session, file)
            return self._returned(session)

    def end(self, session: SessionId) -> list[Ino]:
        """Forget a session that ended or expired. Result: as for drop."""
        with self._mutex:
            free: list[Ino] = []
            self._closed.pop(session, None)
            for ino in self._of_session.pop(session, {}):
                self._count_down(ino, free)
            return free + self._returned(session)

    def unused_orphans(self) -> list[Ino]:
        """Return the inodes without names that nobody has open: what could not be removed when it was closed. As for drop."""
        with self._mutex:
            return [] if self._returning else sorted(self._orphans - self._users.keys())

    def is_waiting(self) -> bool:
        """Tell whether sessions from before the start have yet to say what they have open."""
        return bool(self._returning)

    def condemn(self, tx: Transaction, ino: Ino) -> bool:
        """Tell whether the inode, which has no names left, is to be removed in `tx`; if not it becomes an orphan."""
        with self._mutex:
            if self._returning or ino in self._users:
                was_orphan = ino in self._orphans
                self._orphans.add(ino)
                if not was_orphan:
                    tx.undo(lambda: self._no_orphan(ino))
                return False
            self._condemned.add(ino)
        tx.undo(lambda: self._pardon(ino))
        tx.after(lambda: self._removed(ino))
        return True

    # --- under the mutex ---------------------------------------------------------------------------------------------

    def _add(self, session: SessionId, file: OpenFile) -> None:
        closed = self._closed.get(session, {}).get(file.ino)
        if closed is not None and file.opened_by <= closed.opened_by:
            return
        opened = self._of_session.setdefault(session, {})
        before = opened.get(file.ino)
        if before is None:
            self._users[file.ino] = self._users.get(file.ino, 0) + 1
        opened[file.ino] = file.opened_by if before is None else max(before, file.opened_by)

    def _count_down(self, ino: Ino, free: list[Ino]) -> None:
        left = self._users[ino] - 1
        if left:
            self._users[ino] = left
            return
        del self._users[ino]
        if ino in self._orphans and not self._returning:
            free.append(ino)

    def _returned(self, session: SessionId) -> list[Ino]:
        if session not in self._returning:
            return []
        self._returning.discard(session)
        return [] if self._returning else sorted(self._orphans - self._users.keys())

    # --- called when a transaction ends ------------------------------------------------------------------------------

    def _restore(self, session: SessionId, ino: Ino, before: OpId | None) -> None:
        with self._mutex:
            opened = self._of_session.get(session, {})
            if before is not None:
                opened[ino] = before
            elif ino in opened:
                del opened[ino]
                self._count_down(ino, [])

    def _no_orphan(self, ino: Ino) -> None:
        with self._mutex:
            self._orphans.discard(ino)

    def _pardon(self, ino: Ino) -> None:
        with self._mutex:
            self._condemned.discard(ino)

    def _removed(self, ino: Ino) -> None:
        with self._mutex:
            self._condemned.discard(ino)
            self._orphans.discard(ino)
            self._removals += 1
