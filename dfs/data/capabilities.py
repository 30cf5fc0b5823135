"""Which requests a client may make of a data server, and with which capability: a table over all methods (decision record 22).

A data server knows blocks, not who may read or write what. Where there is a key it serves a client only what the meta-server has
signed. Servers and administrators need no capability. Called by the service before anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from dfs.core.capability import Right, Verifier
from dfs.core.errors import CapabilityRefused
from dfs.core.ids import NO_TICKET, Ino, Ticket
from dfs.core.interfaces import CallContext, Clock
from dfs.core.messages.blocks import CountBlocks, Get, Put, Sync
from dfs.core.messages.data_server import Identify, ShowData
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import Mend
from dfs.core.peers import PeerKind

_TRUSTED: Final = (PeerKind.META, PeerKind.DATA, PeerKind.ADMIN)


class Need(NamedTuple):
    """What a request needs."""

    right: Right
    ticket: Callable[[Any], Ticket] = lambda request: NO_TICKET


NEEDS: Final[dict[type[Request[Any]], Need]] = {
    Put: Need(Right.WRITE, lambda request: request.ticket),
    Get: Need(Right.READ),
    Mend: Need(Right.READ),
    Sync: Need(Right.NONE),
    CountBlocks: Need(Right.NONE),
}
"""Of the requests that need a capability. A client never repairs by itself: it would be believed what the other copy says. It has
the server compare the copies (Mend).
"""

OPEN: Final[frozenset[type[Request[Any]]]] = frozenset({Identify, ShowData})
"""Requests that tell nothing of files. All others are none of a client's."""


class CapabilityGuard:
    """Keeps clients from what they may not do."""

    def __init__(self, verifier: Verifier | None, clock: Clock) -> None:
        """`verifier`: None where there is no key, so that nobody is known."""
        self._verifier = verifier
        self._clock = clock

    def require(self, ctx: CallContext, request: Request[Any]) -> None:
        """Return if the caller may make the request. Raises: CapabilityRefused."""
        verifier, caller = self._verifier, ctx.caller
        if verifier is None or not caller.peer.host or caller.peer.kind in _TRUSTED or type(request) in OPEN:
            return
        ino: Ino = getattr(request, "ino", Ino(0))
        need = NEEDS.get(type(request))
        if need is None:
            raise CapabilityRefused(ino, f"{type(request).__name__} is not for clients")
        now_s = self._clock.wall_ns() / 10**9
        verifier.require(caller.capability, caller.peer.name, ino, need.right, need.ticket(request), now_s)
