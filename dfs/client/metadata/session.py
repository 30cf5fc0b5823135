"""The mount's client session: opened at start, opened anew when it has expired, told what is open when meta was restarted.

Promises: exactly one session counts at a time. When one is lost, all its grants are forgotten before the next one is used, so
nothing is ever written under a grant of another session; meta settles what the lost session wrote. Called by meta_link.py (any
thread that meets SessionExpired) and heartbeat.py. Lock order: nobody calls with a mutex held; turns may be held.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import dfs
from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.lock_table import LockKey, LockTable
from dfs.client.metadata.meta_retry import PatientMeta
from dfs.client.metadata.op_numbers import OpNumbers
from dfs.client.settings import MountSettings
from dfs.core.contexts import DerivedContext, GuardedContext
from dfs.core.errors import DuplicateRefused, EndReason, Interrupted, NotFound, SessionExpired, StaleFile, TlsFailed
from dfs.core.events.event import Event
from dfs.core.events.mount import LEASE_LOST, RELEASES_DIFFER
from dfs.core.ids import NO_SESSION, OpId, SessionId
from dfs.core.interfaces import POLL_S, CallContext, DataServers, EventSink, Random, SessionDiary, Tasks, raise_if_cancelled
from dfs.core.limits import BATCH_INODES_MAX, NONCE_BYTES
from dfs.core.messages.cluster import ServerAddress, Shape
from dfs.core.messages.locks import AssertLocks
from dfs.core.messages.sessions import AssertOpens, EndSession, HeartbeatAnswer, OpenFile, OpenSession, SessionOpened
from dfs.core.start_errors import PeerStartError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionContext(DerivedContext):
    """An operation's context as the meta-server must see it."""

    number: SessionId
    heard_below: OpId
    """All answers to operations below it have arrived."""

    @property
    def session(self) -> SessionId:
        """The mount's session."""
        return self.number

    @property
    def acknowledged(self) -> OpId:
        """What the mount acknowledges."""
        return self.heard_below


class Session:
    """The session that counts."""

    def __init__(
        self,
        *,
        settings: MountSettings,
        meta: PatientMeta,
        servers: DataServers,
        lease: Lease,
        grants: Grants,
        cache: AttributeCache,
        handles: Handles,
        locks: LockTable,
        ops: OpNumbers,
        random: Random,
        tasks: Tasks,
        events: EventSink,
        diary: SessionDiary | None,
    ) -> None:
        self._settings = settings
        self._meta = meta
        self._servers = servers
        self._lease = lease
        self._grants = grants
        self._cache = cache
        self._handles = handles
        self._locks = locks
        self._ops = ops
        self._random = random
        self._events = events
        self._diary = diary
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._opened: SessionOpened | None = None
        self._epoch = 0
        self._is_renewing = False
        self._nonce = b""
        """Of an OpenSession that is not answered yet; empty: none."""
        self._told_lost = NO_SESSION
        self._addresses: tuple[ServerAddress, ...] = ()

    # --- looking -----------------------------------------------------------------------------------------------------------

    @property
    def number(self) -> SessionId:
        """The session's number."""
        return self._current().session

    @property
    def shape(self) -> Shape:
        """What the file system was made as."""
        return self._current().shape

    @property
    def is_lost(self) -> bool:
        """Tell whether the session that counts was given up, and no other is open yet: whoever was to open it was interrupted."""
        opened = self._opened
        return opened is not None and opened.session == self._told_lost

    def context(self, ctx: CallContext) -> SessionContext:
        """Return the operation's context with the present session and what it acknowledges."""
        return SessionContext(ctx, self.number, self._ops.acknowledged())

    # --- beginning and ending ------------------------------------------------------------------------------------------------

    def open(self, ctx: CallContext) -> None:
        """Open the first session.

        Arguments: `ctx`, which ends by itself (EndReason.DEADLINE) when start has waited long enough.
        Raises: PeerStartError when it does; TlsFailed at once, for whoever starts a mount must learn of it; WrongServer if the file
        system has other data servers; Interrupted.
        """
        try:
            # A key that is refused is an operator's to mend, who had better be told at once.
            self._open(GuardedContext(ctx, lambda: self._meta.is_refused, EndReason.DEADLINE))
        except Interrupted as error:
            if error.reason != EndReason.DEADLINE.value:
                raise
            expected = f"the meta-server to open a session within {self._settings.start_timeout_s:g} s"
            raise PeerStartError(expected, self._meta.last_failure) from error

    def renew(self, ctx: CallContext, expired: SessionId) -> None:
        """Replace a session that meta no longer knows; returns when another one counts. Raises: Interrupted."""
        if not self._begin_renewing(ctx, expired):
            return
        try:
            self._lease.lose()
            for ino in self._grants.inodes():
                self._cache.forget_attributes(ino)  # what it says was true beside the grants only, so it goes first
            for unfinished in self._grants.forget_all(expired):
                self._ops.end(unfinished.request.op)
            self._lose_locks()
            if self._told_lost != expired:
                self._told_lost = expired
                self._events.emit(Event(LEASE_LOST), ctx)
            self._open(ctx)
        finally:
            with self._mutex:
                self._is_renewing = False
                self._changed.notify_all()

    def end(self, ctx: CallContext) -> None:
        """End the session; everything must have been committed and closed. Raises: Interrupted, SessionExpired."""
        self._meta.call(self.context(ctx), EndSession())
        if self._diary is not None:
            self._diary.clear()

    # --- what heartbeats bring -------------------------------------------------------------------------------------------------

    def learn(self, ctx: CallContext, answer: HeartbeatAnswer) -> None:
        """Take what a heartbeat answered: addresses, and whether meta was restarted. Raises: Interrupted, SessionExpired."""
        self._set_addresses(answer.data_servers)
        if answer.epoch != self._epoch:
            self._assert_locks(ctx)
            self._assert_opens(ctx, self.number)
            self._grants.doubt_commits()
            self._epoch = answer.epoch

    # --- inside --------------------------------------------------------------------------------------------------------------

    def _current(self) -> SessionOpened:
        opened = self._opened
        assert opened is not None, "start() comes first"
        return opened

    def _begin_renewing(self, ctx: CallContext, expired: SessionId) -> bool:
        """Tell whether it is the caller who must open the next session; if not, wait until somebody has."""
        while True:
            raise_if_cancelled(ctx)
            with self._mutex:
                if self.number != expired:
                    return False
                if not self._is_renewing:
                    self._is_renewing = True
                    return True
                self._changed.wait(POLL_S)

    def _open(self, ctx: CallContext) -> None:
        settings = self._settings
        while True:
            # The same nonce after an interruption: meta may have opened the session already.
            nonce = self._nonce = self._nonce or self._random.token_bytes(NONCE_BYTES)
            request = OpenSession(nonce, settings.host, settings.mount_path, settings.data_servers, self._begin_diary(nonce))
            try:
                opened, sent_s = self._meta.call_timed(ctx, request, at_once=() if self._opened is not None else (TlsFailed,))
                break
            except SessionExpired:
                self._nonce = b""  # opened long ago, and expired since
        self._set_addresses(opened.data_servers, opened.shape.cluster)
        if opened.release not in ("", dfs.__version__):
            self._events.emit(Event(RELEASES_DIFFER, details={"own": dfs.__version__, "other": opened.release}), ctx)
        self._assert_opens(ctx, opened.session)
        self._epoch = opened.epoch
        with self._mutex:
            self._opened = opened
            self._nonce = b""
        self._lease.renew(sent_s)
        if self._diary is not None:
            self._diary.keep_only(nonce)

    def _begin_diary(self, nonce: bytes) -> tuple[bytes, ...]:
        """Note the session that is to be opened; return the nonces of those that a dead mount had at this place."""
        if self._diary is None:
            return ()
        self._diary.begin(nonce)
        return tuple(self._diary.left_behind())

    def _set_addresses(self, addresses: tuple[ServerAddress, ...], cluster: str | None = None) -> None:
        if cluster is None:
            if addresses == self._addresses:
                return
            cluster = self.shape.cluster
        self._addresses = addresses
        self._servers.set_addresses(dict(addresses), cluster)

    def _assert_opens(self, ctx: CallContext, session: SessionId) -> None:
        """Tell meta what is open. Files that exist no more are marked, their handles answer StaleFile."""
        while True:
            told = SessionContext(ctx, session, self._ops.acknowledged())  # first: what is closed afterwards may be told as open
            files = self._handles.open_files()
            try:
                for start in range(0, max(1, len(files)), BATCH_INODES_MAX):  # none is news too: meta waits for everybody's word
                    self._assert_some(told, files[start : start + BATCH_INODES_MAX])
            except DuplicateRefused:
                continue  # another call has acknowledged more on its way
            return

    def _assert_locks(self, ctx: CallContext) -> None:
        """Tell a restarted meta what is locked, before it hears what is open: then it may lock for others."""
        for key in self._locks.locked():
            while not self._is_asserted(ctx, key):
                LOG.debug("inode %d: an unlock was told first, but not what is still locked", key.ino)

    def _is_asserted(self, ctx: CallContext, key: LockKey) -> bool:
        """Tell meta what an owner has locked at this moment; False if a later call of the owner came before."""
        op = self._ops.begin()
        try:
            ranges = self._locks.to_assert(key)
            if ranges:
                self._meta.call(self.context(ctx), AssertLocks(op, key.ino, key.owner, ranges))
        except DuplicateRefused:
            return False
        finally:
            self._ops.end(op)
        return True

    def _lose_locks(self) -> None:
        """The locks went with the session: who relied on them must not go on as if nothing had happened."""
        inos, over = self._locks.lose_all()
        for op in over:
            self._ops.end(op)
        for ino in inos:
            self._handles.mark_stale(ino)

    def _assert_some(self, ctx: SessionContext, files: Sequence[OpenFile]) -> None:
        try:
            self._meta.call(ctx, AssertOpens(tuple(files)))
        except (StaleFile, NotFound):
            if len(files) <= 1:
                LOG.debug("inode %d is open but exists no more", files[0].ino)
                self._handles.mark_stale(files[0].ino)
                return
            middle = len(files) // 2
            self._assert_some(ctx, files[:middle])
            self._assert_some(ctx, files[middle:])
