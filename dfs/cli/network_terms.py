"""On what terms a program takes part in the network: what the configuration says of it, as the servers and clients need it.

Made from the configuration by the programs of dfs/cli, handed to what puts servers and clients together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfs.core.config import Config


@dataclass(frozen=True, slots=True)
class NetworkTerms:
    """The default is what the original commands have: loopback, no secrets."""

    is_insecure: bool = False
    """Whether a server may be reached from other machines though nobody proves who he is."""
    key_file: Path | None = None
    """Where the key is; None: there is none."""


def network_terms(config: Config) -> NetworkTerms:
    """Return what the configuration says."""
    key_file = config.cluster.key_file
    return NetworkTerms(is_insecure=config.cluster.insecure_network, key_file=Path(key_file) if key_file else None)
