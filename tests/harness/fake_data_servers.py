"""All data servers of a cluster in one object, as far as the meta-server sees them; stands in for dfs.rpc's DataServersClient.

A test takes servers down (`down`), fills them (`ends`), wipes them (`lose_disk`) and looks at what was asked (`calls`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from dfs.core.cuts import Cut
from dfs.core.errors import DfsError, UnknownMethod, Unreachable, WrongServer
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, raise_if_cancelled
from dfs.core.messages.blocks import Clean, Drop, Fence, Fenced, Inventory, ListInodes
from dfs.core.messages.cluster import RoleState, Shape, Space
from dfs.core.messages.data_server import CommitFormat, DataStatus, Identify, Identity, NoteMark, PrepareFormat, ShowData
from dfs.core.messages.requests import Done, Request

A = TypeVar("A")
BLANK_SHAPE = Shape("", 0, 0)


@dataclass
class FakeServer:
    """One data server."""

    identity: Identity
    space: Space = field(default_factory=lambda: Space(1000, 400, "disk"))
    ends: dict[Ino, int] = field(default_factory=dict)
    floors: dict[Ino, Ticket] = field(default_factory=dict)
    cleaned: list[tuple[Ino, tuple[Cut, ...]]] = field(default_factory=list)
    dropped: list[Ino] = field(default_factory=list)
    is_unsure: bool = False
    """Whether something behind `ends` can't be read."""
    strips: set[Ino] = field(default_factory=set)
    """Inodes with strips; only tests that need them say so."""

    def answer(self, request: Request[Any]) -> Any:
        if isinstance(request, Identify):
            return self.identity
        if isinstance(request, PrepareFormat):
            if self.identity.shape.cluster not in ("", request.shape.cluster) or self.identity.index != request.index:
                raise WrongServer(f"blank data server {request.index}", f"one of cluster {self.identity.shape.cluster}")
            self.identity = replace(self.identity, shape=request.shape)
            return self.identity
        if isinstance(request, CommitFormat):
            if self.identity.shape.cluster != request.cluster:
                raise WrongServer(f"cluster {request.cluster}", self.identity.shape.cluster)
            self.identity = replace(self.identity, primary=RoleState.COMPLETE, secondary=RoleState.COMPLETE)
            return self.identity
        if isinstance(request, ShowData):
            return DataStatus(self.identity, self.space, "")
        return self._work(request)

    def _work(self, request: Request[Any]) -> Any:
        if isinstance(request, NoteMark):
            self.identity = replace(self.identity, mark=max(self.identity.mark, request.mark))
            return Done()
        if isinstance(request, ListInodes):
            above = sorted(ino for ino in self.strips if ino > request.after)
            return Inventory(tuple(above[: request.limit]), len(above) > request.limit)
        if isinstance(request, Fence):
            self.floors[request.ino] = max(request.ticket, self.floors.get(request.ino, Ticket(0)))
            return Fenced(self.ends.get(request.ino, 0), not self.is_unsure)
        if isinstance(request, Clean):
            self.cleaned.append((request.ino, request.cuts))
            return self.identity
        if isinstance(request, Drop):
            self.dropped += request.inos
            self.strips -= set(request.inos)
            return Done()
        raise UnknownMethod(type(request).__name__)


class FakeDataServers:
    """DataServers without a network: addresses name FakeServers."""

    def __init__(self, count: int = 4) -> None:
        self.hosts: dict[str, FakeServer] = {}
        for index in range(count):
            identity = Identity(BLANK_SHAPE, ServerIndex(index), f"disk-{index}", RoleState.BLANK, RoleState.BLANK, 0)
            self.hosts[f"127.0.0.1:{9100 + index}"] = FakeServer(identity)
        self.down: set[str] = set()
        self.calls: list[tuple[ServerIndex, Request[Any]]] = []
        self.before_answer: Callable[[ServerIndex, Request[Any]], None] = lambda server, request: None
        self.addresses: dict[ServerIndex, str] = {}
        self.cluster = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The addresses in order of index."""
        return tuple(self.hosts)

    def server(self, index: int) -> FakeServer:
        """Return a server by its index."""
        return list(self.hosts.values())[index]

    def take_down(self, *indexes: int) -> None:
        self.down |= {self.names[index] for index in indexes}

    def bring_up(self) -> None:
        self.down.clear()

    def asked(self, kind: type[Request[Any]]) -> list[tuple[ServerIndex, Request[Any]]]:
        """Return the calls of one kind."""
        return [(server, request) for server, request in self.calls if isinstance(request, kind)]

    def lose_disk(self, index: int) -> None:
        """Have a server come back on an empty disk, rebuilding."""
        server = self.server(index)
        lost = replace(
            server.identity, disk=server.identity.disk + "'", primary=RoleState.REBUILDING, secondary=RoleState.REBUILDING
        )
        self.hosts[self.names[index]] = FakeServer(lost)

    # --- DataServers ---------------------------------------------------------------------------------------------------

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        raise_if_cancelled(ctx)
        answers: dict[ServerIndex, A | DfsError] = {}
        for server, request in calls.items():
            try:
                answers[server] = self.call(ctx, server, request)
            except DfsError as error:
                answers[server] = error
        return answers

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        self.calls.append((server, request))
        self.before_answer(server, request)
        address = self.addresses[server]
        peer = f"data server {server} at {address}"
        if address in self.down or address not in self.hosts:
            raise Unreachable(peer, "connection refused")
        host = self.hosts[address]
        if self.cluster and (host.identity.shape.cluster, host.identity.index) != (self.cluster, server):
            raise WrongServer(f"{self.cluster}/{server}", f"{host.identity.shape.cluster}/{host.identity.index}")
        return cast(A, host.answer(request))

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        self.addresses = dict(addresses)
        self.cluster = cluster
