"""Asking the meta-server until it answers: backoff, jitter, and one log line at the start and the end of an outage.

Knows nothing of sessions and operation numbers: what is repeated is the very same request, which is harmless for every request
of core/messages/meta_methods.py (I6). Called by session.py and meta_link.py.
"""

from __future__ import annotations

from typing import Final, TypeVar

from dfs.client.blocks.patience import Patience
from dfs.client.metadata.answer_checks import why_impossible
from dfs.core.errors import (
    BadAnswer,
    DfsError,
    Interrupted,
    NotAuthenticated,
    NotFormatted,
    PeerError,
    ServerFailed,
    Stopping,
    TlsFailed,
    Unreachable,
)
from dfs.core.events.event import Event
from dfs.core.events.mount import META_GOES_ON, META_WAITS
from dfs.core.interfaces import CallContext, Clock, EventSink, MetaApi, Random, Tasks
from dfs.core.messages.requests import Request

A = TypeVar("A")

AWAY: Final = (Unreachable, Stopping, NotFormatted, BadAnswer, NotAuthenticated, TlsFailed)
"""Errors that mean: no meta-server there for now, or something else in its place that speaks nonsense or is not trusted."""
FAILURES_MAX: Final = 3
"""How often a call is repeated that meets a bug: it may have been the moment, but hardly was."""
_META: Final = "the meta-server"


class PatientMeta:
    """The meta-server, asked until it answers."""

    def __init__(self, meta: MetaApi, clock: Clock, random: Random, tasks: Tasks, events: EventSink) -> None:
        self._meta = meta
        self._clock = clock
        self._random = random
        self._events = events
        self._mutex = tasks.mutex()
        self._peer = _META
        self._outage_began_s: float | None = None
        self._last_failure = "no answer yet"
        self._is_refused = False

    @property
    def last_failure(self) -> str:
        """Why the last call that failed for want of an answer did so; for people."""
        return self._last_failure

    @property
    def is_refused(self) -> bool:
        """Whether the last call failed because one side does not accept the other's key."""
        return self._is_refused

    def silent_s(self) -> float:
        """Return for how many seconds the meta-server has not answered; 0 if it does."""
        began_s = self._outage_began_s
        return 0.0 if began_s is None else self._clock.monotonic_s() - began_s

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Return the answer, however long it takes.

        Raises: Interrupted; whatever meta answers; ServerFailed if it does so FAILURES_MAX times.
        """
        return self.call_timed(ctx, request)[0]

    def call_timed(self, ctx: CallContext, request: Request[A], at_once: tuple[type[DfsError], ...] = ()) -> tuple[A, float]:
        """Do what call() does; return also when, on the monotonic clock, the request was sent that was answered.

        `at_once`: errors that are raised although waiting might cure them.
        """
        patience = Patience(self._clock, self._random)
        failures = 0
        while True:
            sent_s = self._clock.monotonic_s()
            try:
                return self.try_once(ctx, request), sent_s
            except ServerFailed:
                failures += 1
                if failures == FAILURES_MAX:
                    raise
                patience.wait(ctx)
            except AWAY as error:
                if isinstance(error, at_once):
                    raise
                patience.wait(ctx)  # until somebody ends it

    def try_once(self, ctx: CallContext, request: Request[A]) -> A:
        """Return the answer to a single call. Raises: whatever comes of it."""
        try:
            answer = self._meta.call(ctx, request)
            if reason := why_impossible(answer):
                raise BadAnswer(self._peer, reason)
        except AWAY as error:
            self._note_failure(ctx, error)
            raise
        except Interrupted as error:
            if ctx.deadline_s is not None or ctx.cancelled() is not None:
                raise
            nonsense = BadAnswer(self._peer, f"{error}, though nobody had asked for that")
            self._note_failure(ctx, nonsense)
            raise nonsense from error
        except ServerFailed:
            raise
        except DfsError:
            self._note_answer(ctx)
            raise
        self._note_answer(ctx)
        return answer

    def _note_failure(self, ctx: CallContext, error: DfsError) -> None:
        reason = error.reason if isinstance(error, PeerError) else str(error)
        with self._mutex:
            self._last_failure = str(error)
            self._is_refused = isinstance(error, NotAuthenticated)
            if self._outage_began_s is not None:
                return
            self._outage_began_s = self._clock.monotonic_s()
            if isinstance(error, PeerError):
                self._peer = error.peer
            event = Event(META_WAITS, peer=self._peer, details={"reason": reason})
        self._events.emit(event, ctx)

    def _note_answer(self, ctx: CallContext) -> None:
        if self._outage_began_s is None:
            return
        with self._mutex:
            if self._outage_began_s is None:
                return
            waited_s = self._clock.monotonic_s() - self._outage_began_s
            self._outage_began_s = None
            event = Event(META_GOES_ON, peer=self._peer, details={"waited_s": waited_s})
        self._events.emit(event, ctx)
