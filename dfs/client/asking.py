"""Getting blocks from several servers at once, with outages noted: what reader.py, settling.py and repairing.py have in common."""

from __future__ import annotations

from collections.abc import Mapping

from dfs.client.copies import Found, split_answer
from dfs.client.replication import PASSING
from dfs.client.server_health import Purpose, ServerHealth
from dfs.core.block_messages import Blocks, Get, Run
from dfs.core.errors import DfsError
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers


class Asking:
    """Asks data servers for blocks."""

    def __init__(self, servers: DataServers, health: ServerHealth) -> None:
        self._servers = servers
        self._health = health

    def get(self, ctx: CallContext, calls: Mapping[ServerIndex, Get]) -> list[tuple[Run, Found]]:
        """Return what the servers said, run by run; nothing of a server that failed, which is noted.

        Raises: StaleTicket, and what else is not a server's own trouble; Interrupted.
        """
        if not calls:
            return []
        result: list[tuple[Run, Found]] = []
        for server, answer in self._servers.call_all(ctx, calls).items():
            result += self._checked(ctx, server, calls[server], answer)
        return result

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
