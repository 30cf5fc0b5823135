"""Puts a meta-server together: the service, the adapters of this machine and of the wire.

Called by dfs/cli/meta.py; never reads arguments or files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import dfs
from dfs.cli.configuration import ConfigSource
from dfs.cli.credentials import Credentials
from dfs.cli.monitoring import make_page, served
from dfs.cli.network_terms import NetworkTerms
from dfs.cli.serving import admission, reloading, serve
from dfs.cli.state_names import STORE_NAME
from dfs.core.config import Config, MetricsConfig
from dfs.core.config_values import LogLevel
from dfs.core.keys import META
from dfs.core.messages.meta_methods import META_METHODS
from dfs.host.allocator import keep_freed_memory
from dfs.host.clock import SystemClock
from dfs.host.disk import LocalDisk
from dfs.host.event_counts import CountedEvents
from dfs.host.inherited_socket import take_inherited_socket
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from dfs.meta.service import MetaService
from dfs.meta.settings import MetaSettings
from dfs.rpc.client import DataServersClient
from dfs.rpc.server import RpcServer

SECTIONS: Final = ("cluster", "meta", "tls", "export", "metrics", "log")
"""The sections of the configuration that concern it, besides those of the single data servers."""


def run_meta_server(
    *,
    program: str,
    level: LogLevel,
    address: str,
    folder: Path,
    settings: MetaSettings,
    network: NetworkTerms,
    metrics: MetricsConfig,
    source: ConfigSource | None = None,
) -> None:
    """Run a meta-server until SIGTERM. systemd may hand it the socket that it listens on.

    Arguments: the program's name for its log, the least important level, host:port, the state folder, the settings, the terms on
    which it is on the network, what it shows to monitoring systems, and the configuration that SIGHUP has it read again (None:
    there is none, SIGHUP ends it).
    Raises: StartError leaves, and DfsError if it can't go on.
    """
    setup_logging(level, program)
    keep_freed_memory()
    clock, events, credentials = SystemClock(), CountedEvents(JournalEvents()), Credentials(network, META)
    tls = network.read_tls(events, is_server=True)
    servers = DataServersClient(clock=clock, signer=credentials.signer(), tls=tls)
    page = make_page(program=program, kind="meta")
    service = MetaService(
        settings=settings,
        store_path=str(folder / STORE_NAME),
        clock=clock,
        random=SystemRandom(),
        tasks=ThreadTasks(),
        servers=servers,
        events=events,
        look=LocalDisk(folder).space,
        signer=credentials.capability_signer(),
    )
    server = RpcServer(
        address=address,
        service_name="meta-server",
        methods=META_METHODS,
        api=service,
        version=dfs.__version__,
        clock=clock,
        events=events,
        inherited_fd=take_inherited_socket(),
        metrics=served(page, metrics, is_on=metrics.meta),
        **admission(network, credentials, events),
        tls=tls,
    )
    page.add(service, server, servers, events)

    def follow(config: Config) -> None:
        service.set_exports(config.exports)
        credentials.reload(events)

    reload = None if source is None else reloading(source, SECTIONS, follow, events)
    serve(service, server, f"meta-server at {address}", folder, reload, events, require_mount=False, tls=tls)
