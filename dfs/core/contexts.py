"""Contexts of calls (pure): of a process' own work, and of an operation with something about it changed.

The contexts of system calls and of requests are made where those arrive: dfs/fusefs/operation_context.py and dfs/rpc/context.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dfs.core.errors import EndReason
from dfs.core.ids import NO_OP, NO_SESSION, OpId, SessionId
from dfs.core.interfaces import ROOT_CALLER, CallContext, Caller


def never() -> EndReason | None:
    """Say that there is no reason to end."""
    return None


@dataclass(frozen=True, slots=True)
class PlainContext:
    """What a server, a mount or a tool does by itself; `ending` tells why it should stop, by default nothing does."""

    request_id: str = "-"
    ending: Callable[[], EndReason | None] = never
    session: SessionId = NO_SESSION
    caller: Caller = ROOT_CALLER
    acknowledged: OpId = NO_OP
    deadline_s: float | None = None

    def cancelled(self) -> EndReason | None:
        """Tell whether, and why, the work should end."""
        return self.ending()


@dataclass(frozen=True, slots=True)
class DerivedContext:
    """An operation's own context; subclasses change what differs."""

    base: CallContext

    @property
    def request_id(self) -> str:
        """The operation's."""
        return self.base.request_id

    @property
    def session(self) -> SessionId:
        """The operation's."""
        return self.base.session

    @property
    def caller(self) -> Caller:
        """The operation's."""
        return self.base.caller

    @property
    def acknowledged(self) -> OpId:
        """The operation's."""
        return self.base.acknowledged

    @property
    def deadline_s(self) -> float | None:
        """The operation's."""
        return self.base.deadline_s

    def cancelled(self) -> EndReason | None:
        """Ask the operation."""
        return self.base.cancelled()


@dataclass(frozen=True, slots=True)
class GuardedContext(DerivedContext):
    """An operation's context that also ends when `is_over` says so, for `reason`."""

    is_over: Callable[[], bool]
    reason: EndReason = EndReason.LEASE_LOST

    def cancelled(self) -> EndReason | None:
        """Ask the operation, then the guard."""
        reason = self.base.cancelled()
        if reason is None and self.is_over():
            return self.reason
        return reason


@dataclass(frozen=True, slots=True)
class UnhurriedContext(DerivedContext):
    """An operation's context that hears of a signal only when `is_time` says so."""

    is_time: Callable[[], bool]

    def cancelled(self) -> EndReason | None:
        """Ask the operation."""
        reason = self.base.cancelled()
        return None if reason is EndReason.SIGNAL and not self.is_time() else reason


@dataclass(frozen=True, slots=True)
class OnBehalfContext(DerivedContext):
    """An operation's context on behalf of somebody else."""

    owner: Caller

    @property
    def caller(self) -> Caller:
        """Whose permissions count instead."""
        return self.owner
