"""A blank server asks its neighbours who it is (design section 8): they know, if it lost its disk; else it waits to be formatted.

Promises: an identity is adopted only from a neighbour that is formatted and answers for the index that it is meant to have; two
neighbours of different file systems, or another N than this server was told, are refused with both values. While the neighbours
are blank, or prepared and not yet formatted, nothing happens. Called by Rebuilding. Changes nothing itself.
"""

from __future__ import annotations

from typing import NamedTuple

from dfs.core.errors import DfsError, WrongServer
from dfs.core.events.event import Event
from dfs.core.events.wire import SERVER_REFUSED
from dfs.core.ids import NUMBER_MAX, ServerIndex
from dfs.core.interfaces import CallContext, DataServers, EventSink
from dfs.core.limits import BLOCK_SIZES
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import Identify, Identity
from dfs.core.placement import Role, twin_of


class Former(NamedTuple):
    """What this server was before it lost its disk."""

    shape: Shape
    mark: int
    """The highest number mark that its neighbours were told."""


class Adopting:
    """Finds out who a blank server is."""

    def __init__(self, server: ServerIndex, servers: int, neighbours: DataServers, events: EventSink) -> None:
        self._server = server
        self._servers = servers
        self._neighbours = neighbours
        self._events = events
        self._refusal = ""

    def ask(self, ctx: CallContext) -> Former | None:
        """Return what the neighbours say that this server is; None: it has to wait. Raises: Interrupted."""
        asked = {twin_of(self._server, role, self._servers)[0] for role in Role}
        found: list[Identity] = []
        for server, answer in self._neighbours.call_all(ctx, {server: Identify() for server in sorted(asked)}).items():
            try:
                if isinstance(answer, DfsError):
                    raise answer
                if self._is_formatted(server, answer):
                    found.append(answer)
            except WrongServer as error:
                self._refuse(ctx, f"data server {server}", error)
            except DfsError:
                continue  # it is away, or starts: asked again
        if not found:
            return None
        if any(identity.shape != found[0].shape for identity in found):
            self._refuse(ctx, "neighbours", WrongServer(_show(found[0].shape), _show(found[1].shape)))
            return None
        return Former(found[0].shape, max(identity.mark for identity in found))

    def _is_formatted(self, server: ServerIndex, identity: Identity) -> bool:
        """Tell whether a neighbour knows what this server is. Raises: WrongServer."""
        if identity.index != server:
            raise WrongServer(f"data server {server}", f"data server {identity.index}")
        if RoleState.BLANK in (identity.primary, identity.secondary):
            return False
        (low, high), size = BLOCK_SIZES, identity.shape.block_size
        is_size = low <= size <= high and not size & (size - 1)
        if not is_size or not identity.shape.cluster or not 0 <= identity.mark <= NUMBER_MAX:
            raise WrongServer("the identity of a data server", f"{_show(identity.shape)} at mark {identity.mark}")
        if identity.shape.servers != self._servers:
            raise WrongServer(f"one of {self._servers} data servers", f"one of {identity.shape.servers}")
        return True

    def _refuse(self, ctx: CallContext, peer: str, error: WrongServer) -> None:
        """Report what an operator must put right, once and not at every try."""
        if str(error) != self._refusal:
            self._refusal = str(error)
            self._events.emit(Event(SERVER_REFUSED, server=self._server, peer=peer, details={"reason": str(error)}), ctx)


def _show(shape: Shape) -> str:
    return f"cluster {shape.cluster} with {shape.servers} servers and blocks of {shape.block_size} bytes"
