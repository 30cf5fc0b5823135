"""Requests on client sessions: open, heartbeat, assertion of opens, end; and what follows when one ends or expires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import dfs
from dfs.core.errors import BadRequest, DuplicateRefused
from dfs.core.events.event import Event
from dfs.core.events.meta_server import MOUNT_CRASHED, SESSION_EXPIRED
from dfs.core.exports import Terms
from dfs.core.ids import NO_OP, SessionId
from dfs.core.interfaces import CallContext, Clock, EventSink
from dfs.core.limits import ENDED_SESSIONS_MAX, HEARTBEAT_PARK_S, LEASE_META_S, NONCE_BYTES, PATH_BYTES_MAX
from dfs.core.messages.requests import Done
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, HeartbeatAnswer, OpenFile, OpenSession, SessionOpened
from dfs.core.peers import Peer
from dfs.meta.requests.removal import Removal
from dfs.meta.state.answers import Answers
from dfs.meta.state.checks import require_number
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.grants import Grants
from dfs.meta.state.locks import Locks
from dfs.meta.state.numbers import Numbers
from dfs.meta.state.opens import Opens
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.sessions import SessionRow, Sessions, owner_of
from dfs.meta.state.store import Store, Transaction
from dfs.meta.upkeep.formatter import Formatter

EXPIRY_TICK_S: Final = 1.0
"""How often leases are looked at."""
_HOST_CHARACTERS_MAX: Final = 255


class SessionCalls:
    """Serves the requests on sessions."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        answers: Answers,
        opens: Opens,
        recalls: Recalls,
        locks: Locks,
        grants: Grants,
        removal: Removal,
        numbers: Numbers,
        cluster: Cluster,
        formatter: Formatter,
        clock: Clock,
        events: EventSink,
        epoch: int,
        on_fence: Callable[[], None],
        terms_of: Callable[[Peer], Terms],
        on_end: Callable[[SessionId], None],
    ) -> None:
        """`on_fence` is called when there are grants of a dead session to settle; `terms_of` tells what a client that may open a
        session is allowed; `on_end` is called with each session that lives no more.
        """
        self._terms_of = terms_of
        self._on_end = on_end
        self._on_fence = on_fence
        self._store = store
        self._sessions = sessions
        self._answers = answers
        self._opens = opens
        self._recalls = recalls
        self._locks = locks
        self._grants = grants
        self._removal = removal
        self._numbers = numbers
        self._cluster = cluster
        self._formatter = formatter
        self._clock = clock
        self._events = events
        self._epoch = epoch
        self._dead: dict[SessionId, None] = {}
        """Sessions that live no more and of which something may be left, because the store was read-only."""
        self._closing: dict[SessionId, float] = {}
        """Sessions of dead mounts, and when what they had open is closed: a put may be on its way yet, and must not find the file
        removed, or it would be stored for nobody.
        """

    def open_session(self, ctx: CallContext, request: OpenSession) -> SessionOpened:
        """Open a session, or answer the one that has this nonce; formats a new file system, ends what dead mounts left first."""
        if len(request.nonce) != NONCE_BYTES:
            raise BadRequest(f"nonce: expected {NONCE_BYTES} bytes, got {len(request.nonce)}")
        if len(request.host) > _HOST_CHARACTERS_MAX or len(request.mount_path) > PATH_BYTES_MAX:
            raise BadRequest(f"host or mount_path: expected at most {_HOST_CHARACTERS_MAX} and {PATH_BYTES_MAX}")
        if len(request.ended) > ENDED_SESSIONS_MAX or any(len(nonce) != NONCE_BYTES for nonce in request.ended):
            raise BadRequest(f"ended: expected at most {ENDED_SESSIONS_MAX} nonces of {NONCE_BYTES} bytes")
        self._formatter.ensure(ctx, request.data_servers)
        crashed = self._sessions.find(request.host, request.mount_path)
        for dead in self._of_dead_mount(request.ended, ctx.caller.peer):
            self._closing[dead] = self._clock.monotonic_s() + LEASE_META_S
            self._end(dead)
        session = self._store.change(lambda tx: self._open(tx, request, ctx.caller.peer))
        if crashed is not None and crashed != session:
            path = request.mount_path.decode("utf-8", "backslashreplace")
            self._events.emit(Event(MOUNT_CRASHED, details={"session": crashed, "host": request.host, "path": path}), ctx)
        self._sessions.heard(session)
        self._sessions.answered(session)
        shape = self._cluster.shape
        assert shape is not None
        return SessionOpened(session, shape, self._cluster.addresses, self._epoch, dfs.__version__)

    def _of_dead_mount(self, nonces: tuple[bytes, ...], peer: Peer) -> list[SessionId]:
        """Return the sessions of these nonces that are the caller's own to end."""
        if not nonces:
            return []
        sql = f"SELECT session FROM session WHERE nonce IN ({', '.join('?' * len(nonces))})"
        found = [session for (session,) in self._store.read(lambda reader: reader.all(sql, *nonces))]
        return [session for session in found if self._sessions.is_owner(session, peer)]

    def _open(self, tx: Transaction, request: OpenSession, peer: Peer) -> SessionId:
        row = tx.one("SELECT session FROM session WHERE nonce = ?", request.nonce)
        if row is not None:
            session: SessionId = row[0]
            self._sessions.require_some(session)
            self._sessions.require_owner(session, peer)
            return session
        # A mount that lost its session must find what it wrote there settled, or being settled: never its older size.
        for (known,) in tx.all("SELECT session FROM session"):
            if not self._sessions.is_live(known):
                self._grants.fence_all(tx, known)
        session = self._numbers.session(tx)
        found = SessionRow(session, request.host, request.mount_path, NO_OP, owner_of(peer), self._terms_of(peer))
        sql = "INSERT INTO session (session, nonce, host, path, acknowledged, owner, terms) VALUES (?, ?, ?, ?, 0, ?, ?)"
        tx.run(sql, session, request.nonce, found.host, found.path, found.owner, found.terms.text())
        self._sessions.add(tx, found)
        return session

    def heartbeat(self, ctx: CallContext, request: Heartbeat) -> HeartbeatAnswer:
        """Renew the lease, then park until a grant is asked back that is not known to be.

        After a restart of ours, or a long silence, it is not parked: the mount has no lease before it is answered.
        """
        session = ctx.session
        _check_files(request.closed)
        is_awaited = self._sessions.heard(session)
        acknowledged = self._sessions.acknowledge(ctx)
        self._removal.reap(self._opens.drop(session, request.closed, acknowledged))
        self._opens.acknowledged(session, acknowledged)
        until_s = self._clock.monotonic_s() + (0.0 if is_awaited else HEARTBEAT_PARK_S)
        known = request.recalls_known
        self._recalls.wait_for_recall(ctx, session, known, until_s, lambda: not self._sessions.is_live(session))
        self._sessions.require_some(session)
        if ctx.cancelled() is None:
            self._sessions.answered(session)
        return HeartbeatAnswer(self._epoch, self._recalls.of(session), self._cluster.addresses, self._clock.wall_ns())

    def assert_opens(self, ctx: CallContext, request: AssertOpens) -> Done:
        """Note what a session has open after our restart.

        Raises: DuplicateRefused: the session has gone on since; it may have closed what it says here.
        """
        _check_files(request.files)
        if ctx.acknowledged < self._sessions.acknowledge(ctx):
            raise DuplicateRefused(ctx.acknowledged)
        self._removal.reap(self._opens.reassert(ctx.session, request.files))
        return Done()

    def end_session(self, ctx: CallContext, request: EndSession) -> Done:
        """End a session; one that is gone already is a success."""
        self._end(ctx.session)
        return Done()

    def expire(self, ctx: CallContext) -> bool:
        """End the sessions whose lease ran out. Runs every EXPIRY_TICK_S. Raises: ReadOnly; the rest is done the next time."""
        for expired in self._sessions.take_expired(EXPIRY_TICK_S):
            row = expired.row
            path = row.path.decode("utf-8", "backslashreplace")
            details = {"session": row.session, "host": row.host, "path": path, "silent_s": expired.silent_s}
            self._events.emit(Event(SESSION_EXPIRED, details=details), ctx)
            self._dead[row.session] = None
        for session in list(self._dead):
            self._bury(session)
        now_s = self._clock.monotonic_s()
        for session in [session for session, until_s in list(self._closing.items()) if now_s > until_s]:
            del self._closing[session]
            self._removal.reap(self._opens.end(session))
        return True

    def expel(self, session: SessionId) -> None:
        """End a session whose client may do less than before: what it holds is settled, and it opens another one if it may."""
        self._end(session)

    def end_all(self) -> None:
        """End all sessions: mounts open new ones, and what was held is settled."""
        for session in self._sessions.statuses():
            self._end(session.session)

    def _end(self, session: SessionId) -> None:
        if self._sessions.remove(session) is not None:
            self._dead[session] = None
            self._bury(session)

    def _bury(self, session: SessionId) -> None:
        """Do away with what is left of a session that lives no more. Grants are settled before they are free.

        Raises: ReadOnly; then expire() does it once changes are served again. Done twice it does no harm.
        """

        def work(tx: Transaction) -> None:
            self._grants.fence_all(tx, session)
            tx.run("DELETE FROM session WHERE session = ?", session)
            self._answers.forget_session(tx, session)

        self._locks.end(session)
        self._on_end(session)
        self._store.change(work)
        self._dead.pop(session, None)
        self._on_fence()
        if session not in self._closing:
            self._removal.reap(self._opens.end(session))
        self._recalls.wake_all()


def _check_files(files: tuple[OpenFile, ...]) -> None:
    for file in files:
        require_number(file.ino, "ino")
