"""Requests on open files: open, acquire, truncate, commit, yield, close.

Each checks its parameters, runs one transaction at most (Open for reading: none), and parks where the design says so. What may
go once it is closed is removed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dfs.core.errors import BadRequest, GrantBusy
from dfs.core.ids import NO_SESSION, NO_TICKET, OpId
from dfs.core.interfaces import CallContext, Clock, raise_if_cancelled
from dfs.core.limits import ACQUIRE_PARK_S
from dfs.core.messages.content import Acquire, Close, Commit, Grant, Opened, Truncate, Yield
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.names import Open
from dfs.core.messages.requests import Change, Done
from dfs.core.messages.sessions import OpenFile
from dfs.core.permissions import READ, WRITE, require_access
from dfs.meta.requests.removal import Removal
from dfs.meta.state.answers import Answers
from dfs.meta.state.checks import require_number, require_size
from dfs.meta.state.grants import Grants, check_holding, grant_row, require_regular
from dfs.meta.state.inodes import attributes, find
from dfs.meta.state.opens import Opens
from dfs.meta.state.paths import resolve
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.sessions import Sessions
from dfs.meta.state.store import Reader, Store, Transaction

A = TypeVar("A")


class Files:
    """Serves the requests on open files."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        answers: Answers,
        grants: Grants,
        opens: Opens,
        recalls: Recalls,
        removal: Removal,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._answers = answers
        self._grants = grants
        self._opens = opens
        self._recalls = recalls
        self._removal = removal
        self._clock = clock

    def open(self, ctx: CallContext, request: Open) -> Opened:
        """Open a regular file; for writing with its grant if that is free. Never waits."""
        if ctx.session != NO_SESSION:
            self._answers.require_news(ctx, request.op)
        removals = self._opens.removals()
        shown, is_grant_free = self._store.read(lambda reader: _look_up(reader, ctx, request))
        if ctx.session == NO_SESSION:
            return Opened(shown, Grant(shown.ino, NO_TICKET, shown.content))
        file = OpenFile(shown.ino, request.op)
        if (request.write and is_grant_free) or not self._opens.register(ctx.session, file, removals):
            return self._answers.change(
                ctx,
                request,
                lambda tx: self._open_inside(tx, ctx, request),
                lambda tx, answer: self._reopen(tx, ctx, answer, request.op),
            )
        return Opened(shown, Grant(shown.ino, NO_TICKET, shown.content))

    def _open_inside(self, tx: Transaction, ctx: CallContext, request: Open) -> Opened:
        shown, _ = _look_up(tx, ctx, request)
        ticket = self._grants.offer(tx, ctx.session, request.op, shown.ino) if request.write else NO_TICKET
        self._opens.register_inside(tx, ctx.session, OpenFile(shown.ino, request.op))
        return Opened(shown, Grant(shown.ino, ticket, shown.content))

    def _reopen(self, tx: Transaction, ctx: CallContext, answer: Opened, op: OpId) -> None:
        ino = answer.attributes.ino
        if find(tx, ino) is not None:
            self._opens.register_inside(tx, ctx.session, OpenFile(ino, op))

    def acquire(self, ctx: CallContext, request: Acquire) -> Grant:
        """Give the write grant, waiting up to ACQUIRE_PARK_S for its holder. Raises: GrantBusy."""
        require_number(request.ino, "ino")
        if not 0 <= request.seen < 1 << 64:
            raise BadRequest(f"seen: expected a generation of 64 bits, got {request.seen}")
        self._sessions.require_some(ctx.session)
        return self._parked(ctx, request, lambda tx: self._grants.acquire(tx, ctx.session, request.op, request.ino, request.seen))

    def truncate(self, ctx: CallContext, request: Truncate) -> Grant:
        """Set the size under the grant, waiting for it like acquire. Raises: GrantBusy."""
        require_size(request.size_bytes, request.path)
        check_holding(request.held)
        return self._parked(ctx, request, lambda tx: self._truncate(tx, ctx, request))

    def _truncate(self, tx: Transaction, ctx: CallContext, request: Truncate) -> Grant:
        inode = resolve(tx, ctx.caller, request.base, request.path)
        require_regular(inode, request.path)
        if not request.handle:
            require_access(inode, ctx.caller, WRITE, request.path)
        return self._grants.truncate(tx, ctx.session, request.op, inode, request.size_bytes, request.held)

    def _parked(self, ctx: CallContext, request: Change[A], work: Callable[[Transaction], A]) -> A:
        until_s = self._clock.monotonic_s() + ACQUIRE_PARK_S
        while True:
            releases = self._recalls.releases()
            try:
                return self._answers.change(ctx, request, work)
            except GrantBusy:
                if not self._recalls.wait_for_release(ctx, releases, until_s):
                    raise_if_cancelled(ctx)
                    raise

    def commit(self, ctx: CallContext, request: Commit) -> Done:
        """Record what a holder wrote. Raises: GrantLost."""
        check_holding(request.holding)
        self._sessions.acknowledge(ctx)

        def work(tx: Transaction) -> None:
            self._sessions.require_some(ctx.session)
            self._grants.commit(tx, ctx.session, request.holding)

        self._store.change(work)
        return Done()

    def yield_grant(self, ctx: CallContext, request: Yield) -> Done:
        """Take a grant back with its holder's last word."""
        check_holding(request.holding)
        self._sessions.require_some(ctx.session)
        return self._answers.change(ctx, request, lambda tx: self._give_back(tx, ctx, request))

    def close(self, ctx: CallContext, request: Close) -> Done:
        """Commit, yield and drop the open."""
        check_holding(request.holding)
        require_number(request.file.ino, "file.ino")
        self._sessions.require_some(ctx.session)
        if request.holding.ticket == NO_TICKET:
            self._answers.require_news(ctx, request.op)
        else:
            if request.holding.ino != request.file.ino:
                raise BadRequest(f"expected the holding of inode {request.file.ino}, got that of {request.holding.ino}")
            self._answers.change(ctx, request, lambda tx: self._give_back(tx, ctx, request))
        self._removal.reap(self._opens.drop(ctx.session, [request.file], self._sessions.acknowledge(ctx)))
        return Done()

    def _give_back(self, tx: Transaction, ctx: CallContext, request: Yield | Close) -> Done:
        self._grants.give_back(tx, ctx.session, request.op, request.holding)
        return Done()


def _look_up(reader: Reader, ctx: CallContext, request: Open) -> tuple[Attributes, bool]:
    """Return the file that is to be opened, and whether the session could have its grant."""
    inode = resolve(reader, ctx.caller, request.base, request.path)
    require_regular(inode, request.path)
    want = (READ if request.read else 0) | (WRITE if request.write else 0)
    require_access(inode, ctx.caller, want, request.path)
    row = grant_row(reader, inode.ino) if request.write else None
    return attributes(reader, inode), row is None or (row.session == ctx.session and not row.fence)
