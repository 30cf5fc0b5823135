"""One look at this machine's data servers and their neighbours: what nobody else has a good copy of.

At most one small call (ShowData) to each of them: they know their own states, so that nothing is read or compared for it, and the
meta-server is not needed. Called by dfs/cli/inhibit/watch.py on one thread.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Final

from dfs.cli.inhibit.only_copies import OnlyCopy, find_only_copies, with_neighbours
from dfs.cli.tools.cluster_health import status_of
from dfs.core.errors import BadRequest, DfsError
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.messages.cluster import ServerAddress
from dfs.core.messages.data_server import DataStatus, ShowData
from dfs.rpc.addresses import resolve

LOOKS_PER_SEARCH: Final = 12
"""Every so many looks those servers that were not this machine's are looked up again: its addresses may come late."""


def is_of_this_machine(address: str) -> bool:
    """Tell whether host:port is an address of this machine: whether a socket can have it."""
    try:
        family, place = resolve(address)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((place[0], 0))
    except (OSError, BadRequest):
        return False
    return True


class ClusterLook:
    """Looks, again and again."""

    def __init__(
        self, servers: DataServers, addresses: Sequence[str], is_local: Callable[[str], bool] = is_of_this_machine
    ) -> None:
        """Arguments: a client of data servers; host:port of all of them in order of index; whether one is this machine's."""
        self._servers = servers
        self._addresses = addresses
        self._is_local = is_local
        self._local: set[ServerIndex] = set()
        self._looks = 0
        servers.set_addresses({ServerIndex(index): address for index, address in enumerate(addresses)}, "")

    def look(self, ctx: CallContext) -> tuple[OnlyCopy, ...]:
        """Return what this machine's data servers alone have a good copy of."""
        if self._looks % LOOKS_PER_SEARCH == 0:
            self._local |= {ServerIndex(index) for index, address in enumerate(self._addresses) if self._is_local(address)}
        self._looks += 1
        count = len(self._addresses)
        answers = self._servers.call_all(ctx, {server: ShowData() for server in with_neighbours(self._local, count)})
        serving = {server for server in self._local if self._serves(answers[server])}
        statuses = {}
        for server in with_neighbours(serving, count):
            shape = next(answer.identity.shape for local in sorted(serving) if isinstance(answer := answers[local], DataStatus))
            statuses[server] = status_of(ServerAddress(server, self._addresses[server]), answers[server], shape)
        return find_only_copies(statuses, serving, count)

    def _serves(self, answer: DataStatus | DfsError) -> bool:
        """Tell whether one of this machine's data servers answers and has been formatted for as many servers as are configured."""
        return isinstance(answer, DataStatus) and answer.identity.shape.servers == len(self._addresses)
