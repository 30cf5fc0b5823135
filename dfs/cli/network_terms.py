"""On what terms a program takes part in the network: what the configuration says of it, as the servers and clients need it.

Made from the configuration by the programs of dfs/cli, handed to what puts servers and clients together.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dfs.cli.configuration import read_config
from dfs.core.config import Config, TlsConfig
from dfs.core.interfaces import EventSink
from dfs.core.start_errors import ConfigError

if TYPE_CHECKING:
    from dfs.cli.tls.certificate_watch import CertificateWatch
    from dfs.rpc.tls import TlsIdentity


@dataclass(frozen=True, slots=True)
class NetworkTerms:
    """The default is what the original commands have: loopback, no secrets."""

    is_insecure: bool = False
    """Whether a server may be reached from other machines though nobody proves who he is."""
    key_file: Path | None = None
    """Where the key is; None: there is none."""
    tls: TlsConfig = field(default_factory=TlsConfig)
    """The files for TLS; none: no connection is secured."""

    def read_tls(self, events: EventSink, *, is_server: bool = False) -> TlsIdentity | None:
        """Return what connections are secured with, read from the files; None: nothing. Raises: ConfigError."""
        if not self.tls.is_on:
            return None
        from dfs.rpc.tls import TlsIdentity  # here, as programs without TLS start sooner without it

        return TlsIdentity(self.tls, events, is_server=is_server)


def network_terms(config: Config) -> NetworkTerms:
    """Return what the configuration says."""
    key_file = config.cluster.key_file
    return NetworkTerms(is_insecure=config.cluster.insecure_network, key_file=Path(key_file) if key_file else None, tls=config.tls)


def terms_of_address(address: str) -> NetworkTerms:
    """Return the terms for a meta-server that was given by its address alone: those of this machine's configuration if that names
    the same address. A configuration that is missing or wrong says nothing about it.
    """
    try:
        config = read_config(None)
    except ConfigError:
        return NetworkTerms()
    return network_terms(config) if config.meta.address == address else NetworkTerms()


def watch_certificate(tls: TlsIdentity | None, events: EventSink) -> AbstractContextManager[CertificateWatch | None]:
    """Return what looks after the certificate of a program while it runs, to be used in a `with`; without TLS nothing does."""
    if tls is None:
        return nullcontext()
    from dfs.cli.tls.certificate_watch import CertificateWatch
    from dfs.host.clock import SystemClock
    from dfs.host.tasks import ThreadTasks

    return CertificateWatch(tls, SystemClock(), ThreadTasks(), events)


def with_certificate(reload: Callable[[], None] | None, watch: CertificateWatch | None) -> Callable[[], None] | None:
    """Return what SIGHUP does: `reload`, and having the certificate read again."""
    if reload is None or watch is None:
        return reload

    def run() -> None:
        reload()
        watch.look_again()

    return run
