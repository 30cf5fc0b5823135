"""The contexts that the client makes: an operation's own one with the session added, one for its background tasks, and one that
ends a data call early because another session waits for the grant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dfs.core.errors import EndReason
from dfs.core.ids import NO_OP, NO_SESSION, OpId, SessionId
from dfs.core.interfaces import ROOT_CALLER, CallContext, Caller


@dataclass(frozen=True, slots=True)
class SessionContext:
    """An operation's context as the meta-server must see it."""

    base: CallContext
    session: SessionId
    acknowledged: OpId

    @property
    def request_id(self) -> str:
        """The operation's."""
        return self.base.request_id

    @property
    def caller(self) -> Caller:
        """The operation's."""
        return self.base.caller

    @property
    def deadline_s(self) -> float | None:
        """The operation's."""
        return self.base.deadline_s

    def cancelled(self) -> EndReason | None:
        """Ask the operation."""
        return self.base.cancelled()


@dataclass(frozen=True, slots=True)
class BackgroundContext:
    """What a task of the mount itself does; `ending` tells why it should stop."""

    request_id: str
    ending: Callable[[], EndReason | None]
    caller: Caller = ROOT_CALLER
    session: SessionId = NO_SESSION
    acknowledged: OpId = NO_OP
    deadline_s: float | None = None

    def cancelled(self) -> EndReason | None:
        """Tell whether the mount stops."""
        return self.ending()


@dataclass(frozen=True, slots=True)
class GuardedContext:
    """An operation's context that also ends when `is_over` says so, for `reason`."""

    base: CallContext
    is_over: Callable[[], bool]
    reason: EndReason = EndReason.LEASE_LOST

    @property
    def request_id(self) -> str:
        """The operation's."""
        return self.base.request_id

    @property
    def session(self) -> SessionId:
        """The operation's."""
        return self.base.session

    @property
    def acknowledged(self) -> OpId:
        """The operation's."""
        return self.base.acknowledged

    @property
    def caller(self) -> Caller:
        """The operation's."""
        return self.base.caller

    @property
    def deadline_s(self) -> float | None:
        """The operation's."""
        return self.base.deadline_s

    def cancelled(self) -> EndReason | None:
        """Ask the operation, then the guard."""
        reason = self.base.cancelled()
        if reason is None and self.is_over():
            return self.reason
        return reason
