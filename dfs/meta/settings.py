"""What the meta-server is told from outside: the part of the configuration that concerns it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dfs.core.exports import Export

LOG_BYTES: Final = 16 << 20
"""What a meta-server's log takes: as much as the store lets it grow before it begins anew at its front."""


class SyncMode(enum.StrEnum):
    """When an answer may leave."""

    ALWAYS = "always"
    """After the fsync of the transaction that made it true: neither kill -9 nor a power cut loses anything meta said."""


@dataclass(frozen=True, slots=True)
class MetaSettings:
    """Settings of one meta-server."""

    name: str = "dfs"
    """The cluster's name, for people."""
    block_size: int = 512
    """Bytes per block of a file system that is yet to be made; one that exists must have been made with it."""
    data_servers: tuple[str, ...] = ()
    """host:port of all data servers in order of index; empty: the first mount tells (the original commands)."""
    accept_rollback: bool = False
    """Whether a database that is older than what the data servers remember is to be believed."""
    sync: SyncMode = SyncMode.ALWAYS
    exports: tuple[Export, ...] = ()
    """Of a start; MetaService.set_exports() replaces them."""
    log_bytes: int = 0
    """What the database's log takes of the disk at the start; 0: it grows as it is written."""
