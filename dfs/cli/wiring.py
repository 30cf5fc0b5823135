"""Puts the servers and the tools' clients together: the adapters of this machine and of the wire, and a service in between.

The one place where they meet, but for the mount's own in dfs/cli/mount.py. Order at start: the address is bound first, so
that a second start of the same server says that the address is in use; then the state folder is locked; then the service
recovers; then requests are answered. Nobody calls another process before that. Called by dfs/cli/meta.py, data.py and
dfsctl.py; never reads arguments or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import dfs
from dfs.cli.configuration import ConfigSource
from dfs.cli.network_terms import NetworkTerms
from dfs.cli.reloading import Reloading
from dfs.client.blocks.block_path import make_block_path
from dfs.client.blocks.reader import Reader
from dfs.core.config import Config, LogLevel
from dfs.core.events import INSECURE_NETWORK, Event
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers, MetaApi, Service
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.meta_methods import META_METHODS
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.allocator import keep_freed_memory
from dfs.host.clock import SystemClock
from dfs.host.disk import LocalDisk
from dfs.host.inherited_socket import take_inherited_socket
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.randomness import SystemRandom
from dfs.host.service import run_service
from dfs.host.state_folder import boot_id, lock_state_folder
from dfs.host.tasks import ThreadTasks
from dfs.meta.service import MetaService
from dfs.meta.settings import MetaSettings
from dfs.rpc.client import DataServersClient, MetaClient
from dfs.rpc.server import RpcServer

STORE_NAME: Final = "meta.db"
"""The meta-server's database in its state folder."""
META_SECTIONS: Final = ("cluster", "meta", "log")
DATA_SECTIONS: Final = ("data", "log")
"""The sections of the configuration that concern a server, besides those of the single data servers."""


def run_meta_server(
    *,
    program: str,
    level: LogLevel,
    address: str,
    folder: Path,
    settings: MetaSettings,
    network: NetworkTerms,
    source: ConfigSource | None = None,
) -> None:
    """Run a meta-server until SIGTERM. systemd may hand it the socket that it listens on.

    Arguments: the program's name for its log, the least important level, host:port, the state folder, the settings, the terms on
    which it is on the network, and the configuration that SIGHUP has it read again (None: there is none, SIGHUP ends it).
    Raises: StartError leaves, and DfsError if it can't go on.
    """
    setup_logging(level, program)
    keep_freed_memory()
    clock = SystemClock()
    service = MetaService(
        settings=settings,
        store_path=str(folder / STORE_NAME),
        clock=clock,
        random=SystemRandom(),
        tasks=ThreadTasks(),
        servers=DataServersClient(clock=clock),
        events=JournalEvents(),
        look=LocalDisk(folder).space,
    )
    server = RpcServer(
        address=address,
        service_name="meta-server",
        methods=META_METHODS,
        api=service,
        version=dfs.__version__,
        clock=clock,
        inherited_fd=take_inherited_socket(),
        is_open_to_network=network.is_insecure,
    )
    reload = None if source is None else _reload(source, META_SECTIONS, lambda config: None)
    _run(service, server, f"meta-server at {address}", folder, reload, require_mount=False)


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
    source: ConfigSource | None = None,
) -> None:
    """Run a data server until SIGTERM.

    Arguments: the program's name for its log, the least important level, which data server it is, host:port of all data servers in
    order of index, the state folder, whether that must be a mount point, the pace of the scrub (0: off), the terms on which it is
    on the network, and the configuration that SIGHUP has it read again (None: there is none, SIGHUP ends it).
    Raises: StartError leaves, and DfsError if it can't go on.
    """
    setup_logging(level, program)
    keep_freed_memory()
    clock, address = SystemClock(), addresses[index]
    service = DataService(
        settings=DataSettings(index=index, boot_id=boot_id(), addresses=tuple(addresses), scrub_bytes_per_s=scrub_bytes_per_s),
        disk=LocalDisk(folder),
        neighbours=DataServersClient(clock=clock),
        clock=clock,
        random=SystemRandom(),
        tasks=ThreadTasks(),
        events=JournalEvents(),
    )
    server = RpcServer(
        address=address,
        service_name=f"data server {index}",
        methods=BLOCK_METHODS,
        api=service,
        version=dfs.__version__,
        clock=clock,
        identity=service.name,
        is_open_to_network=network.is_insecure,
    )
    reload = None
    if source is not None:
        reload = _reload(source, DATA_SECTIONS, lambda config: service.set_scrub_pace(config.data.scrub_bytes_per_s))
    _run(service, server, f"data server {index} at {address}", folder, reload, require_mount=require_mount)


def _reload(source: ConfigSource, sections: Sequence[str], apply: Callable[[Config], None]) -> Callable[[], None]:
    """Return what SIGHUP does."""
    return Reloading(read=source.read, running=source.running, sections=sections, apply=apply, events=JournalEvents()).reload


def _run(
    service: Service, server: RpcServer, what: str, folder: Path, reload: Callable[[], None] | None, *, require_mount: bool
) -> None:
    events = JournalEvents()
    if server.is_on_network:
        events.emit(Event(INSECURE_NETWORK, details={"what": what}))
    with lock_state_folder(folder, require_mount=require_mount):
        run_service(
            service=service,
            what=what,
            open_for_requests=server.start,
            close_for_requests=server.stop,
            events=events,
            reload=reload,
        )


def connect_meta(address: str, call_timeout_s: float) -> MetaApi:
    """Return a client of the meta-server at host:port; nothing is sent yet."""
    return MetaClient(address=address, peer="meta-server", clock=SystemClock(), call_timeout_s=call_timeout_s)


def connect_data_servers(call_timeout_s: float) -> DataServers:
    """Return a client of data servers whose addresses it is yet to be told."""
    return DataServersClient(clock=SystemClock(), call_timeout_s=call_timeout_s)


def make_reader(servers: DataServers) -> Reader:
    """Return what reads blocks as a mount does, and repairs them; whoever uses it tells what it did."""
    return make_block_path(
        servers=servers, clock=SystemClock(), random=SystemRandom(), tasks=ThreadTasks(), events=Unheard()
    ).reader


class Unheard:
    """The EventSink of a tool that reports in its own words."""

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Do nothing."""
