"""Keeping up, for one role that is complete, until when everything in it is known to be on disk (dfs/data/disk/sync_moments.py).

Every few seconds in which something was stored: the neighbour that holds the other replica is asked for its moment, and once a sync
of everything that began after that has ended well, the moment is noted. A neighbour that is away leaves the old one, which is true
still and only makes more be compared. Called by a role's rebuild. Never syncs, and never waits.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from dfs.core.errors import DfsError, Interrupted
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers
from dfs.core.limits import LATE_PUT_S
from dfs.core.messages.rebuild import AskMoment, Moment
from dfs.core.placement import Role
from dfs.data.blocks.opening import BlockStore

log = logging.getLogger(__name__)

INTERVAL_S: Final = LATE_PUT_S
"""How often the neighbour is asked at most."""


class _Asked(NamedTuple):
    """A moment that counts when a sync has ended."""

    moment: Moment
    changes: int
    """Changes of the role that were noted before it was asked for."""
    sync: int
    """Number of the sync (Checkpoint.synced)."""


class MomentKeeper:
    """Notes the moments of one role."""

    def __init__(self, role: Role, blocks: BlockStore, neighbours: DataServers, source: ServerIndex, clock: Clock) -> None:
        self._role = role
        self._blocks = blocks
        self._neighbours = neighbours
        self._source = source
        self._clock = clock
        self._asked: _Asked | None = None
        self._asked_s: float | None = None
        self._kept = -1
        """Changes of the role when the moment was asked for that counts now."""

    def step(self, ctx: CallContext) -> None:
        """Ask, or note what was asked for, if it is time. Raises: DiskError leaves; Interrupted."""
        asked = self._asked
        if asked is not None:
            if self._blocks.checkpoint.synced >= asked.sync:
                store = self._blocks.store
                store.moments.note(self._role, asked.moment, store.journal.durable)
                self._kept, self._asked = asked.changes, None
            return
        changes, now_s = self._blocks.store.changes.count(self._role), self._clock.monotonic_s()
        if changes == self._kept or (self._asked_s is not None and now_s - self._asked_s < INTERVAL_S):
            return
        self._asked_s = now_s
        try:
            moment = self._neighbours.call(ctx, self._source, AskMoment())
        except Interrupted:
            raise
        except DfsError as error:
            log.debug("no moment of server %d: %s", self._source, error)
        else:
            self._asked = _Asked(moment, changes, self._blocks.checkpoint.begun + 1)
