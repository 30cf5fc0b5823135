"""All calls to the meta-server on behalf of operations: the session, operation numbers, repetition until answered.

Promises: a call is answered once, however often it had to be sent (I6); a session that has expired is replaced on the way, and
the call made anew in the next one, unless it says that it belongs to the old one. A change that opens something and whose caller
was killed before the answer came is carried to its end by `finish_orphans`, so that nothing stays open for ever.
Lock order: turns may be held by callers; the mutex here is innermost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dfs.client.metadata.meta_retry import PatientMeta
from dfs.client.metadata.op_numbers import OpNumbers
from dfs.client.metadata.session import Session, SessionContext
from dfs.core.errors import DuplicateRefused, FileError, Interrupted, ReadOnly, SessionExpired
from dfs.core.ids import OpId, SessionId
from dfs.core.interfaces import CallContext, Caller, Tasks
from dfs.core.messages.requests import Change, Request

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Orphan:
    """A change whose caller has gone, and what to do with its answer."""

    request: Change[Any]
    session: SessionId
    caller: Caller
    finish: Callable[[OpId, Any], None]


@dataclass(frozen=True, slots=True)
class _OrphanContext(SessionContext):
    owner: Caller

    @property
    def caller(self) -> Caller:
        """The operation that has gone decides what was allowed."""
        return self.owner


class MetaLink:
    """The meta-server as operations use it."""

    def __init__(
        self,
        *,
        meta: PatientMeta,
        session: Session,
        ops: OpNumbers,
        tasks: Tasks,
        learn: Callable[[Any], None] = lambda answer: None,
    ) -> None:
        """`learn` is shown each answer."""
        self._learn = learn
        self._meta = meta
        self._session = session
        self._ops = ops
        self._mutex = tasks.mutex()
        self._orphans: list[_Orphan] = []

    @property
    def session(self) -> SessionId:
        """The session that counts now."""
        return self._session.number

    def has_orphans(self) -> bool:
        """Tell whether there are changes whose callers have gone and that may still be made."""
        return bool(self._orphans)

    def ask(self, ctx: CallContext, request: Request[A]) -> A:
        """Make a call that needs no operation number; it is repeated in the next session if this one has expired.

        Raises: what meta answers; Interrupted.
        """
        while True:
            session = self._session.number
            try:
                return self._call(ctx, request, session)
            except (SessionExpired, DuplicateRefused):
                continue  # the second: an assertion on whose way another call acknowledged more

    def ask_within(self, ctx: CallContext, request: Request[A], session: SessionId) -> A:
        """Make a call that means something in `session` alone. Raises: SessionExpired; what meta answers; Interrupted."""
        if session != self._session.number:
            raise SessionExpired(session)
        return self._call(ctx, request, session)

    def change(
        self,
        ctx: CallContext,
        make: Callable[[OpId], Change[A]],
        *,
        session: SessionId | None = None,
        finish: Callable[[OpId, A], None] | None = None,
    ) -> A:
        """Make a change, `make(op)`.

        Arguments: `session`: the only one in which it means something; None: any. `finish`: called with the operation's number
        and its answer if that comes after the caller was interrupted.
        Raises: what meta answers, among it SessionExpired if `session` is given; Interrupted.
        """
        while True:
            current = self._session.number
            if session not in (None, current):
                raise SessionExpired(current if session is None else session)
            op = self._ops.begin()
            request = make(op)
            is_orphan = False
            try:
                return self._call(ctx, request, current)
            except SessionExpired:
                if session is not None:
                    raise
            except Interrupted:
                if finish is not None:
                    is_orphan = True
                    with self._mutex:
                        self._orphans.append(_Orphan(request, current, ctx.caller, finish))
                raise
            finally:
                if not is_orphan:
                    self._ops.end(op)

    def begin_op(self) -> OpId:
        """Return the number of a change that is sent with `send`, as often as it takes, until `end_op`."""
        return self._ops.begin()

    def send(self, ctx: CallContext, request: Change[A], session: SessionId) -> A:
        """Send a change that has its number already. Raises: what meta answers; SessionExpired; Interrupted."""
        if session != self._session.number:
            raise SessionExpired(session)
        return self._call(ctx, request, session)

    def end_op(self, op: OpId) -> None:
        """Note that a change will not be sent again."""
        self._ops.end(op)

    def finish_orphans(self, ctx: CallContext) -> None:
        """Carry changes to their end whose callers have gone. Raises: Interrupted; those left are kept."""
        while True:
            with self._mutex:
                if not self._orphans:
                    return
                orphan = self._orphans[0]
            if not self._is_finished(ctx, orphan):
                return
            with self._mutex:
                self._orphans.remove(orphan)
            self._ops.end(orphan.request.op)

    def _is_finished(self, ctx: CallContext, orphan: _Orphan) -> bool:
        """Carry a change to its end. Result: False if meta, being read-only, can't say now whether it had its effect."""
        if orphan.session != self._session.number:
            return True  # meta forgot with the session what the change opened
        told = _OrphanContext(ctx, orphan.session, self._ops.acknowledged(), orphan.caller)
        try:
            answer = self._meta.call(told, orphan.request)
        except SessionExpired:
            self._session.renew(ctx, orphan.session)
            return True
        except ReadOnly:
            return False
        except FileError:
            return True  # it had no effect, and there is nobody left to tell
        orphan.finish(orphan.request.op, answer)
        return True

    def _call(self, ctx: CallContext, request: Request[A], session: SessionId) -> A:
        told = SessionContext(ctx, session, self._ops.acknowledged())
        try:
            answer = self._meta.call(told, request)
        except SessionExpired:
            self._session.renew(ctx, session)
            raise
        self._learn(answer)
        return answer
