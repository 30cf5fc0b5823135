"""Client sessions: who is alive, since when silent, and what it acknowledged.

A session's row is durable, its last heartbeat is memory: after a start every known session has LEASE_META_S to come back.
Only heartbeats renew it. One that comes back after a silence is answered at once: its mount may write only after the answer.
A session leaves `_live` before the transaction that ends it, so that no later change is its own.
Its mutex is innermost; `is_live` is a plain look-up, so that parked calls may ask it under their own mutex.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.errors import SessionExpired
from dfs.core.exports import FULL, Terms, parse_terms
from dfs.core.ids import NO_OP, NO_SESSION, OpId, SessionId
from dfs.core.interfaces import CallContext, Clock, Tasks
from dfs.core.limits import HEARTBEAT_PARK_S, LEASE_META_S
from dfs.core.messages.cluster import MountStatus
from dfs.core.peers import Peer
from dfs.meta.state.store import Reader, Transaction


class SessionRow(NamedTuple):
    """What is durable of a session."""

    session: SessionId
    host: str
    path: bytes
    acknowledged: OpId
    owner: str = ""
    """Who may use it: see owner_of(); empty: anybody."""
    terms: Terms = FULL
    """What its client was allowed when that was last looked at."""


class Expired(NamedTuple):
    """A session whose lease ran out."""

    row: SessionRow
    silent_s: float


@dataclass(slots=True)
class _Live:
    """A session that may call."""

    row: SessionRow
    heard_s: float
    """Clock.monotonic_s of its last heartbeat, or of our start."""
    acknowledged: OpId
    answered_s: float = -math.inf
    """When it was last told that it lives, on the same clock; before our start does not count."""


def load_sessions(reader: Reader) -> list[SessionRow]:
    """Return all sessions that have neither ended nor expired."""
    rows = reader.all("SELECT session, host, path, acknowledged, owner, terms FROM session")
    return [SessionRow(*row)._replace(terms=parse_terms(row[5])) for row in rows]


def owner_of(peer: Peer) -> str:
    """Return as whom a peer uses sessions: the name that it has proved, else its address. Empty: this process."""
    return f"client {peer.name}" if peer.name else peer.host


class Sessions:
    """The sessions that are alive."""

    def __init__(self, tasks: Tasks, clock: Clock, rows: Iterable[SessionRow]) -> None:
        """Begin with the sessions known from before the start."""
        self._mutex = tasks.mutex()
        self._clock = clock
        now_s = clock.monotonic_s()
        self._live = {row.session: _Live(row, now_s, row.acknowledged) for row in rows}
        self._looked_s = now_s

    def is_live(self, session: SessionId) -> bool:
        """Tell whether the session may call."""
        return session in self._live

    def require(self, session: SessionId) -> None:
        """Raise SessionExpired unless the session may call; 0, no session, may."""
        if session != NO_SESSION and session not in self._live:
            raise SessionExpired(session)

    def require_some(self, session: SessionId) -> None:
        """Raise SessionExpired unless it is a session that may call; 0 is none."""
        if session not in self._live:
            raise SessionExpired(session)

    def require_owner(self, session: SessionId, peer: Peer) -> None:
        """Raise SessionExpired if the session is somebody else's: whoever guesses a number learns nothing by it."""
        if not self.is_owner(session, peer):
            raise SessionExpired(session)

    def is_owner(self, session: SessionId, peer: Peer) -> bool:
        """Tell whether the session may be used by this peer, if it lives."""
        live = self._live.get(session)
        return live is None or not live.row.owner or live.row.owner == owner_of(peer)

    def terms(self, session: SessionId) -> Terms | None:
        """Return what the session's client was allowed when that was last looked at; None: it does not live."""
        live = self._live.get(session)
        return None if live is None else live.row.terms

    def set_terms(self, tx: Transaction, session: SessionId, terms: Terms) -> None:
        """Note what the session's client is allowed from now on."""
        tx.run("UPDATE session SET terms = ? WHERE session = ?", terms.text(), session)
        tx.after(lambda: self._set_terms(session, terms))

    def _set_terms(self, session: SessionId, terms: Terms) -> None:
        with self._mutex:
            live = self._live.get(session)
            if live is not None:
                live.row = live.row._replace(terms=terms)

    def acknowledge(self, ctx: CallContext) -> OpId:
        """Note and return below which operation all answers have arrived. Raises: SessionExpired."""
        with self._mutex:
            live = self._live.get(ctx.session)
            if live is None:
                raise SessionExpired(ctx.session)
            if ctx.acknowledged > live.acknowledged:
                live.acknowledged = ctx.acknowledged
            return live.acknowledged

    def heard(self, session: SessionId) -> bool:
        """Renew the lease; tell whether its owner waits for the answer, having had none for longer than one is parked.

        Raises: SessionExpired.
        """
        with self._mutex:
            live = self._live.get(session)
            if live is None:
                raise SessionExpired(session)
            live.heard_s = self._clock.monotonic_s()
            return live.heard_s - live.answered_s > HEARTBEAT_PARK_S

    def answered(self, session: SessionId) -> None:
        """Note that the session is told that it lives. Raises: SessionExpired."""
        with self._mutex:
            live = self._live.get(session)
            if live is None:
                raise SessionExpired(session)
            live.answered_s = self._clock.monotonic_s()

    def find(self, host: str, path: bytes) -> SessionId | None:
        """Return the newest session of a mount there, if one is alive."""
        with self._mutex:
            found = [number for number, live in self._live.items() if (live.row.host, live.row.path) == (host, path)]
        return max(found, default=None)

    def add(self, tx: Transaction, row: SessionRow) -> None:
        """Let a session call, whose row is written in `tx`."""
        with self._mutex:
            self._live[row.session] = _Live(row, self._clock.monotonic_s(), NO_OP)
        tx.undo(lambda: self._discard(row.session))

    def remove(self, session: SessionId) -> SessionRow | None:
        """Let a session call no more; its row is the caller's business. Result: None if it did not live."""
        with self._mutex:
            live = self._live.pop(session, None)
        return None if live is None else live.row

    def take_expired(self, tick_s: float) -> list[Expired]:
        """Take out the sessions silent for longer than LEASE_META_S and return them.

        Arguments: `tick_s`: how often this is called. If it was not (the process was stopped), everyone's silence is
        counted without the gap: their heartbeats could not be heard.
        """
        with self._mutex:
            now_s = self._clock.monotonic_s()
            gap_s = now_s - self._looked_s
            self._looked_s = now_s
            if gap_s > 2 * tick_s + 1:
                for live in self._live.values():
                    live.heard_s = min(now_s, live.heard_s + gap_s)
            late = [live for live in self._live.values() if now_s - live.heard_s > LEASE_META_S]
            for live in late:
                del self._live[live.row.session]
            return [Expired(live.row, now_s - live.heard_s) for live in late]

    def statuses(self) -> tuple[MountStatus, ...]:
        """Return all sessions as tools see them, by number."""
        with self._mutex:
            now_s = self._clock.monotonic_s()
            rows = sorted(self._live.values(), key=lambda live: live.row.session)
            return tuple(MountStatus(x.row.session, x.row.host, x.row.path, now_s - x.heard_s) for x in rows)

    def count(self) -> int:
        """Return how many are alive."""
        return len(self._live)

    def _discard(self, session: SessionId) -> None:
        with self._mutex:
            self._live.pop(session, None)
