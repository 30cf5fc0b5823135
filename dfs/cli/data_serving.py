"""Puts a data server together: the service, the adapters of this machine and of the wire.

Called by dfs/cli/data.py; never reads arguments or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import dfs
from dfs.cli.configuration import ConfigSource
from dfs.cli.credentials import Credentials
from dfs.cli.monitoring import make_page, served
from dfs.cli.network_terms import NetworkTerms
from dfs.cli.serving import admission, reloading, serve
from dfs.core.config import Config, MetricsConfig
from dfs.core.config_values import LogLevel
from dfs.core.ids import ServerIndex
from dfs.core.keys import Sender
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.peers import PeerKind
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.allocator import keep_freed_memory
from dfs.host.clock import SystemClock
from dfs.host.disk import LocalDisk
from dfs.host.event_counts import CountedEvents
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.randomness import SystemRandom
from dfs.host.state_folder import boot_id
from dfs.host.tasks import ThreadTasks
from dfs.rpc.client import DataServersClient
from dfs.rpc.server import RpcServer

SECTIONS: Final = ("data", "tls", "metrics", "log")
"""The sections of the configuration that concern it, besides those of the single data servers."""


def run_data_server(
    *,
    program: str,
    level: LogLevel,
    index: ServerIndex,
    addresses: Sequence[str],
    folder: Path,
    require_mount: bool,
    scrub_bytes_per_s: int,
    network: NetworkTerms,
    metrics: MetricsConfig,
    source: ConfigSource | None = None,
) -> None:
    """Run a data server until SIGTERM.

    Arguments: the program's name for its log, the least important level, which data server it is, host:port of all data servers in
    order of index, the state folder, whether that must be a mount point, the pace of the scrub (0: off), the terms on which it is
    on the network, what it shows to monitoring systems, and the configuration that SIGHUP has it read again (None: there is none,
    SIGHUP ends it).
    Raises: StartError leaves, and DfsError if it can't go on.
    """
    setup_logging(level, program)
    keep_freed_memory()
    clock, address, events = SystemClock(), addresses[index], CountedEvents(JournalEvents())
    credentials = Credentials(network, Sender(PeerKind.DATA, index=index))
    tls = network.read_tls(events, is_server=True)
    neighbours = DataServersClient(clock=clock, signer=credentials.signer(), tls=tls)
    disk, page = LocalDisk(folder), make_page(program=program, kind="data")
    service = DataService(
        settings=DataSettings(index=index, boot_id=boot_id(), addresses=tuple(addresses), scrub_bytes_per_s=scrub_bytes_per_s),
        disk=disk,
        neighbours=neighbours,
        clock=clock,
        random=SystemRandom(),
        tasks=ThreadTasks(),
        events=events,
        verifier=credentials.capability_verifier(),
    )
    server = RpcServer(
        address=address,
        service_name=f"data server {index}",
        methods=BLOCK_METHODS,
        api=service,
        version=dfs.__version__,
        clock=clock,
        events=events,
        identity=service.name,
        metrics=served(page, metrics, is_on=metrics.data),
        **admission(network, credentials, events),
        tls=tls,
    )
    page.add(service, server, disk, neighbours, events)

    def apply(config: Config) -> None:
        service.set_scrub_pace(config.data.scrub_bytes_per_s)
        credentials.reload(events)

    reload = None if source is None else reloading(source, SECTIONS, apply, events)
    serve(service, server, f"data server {index} at {address}", folder, reload, events, require_mount=require_mount, tls=tls)
