"""How much the cluster can hold: from what the data servers say of their disks, asked at most once a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from dfs.core.errors import DfsError
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers, Tasks
from dfs.core.messages.cluster import Space
from dfs.core.messages.data_server import ShowData
from dfs.meta.state.cluster import Cluster

KEEP_S: Final = 1.0
"""An answer is used for so long."""


def total_bytes(spaces: Collection[Space]) -> int:
    """Return how much user data empty disks would hold: half of all, each disk counted once."""
    return sum({space.device: space.total_bytes for space in spaces}.values()) // 2


def free_bytes(spaces: Collection[Space], servers: int) -> int:
    """Return how much more user data fits when it is spread evenly: the fullest server sets the limit for all N.

    Servers on one disk share what is free there.
    """
    if not spaces:
        return 0
    sharing = Counter(space.device for space in spaces)
    return servers * min(space.free_bytes // sharing[space.device] for space in spaces) // 2


class SpaceWatch:
    """The data servers' disks. A server that is away counts with what it said last."""

    def __init__(self, cluster: Cluster, servers: DataServers, tasks: Tasks, clock: Clock) -> None:
        self._cluster = cluster
        self._servers = servers
        self._clock = clock
        self._mutex = tasks.mutex()
        self._spaces: dict[ServerIndex, Space] = {}
        self._asked_s: float | None = None

    def spaces(self, ctx: CallContext) -> list[Space]:
        """Return the space of all servers that have answered since our start."""
        if self._is_due():
            answers = self._servers.call_all(ctx, {i: ShowData() for i in self._cluster.indexes()})
            found = {i: answer.space for i, answer in answers.items() if not isinstance(answer, DfsError)}
            with self._mutex:
                self._spaces.update(found)
        with self._mutex:
            return list(self._spaces.values())

    def _is_due(self) -> bool:
        """Tell whether it is the caller who asks the servers; others meanwhile use what is known, if anything is."""
        now_s = self._clock.monotonic_s()
        with self._mutex:
            if self._spaces and self._asked_s is not None and now_s - self._asked_s < KEEP_S:
                return False
            self._asked_s = now_s
            return True
