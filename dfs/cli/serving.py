"""What the programs of both kinds of server have in common: a service, its listening end and its state folder, run until SIGTERM.

Order at start: the address is bound first (whoever calls this has built the RpcServer), so that a second start of the same server
says that the address is in use; then the state folder is locked; then the service recovers; then requests are answered. Nobody
calls another process before that. Called by dfs/cli/meta_serving.py and data_serving.py, which import their own service alone: a
process that loads what it does not run starts later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dfs.cli.configuration import ConfigSource
from dfs.cli.credentials import Credentials
from dfs.cli.network_terms import NetworkTerms, watch_certificate, with_certificate
from dfs.cli.reloading import Reloading
from dfs.core.config import Config
from dfs.core.events.event import Event
from dfs.core.events.wire import INSECURE_NETWORK
from dfs.core.interfaces import EventSink, Service
from dfs.host.service import run_service
from dfs.host.state_folder import lock_state_folder
from dfs.rpc.loopback_owners import LoopbackOwners
from dfs.rpc.server import RpcServer
from dfs.rpc.verifier import Verifier

if TYPE_CHECKING:
    from dfs.rpc.tls import TlsIdentity


def serve(
    service: Service,
    server: RpcServer,
    what: str,
    folder: Path,
    reload: Callable[[], None] | None,
    events: EventSink,
    *,
    require_mount: bool,
    tls: TlsIdentity | None,
) -> None:
    """Run `service` behind `server`.

    Arguments: `what` it is, for the log; `reload`: what SIGHUP does besides reading the files of `tls` again (None: it ends the
    process); `events`: who is told; `tls`: what the server secures its connections with.
    """
    if server.is_on_network and not server.has_key:
        events.emit(Event(INSECURE_NETWORK, details={"what": what}))
    with ExitStack() as stack:
        stack.enter_context(lock_state_folder(folder, require_mount=require_mount))
        watch = stack.enter_context(watch_certificate(tls, events))
        reload = with_certificate(reload, watch)
        run_service(
            service=service,
            what=what,
            open_for_requests=server.start,
            close_for_requests=server.stop,
            events=events,
            reload=reload,
        )


class Admission(TypedDict):
    """What an RpcServer is told of who may call it."""

    is_open_to_network: bool
    verifier: Verifier | None
    owners: LoopbackOwners | None


def admission(network: NetworkTerms, credentials: Credentials, events: EventSink) -> Admission:
    """Return whom a server lets in: with a key who has it, else its own user and root, or everybody if told so."""
    verifier = credentials.verifier(events)
    owners = LoopbackOwners() if verifier is None else None
    return Admission(is_open_to_network=network.is_insecure or verifier is not None, verifier=verifier, owners=owners)


def reloading(
    source: ConfigSource, sections: Sequence[str], apply: Callable[[Config], None], events: EventSink
) -> Callable[[], None]:
    """Return what SIGHUP does."""
    return Reloading(read=source.read, running=source.running, sections=sections, apply=apply, events=events).reload
