"""The way of blocks to and from the data servers, put together: for a mount, and for tools that read and repair as a mount does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dfs.client.blocks.asking import Asking
from dfs.client.blocks.reader import Reader
from dfs.client.blocks.repairing import Repairing
from dfs.client.blocks.replication import Replication
from dfs.client.blocks.server_health import ServerHealth
from dfs.client.blocks.settling import Settling
from dfs.core.contexts import never
from dfs.core.errors import EndReason
from dfs.core.interfaces import Clock, DataServers, EventSink, Random, Tasks


class BlockPath(NamedTuple):
    """What reads and what stores; both know the same of each server's health."""

    reader: Reader
    replication: Replication
    health: ServerHealth


def make_block_path(
    *,
    servers: DataServers,
    clock: Clock,
    random: Random,
    tasks: Tasks,
    events: EventSink,
    ending: Callable[[], EndReason | None] = never,
    mends: Callable[[], bool] = lambda: False,
) -> BlockPath:
    """Return the parts.

    Arguments: `ending` tells why background repairs should stop; `mends` whether data servers repair instead of
    this process.
    """
    health = ServerHealth(clock, random, tasks, events)
    asking = Asking(servers, health, tasks, ending)
    settling = Settling(asking, Repairing(servers, asking, health, clock, events, mends), tasks, events)
    return BlockPath(Reader(asking, health, settling, clock, random), Replication(servers, health, clock, tasks), health)
