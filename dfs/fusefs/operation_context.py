"""The context of each FUSE operation: on whose behalf it runs and whether its answer is still wanted (I7).

Owns request identifiers, the callers' identities (groups remembered for a second, root mapped where the mount says so) and the
decision to end an operation: a signal that ends its caller, the time that a soft mount gives it, the end of the machine or of this
mount. Made by operations.py at every call from the kernel; lease and session belong to the client service.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from dfs.core.errors import EndReason
from dfs.core.ids import NO_OP, NO_SESSION, OpId, SessionId
from dfs.core.interfaces import Caller
from dfs.fusefs.binding import RawCaller
from dfs.fusefs.caller_process import has_ending_signal, is_exiting, read_groups

GROUPS_TTL_S: Final = 1.0
"""How long a caller's groups are believed; a process that calls setgroups(2) and nothing else waits this long for its effect."""
WRITE_BACK_PATIENCE_S: Final = 5.0
"""How long write-back of a shared mapping, which has no caller who could be killed, goes on waiting after a lazy unmount."""
CLOSING: Final = frozenset({"flush", "lock"})
"""Operations that the kernel makes for a task that exits: at each close, files are flushed and then unlocked."""
_GROUPS_KEPT_MAX: Final = 256


class CallInProgress(Protocol):
    """What the binding knows about the call that this thread answers."""

    def caller(self) -> RawCaller:
        """Return who made it."""

    def interrupted(self) -> bool:
        """Tell whether any signal was announced to the caller."""


@dataclass(frozen=True, slots=True)
class OperationTerms:
    """What the options of a mount say of all its operations."""

    timeout_s: float | None = None
    """Soft mounts: an operation that has not ended after so long ends with EIO. None: it waits for ever."""
    root_as: Caller | None = None
    """Whose permissions root's calls have; None: root's own."""


HARD: Final = OperationTerms()


class _WaitsEnd(NamedTuple):
    """From when on nothing may wait long any more, and how long."""

    since_s: float
    grace_s: float


class OperationContexts:
    """Makes the contexts of one mount, and ends them all when the mount ends."""

    def __init__(
        self,
        binding: CallInProgress,
        prefix: str,
        monotonic_s: Callable[[], float] = time.monotonic,
        terms: OperationTerms = HARD,
    ) -> None:
        self._terms = terms
        self._waits_end: _WaitsEnd | None = None
        self._in_progress: set[OperationContext] = set()
        self._binding = binding
        self._prefix = prefix
        self._monotonic_s = monotonic_s
        self._numbers = itertools.count(1)
        self._groups: dict[RawCaller, tuple[float, tuple[int, ...]]] = {}
        self._ending = False
        self._is_mounted: Callable[[], bool] = _always

    def begin(self, operation: str) -> OperationContext:
        """Return the context of a call from the kernel, in progress until `finish`; called on the thread that answers it."""
        request_id = f"{self._prefix}-{next(self._numbers):x}"
        ctx = OperationContext(self, self._binding.caller(), request_id, operation in CLOSING, self._monotonic_s())
        self._in_progress.add(ctx)
        return ctx

    def finish(self, ctx: OperationContext) -> None:
        """Note that an operation is answered."""
        self._in_progress.discard(ctx)

    @property
    def under_way(self) -> int:
        """How many operations are in progress."""
        return len(self._in_progress)

    def is_idle(self) -> bool:
        """Tell whether no operation is in progress."""
        return not self._in_progress

    def watch_mount(self, is_mounted: Callable[[], bool]) -> None:
        """Say how to find out whether the file system is still mounted somewhere."""
        self._is_mounted = is_mounted

    def is_abandoned(self, begun_s: float) -> bool:
        """Tell whether write-back that began then has waited long enough on a file system that is no longer mounted."""
        return self._monotonic_s() - begun_s > WRITE_BACK_PATIENCE_S and not self._is_mounted()

    def end_waits(self, grace_s: float) -> None:
        """Let no operation, present or future, wait longer than `grace_s` seconds from now on: the machine is going down."""
        self._waits_end = _WaitsEnd(self._monotonic_s(), grace_s)

    def overdue(self, begun_s: float, *, waits_for_others: bool) -> EndReason | None:
        """Tell why an operation that began then has lasted too long, if it has.

        `waits_for_others`: it waits for another program's lock, not for a server, and so may take any time on a soft mount.
        """
        limit, timeout_s = self._waits_end, self._terms.timeout_s
        if limit is not None and self._monotonic_s() - max(begun_s, limit.since_s) > limit.grace_s:
            return EndReason.SHUTDOWN
        if timeout_s is not None and not waits_for_others and self._monotonic_s() - begun_s > timeout_s:
            return EndReason.DEADLINE
        return None

    def end_all(self) -> None:
        """Ask all operations, present and future, to end with EndReason.SHUTDOWN."""
        self._ending = True

    @property
    def ending(self) -> bool:
        """Whether the mount ends."""
        return self._ending

    def interrupted(self) -> bool:
        """Tell whether the kernel announced a signal; only on the thread that answers the call."""
        return self._binding.interrupted()

    def caller_of(self, raw: RawCaller) -> Caller:
        """Return on whose behalf a call is carried out."""
        if raw.uid == 0 and self._terms.root_as is not None:
            return self._terms.root_as
        return Caller(raw.uid, raw.gid, self._groups_of(raw))

    def _groups_of(self, raw: RawCaller) -> tuple[int, ...]:
        """Return the caller's supplementary groups. Root's are never asked for: it may do everything anyway."""
        if raw.uid == 0 or raw.pid == 0:
            return ()
        now_s = self._monotonic_s()
        known = self._groups.get(raw)
        if known is not None and now_s - known[0] < GROUPS_TTL_S:
            return known[1]
        groups = read_groups(raw.pid)
        if len(self._groups) >= _GROUPS_KEPT_MAX:
            self._groups.clear()
        self._groups[raw] = (now_s, groups)
        return groups


class OperationContext:
    """A CallContext for one call from the kernel."""

    __slots__ = ("_begun_s", "_caller", "_contexts", "_owner", "_raw", "_request_id", "_waits_for_others", "_watch_exit")

    def __init__(self, contexts: OperationContexts, raw: RawCaller, request_id: str, watch_exit: bool, begun_s: float) -> None:
        self._contexts = contexts
        self._raw = raw
        self._request_id = request_id
        # A task that exits closes its files when its signals are spent: only its exit flag tells that nobody waits for the flush.
        self._watch_exit = watch_exit
        self._begun_s = begun_s
        self._waits_for_others = False
        self._owner = threading.get_ident()
        self._caller: Caller | None = None

    @property
    def request_id(self) -> str:
        """Identifier of the operation: the mount's prefix and a number."""
        return self._request_id

    @property
    def session(self) -> SessionId:
        """None here: the client service adds its own."""
        return NO_SESSION

    @property
    def caller(self) -> Caller:
        """Who made the system call."""
        if self._caller is None:
            self._caller = self._contexts.caller_of(self._raw)
        return self._caller

    @property
    def pid(self) -> int:
        """The thread that made the system call; 0 if it is invisible from here."""
        return self._raw.pid

    @property
    def acknowledged(self) -> OpId:
        """None here: the client service adds its own."""
        return NO_OP

    @property
    def deadline_s(self) -> float | None:
        """System calls have no deadline that servers should know of."""
        return None

    def wait_for_others(self) -> None:
        """Note that from now on the operation waits for another program's lock, which may take any time."""
        self._waits_for_others = True

    def cancelled(self) -> EndReason | None:
        """Tell whether the mount or its patience ends or the caller is to die; the last only on the thread that libfuse called."""
        if self._contexts.ending:
            return EndReason.SHUTDOWN
        overdue = self._contexts.overdue(self._begun_s, waits_for_others=self._waits_for_others)
        if overdue is not None:
            return overdue
        if threading.get_ident() != self._owner:
            # libfuse keeps the call in progress per thread; asking elsewhere would crash it.
            return None
        pid = self._raw.pid
        if self._contexts.interrupted() and (pid == 0 or has_ending_signal(pid)):
            # A caller of another PID namespace is invisible: rather end its call than let it hang.
            return EndReason.SIGNAL
        if pid == 0:
            return EndReason.SHUTDOWN if self._contexts.is_abandoned(self._begun_s) else None
        if self._watch_exit and is_exiting(pid):
            return EndReason.SIGNAL
        return None


def _always() -> bool:
    return True
