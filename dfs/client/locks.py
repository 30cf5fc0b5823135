"""Locks of fcntl(2) and flock(2) on open files: asked of meta, which knows those of all mounts.

Promises: a lock that was granted is held until it is unlocked, its handle is released, or the mount's session ends; a wait for one
can be ended (I7), and then nothing stays locked that the program does not know of. What was written is stored and committed before
it is unlocked, and a granted lock brings the inode as it is, so that who locks sees what the last holder wrote. Called by
filesystem.py.
"""

from __future__ import annotations

import logging
from typing import Final

from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.lock_table import LockKey, LockTable, Ranges
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.write_back.service import WriteBack
from dfs.core.contexts import UnhurriedContext
from dfs.core.errors import DfsError, DuplicateRefused, FileError, Interrupted, LockBusy, SessionExpired, StaleFile
from dfs.core.ids import Ino, OpId
from dfs.core.interfaces import CallContext, Clock, raise_if_cancelled
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange, with_range
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, LockFound, Unlock

LOG = logging.getLogger(__name__)

UNLOCK_S: Final = 1.0
"""How long a process that is being killed waits for its locks to be gone."""


class Locks:
    """Locks and unlocks."""

    def __init__(
        self,
        *,
        link: MetaLink,
        table: LockTable,
        handles: Handles,
        cache: AttributeCache,
        calls: GrantCalls,
        back: WriteBack,
        clock: Clock,
    ) -> None:
        self._back = back
        self._clock = clock
        self._link = link
        self._table = table
        self._handles = handles
        self._cache = cache
        self._calls = calls

    def lock(self, ctx: CallContext, number: int, owner: LockOwner, wanted: LockRange, *, wait: bool) -> None:
        """Lock a range through a handle. Raises: WouldBlock, WouldDeadlock, TooManyLocks; Interrupted; StaleFile."""
        ino = self._handles.get(number).ino
        key = LockKey(ino, owner)
        self._back.drain(ctx, ino)
        self._tell(ctx, key)
        # flock(2) gives the old lock up before it waits for one of the other kind (dfs/meta/state/locks.py).
        self._table.begin_lock(ctx, key, number, gives_up=wait and owner.kind is LockKind.WHOLE)
        asked = self._cache.moment()
        unanswered: list[OpId] = []
        granted: Ranges = ()
        try:
            attributes = self._ask(ctx, key, number, wanted, wait, unanswered)
            granted = (wanted,)
        finally:
            untold = unanswered[0] if unanswered else None
            self._table.end(key, lambda held: with_range(held, granted[0]) if granted else held, untold=untold)
        if self._cache.moment().changes == asked.changes:
            self._cache.learn(asked, attributes)
        else:
            self._cache.forget_attributes(ino)
        # A database's journal beside it: the last holder may have made or removed it.
        self._cache.forget_all_names()

    def unlock(self, ctx: CallContext, ino: Ino, owner: LockOwner, first: int, last: int) -> None:
        """Unlock a range; what nobody locked costs no call. Raises: Interrupted, after which meta is told in the background.

        A signal counts only after a while: a killed process unlocks with it pending, and who waited for its end locks next.
        """
        until_s = self._clock.monotonic_s() + UNLOCK_S
        ctx = UnhurriedContext(ctx, lambda: self._clock.monotonic_s() > until_s)
        key = LockKey(ino, owner)
        if not self._table.begin_unlock(ctx, key, first, last):
            return
        op = self._link.begin_op()
        untold: OpId | None = op
        try:
            self._commit(ctx, ino)
            if self._is_unlocked(ctx, Unlock(op, ino, owner, first, last)):
                untold = None
        finally:
            self._table.end_unlock(key, first, last, untold=untold)
            if untold is None:
                self._link.end_op(op)
        self._tell(ctx, key)

    def find(self, ctx: CallContext, number: int, owner: LockOwner, wanted: LockRange) -> LockFound:
        """Return a lock that is in the way. Raises: Interrupted."""
        ino = self._handles.get(number).ino
        while True:
            try:
                return self._link.ask(ctx, FindLock(ino, owner, wanted))
            except LockBusy:
                raise_if_cancelled(ctx)

    def release(self, ctx: CallContext, number: int) -> None:
        """Unlock what was locked through a handle that is about to go."""
        for key in self._table.through(number):
            self.unlock(ctx, key.ino, key.owner, 0, OFFSET_MAX)

    def finish(self, ctx: CallContext) -> None:
        """Tell meta what calls without an answer have left open. Raises: Interrupted."""
        for key in self._table.untold():
            if not self._back.is_dirty(key.ino):  # else whoever locks it next would not see what was written under the lock
                self._tell(ctx, key)

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _ask(
        self, ctx: CallContext, key: LockKey, number: int, wanted: LockRange, wait: bool, unanswered: list[OpId]
    ) -> Attributes:
        """Ask until there is an answer, in the next session if this one expires, unless the file has lost locks with it.

        Arguments: `unanswered`: gets the number of a call that may have had an effect all the same.
        Raises: what meta answers; StaleFile: what it granted has gone with the session.
        """
        while True:
            raise_if_cancelled(ctx)
            self._handles.get(number)
            session, losses = (
                self._link.session,
                self._table.losses,
            )  # in this order: what is lost is counted before the next begins
            op = self._link.begin_op()
            is_answered = True
            try:
                attributes = self._link.send(ctx, Lock(op, key.ino, key.owner, wanted, wait), session)
                if self._table.losses != losses:
                    raise StaleFile(b"inode %d" % key.ino)
                return attributes
            except (LockBusy, DuplicateRefused, SessionExpired):
                continue  # meta has waited for a while already, or the number was too old, or the session
            except FileError:
                raise
            except BaseException:
                is_answered = False
                raise
            finally:
                if is_answered:
                    self._link.end_op(op)
                else:
                    unanswered.append(op)

    def _commit(self, ctx: CallContext, ino: Ino) -> None:
        self._back.drain(ctx, ino)
        try:
            self._calls.commit(ctx, ino)
        except Interrupted:
            raise
        except DfsError as error:
            LOG.warning("inode %d is unlocked before its size is committed: %s", ino, error)

    def _is_unlocked(self, ctx: CallContext, request: Unlock) -> bool:
        """Tell meta; False if a later call came before, which may have said that this is locked: a restarted meta is told all."""
        try:
            self._link.send(ctx, request, self._link.session)
        except DuplicateRefused:
            return False
        except (SessionExpired, FileError):
            return True  # the locks went with the session, or with the inode
        return True

    def _tell(self, ctx: CallContext, key: LockKey) -> None:
        """Tell meta all that an owner has locked, if a call of it ended without an answer."""
        ranges = self._table.begin_telling(key)
        if ranges is None:
            return
        op = self._link.begin_op()
        is_told = False
        try:
            self._link.send(ctx, AssertLocks(op, key.ino, key.owner, ranges), self._link.session)
            is_told = True
        except (SessionExpired, DuplicateRefused, FileError):
            is_told = True  # there is nothing left that meta could be told
        finally:
            self._link.end_op(op)
            for over in self._table.end_telling(key, is_told=is_told):
                self._link.end_op(over)
