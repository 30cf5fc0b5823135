"""What `dfsctl status` knows of a cluster, and its one judgement: healthy, degraded, or data at risk. Pure.

Called by dfs/cli/tools/status.py, which asks the servers and shows the result.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from dfs.core.errors import DfsError, NotAuthenticated, PeerError
from dfs.core.messages.cluster import MetaStatus, RoleState, ServerAddress, ServerStatus, Shape, Space
from dfs.core.messages.data_server import DataStatus

META_OK = "ok"
"""MetaStatus.state when nothing is wrong; anything else says what is."""
KEY_REFUSED = "key not accepted: "
"""How the reason begins why a data server counts as unreachable, if one side does not accept the other's key."""
NO_SPACE_KNOWN = Space(0, 0, "")


class Health(enum.IntEnum):
    """The verdict, which is also the exit status of `dfsctl status`."""

    HEALTHY = 0
    DEGRADED = 1
    """Something is not as it should be, but every block has a good server."""
    AT_RISK = 2
    """Two neighbours are not healthy: some blocks may have no good copy, or lose their last one next."""

    def words(self) -> str:
        """Return the verdict for people."""
        return ("healthy", "degraded", "DATA AT RISK: two neighbouring servers are not healthy")[self]


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """The whole cluster at one moment."""

    meta_address: str
    meta: MetaStatus
    servers: tuple[ServerStatus, ...]
    """In order of their index."""

    def health(self) -> Health:
        """Return the verdict."""
        healthy = [is_healthy(server) for server in self.servers]
        if has_unhealthy_neighbours(healthy):
            return Health.AT_RISK
        if self.meta.state == META_OK and self.servers and all(healthy):
            return Health.HEALTHY
        return Health.DEGRADED


def is_healthy(server: ServerStatus) -> bool:
    """Tell whether a data server has all that it should have and can be trusted."""
    return server.reachable and not server.reason and server.primary is server.secondary is RoleState.COMPLETE


def has_unhealthy_neighbours(healthy: Sequence[bool]) -> bool:
    """Tell whether two neighbours on the ring of servers, which share blocks (R4), are both not healthy."""
    return len(healthy) > 1 and any(not healthy[index] and not healthy[index - 1] for index in range(len(healthy)))


def status_of(at: ServerAddress, answer: DataStatus | DfsError, shape: Shape) -> ServerStatus:
    """Return what a data server's answer says of it, compared with what meta says that the file system is."""
    if isinstance(answer, DfsError):
        unknown = RoleState.BLANK
        reason = answer.reason if isinstance(answer, PeerError) else str(answer)
        if isinstance(answer, NotAuthenticated):
            reason = KEY_REFUSED + reason
        return ServerStatus(at.server, at.address, False, reason, unknown, unknown, NO_SPACE_KNOWN, "")
    identity = answer.identity
    reason = ""
    if identity.shape.cluster and (identity.shape, identity.index) != (shape, at.server):
        reason = f"expected {describe_identity(shape, at.server)}, got {describe_identity(identity.shape, identity.index)}"
    elif not identity.shape.cluster:
        reason = "blank"
    elif not identity.primary is identity.secondary is RoleState.COMPLETE:
        reason = f"primary {identity.primary}, secondary {identity.secondary}"
    reason = "; ".join(text for text in (reason, answer.trouble) if text)
    return ServerStatus(
        index=at.server,
        address=at.address,
        reachable=True,
        reason=reason,
        primary=identity.primary,
        secondary=identity.secondary,
        space=answer.space,
        progress=answer.progress,
        scrub=answer.scrub,
        wall_ns=answer.wall_ns,
        release=answer.release,
    )


def describe_identity(shape: Shape, index: int) -> str:
    """Return who a data server is, for people."""
    return f"server {index} of {shape.servers} of cluster {shape.cluster} with blocks of {shape.block_size} bytes"
