"""Storing blocks on all their servers: every write waits here until each server has its part (R10).

All servers are called at once. One that can't be reached is tried again with backoff for as long as the caller wants (I7); a
full or read-only disk is the caller's error at once. Called by writer.py with the inode's turn held; knows nothing of grants:
`go_on` is asked before every round and raises when the write must not be continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dfs.client.blocks.server_health import Purpose, ServerHealth
from dfs.core.errors import (
    BadAnswer,
    CapabilityRefused,
    Conflict,
    DfsError,
    NotAuthenticated,
    NotFormatted,
    NotTrusted,
    ServerFailed,
    StaleTicket,
    Stopping,
    TlsFailed,
    Unreachable,
    WrongServer,
)
from dfs.core.ids import GENERATION_MAX, NUMBER_MAX, Ino, ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers, Tasks, raise_if_cancelled
from dfs.core.limits import LATE_PUT_S
from dfs.core.messages.blocks import Put, Sync
from dfs.core.messages.requests import Done, Request
from dfs.core.meters import Waits

PASSING = (
    Unreachable,
    TlsFailed,
    Stopping,
    NotFormatted,
    NotTrusted,
    WrongServer,
    BadAnswer,
    ServerFailed,
    NotAuthenticated,
    CapabilityRefused,
)
"""Errors that the same server, or another one in its place, may get over. The last: the meta-server has just made one, so that the
server's clock or key is wrong.
"""


class Replication:
    """Reaches every server that is meant, however long it takes."""

    def __init__(self, servers: DataServers, health: ServerHealth, clock: Clock, tasks: Tasks) -> None:
        self._servers = servers
        self._health = health
        self._clock = clock
        self.waits = Waits(tasks.mutex())
        """Of writes and syncs, for servers that do not take them."""

    def put(self, ctx: CallContext, puts: Mapping[ServerIndex, Put], go_on: Callable[[], None], reached: set[ServerIndex]) -> None:
        """Store one round of Puts on all their servers.

        If that took long, all is stored once more, and synced before it counts. The first: a server that had stored its part may
        have lost its disk since, and have been rebuilt from one that had not (I1). The second: when the machine of one server
        loses power, the other one tells what it took at about the same time (decision record 12), and a copy stored much later
        than its twin would be forgotten. A server that is suspect refuses that, and need not do it: it compares itself from
        before its twin was stored.

        Arguments: `reached`: the servers that may have stored something are added, however this ends.
        Raises: Interrupted; NoSpace, ReadOnly; Conflict (with the highest generation of all) or StaleTicket: the grant is gone.
        """
        began_s = self._clock.monotonic_s()
        self._reach_all(ctx, puts, go_on, reached)
        while self._clock.monotonic_s() - began_s > LATE_PUT_S:
            began_s = self._clock.monotonic_s()
            self._reach_all(ctx, puts, go_on, reached)
            syncs = {server: Sync(put.ino) for server, put in puts.items()}
            self._reach_all(ctx, syncs, go_on, set(), needless=NotTrusted)

    def sync(self, ctx: CallContext, ino: Ino, servers: Iterable[ServerIndex]) -> None:
        """Make all that is stored of an inode on these servers survive a power cut. Raises: Interrupted."""
        self._reach_all(ctx, {server: Sync(ino) for server in servers}, lambda: None, set())

    def wait_for_any_down(self, ctx: CallContext, servers: int) -> None:
        """If some of the servers are known to be down, wait until one of them is worth trying again. Raises: Interrupted."""
        down = [ServerIndex(index) for index in range(servers) if self._health.is_down(ServerIndex(index))]
        if down:
            self._health.wait(ctx, down)

    def _reach_all(
        self,
        ctx: CallContext,
        requests: Mapping[ServerIndex, Request[Done]],
        go_on: Callable[[], None],
        reached: set[ServerIndex],
        needless: type[DfsError] | tuple[()] = (),
    ) -> None:
        """Call each server until it has answered; `needless`: an error that is as good as an answer."""
        pending = dict(requests)
        self._call_due(ctx, pending, go_on, reached, needless)
        if not pending:
            return
        number = self.waits.begin(self._clock.monotonic_s())
        try:
            while pending:
                self._health.wait(ctx, pending)
                self._call_due(ctx, pending, go_on, reached, needless)
        finally:
            self.waits.end(number)

    def _call_due(
        self,
        ctx: CallContext,
        pending: dict[ServerIndex, Request[Done]],
        go_on: Callable[[], None],
        reached: set[ServerIndex],
        needless: type[DfsError] | tuple[()],
    ) -> None:
        """Call those servers that may be tried now, and take out of `pending` those that have answered."""
        raise_if_cancelled(ctx)
        go_on()
        due = {server: request for server, request in pending.items() if self._health.may_try(server)}
        first_time = due.keys() - reached
        reached.update(due)
        refused: list[DfsError] = []
        for server, given in self._servers.call_all(ctx, due).items() if due else ():
            answer = _believable(server, due[server], given)
            if not isinstance(answer, DfsError) or isinstance(answer, needless):
                self._health.note_answer(ctx, server)
                del pending[server]
            elif isinstance(answer, PASSING):
                self._health.note_failure(ctx, server, answer, Purpose.WRITE)
            else:
                self._health.note_answer(ctx, server)
                refused.append(answer)
                if isinstance(answer, (Conflict, StaleTicket)) and server in first_time:
                    reached.discard(server)
        if refused:
            raise _gravest(refused)


def _believable(server: ServerIndex, request: Request[Done], answer: Done | DfsError) -> Done | DfsError:
    """Return an answer, or BadAnswer if it says by impossible numbers that the grant is gone: meta would be asked without end."""
    if isinstance(answer, Conflict):
        is_possible = isinstance(request, Put) and request.generation <= answer.highest <= GENERATION_MAX
    elif isinstance(answer, StaleTicket):
        is_possible = isinstance(request, Put) and request.ticket < answer.floor <= NUMBER_MAX
    else:
        return answer
    return answer if is_possible else BadAnswer(f"data server {server}", f"{answer}")


def _gravest(errors: list[DfsError]) -> DfsError:
    """Return the error that decides: one that ends the write, else the highest conflict, else a stale ticket."""
    gone = [error for error in errors if isinstance(error, (Conflict, StaleTicket))]
    if len(gone) < len(errors):
        return next(error for error in errors if not isinstance(error, (Conflict, StaleTicket)))
    return max(gone, key=lambda error: error.highest if isinstance(error, Conflict) else 0)
