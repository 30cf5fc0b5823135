"""What the servers answer, by the same calls as `dfsctl status`."""

from __future__ import annotations

import dfs
from dfs.cli.diagnosis.observations import ClusterSeen
from dfs.cli.tools.status import ask_cluster
from dfs.core.errors import NotAuthenticated, PeerError
from dfs.core.interfaces import CallContext, Clock, DataServers, MetaApi


def look_at_cluster(ctx: CallContext, clock: Clock, address: str, meta: MetaApi, servers: DataServers) -> ClusterSeen:
    """Return the answers of all servers; a meta-server that does not answer is part of what was seen."""
    sent_ns = clock.wall_ns()
    try:
        report = ask_cluster(ctx, address, meta, servers)
    except NotAuthenticated as error:
        return ClusterSeen(address, None, str(error), is_key_refused=True, release=dfs.__version__)
    except PeerError as error:
        return ClusterSeen(address, None, str(error), release=dfs.__version__)
    return ClusterSeen(address, report, sent_ns=sent_ns, received_ns=clock.wall_ns(), release=dfs.__version__)
