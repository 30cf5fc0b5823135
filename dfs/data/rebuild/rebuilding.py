"""A data server's way back: from blank to its former identity, and from rebuilding or suspect to complete (design section 8).

Owns one task per role, which sleep while there is nothing to do. Promises: a server listens and takes writes all the while; what
must wait for the copying is refused with NotTrusted, which callers repeat. Called by the service. The copying itself stands in
role_rebuild.py, the question who a blank server is in adopting.py.

Lock order: the mutex is for memory only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from dfs.core.contexts import PlainContext
from dfs.core.errors import DiskError, EndReason, Interrupted, NotTrusted
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import Clock, DataServers, Disk, EventSink, Task, Tasks
from dfs.core.messages.cluster import RoleState
from dfs.core.placement import Role
from dfs.data.blocks.opening import BlockStore
from dfs.data.disk.superblock import Identification
from dfs.data.rebuild.adopting import Adopting, Former
from dfs.data.rebuild.cursor import Cursors
from dfs.data.rebuild.role_rebuild import NOT_BEGUN, Copied, RoleRebuild
from dfs.data.settings import DataSettings

log = logging.getLogger(__name__)

BLANK_POLL_S: Final = 1.0
"""How often a blank server asks its neighbours."""
FIRST_S: Final = 0.2
"""Pause before the first call, so that this server listens before it asks others; nothing depends on it."""


class Rebuilding:
    """Adopts an identity, then copies the roles that are not complete."""

    def __init__(
        self,
        settings: DataSettings,
        disk: Disk,
        identification: Identification,
        neighbours: DataServers,
        clock: Clock,
        tasks: Tasks,
        events: EventSink,
        adopt: Callable[[Former], None],
    ) -> None:
        """`adopt` makes a blank server what its neighbours say that it was, and calls attach(). Nothing is called yet."""
        self._settings = settings
        self._identification = identification
        self._neighbours = neighbours
        self._clock = clock
        self._tasks = tasks
        self._events = events
        self._adopt = adopt
        self._cursors = Cursors(disk, tasks)
        self._adopting = Adopting(settings.index, len(settings.addresses), neighbours, events)
        self._mutex = tasks.mutex()
        self._signal = tasks.signal(self._mutex)
        self._is_stopping = False
        self._roles: dict[Role, RoleRebuild] = {}
        self._tasks_running: list[Task] = []
        self._ctx = PlainContext(f"data-{settings.index}-rebuild", self._ending)

    def start(self) -> None:
        """Read how far the copying had come, and name the neighbours; before attach(). Raises: DiskError leaves."""
        self._cursors.start()
        self._neighbours.set_addresses(self._addresses(), self._identification.current.cluster)

    def begin_anew(self) -> None:
        """Count nothing as copied that is not known to be complete. Raises: DiskError leaves."""
        for role in Role:
            self._cursors.forget(role)

    def attach(self, blocks: BlockStore) -> None:
        """Take over the store of a server that is formatted."""
        self._neighbours.set_addresses(self._addresses(), self._identification.current.cluster)
        self._roles = {role: RoleRebuild(role, blocks, self._cursors, self._neighbours, self._clock, self._events) for role in Role}

    def spawn(self) -> None:
        """Begin to work in the background, unless this server was not told where its neighbours are."""
        if self._settings.addresses:
            for role in Role:
                name = f"data-{self._settings.index}-rebuild-{role.name.lower()}"
                self._tasks_running.append(self._tasks.spawn(name, lambda role=role: self._run(role)))  # type: ignore[misc]

    def _ending(self) -> EndReason | None:
        """The calls of this server's background work end when it stops."""
        return EndReason.SHUTDOWN if self._is_stopping else None

    def stop(self, timeout_s: float) -> None:
        """End the work in the background; what was copied since the cursor was saved is copied again."""
        with self._mutex:
            self._is_stopping = True
        self._signal.notify_all()
        for task in self._tasks_running:
            task.join(timeout_s)

    def step(self, role: Role) -> float:
        """Do the next bit for a role; return after how many seconds to come again.

        Raises: NotTrusted: a sync failed and the server ends; Interrupted.
        """
        rebuild = self._roles.get(role)
        if rebuild is not None:
            return rebuild.step(self._ctx)
        if role is Role.PRIMARY and not self._identification.current.cluster:
            former = self._adopting.ask(self._ctx)
            if former is not None:
                self._adopt(former)
                return 0.0
        return BLANK_POLL_S

    # --- what must wait ----------------------------------------------------------------------------------------------------

    def require_floors(self, roles: Iterable[Role]) -> None:
        """Raise NotTrusted if something stored in one of the roles might be older than a floor that is not copied yet."""
        if not self._settings.addresses:
            return
        for role in roles:
            rebuild = self._roles.get(role)
            if rebuild is not None and not rebuild.has_floors:
                raise NotTrusted(f"data server {self._settings.index} still has to learn the floors from its neighbour")

    def is_complete(self) -> bool:
        """Tell whether what is removed now can't be copied back."""
        block = self._identification.current
        return not self._settings.addresses or block.primary is block.secondary is RoleState.COMPLETE

    def copied(self, role: Role) -> Copied:
        """Return how far the copying of a role that is not complete has come."""
        rebuild = self._roles.get(role)
        return NOT_BEGUN if rebuild is None else rebuild.copied()

    def describe(self) -> str:
        """Return how far the copying is, for people; empty when there is nothing to copy."""
        return "; ".join(text for rebuild in self._roles.values() if (text := rebuild.describe()))

    # --- background ------------------------------------------------------------------------------------------------------

    def _run(self, role: Role) -> None:
        self._wait(FIRST_S)
        while not self._is_stopping:
            try:
                delay_s = self.step(role)
            except Interrupted:
                return
            except NotTrusted as error:
                log.error("copying ends: %s", error)  # check() tells the service loop to end the process
                return
            except DiskError as error:
                log.warning("copying waits: %s", error)
                delay_s = BLANK_POLL_S
            if delay_s:
                self._wait(delay_s)

    def _wait(self, duration_s: float) -> None:
        """Wait, unless the server stops."""
        with self._mutex:
            if not self._is_stopping:
                self._signal.wait(duration_s)

    def _addresses(self) -> dict[ServerIndex, str]:
        return {ServerIndex(index): address for index, address in enumerate(self._settings.addresses)}
