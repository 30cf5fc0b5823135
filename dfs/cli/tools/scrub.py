"""`dfsctl scrub`: have data servers read and compare all they store, or one file, at once.

Each server scrubs what is on its own disk at its set pace; with --wait the result of each is told when it is done. Exit status with
--wait: 0 nothing was found or all of it repaired, 1 damage is left or some copies could not be compared; always: 1 no such file,
2 no such server or no regular file, 5 a server does not answer, or was restarted before it was done.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Callable
from typing import Final

from dfs.cli.polling import poll_until
from dfs.cli.tools.ls_blocks import Place
from dfs.cli.tools.status import describe_counts
from dfs.core.errors import BadRequest, DfsError, ExitCode, ServerFailed
from dfs.core.ids import Ino, ServerIndex
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import Lookup
from dfs.core.messages.scrub import EVERYTHING, Scrub, ScrubOrder, ScrubResult, ShowScrub
from dfs.core.start_errors import UsageError

POLL_S: Final = 0.5
"""How often servers are asked whether they are done."""


def find_file(ctx: CallContext, place: Place, meta: MetaApi) -> Ino:
    """Return the inode of the file to be scrubbed. Raises: UsageError if it is no file; meta's errors."""
    attributes = meta.call(ctx, Lookup(place.base, place.path))
    if not stat.S_ISREG(attributes.mode):
        raise UsageError("a regular file", "something else")
    return attributes.ino


def order_scrub(
    ctx: CallContext, meta: MetaApi, servers: DataServers, only: ServerIndex | None, ino: Ino = EVERYTHING
) -> dict[ServerIndex, int]:
    """Have all servers, or one, scrub everything or one inode; return the number of each one's order.

    Raises: UsageError if there is no such server; the error of the first server that does not answer, when the others were told.
    """
    told = meta.call(ctx, ShowMeta())
    servers.set_addresses({at.server: at.address for at in told.data_servers}, told.shape.cluster)
    indexes = [at.server for at in sorted(told.data_servers)]
    if only is not None and only not in indexes:
        raise UsageError(f"a data server from 0 to {len(indexes) - 1}", str(only))
    asked = {index: Scrub(ino) for index in indexes if only in (None, index)}
    orders = {}
    for server, answer in servers.call_all(ctx, asked).items():
        if isinstance(answer, DfsError):
            raise answer
        assert isinstance(answer, ScrubOrder)
        orders[server] = answer.number
    return orders


def wait_for_scrub(
    ctx: CallContext, servers: DataServers, orders: dict[ServerIndex, int], write: Callable[[str], None] = print
) -> int:
    """Wait until all servers have done what they were told; write each one's result and return the exit status.

    Raises: the error of the first server that does not answer; ServerFailed if it was restarted.
    """
    results: dict[ServerIndex, ScrubResult] = {}

    def are_all_done() -> bool:
        results.update(_ask(ctx, servers, {server: number for server, number in orders.items() if server not in results}))
        return len(results) == len(orders)

    poll_until(are_all_done, math.inf, POLL_S)
    for server in sorted(results):
        write(f"data server {server}: {describe_counts(results[server].counts)}")
    is_good = all(not result.counts.damaged and not result.counts.left for result in results.values())
    return ExitCode.DONE if is_good else ExitCode.FAILED


def _ask(ctx: CallContext, servers: DataServers, orders: dict[ServerIndex, int]) -> dict[ServerIndex, ScrubResult]:
    """Return the results of those that are done."""
    done = {}
    for server, answer in servers.call_all(ctx, {server: ShowScrub(number) for server, number in orders.items()}).items():
        if isinstance(answer, BadRequest):
            raise ServerFailed(f"data server {server}", "it was restarted before it was done; ask again") from answer
        if isinstance(answer, DfsError):
            raise answer
        if answer.is_done:
            done[server] = answer
    return done
