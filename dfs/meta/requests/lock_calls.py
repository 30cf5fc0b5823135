"""Requests on locks: checked here, decided in dfs/meta/state/locks.py."""

from __future__ import annotations

from dfs.core.errors import BadRequest, LockBusy
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, raise_if_cancelled
from dfs.core.limits import LOCKS_MAX
from dfs.core.locks import OFFSET_MAX, LockOwner, LockRange
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, LockFound, Unlock
from dfs.core.messages.requests import Done
from dfs.meta.state.answers import Answers
from dfs.meta.state.checks import INT64_MAX, INT64_MIN, require_number
from dfs.meta.state.grants import require_regular
from dfs.meta.state.inodes import attributes, get
from dfs.meta.state.locks import Locks
from dfs.meta.state.sessions import Sessions
from dfs.meta.state.store import Reader, Store


class LockCalls:
    """Serves the requests on locks."""

    def __init__(self, store: Store, sessions: Sessions, answers: Answers, locks: Locks) -> None:
        self._store = store
        self._sessions = sessions
        self._answers = answers
        self._locks = locks

    def lock(self, ctx: CallContext, request: Lock) -> Attributes:
        """Lock, then return the inode as it is under the lock. Raises: as Locks.lock; StaleFile."""
        _check(request.ino, request.owner, request.range)
        self._answers.require_news(ctx, request.op)
        self._store.read(lambda reader: _look_up(reader, request.ino))
        try:
            self._locks.lock(ctx, request)
        except LockBusy:
            raise_if_cancelled(ctx)
            raise
        return self._store.read(lambda reader: _look_up(reader, request.ino))

    def unlock(self, ctx: CallContext, request: Unlock) -> Done:
        """Unlock."""
        _check(request.ino, request.owner, LockRange(request.first, request.last, is_exclusive=False, pid=0))
        self._answers.require_news(ctx, request.op)
        self._locks.unlock(ctx, request)
        return Done()

    def assert_locks(self, ctx: CallContext, request: AssertLocks) -> Done:
        """Set what an owner has locked."""
        if len(request.ranges) > LOCKS_MAX:
            raise BadRequest(f"ranges: expected at most {LOCKS_MAX}, got {len(request.ranges)}")
        for found in request.ranges or (LockRange(0, 0, is_exclusive=False, pid=0),):
            _check(request.ino, request.owner, found)
        self._answers.require_news(ctx, request.op)
        self._locks.assert_all(ctx, request)
        return Done()

    def find_lock(self, ctx: CallContext, request: FindLock) -> LockFound:
        """Return a lock in the way."""
        _check(request.ino, request.owner, request.range)
        self._sessions.require_some(ctx.session)
        return self._locks.find(ctx, request)


def _look_up(reader: Reader, ino: Ino) -> Attributes:
    inode = get(reader, ino)
    require_regular(inode, b"inode %d" % ino)
    return attributes(reader, inode)


def _check(ino: Ino, owner: LockOwner, wanted: LockRange) -> None:
    require_number(ino, "ino")
    if not INT64_MIN <= owner.number <= INT64_MAX:
        raise BadRequest(f"owner.number: expected 64 bits with a sign, got {owner.number}")
    if not 0 <= wanted.first <= wanted.last <= OFFSET_MAX:
        raise BadRequest(f"range: expected 0 <= first <= last <= {OFFSET_MAX}, got {wanted.first} to {wanted.last}")
    if not INT64_MIN <= wanted.pid <= INT64_MAX:
        raise BadRequest(f"range.pid: expected 64 bits, got {wanted.pid}")
