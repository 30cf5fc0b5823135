"""Remembered answers: repeating a changing call whose answer was lost has no second effect (I6).

The answer of a change stands in the transaction that made the change, until its session acknowledges it; a duplicate that
arrives later is refused. An error that is an answer to the program (FileError) is remembered too, in memory only: it changed
nothing, and a duplicate that could turn it into an effect travels on a connection to this process, so dies with it. Errors
that ask the caller to come again (GrantBusy, ReadOnly, SessionExpired) are not answers. Calls without a session (tools) are
not remembered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, TypeVar

from dfs.core.errors import BadRequest, DuplicateRefused, FileError, ReadOnly
from dfs.core.ids import NO_SESSION, OpId, SessionId
from dfs.core.interfaces import CallContext, Tasks
from dfs.core.messages.requests import Change
from dfs.core.plain import answer_type, from_plain, to_plain
from dfs.meta.state.checks import require_op
from dfs.meta.state.sessions import Sessions
from dfs.meta.state.store import Store, Transaction

A = TypeVar("A")

PRUNE_STEP: Final = 64
"""Acknowledged answers are deleted so many operations at a time."""

_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Answers:
    """Runs changes once."""

    def __init__(self, store: Store, sessions: Sessions, tasks: Tasks) -> None:
        self._store = store
        self._sessions = sessions
        self._mutex = tasks.mutex()
        self._errors: dict[SessionId, dict[OpId, FileError]] = {}
        self._pruned: dict[SessionId, OpId] = {}

    def change(
        self,
        ctx: CallContext,
        request: Change[A],
        work: Callable[[Transaction], A],
        on_repeat: Callable[[Transaction, A], None] | None = None,
    ) -> A:
        """Carry a change out, or return the answer that it got before.

        Arguments: `work`: makes the change and returns the answer; `on_repeat`: restores what an answer implies in memory.
        Raises: what work raises; SessionExpired; DuplicateRefused; BadRequest if the operation was another call before.
        """
        if ctx.session == NO_SESSION:
            return self._store.change(work)
        require_op(request.op)
        acknowledged = self._sessions.acknowledge(ctx)
        return self._store.change(lambda tx: self._once(tx, ctx.session, acknowledged, request, work, on_repeat))

    def require_news(self, ctx: CallContext, op: OpId) -> None:
        """Raise DuplicateRefused if the answer of a call that writes nothing has arrived already."""
        require_op(op)
        if op < self._sessions.acknowledge(ctx):
            raise DuplicateRefused(op)

    def forget_session(self, tx: Transaction, session: SessionId) -> None:
        """Delete all answers of a session that ends in `tx`."""
        tx.run("DELETE FROM answer WHERE session = ?", session)
        tx.after(lambda: self._forget(session))

    def _once(
        self,
        tx: Transaction,
        session: SessionId,
        acknowledged: OpId,
        request: Change[A],
        work: Callable[[Transaction], A],
        on_repeat: Callable[[Transaction, A], None] | None,
    ) -> A:
        self._sessions.require_some(session)
        op, method = request.op, type(request).__name__
        if op < acknowledged:
            raise DuplicateRefused(op)
        row = tx.one("SELECT method, answer FROM answer WHERE session = ? AND op = ?", session, op)
        if row is not None:
            if row[0] != method:
                raise BadRequest(f"operation {op}: expected {row[0]} again, got {method}")
            answer = from_plain(json.loads(row[1]), answer_type(type(request)))
            if on_repeat is not None:
                on_repeat(tx, answer)
            return answer
        error = self._errors.get(session, {}).get(op)
        if error is not None:
            raise error
        try:
            answer = work(tx)
        except FileError as failed:
            if not isinstance(failed, ReadOnly):
                self._remember_error(session, op, acknowledged, failed)
            raise
        tx.run("INSERT INTO answer VALUES (?, ?, ?, ?)", session, op, method, _dumps(to_plain(answer)))
        if acknowledged >= self._pruned.get(session, 0) + PRUNE_STEP:
            self._prune(tx, session, acknowledged)
        return answer

    def _prune(self, tx: Transaction, session: SessionId, acknowledged: OpId) -> None:
        tx.run("DELETE FROM answer WHERE session = ? AND op < ?", session, acknowledged)
        tx.run("UPDATE session SET acknowledged = ? WHERE session = ?", acknowledged, session)
        tx.after(lambda: self._pruned.__setitem__(session, acknowledged))

    def _remember_error(self, session: SessionId, op: OpId, acknowledged: OpId, error: FileError) -> None:
        with self._mutex:
            errors = self._errors.setdefault(session, {})
            errors[op] = error
            if len(errors) >= PRUNE_STEP:
                self._errors[session] = {known: kept for known, kept in errors.items() if known >= acknowledged}

    def _forget(self, session: SessionId) -> None:
        with self._mutex:
            self._errors.pop(session, None)
        self._pruned.pop(session, None)
