"""Pledges: for a moment a session may believe that it knows all names of a folder (decision record 24).

A mount that creates or renames files is asked by the kernel for each new name first. With a pledge it answers by itself that there
is none. Promises: while a pledge lasts, no other session adds a name to the folder, or moves or removes a folder on the way to it.
Whoever wants to, waits: for PLEDGE_S at most, and once in SHARED_S, for a folder that several sessions change gets no pledges
meanwhile. Reading waits for nothing.

Memory only: who starts anew on a database with sessions lets all wait for as long as a pledge of before may last. Its mutex is
innermost; called inside transactions, which must not wait: they fail with Pledged, and are made again.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from dfs.core.ids import Ino, SessionId
from dfs.core.interfaces import Clock, Tasks
from dfs.core.limits import PLEDGE_S
from dfs.meta.state.store import Transaction

MARGIN_S: Final = 0.05
"""Clocks of two machines may run a little differently."""
SHARED_S: Final = 10.0
FOLDERS_MAX: Final = 1024


class Pledged(Exception):
    """A change must wait until then, on the monotonic clock."""

    def __init__(self, until_s: float) -> None:
        super().__init__(until_s)
        self.until_s = until_s


class Pledges:
    """Which session knows which folder."""

    def __init__(self, tasks: Tasks, clock: Clock, *, follows_others: bool) -> None:
        """`follows_others`: whether there may be pledges that an earlier process gave."""
        self._clock = clock
        self._mutex = tasks.mutex()
        self._given: dict[Ino, tuple[SessionId, float]] = {}
        """To whom, and until when."""
        self._shared: dict[Ino, float] = {}
        """Until when a folder gets no pledges."""
        self._adding: Counter[Ino] = Counter()
        """Folders in which transactions that are not durable yet add names."""
        self._moving = 0
        """Transactions that are not durable yet and move folders."""
        self._waiting_until_s = clock.monotonic_s() + PLEDGE_S + MARGIN_S if follows_others else 0.0

    def give(self, session: SessionId, folder: Ino) -> bool:
        """Give a session a pledge of a folder, whose path and names are to be read afterwards. Result: False if there is none."""
        now_s = self._clock.monotonic_s()
        with self._mutex:
            holder, until_s = self._given.get(folder, (session, 0.0))
            if self._shared.get(folder, 0.0) > now_s or (holder != session and until_s > now_s):
                return False
            if self._moving or self._adding[folder] or not self._has_room(folder, now_s):
                return False
            self._given[folder] = (session, now_s + PLEDGE_S + MARGIN_S)
            return True

    def adds(self, tx: Transaction, session: SessionId, folder: Ino) -> None:
        """Note that a transaction adds a name to a folder. Raises: Pledged."""
        now_s = self._clock.monotonic_s()
        with self._mutex:
            holder, until_s = self._given.get(folder, (session, 0.0))
            if holder != session and until_s > now_s:
                self._share(folder, now_s)
                raise Pledged(until_s)
            self._require_own_time(now_s)
            self._adding[folder] += 1
        tx.undo(lambda: self._added(folder))
        tx.after(lambda: self._added(folder))

    def moves(self, tx: Transaction, session: SessionId) -> None:
        """Note that a transaction moves or removes a folder, so that paths may lead elsewhere than is known. Raises: Pledged."""
        now_s = self._clock.monotonic_s()
        with self._mutex:
            others = [(ino, until_s) for ino, (holder, until_s) in self._given.items() if holder != session and until_s > now_s]
            for ino, _ in others:
                self._share(ino, now_s)
            if others:
                raise Pledged(max(until_s for _, until_s in others))
            self._require_own_time(now_s)
            self._moving += 1
        tx.undo(self._moved)
        tx.after(self._moved)

    def _require_own_time(self, now_s: float) -> None:
        if self._waiting_until_s:
            if self._waiting_until_s > now_s:
                raise Pledged(self._waiting_until_s)
            self._waiting_until_s = 0.0

    def _share(self, folder: Ino, now_s: float) -> None:
        if len(self._shared) >= FOLDERS_MAX:
            self._shared = {ino: until_s for ino, until_s in self._shared.items() if until_s > now_s}
        self._shared[folder] = now_s + SHARED_S

    def _has_room(self, folder: Ino, now_s: float) -> bool:
        if folder not in self._given and len(self._given) >= FOLDERS_MAX:
            self._given = {ino: given for ino, given in self._given.items() if given[1] > now_s}
        return folder in self._given or len(self._given) < FOLDERS_MAX

    def _added(self, folder: Ino) -> None:
        with self._mutex:
            self._adding[folder] -= 1
            if not self._adding[folder]:
                del self._adding[folder]

    def _moved(self) -> None:
        with self._mutex:
            self._moving -= 1
