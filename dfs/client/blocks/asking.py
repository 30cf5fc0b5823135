"""Getting blocks from several servers at once, with outages noted: what reader.py, settling.py and repairing.py have in common.

A read never waits long for a server that is silent (decision record 9): it is given up after READ_PATIENCE_S, and from then on a
task beside the reads tries whether it answers again, so that a server that hangs holds up one read once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from dfs.client.blocks.copies import Found, split_answer
from dfs.client.blocks.replication import PASSING
from dfs.client.blocks.server_health import Purpose, ServerHealth
from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError, EndReason, Interrupted
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers, Tasks
from dfs.core.limits import READ_PATIENCE_S
from dfs.core.messages.blocks import Blocks, Get, Run


class Asking:
    """Asks data servers for blocks."""

    def __init__(
        self, servers: DataServers, health: ServerHealth, tasks: Tasks, ending: Callable[[], EndReason | None] = lambda: None
    ) -> None:
        """`ending` tells why the mount stops, if it does: tries of silent servers end then."""
        self._servers = servers
        self._health = health
        self._tasks = tasks
        self._ending = ending

    def get(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Get], patience_s: float = READ_PATIENCE_S
    ) -> list[tuple[Run, Found]]:
        """Return what the servers said, run by run; nothing of a server that failed or was silent, which is noted.

        Raises: StaleTicket, and what else is not a server's own trouble; Interrupted.
        """
        if not calls:
            return []
        result: list[tuple[Run, Found]] = []
        for server, answer in self._servers.call_all(ctx, calls, patience_s).items():
            result += self._checked(ctx, server, calls[server], answer)
        return result

    def is_up(self, ctx: CallContext, server: ServerIndex, probe: Callable[[], Get]) -> bool:
        """Tell whether to ask a server that the caller needs. One that is down is tried, when it is time, with `probe`."""
        if self._health.is_up(server):
            return True
        self._health.feel(ctx, server, Purpose.READ)
        if self._health.may_try(server):
            self._tasks.spawn(f"probe-{server}", partial(self._probe, ctx.request_id, server, probe()))
        return False

    def _probe(self, request_id: str, server: ServerIndex, call: Get) -> None:
        """Note whether a server that was down answers again."""
        ctx = PlainContext(request_id, self._ending)
        try:
            self._checked(ctx, server, call, self._servers.call_all(ctx, {server: call})[server])
        except Interrupted:
            return
        except DfsError:
            self._health.note_answer(ctx, server)  # it refuses this call, but it answers

    def distrust(self, ctx: CallContext, server: ServerIndex, error: DfsError) -> None:
        """Note that a server's answer was useless after all."""
        self._health.note_failure(ctx, server, error, Purpose.READ)

    def _checked(self, ctx: CallContext, server: ServerIndex, call: Get, answer: Blocks | DfsError) -> list[tuple[Run, Found]]:
        try:
            if isinstance(answer, DfsError):
                raise answer
            found = split_answer(server, call.send, call.tell, answer)
        except PASSING as error:
            self.distrust(ctx, server, error)
            return []
        self._health.note_answer(ctx, server)
        return found
