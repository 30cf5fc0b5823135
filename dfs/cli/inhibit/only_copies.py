"""What only this machine's data servers have: blocks whose other copy can't be relied on. Pure.

Each block of data server N has its other copy on a neighbour (R4). N has the only good copy in reach of those whose neighbour is
away, not complete, or not well; a copy that N itself is still missing or lost is none. Two neighbours on one machine that are both
well have two good copies, though both go when the machine goes: nothing would ever be gained by waiting for that. The rule of what
a neighbour's trouble is is dfs/cli/tools/stop_safety.py's. Called by dfs/cli/inhibit/cluster_look.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from dfs.cli.tools.stop_safety import Loss, find_losses
from dfs.core.ids import ServerIndex
from dfs.core.messages.cluster import RoleState, ServerStatus
from dfs.core.placement import Role, twin_of

HOLDS_NOTHING = (RoleState.BLANK, RoleState.LOST)


@dataclass(frozen=True, slots=True)
class OnlyCopy:
    """The blocks of one data server in one role, of which the other copy can't be relied on."""

    server: ServerIndex
    role: Role
    twin: ServerIndex
    """Who has the other copy."""
    reason: str
    """Why it can't be relied on, as in "which is suspect in its primary role"."""

    def text(self) -> str:
        """Return it for people."""
        return (
            f"data server {self.server} has the only good {self.role.name.lower()} copies: "
            f"the others are on data server {self.twin}, {self.reason}"
        )


def with_neighbours(local: Iterable[ServerIndex], servers: int) -> frozenset[ServerIndex]:
    """Return the data servers in `local` and those that have the other copies of their blocks, of `servers` in all."""
    found = set(local)
    return frozenset(found | {twin_of(server, role, servers)[0] for server in found for role in Role})


def find_only_copies(
    statuses: Mapping[ServerIndex, ServerStatus], local: Collection[ServerIndex], servers: int
) -> tuple[OnlyCopy, ...]:
    """Return what the servers in `local`, of `servers` in all, have alone; they and their neighbours are among `statuses`."""
    still = {server: replace(status, progress="") for server, status in statuses.items()}  # percents would differ at every look
    return tuple(
        OnlyCopy(server, loss.role, loss.twin, loss.reason)
        for server in sorted(local)
        for loss in find_losses(still, server, servers)
        if _has_copies(still[server], loss)
    )


def _has_copies(status: ServerStatus, loss: Loss) -> bool:
    state = status.primary if loss.role is Role.PRIMARY else status.secondary
    return status.reachable and state not in HOLDS_NOTHING


def describe(found: Iterable[OnlyCopy]) -> str:
    """Return all of it on one line, empty if there is nothing."""
    return "; ".join(each.text() for each in found)
