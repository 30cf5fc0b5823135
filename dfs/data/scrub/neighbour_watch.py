"""Whether the neighbour that holds the other copies of a role can be compared with.

Promises: a neighbour that is away is asked again only after a while, and a line in the log says when such a time begins and ends.
Called by the scrub's task alone.
"""

from __future__ import annotations

import logging
from typing import Final

from dfs.core.errors import DfsError, Interrupted
from dfs.core.interfaces import CallContext, Clock, DataServers
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify
from dfs.core.placement import Role, twin_of
from dfs.data.blocks.store import Store

log = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 5.0
"""How long an answer counts."""


class NeighbourWatch:
    """What is known of the neighbours of both roles."""

    def __init__(self, store: Store, neighbours: DataServers, clock: Clock) -> None:
        self._store = store
        self._neighbours = neighbours
        self._clock = clock
        self._reasons = dict.fromkeys(Role, "")
        self._asked_s: dict[Role, float] = {}

    def reason(self, ctx: CallContext, role: Role) -> str:
        """Return why the copies of a role can't be compared, empty if they can. Raises: Interrupted."""
        own = self._store.identification.current.state_of(role)
        if own is not RoleState.COMPLETE:
            self._note(role, f"they are {own} here")
        elif self._clock.monotonic_s() - self._asked_s.get(role, float("-inf")) >= ASK_AGAIN_S:
            self._note(role, self._ask(ctx, role))
            self._asked_s[role] = self._clock.monotonic_s()
        return self._reasons[role]

    def note_failure(self, role: Role, error: DfsError) -> None:
        """Note that the neighbour did not answer a call."""
        self._asked_s[role] = self._clock.monotonic_s()
        self._note(role, str(error))

    def describe(self) -> str:
        """Return why copies are not compared, for people; empty if all are."""
        return "; ".join(f"{role.name.lower()} copies: {reason}" for role, reason in self._reasons.items() if reason)

    def _ask(self, ctx: CallContext, role: Role) -> str:
        block = self._store.identification.current
        twin, twin_role = twin_of(self._store.server, role, block.servers)
        try:
            identity = self._neighbours.call(ctx, twin, Identify())
        except Interrupted:
            raise
        except DfsError as error:
            return str(error)
        if identity.shape.cluster != block.cluster or identity.index != twin:
            return f"server {twin} is another one"
        state = identity.primary if twin_role is Role.PRIMARY else identity.secondary
        return "" if state is RoleState.COMPLETE else f"those on server {twin} are {state}"

    def _note(self, role: Role, reason: str) -> None:
        old, self._reasons[role] = self._reasons[role], reason
        if reason and not old:
            log.info("the %s copies are read, but not compared for now: %s", role.name.lower(), reason)
        elif old and not reason:
            self._asked_s.pop(role, None)
            log.info("the %s copies are compared again", role.name.lower())
