"""Showing data servers the capability that they want to see (decision record 22).

Stands between the parts that read and write blocks and the data servers themselves. What is refused for want of a valid capability
is asked for once more, with one that the meta-server is asked for: it may have expired, or the mount may never have had one. Where
there is no key nobody refuses, and nothing is shown or asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dfs.client.blocks.capabilities import Capabilities
from dfs.core.capability import Right
from dfs.core.contexts import OnBehalfContext
from dfs.core.errors import CapabilityRefused, DfsError, StaleTicket
from dfs.core.ids import NO_TICKET, Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.messages.blocks import Get, Put, Repair
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import Mend

A = TypeVar("A")


class ShowingServers:
    """DataServers, with a capability shown to each."""

    def __init__(self, servers: DataServers, known: Capabilities, certify: Callable[[CallContext, Ino], str]) -> None:
        """`certify` asks the meta-server for a capability; it raises what that answers."""
        self._servers = servers
        self._known = known
        self._certify = certify

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        """Say where the servers listen."""
        self._servers.set_addresses(addresses, cluster)

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        """Send one request to one server and return its answer, or raise its error."""
        answer = self.call_all(ctx, {server: request})[server]
        if isinstance(answer, DfsError):
            raise answer
        return answer

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        """Send one request to each server, all of them about one inode. Errors come back as values.

        Raises: Interrupted; what the meta-server answers if it must be asked for a capability.
        """
        request = next(iter(calls.values()), None)
        if request is None:
            return {}
        ino: Ino = getattr(request, "ino", Ino(0))
        right, ticket = _wanted(request)
        shown = self._known.find(ino, right, ticket)
        answers = self._servers.call_all(_showing(ctx, shown), calls, patience_s)
        refused = [server for server, answer in answers.items() if isinstance(answer, CapabilityRefused)]
        if not refused:
            return answers
        found = self._ask(ctx, ino)
        if ticket and not self._known.find(ino, right, ticket):
            # Meta does not count the grant as this mount's any more. The writer gets it anew, if it may.
            return answers | {server: StaleTicket(ino, ticket) for server in refused}
        again = self._known.find(ino, right, ticket) or found
        return answers | self._servers.call_all(_showing(ctx, again), {server: calls[server] for server in refused}, patience_s)

    def _ask(self, ctx: CallContext, ino: Ino) -> str:
        text = self._certify(ctx, ino)
        self._known.add(text)
        return text


def _wanted(request: Request[Any]) -> tuple[Right, Ticket]:
    """Return what a capability for a request must allow."""
    if isinstance(request, Put):
        return Right.WRITE, request.ticket
    return (Right.READ if isinstance(request, Get | Mend | Repair) else Right.NONE), NO_TICKET


def _showing(ctx: CallContext, text: str) -> CallContext:
    return OnBehalfContext(ctx, replace(ctx.caller, capability=text)) if text else ctx
