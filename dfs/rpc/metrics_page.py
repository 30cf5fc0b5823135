"""GET /metrics: who may read a program's metrics, and the answer to whoever asks.

Owns the one rule: from loopback anybody, from elsewhere only with proof of the cluster key or from a listed network. It reads
nothing that was measured itself: `render` does. Called by server_connection.py for servers, by metrics_socket.py for mounts.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from dfs.core.metrics import MetricsDocument
from dfs.core.peers import Peer

logger = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PLAIN: Final = b"text/plain"


class Answer(NamedTuple):
    """What is to be sent back."""

    status: int
    content_type: bytes
    body: bytes


def may_read(peer: str, networks: Sequence[Network], *, is_authenticated: bool) -> bool:
    """Tell whether the metrics may be shown to a peer.

    Arguments: the peer's IP address, the networks whose hosts may read them, and whether this request proved to know the key.
    """
    if is_authenticated:
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or any(address in network for network in networks)


class MetricsPage:
    """The page of one program. Used by all connections at once."""

    def __init__(self, render: Callable[[], MetricsDocument] | None, networks: Sequence[Network] = ()) -> None:
        """`render` returns the document (None: metrics are switched off); hosts in `networks` may read it without a key."""
        self._render = render
        self._networks = tuple(networks)

    def answer(self, peer: Peer) -> Answer:
        """Return the answer to a GET of the page by a peer; one without an address is this machine's, let in by its kernel."""
        if self._render is None:
            return Answer(404, _PLAIN, b"metrics are switched off\n")
        if peer.host and not may_read(peer.host, self._networks, is_authenticated=peer.kind is not None):
            return Answer(403, _PLAIN, b"expected to be asked from loopback, from one of [metrics] networks, or with the key\n")
        try:
            rendered = self._render()
        except Exception:  # a bug must not take the connection, and what else it carries, with it
            logger.exception("the metrics can't be shown, a bug")
            return Answer(500, _PLAIN, b"a bug, see the log\n")
        return Answer(200, rendered.content_type, rendered.body)


NO_METRICS: Final = MetricsPage(None)
