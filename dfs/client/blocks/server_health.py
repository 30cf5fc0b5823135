"""Which data servers are known to be down: one book for readers and writers.

A server that failed is not tried before its backoff ends; the delay doubles with each further failure. One event when an outage
is first felt by writing or by reading, one when writing has waited long, one when it is over. Called by reader.py, replication.py
and repairing.py.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from dfs.client.blocks.backoff import delay_s
from dfs.core.errors import DfsError, PeerError
from dfs.core.events.event import Event, EventKind
from dfs.core.events.mount import READ_BOTH_COPIES, READ_ONE_COPY, WRITE_GOES_ON, WRITE_STALLED, WRITE_WAITS
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import POLL_S, CallContext, Clock, EventSink, Random, Tasks, raise_if_cancelled
from dfs.core.limits import RETRY_DELAY_S_MAX

STALL_S: Final = 60.0
"""A write that has waited for so long is no hiccup: somebody must look."""


class Purpose(enum.Enum):
    """What felt an outage."""

    READ = "read"
    WRITE = "write"


_BEGUN: dict[Purpose, EventKind] = {Purpose.READ: READ_ONE_COPY, Purpose.WRITE: WRITE_WAITS}
_ENDED: dict[Purpose, EventKind] = {Purpose.READ: READ_BOTH_COPIES, Purpose.WRITE: WRITE_GOES_ON}


@dataclass(slots=True)
class _Outage:
    began_s: float
    retry_at_s: float
    failures: int = 0
    is_tried: bool = True
    """Whether a caller is trying the server now; the others do not wait for the outcome."""
    felt_by: set[Purpose] = field(default_factory=set)
    reason: str = ""
    is_stall_told: bool = False


class ServerHealth:
    """Outages of data servers, as this mount sees them."""

    def __init__(self, clock: Clock, random: Random, tasks: Tasks, events: EventSink) -> None:
        self._clock = clock
        self._random = random
        self._events = events
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._outages: dict[ServerIndex, _Outage] = {}

    def is_down(self, server: ServerIndex) -> bool:
        """Tell whether the server failed lately, so that it should not be tried yet."""
        if server not in self._outages:
            return False
        with self._mutex:
            return self._due_in_s(server) > 0

    def may_try(self, server: ServerIndex) -> bool:
        """Tell whether the caller should call the server, which it then does and reports.

        When a backoff has ended, one caller tries: a host that does not even refuse must not hold everybody up again.
        """
        if server not in self._outages:
            return True
        with self._mutex:
            outage = self._outages.get(server)
            if outage is None:
                return True
            now_s = self._clock.monotonic_s()
            if now_s < outage.retry_at_s:
                return False
            outage.is_tried = True
            outage.retry_at_s = now_s + RETRY_DELAY_S_MAX
            return True

    def note_failure(self, ctx: CallContext, server: ServerIndex, error: DfsError, purpose: Purpose) -> None:
        """Note that a call did not get a usable answer."""
        reason = error.reason if isinstance(error, PeerError) else str(error)
        now_s = self._clock.monotonic_s()
        with self._mutex:
            outage = self._outages.setdefault(server, _Outage(now_s, now_s))
            if outage.is_tried:  # several calls that fail together are one failure
                outage.retry_at_s = now_s + delay_s(outage.failures, self._random.uniform(0, 1))
                outage.failures += 1
                outage.is_tried = False
            outage.reason = reason
        self.feel(ctx, server, purpose)

    def is_up(self, server: ServerIndex) -> bool:
        """Tell whether the server answered when it was last called."""
        return server not in self._outages

    @property
    def down(self) -> int:
        """How many servers did not answer when they were last called."""
        return len(self._outages)

    def feel(self, ctx: CallContext, server: ServerIndex, purpose: Purpose) -> None:
        """Note that a call of this kind did without the server that is down; told once per outage."""
        with self._mutex:
            outage = self._outages.get(server)
            if outage is None or purpose in outage.felt_by:
                return
            outage.felt_by.add(purpose)
            reason = outage.reason
        self._events.emit(Event(_BEGUN[purpose], server=server, details={"reason": reason}), ctx)

    def note_answer(self, ctx: CallContext, server: ServerIndex) -> None:
        """Note that the server answered as it should."""
        if server not in self._outages:
            return
        with self._mutex:
            outage = self._outages.pop(server, None)
            if outage is None:
                return
            waited_s = self._clock.monotonic_s() - outage.began_s
            self._changed.notify_all()
        for purpose in outage.felt_by:
            self._events.emit(Event(_ENDED[purpose], server=server, details={"waited_s": waited_s}), ctx)

    def wait(self, ctx: CallContext, servers: Iterable[ServerIndex]) -> None:
        """Return when one of the servers may be tried (again). Raises: Interrupted."""
        wanted = list(servers)
        while True:
            raise_if_cancelled(ctx)
            self._tell_stall(ctx, wanted)
            with self._mutex:
                due_in_s = min((self._due_in_s(server) for server in wanted), default=0.0)
                if due_in_s <= 0:
                    return
                self._changed.wait(min(due_in_s, POLL_S))

    def _tell_stall(self, ctx: CallContext, servers: Iterable[ServerIndex]) -> None:
        """Report, once per outage, that writing has waited for STALL_S."""
        now_s = self._clock.monotonic_s()
        for server in servers:
            with self._mutex:
                outage = self._outages.get(server)
                if outage is None or outage.is_stall_told or Purpose.WRITE not in outage.felt_by:
                    continue
                waited_s, reason = now_s - outage.began_s, outage.reason
                outage.is_stall_told = waited_s >= STALL_S
            if waited_s >= STALL_S:
                self._events.emit(Event(WRITE_STALLED, server=server, details={"waited_s": waited_s, "reason": reason}), ctx)

    def _due_in_s(self, server: ServerIndex) -> float:
        outage = self._outages.get(server)
        return 0.0 if outage is None else outage.retry_at_s - self._clock.monotonic_s()
