"""The gate: every request passes it before it is carried out, and its answer on the way back (decision records 21 and 22).

Promises: a session is used by the client alone that opened it; a client that no export is for gets nothing; one whose export is
limited gets no more than that, whatever it says: squashed users, no changes, no inode outside its folder, nothing that is an
administrator's. A session whose client may do less than before is ended, so that what it holds is settled and no data server takes
its writes any more. Called by dfs/meta/service.py. Costs requests without limits a look into two tables in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from dfs.core.contexts import OnBehalfContext
from dfs.core.errors import ClientRefused, NotPermitted, ReadOnly, SessionExpired
from dfs.core.events.event import Event
from dfs.core.events.wire import CLIENT_REFUSED
from dfs.core.exports import FULL, Squash, Terms, narrows, squashed
from dfs.core.ids import NO_SESSION, SessionId
from dfs.core.interfaces import CallContext, Clock, EventSink, Tasks
from dfs.core.lately_told import LatelyTold
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import OpenSession
from dfs.core.peers import Peer
from dfs.meta.exporting.effects import EFFECTS, Effect, is_change
from dfs.meta.exporting.export_table import ExportTable
from dfs.meta.exporting.reach import confine, find_folder, names_inodes
from dfs.meta.exporting.vouching import Vouching
from dfs.meta.state.sessions import Sessions
from dfs.meta.state.store import Store

TOLD_AGAIN_S: Final = 60.0
"""An event about the same client is not repeated for so long."""
TOLD_MAX: Final = 1024
"""Clients of which that is remembered."""


class Gate:
    """Lets requests in."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        exports: ExportTable,
        vouching: Vouching,
        expel: Callable[[SessionId], None],
        clock: Clock,
        tasks: Tasks,
        events: EventSink,
    ) -> None:
        """`expel` ends a session."""
        self._store = store
        self._sessions = sessions
        self._exports = exports
        self._vouching = vouching
        self._expel = expel
        self._clock = clock
        self._events = events
        self._told = LatelyTold(tasks.mutex(), period_s=TOLD_AGAIN_S, most=TOLD_MAX)

    def carry(self, ctx: CallContext, request: Request[Any], carry_out: Callable[[CallContext, Request[Any]], Any]) -> Any:
        """Have a request carried out as far as its client may make it, and return the answer.

        Raises: what carry_out raises; ClientRefused; SessionExpired; ReadOnly, NotPermitted, StaleFile, AccessDenied.
        """
        peer = ctx.caller.peer
        if ctx.session != NO_SESSION:
            self._sessions.require_owner(ctx.session, peer)
        terms = self._exports.find(peer)
        if ctx.session != NO_SESSION:
            self._follow(ctx.session, terms)
        if terms is None:
            raise self._refusal(ctx, "no export is for it")
        if terms is FULL:
            return self._vouching.with_capability(ctx, request, carry_out(ctx, request))
        ctx, request = self._limited(ctx, request, terms)
        answer = carry_out(ctx, request)
        if terms.squash is not Squash.NONE and ctx.session != NO_SESSION:
            self._vouching.note(ctx, request, answer)
        return self._vouching.with_capability(ctx, request, answer)

    def _limited(self, ctx: CallContext, request: Request[Any], terms: Terms) -> tuple[CallContext, Request[Any]]:
        """Return a request as far as terms allow it, on behalf of whom they say. Raises: as carry()."""
        caller = squashed(ctx.caller, terms)
        if caller is not ctx.caller:
            ctx = OnBehalfContext(ctx, caller)
        effect = EFFECTS[type(request)]
        if effect is Effect.ADMINISTERS or (effect is Effect.TELLS and terms.is_confined):
            raise NotPermitted(b"/")
        if terms.is_read_only and is_change(request):
            raise ReadOnly(getattr(request, "path", b""))
        if isinstance(request, OpenSession):
            return ctx, self._as_guest(ctx, request, terms)
        if terms.is_confined and names_inodes(request):
            told = request
            request = self._store.read(lambda reader: confine(reader, told, terms.folder))
        if terms.squash is not Squash.NONE:
            self._vouching.require_write(ctx, request)
        return ctx, request

    def _as_guest(self, ctx: CallContext, request: OpenSession, terms: Terms) -> OpenSession:
        """Return the request of a client that has no say in where the data servers are, for a folder that exists."""
        if terms.is_confined and self._store.read(lambda reader: find_folder(reader, terms.folder)) is None:
            raise self._refusal(ctx, f"its export is the folder {terms.folder}, which does not exist")
        return replace(request, data_servers=())

    def _follow(self, session: SessionId, terms: Terms | None) -> None:
        """Notice that a session's client may do something else than before. Raises: SessionExpired if that is less."""
        before = self._sessions.terms(session)
        if before is None or before == terms:
            return
        if terms is None or narrows(before, terms):
            self._expel(session)
            if terms is not None:
                raise SessionExpired(session)
            return
        self._store.change(lambda tx: self._sessions.set_terms(tx, session, terms))

    def _refusal(self, ctx: CallContext, reason: str) -> ClientRefused:
        """Return the refusal of a client, after telling the operator of it once in a while."""
        client = _show(ctx.caller.peer)
        if self._told.is_news(client, self._clock.monotonic_s()):
            self._events.emit(Event(CLIENT_REFUSED, peer=client, details={"reason": reason}), ctx)
        return ClientRefused(client, reason)


def _show(peer: Peer) -> str:
    return f"{peer.name} at {peer.host}" if peer.name else peer.host
