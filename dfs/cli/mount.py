"""The mount program: `dfs-mount DIR` with a configuration, `distributedFS.py MOUNTPOINT META_PORT DATA_PORT...` originally.

Reads arguments and the configuration, puts client service and FUSE boundary together, and stays in the foreground until the file
system is unmounted or SIGTERM. Order: arguments, libfuse and mount point are checked before anybody is called; the session opens
before programs can see the mount, and ended after they no longer can.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dfs.cli.arguments import check_data_ports, make_parser, parse_address, parse_port, run_program
from dfs.cli.configuration import add_config_option, read_config
from dfs.cli.mount_loop import serve_until_unmounted
from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings
from dfs.core.config import LogLevel, MountConfig
from dfs.core.contexts import PlainContext
from dfs.core.errors import EndReason, ExitCode, Interrupted, PeerStartError, WrongServer
from dfs.fusefs.binding import load_binding
from dfs.fusefs.mount_point import check_mount_point, show
from dfs.fusefs.mounting import Mount, MountOptions
from dfs.host.allocator import keep_freed_memory
from dfs.host.clock import SystemClock
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.notify import SystemdNotify
from dfs.host.randomness import SystemRandom
from dfs.host.stop_request import StopRequest
from dfs.host.tasks import ThreadTasks, end_process
from dfs.rpc.client import DataServersClient, MetaClient

LOG = logging.getLogger(__name__)

PROGRAM: Final = "dfs-mount"
SCRIPT: Final = "distributedFS.py"
PREFIX_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What is to be mounted where."""

    program: str
    """Its name as its log lines begin."""
    level: LogLevel
    mount_point: bytes
    meta_address: str
    data_servers: tuple[str, ...]
    """host:port in order of index; empty: those that the meta-server knows."""
    mount: MountConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Mount the file system that the configuration describes, and return the exit status."""
    return run_program(PROGRAM, lambda: run_mount(plan_configured(sys.argv[1:] if argv is None else argv)))


def main_distributedfs(argv: Sequence[str]) -> int:
    """Mount with the original arguments (R12), and return the exit status."""
    return run_program(SCRIPT, lambda: run_mount(plan_original(argv)))


def plan_configured(argv: Sequence[str]) -> MountPlan:
    """Return what `dfs-mount` is asked for. Raises: UsageError, ConfigError."""
    parser = make_parser(PROGRAM, "Mount a dfs file system and stay in the foreground until it is unmounted.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="mount point: an empty folder")
    add_config_option(parser)
    parser.add_argument(
        "--meta",
        type=parse_address,
        metavar="HOST:PORT",
        help="the meta-server; without --config no configuration is read and the meta-server knows the data servers",
    )
    options = parser.parse_args(argv)
    point = os.fsencode(options.folder)
    if options.meta is not None and options.config is None:
        return MountPlan(PROGRAM, LogLevel.INFO, point, options.meta, (), MountConfig())
    config = read_config(options.config)
    data_servers = tuple(server.address for server in config.servers)
    return MountPlan(PROGRAM, config.log.level, point, options.meta or config.meta.address, data_servers, config.mount)


def plan_original(argv: Sequence[str]) -> MountPlan:
    """Return what `distributedFS.py` is asked for. Raises: UsageError."""
    parser = make_parser(SCRIPT, "Mount a dfs file system whose servers listen on loopback; stays in the foreground.")
    parser.add_argument("folder", type=Path, metavar="MOUNTPOINT", help="an empty folder")
    parser.add_argument("meta_port", type=parse_port, metavar="META_PORT", help="port of the meta-server")
    parser.add_argument(
        "data_ports", type=parse_port, nargs="*", metavar="DATA_PORT", help="ports of all data servers, in order of index"
    )
    options = parser.parse_args(argv)
    ports = check_data_ports(options.data_ports, meta_port=options.meta_port)
    # Like the servers' own commands, it is for one person on one machine: others are let in only where the mounter is root.
    mount = MountConfig(allow_other=os.geteuid() == 0)
    data_servers = tuple(f"127.0.0.1:{port}" for port in ports)
    return MountPlan(SCRIPT, LogLevel.INFO, os.fsencode(options.folder), f"127.0.0.1:{options.meta_port}", data_servers, mount)


def run_mount(plan: MountPlan) -> int:
    """Mount, serve, unmount, and return the exit status.

    Raises: MountPointError; PeerStartError if the servers are not there in time or belong to another file system.
    """
    binding = load_binding()
    point = check_mount_point(plan.mount_point)
    setup_logging(plan.level.value, plan.program)
    keep_freed_memory()
    stop, clock, notify, events, random = StopRequest(), SystemClock(), SystemdNotify(), JournalEvents(), SystemRandom()
    prefix = random.token_bytes(PREFIX_BYTES).hex()
    filesystem = FileSystem(
        settings=MountSettings(
            host=os.uname().nodename,
            mount_path=point,
            data_servers=plan.data_servers,
            attr_timeout_s=plan.mount.attr_timeout_s,
        ),
        meta=MetaClient(address=plan.meta_address, peer="meta-server", clock=clock),
        servers=DataServersClient(clock=clock),
        clock=clock,
        random=random,
        tasks=ThreadTasks(),
        events=events,
    )
    mount = Mount(
        binding=binding,
        filesystem=filesystem,
        events=events,
        mount_point=point,
        options=MountOptions(source=plan.meta_address, allow_other=plan.mount.allow_other),
        request_prefix=prefix,
        on_end=stop.wake,
    )
    notify.status(f"waiting for the meta-server at {plan.meta_address}")
    if not _open_session(filesystem, PlainContext(f"{prefix}-start", lambda: _end_reason(stop))):
        return ExitCode.DONE
    try:
        all_ended = serve_until_unmounted(mount, stop, notify, events, f"{plan.meta_address} mounted on {show(point)}")
    finally:
        filesystem.stop(PlainContext(request_id=f"{prefix}-stop"))
    if not all_ended:
        LOG.critical("expected all operations to end with the mount, got some that do not; the process ends as it is")
        end_process()
    return ExitCode.DONE


def _end_reason(stop: StopRequest) -> EndReason | None:
    """Tell whether somebody wants the program to end: SIGTERM, which only the main thread finds."""
    stop.wait(0)
    return EndReason.SHUTDOWN if stop.is_requested() else None


def _open_session(filesystem: FileSystem, ctx: PlainContext) -> bool:
    """Connect the client service; False if the program was told to end meanwhile."""
    try:
        filesystem.start(ctx)
    except Interrupted:
        return False
    except WrongServer as error:
        raise PeerStartError(expected=error.expected, got=error.got) from error
    return True


if __name__ == "__main__":
    sys.exit(main())
