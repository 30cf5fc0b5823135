"""What a mount program is asked for: command lines turned into one plan, which cluster is mounted where and on what terms.

Owns the arguments of `dfs-mount` and `distributedFS.py`, and which counts where an option of the mount and the configuration both
speak. Called by dfs/cli/mount.py, which carries the plan out. Mounts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from dfs.cli.arguments import OneLineParser, check_data_ports, make_parser, parse_address, parse_port
from dfs.cli.configuration import ConfigSource, add_config_option, read_config
from dfs.cli.mount_helper.options import RETRY_S, MountWishes, parse_options, split_options
from dfs.cli.mount_helper.parameters import read_parameters
from dfs.cli.mount_helper.source import find_source
from dfs.cli.network_terms import NetworkTerms, network_terms, terms_of_address
from dfs.client.settings import WriteBackSettings
from dfs.core.config import Config, MetricsConfig, MountConfig
from dfs.core.config_values import FuseChannel, LogLevel
from dfs.core.start_errors import UsageError
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.operation_context import OperationTerms

PROGRAM: Final = "dfs-mount"
SCRIPT: Final = "distributedFS.py"
EPILOG: Final = (
    "dfs-mount --detach DIR frees a mount point whose client is gone. dfs-mount --end-waits tells all clients of a machine that\n"
    "is stopping that nothing may wait long any more."
)
BYTES_PER_MIB: Final = 1 << 20
START_TIMEOUT_S: Final = 30.0
"""Who starts a mount in the foreground sees that it waits."""


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What is to be mounted where, and how."""

    program: str
    """Its name as its log lines begin."""
    level: LogLevel
    mount_point: bytes
    meta_address: str
    data_servers: tuple[str, ...]
    """host:port in order of index; empty: those that the meta-server knows."""
    mount: MountConfig
    network: NetworkTerms = field(default_factory=NetworkTerms)
    source: str = ""
    """What `mount` and `df` show as device; empty: the meta-server's address."""
    wishes: MountWishes = field(default_factory=MountWishes)
    start_timeout_s: float = START_TIMEOUT_S
    """For how long the meta-server is tried."""
    source_config: ConfigSource | None = None
    """The configuration that a mount which is a service reads again; None: it has none."""
    is_service: bool = False
    """Whether systemd runs it: then SIGHUP has it read its configuration again, else unmount."""
    takes_over: bool = False
    """Whether the mount point is this mount's whatever has come upon it, and a dfs there can only be what a dead client left."""
    is_freed_on_crash: bool = False
    """Whether the mount point is freed when the client dies."""
    metrics: MetricsConfig = field(default_factory=MetricsConfig)

    def options(self) -> MountOptions:
        """Return what the boundary to the kernel must know of this."""
        wishes = self.wishes
        return MountOptions(
            source=self.source or self.meta_address,
            allow_other=self.mount.allow_other if wishes.allow_other is None else wishes.allow_other,
            flags=wishes.flags,
            is_freed_on_crash=self.is_freed_on_crash,
            takes_over=self.takes_over,
            terms=OperationTerms(wishes.timeout_s, wishes.nobody if wishes.is_root_squashed else None),
            shutdown_grace_s=self.mount.shutdown_grace,
        )

    def shows_metrics(self) -> bool:
        """Tell whether the mount shows how it is doing."""
        wish = self.wishes.shows_metrics
        return self.metrics.mount if wish is None else wish

    def fuse_channel(self) -> FuseChannel:
        """Return through what it talks with the kernel."""
        return self.wishes.fuse_channel or self.mount.fuse_channel

    def write_back(self) -> WriteBackSettings | None:
        """Return how much may wait to be stored after write() has returned; None: nothing may."""
        wish, mount = self.wishes.writes_back, self.mount
        if not (mount.writeback if wish is None else wish):
            return None
        file_bytes, total_bytes = int(mount.writeback_file_mib * BYTES_PER_MIB), int(mount.writeback_total_mib * BYTES_PER_MIB)
        return WriteBackSettings(file_bytes, total_bytes, mount.writeback_age_s)

    def attr_timeout_s(self) -> float:
        """Return how long attributes are believed."""
        given_s = self.wishes.attr_timeout_s
        return self.mount.attr_timeout_s if given_s is None else given_s


def plan_configured(argv: Sequence[str]) -> MountPlan:
    """Return what `dfs-mount` is asked for. Raises: UsageError, ConfigError."""
    options = _parser().parse_args(argv)
    point = os.fsencode(options.folder)
    if options.service:
        if options.source or options.options or options.config or options.meta:
            raise UsageError(expected="nothing but DIR beside --service", got="more")
        parameters = read_parameters(os.path.abspath(point))
        return plan_service(parameters.source, point, parse_options(parameters.words))
    wishes = parse_options(split_options(options.options))
    if options.source is None:
        return _plan_in_foreground(options.config or wishes.config, options.meta, point, wishes)
    if options.config is not None or options.meta is not None:
        raise UsageError(expected="either --source, or --config and --meta", got="both")
    return plan_source(options.source, point, wishes)


def _parser() -> OneLineParser:
    parser = make_parser(PROGRAM, "Mount a dfs file system and stay in the foreground until it is unmounted.", EPILOG)
    parser.add_argument("folder", type=Path, metavar="DIR", help="mount point: an empty folder")
    add_config_option(parser)
    parser.add_argument(
        "--meta",
        type=parse_address,
        metavar="HOST:PORT",
        help="the meta-server; without --config no configuration is read and the meta-server knows the data servers",
    )
    parser.add_argument("--source", metavar="SOURCE", help="what to mount, as in fstab: HOST:PORT, NAME, or config=FILE")
    parser.add_argument("--service", action="store_true", help="mount what mount(8) asked dfs-mount@.service for; takes only DIR")
    parser.add_argument("-o", dest="options", default="", metavar="OPTIONS", help="options of mount.dfs(8), with commas between")
    return parser


def _plan_in_foreground(config_file: Path | None, meta: str | None, point: bytes, wishes: MountWishes) -> MountPlan:
    """Return the plan for --config and --meta."""
    start_timeout_s = START_TIMEOUT_S if wishes.retry_s is None else wishes.retry_s
    if meta is not None and config_file is None:
        plan = MountPlan(PROGRAM, LogLevel.INFO, point, meta, (), MountConfig(), _network(None, wishes, meta))
    else:
        config = read_config(config_file)
        address, network = meta or config.meta.address, _network(config, wishes)
        plan = MountPlan(PROGRAM, config.log.level, point, address, _servers(config), config.mount, network)
        plan = replace(plan, metrics=config.metrics)
    return replace(plan, wishes=wishes, start_timeout_s=start_timeout_s)


def plan_source(source: str, point: bytes, wishes: MountWishes) -> MountPlan:
    """Return the plan for what fstab or mount(8) names. Raises: UsageError, ConfigError."""
    found = find_source(source, wishes.config)
    mount = MountConfig() if found.config is None else found.config.mount
    # mount(8) may be called by anybody: others than root let others in only if they say so, and /etc/fuse.conf lets them.
    mount = replace(mount, allow_other=mount.allow_other and os.geteuid() == 0)
    level = LogLevel.INFO if found.config is None else found.config.log.level
    servers = () if found.config is None else _servers(found.config)
    start_timeout_s = RETRY_S if wishes.retry_s is None else wishes.retry_s
    plan = MountPlan(PROGRAM, level, point, found.meta_address, servers, mount, _network(found.config, wishes, found.meta_address))
    metrics = MetricsConfig() if found.config is None else found.config.metrics
    return replace(plan, source=source, wishes=wishes, start_timeout_s=start_timeout_s, metrics=metrics)


def plan_service(source: str, point: bytes, wishes: MountWishes) -> MountPlan:
    """Return the plan for a mount that systemd runs. Raises: UsageError, ConfigError."""
    plan = replace(plan_source(source, point, wishes), is_service=True, takes_over=True)
    running = find_source(source, wishes.config).config
    if running is None:
        return plan
    return replace(plan, source_config=ConfigSource(running, lambda: find_source(source, wishes.config).config or running))


def _network(config: Config | None, wishes: MountWishes, address: str = "") -> NetworkTerms:
    """Return on what terms the mount takes part in the network; the option key_file counts more than the configuration.

    `address`: where the meta-server is; without a configuration the files for TLS are those of this machine's that names the same.
    """
    terms = NetworkTerms(tls=terms_of_address(address).tls) if config is None else network_terms(config)
    return terms if wishes.key_file is None else replace(terms, key_file=wishes.key_file)


def _servers(config: Config) -> tuple[str, ...]:
    return tuple(server.address for server in config.servers)


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
    meta_address = f"127.0.0.1:{options.meta_port}"
    return MountPlan(SCRIPT, LogLevel.INFO, os.fsencode(options.folder), meta_address, data_servers, mount)
