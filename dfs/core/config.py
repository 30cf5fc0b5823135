"""The configuration of a cluster: what can be set, and what each key means (pure).

Owns every key with its default, unit, explanation and check; conf/dfs.conf shows the same and a test compares the two. Read by
dfs/core/config_file.py, which knows the INI format.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dfs.core.config_values import (
    NO_NETWORKS,
    FuseChannel,
    LogLevel,
    Network,
    number_up_to,
    parse_address,
    parse_block_size,
    parse_file,
    parse_folder,
    parse_fuse_channel,
    parse_level,
    parse_name,
    parse_networks,
    parse_yes_no,
)
from dfs.core.exports import (
    ANYBODY,
    ANYWHERE,
    UNCONFINED,
    Access,
    Squash,
    parse_access,
    parse_anonymous,
    parse_client_networks,
    parse_clients,
    parse_root,
    parse_squash,
)
from dfs.core.ids import ServerIndex

DATA_PORT_BASE: Final = 9100
"""Data server i listens at DATA_PORT_BASE + i by default."""
ATTR_TIMEOUT_S_MAX: Final = 3600.0
SHUTDOWN_GRACE_S_MAX: Final = 60.0
WRITEBACK_MIB_MAX: Final = 4096.0
WRITEBACK_AGE_S_MAX: Final = 60.0
INHIBIT_S_MAX: Final = 3600.0
SCRUB_MB_S_MAX: Final = 10_000.0
BYTES_PER_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """What is to be known of a key besides its default."""

    unit: str
    description: str
    parse: Callable[[str], object]
    is_live: bool = False
    """Whether a change counts as soon as a running program reads the file again (SIGHUP)."""


def _key(unit: str, parse: Callable[[str], object], description: str, *, is_live: bool = False) -> dict[str, Key]:
    """Return a data class field's metadata."""
    return {"key": Key(unit, description, parse, is_live)}


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """[cluster]: the file system as a whole."""

    name: str = field(default="dfs", metadata=_key("name", parse_name, "What people call this file system."))
    block_size: int = field(
        default=512,
        metadata=_key(
            "bytes", parse_block_size, "Size of a block, a power of two. Counts only when the file system is made, and stays."
        ),
    )
    key_file: str = field(
        default="",
        metadata=_key(
            "file, or nothing",
            parse_file,
            "The key with which servers, mounts and tools prove who they are (dfsctl key generate); nothing: there is none.",
        ),
    )
    insecure_network: bool = field(
        default=False,
        metadata=_key(
            "yes or no",
            parse_yes_no,
            "Let servers listen beyond loopback without a key: everybody on that network can then read and change all files.",
        ),
    )


@dataclass(frozen=True, slots=True)
class MetaConfig:
    """[meta]: the meta-server."""

    address: str = field(default="127.0.0.1:9000", metadata=_key("HOST:PORT", parse_address, "Where the meta-server listens."))
    state: str = field(default="/var/lib/dfs/meta", metadata=_key("folder", parse_folder, "Where it keeps names and attributes."))


@dataclass(frozen=True, slots=True)
class DataConfig:
    """[data]: all data servers."""

    require_mount: bool = field(
        default=False,
        metadata=_key(
            "yes or no",
            parse_yes_no,
            "Refuse to start unless the state folder is a mount point, rather than fill the root disk.",
        ),
    )
    scrub_mb_s: float = field(
        default=10.0,
        metadata=_key(
            "MB a second",
            number_up_to(SCRUB_MB_S_MAX, "MB a second"),
            "How fast each server reads all it stores, about once a day, to find damage; 0: only when told to.",
            is_live=True,
        ),
    )

    @property
    def scrub_bytes_per_s(self) -> int:
        """`scrub_mb_s` as the data servers count."""
        return round(self.scrub_mb_s * BYTES_PER_MB)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """[data:N]: data server N. The defaults depend on N: see default_server."""

    index: ServerIndex
    address: str = field(metadata=_key("HOST:PORT", parse_address, "Where this data server listens."))
    state: str = field(metadata=_key("folder", parse_folder, "Where it keeps its blocks; a disk of its own is best."))


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """[export:NAME]: what some clients may do. Without any such section all may do everything."""

    name: str
    networks: tuple[ipaddress.IPv4Network, ...] = field(
        default=ANYWHERE,
        metadata=_key(
            "networks", parse_client_networks, "Where its clients are: ADDRESS/BITS or ADDRESS, with commas between.", is_live=True
        ),
    )
    clients: tuple[str, ...] = field(
        default=ANYBODY,
        metadata=_key(
            "names", parse_clients, "What its clients are called in their keys, with commas between, or * for any.", is_live=True
        ),
    )
    access: Access = field(
        default=Access.READ_WRITE, metadata=_key("rw or ro", parse_access, "Whether they may change anything.", is_live=True)
    )
    squash: Squash = field(
        default=Squash.NONE,
        metadata=_key(
            "none, root or all", parse_squash, "Which users count as the anonymous one, whatever the client says.", is_live=True
        ),
    )
    anonymous_uid: int = field(default=65534, metadata=_key("user", parse_anonymous, "Number of the anonymous user.", is_live=True))
    anonymous_gid: int = field(
        default=65534, metadata=_key("group", parse_anonymous, "Number of the anonymous user's group.", is_live=True)
    )
    folder: str = field(
        default=UNCONFINED, metadata=_key("folder", parse_root, "The folder that they see as the root.", is_live=True)
    )


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """[tls]: all programs. Either all three files are named, or none."""

    certificate: str = field(
        default="",
        metadata=_key("file", parse_file, "This machine's certificate, in PEM; names and addresses must be in it. Empty: no TLS."),
    )
    key: str = field(default="", metadata=_key("file", parse_file, "The certificate's private key, in PEM, without a password."))
    ca: str = field(
        default="",
        metadata=_key("file", parse_file, "The certificate of the cluster's CA: whoever it signed belongs to the cluster."),
    )

    @property
    def is_on(self) -> bool:
        """Whether programs talk over TLS, and over nothing else."""
        return bool(self.certificate)


@dataclass(frozen=True, slots=True)
class MountConfig:
    """[mount]: every mount of the file system."""

    attr_timeout_s: float = field(
        default=1.0,
        metadata=_key(
            "seconds",
            number_up_to(ATTR_TIMEOUT_S_MAX, "seconds"),
            "How long a mount may answer from attributes it has already seen; open asks again.",
            is_live=True,
        ),
    )
    allow_other: bool = field(
        default=True, metadata=_key("yes or no", parse_yes_no, "Let users other than the one who mounted use the files.")
    )
    shutdown_grace: float = field(
        default=3.0,
        metadata=_key(
            "seconds",
            number_up_to(SHUTDOWN_GRACE_S_MAX, "seconds"),
            "How long a write may still wait for a server when the machine or the mount is told to stop; then it fails.",
            is_live=True,
        ),
    )
    fuse_channel: FuseChannel = field(
        default=FuseChannel.OWN,
        metadata=_key(
            "own or fusepy",
            parse_fuse_channel,
            "How a mount talks with the kernel: by itself, which is faster, or by the module fusepy over libfuse 2.",
        ),
    )
    writeback: bool = field(
        default=False,
        metadata=_key(
            "yes or no", parse_yes_no, "Let programs go on before the servers have what they wrote; mount.dfs(8) says more."
        ),
    )
    writeback_file_mib: float = field(
        default=8.0,
        metadata=_key(
            "MiB",
            number_up_to(WRITEBACK_MIB_MAX, "MiB"),
            "With writeback: how much of one file may wait to be stored before its writers wait.",
        ),
    )
    writeback_total_mib: float = field(
        default=64.0,
        metadata=_key(
            "MiB",
            number_up_to(WRITEBACK_MIB_MAX, "MiB"),
            "With writeback: how much of all files of a mount may wait before all writers wait.",
        ),
    )
    writeback_age_s: float = field(
        default=1.0,
        metadata=_key(
            "seconds",
            number_up_to(WRITEBACK_AGE_S_MAX, "seconds"),
            "With writeback: after how long what waits is stored, if nothing asks for it before.",
        ),
    )


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """[metrics]: what programs show to a monitoring system."""

    meta: bool = field(
        default=True, metadata=_key("yes or no", parse_yes_no, "Whether the meta-server answers GET /metrics where it listens.")
    )
    data: bool = field(
        default=True, metadata=_key("yes or no", parse_yes_no, "Whether data servers answer GET /metrics where they listen.")
    )
    networks: str = field(
        default=NO_NETWORKS,
        metadata=_key(
            "networks with commas between, or none",
            parse_networks,
            "From where metrics may be read without the cluster key, besides from loopback.",
        ),
    )
    mount: bool = field(
        default=False,
        metadata=_key("yes or no", parse_yes_no, "Whether mounts answer GET /metrics on a Unix socket each; only root may ask."),
    )
    socket_folder: str = field(
        default="/run/dfs/metrics",
        metadata=_key("folder", parse_folder, "Where those sockets are; made if it is missing."),
    )

    @property
    def networks_allowed(self) -> tuple[Network, ...]:
        """`networks` as addresses are compared with."""
        return () if self.networks == NO_NETWORKS else tuple(map(ipaddress.ip_network, self.networks.split(", ")))


@dataclass(frozen=True, slots=True)
class ShutdownConfig:
    """[shutdown]: machines with data servers that are told to go down."""

    inhibit_max: float = field(
        default=30.0,
        metadata=_key(
            "seconds",
            number_up_to(INHIBIT_S_MAX, "seconds"),
            "How long a shutdown waits while this machine has the only good copy of something; 0: not at all.",
            is_live=True,
        ),
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]: all programs."""

    level: LogLevel = field(
        default=LogLevel.INFO,
        metadata=_key(
            "one of debug, info, warning, error", parse_level, "The least important messages that are logged.", is_live=True
        ),
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. `servers` in order of their index, without holes, at least two."""

    cluster: ClusterConfig
    meta: MetaConfig
    data: DataConfig
    servers: tuple[ServerConfig, ...]
    mount: MountConfig
    metrics: MetricsConfig
    shutdown: ShutdownConfig
    log: LogConfig
    tls: TlsConfig = field(default_factory=TlsConfig)
    exports: tuple[ExportConfig, ...] = ()
    """In the order of the files."""


SECTIONS: Final[dict[str, type]] = {
    "cluster": ClusterConfig,
    "meta": MetaConfig,
    "data": DataConfig,
    "tls": TlsConfig,
    "mount": MountConfig,
    "metrics": MetricsConfig,
    "shutdown": ShutdownConfig,
    "log": LogConfig,
}
"""Sections of which there is one each; [data:N] come besides, as ServerConfig, and [export:NAME], as ExportConfig."""


def keys_of(section_class: type) -> dict[str, Key]:
    """Return the keys that a section's class has, by name, in order."""
    return {found.name: found.metadata["key"] for found in dataclasses.fields(section_class) if "key" in found.metadata}


def default_server(index: ServerIndex) -> ServerConfig:
    """Return what an empty section [data:INDEX] means."""
    return ServerConfig(index, f"127.0.0.1:{DATA_PORT_BASE + index}", f"/var/lib/dfs/data{index}")
