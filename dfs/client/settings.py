"""What a mount is told by whoever composes it; dfs/cli makes it from the configuration or from arguments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WriteBackSettings:
    """How much a mount may hold of what programs wrote and servers do not have yet, and for how long."""

    file_bytes: int = 8 << 20
    """Per file; a writer who is ahead by more waits."""
    total_bytes: int = 64 << 20
    """Of all files together."""
    age_s: float = 1.0
    """What has waited for so long is stored."""


@dataclass(frozen=True, slots=True)
class MountSettings:
    """Settings of one mount."""

    host: str
    """This machine's name, for `dfsctl status`."""
    mount_path: bytes
    data_servers: tuple[str, ...] = ()
    """host:port of all data servers in order of index; empty: those that the meta-server knows."""
    attr_timeout_s: float = 1.0
    """How long attributes are believed without asking again, 0 or more."""
    start_timeout_s: float = 30.0
    """How long start() waits for the meta-server and, for a new file system, for all data servers."""
    entry_timeout_s: float | None = None
    """How long names are believed to lead to the same inode, 0 or more; longer than attributes has no effect. None: as long as
    attributes.
    """
    write_back: WriteBackSettings | None = None
    """None: write() returns when both replicas have the bytes."""
