"""How the tools reach the servers: clients of the wire with the adapters of this machine, and reading as a mount does.

Called by dfs/cli/dfsctl.py; never reads arguments or files.
"""

from __future__ import annotations

from dfs.cli.credentials import Credentials
from dfs.cli.network_terms import NetworkTerms
from dfs.client.blocks.block_path import make_block_path
from dfs.client.blocks.reader import Reader
from dfs.core.events.event import Event
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.keys import ADMIN
from dfs.host.clock import SystemClock
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from dfs.rpc.client import DataServersClient, MetaClient, RawClient


def connect_meta(address: str, call_timeout_s: float, network: NetworkTerms) -> MetaApi:
    """Return a client of the meta-server at host:port; nothing is sent yet. Raises: ConfigError."""
    signer, tls = Credentials(network, ADMIN).signer(), network.read_tls(Unheard())
    return MetaClient(
        address=address, peer="meta-server", clock=SystemClock(), call_timeout_s=call_timeout_s, signer=signer, tls=tls
    )


def connect_data_servers(call_timeout_s: float, network: NetworkTerms) -> DataServers:
    """Return a client of data servers whose addresses it is yet to be told. Raises: ConfigError."""
    signer, tls = Credentials(network, ADMIN).signer(), network.read_tls(Unheard())
    return DataServersClient(clock=SystemClock(), call_timeout_s=call_timeout_s, signer=signer, tls=tls)


def connect_raw(address: str, server: str, call_timeout_s: float, network: NetworkTerms) -> RawClient:
    """Return a client for calls by hand; `server`: CLUSTER/INDEX, or empty for the meta-server. Raises: ConfigError."""
    peer = f"data server {server.rpartition('/')[2]}" if server else "meta-server"
    signer, tls = Credentials(network, ADMIN).signer(), network.read_tls(Unheard())
    return RawClient(
        address=address, peer=peer, server=server, clock=SystemClock(), call_timeout_s=call_timeout_s, signer=signer, tls=tls
    )


def make_reader(servers: DataServers) -> Reader:
    """Return what reads blocks as a mount does, and repairs them; whoever uses it tells what it did."""
    return make_block_path(
        servers=servers, clock=SystemClock(), random=SystemRandom(), tasks=ThreadTasks(), events=Unheard()
    ).reader


class Unheard:
    """The EventSink of a tool that reports in its own words."""

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Do nothing."""
