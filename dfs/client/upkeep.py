"""What the mount does by itself every second: commit sizes and times, give back grants of files that nobody has open, and bring
to an end what interrupted callers left behind. An idle mount does nothing here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dfs.client.locks import Locks
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.turns import Turns
from dfs.core.errors import DfsError, Interrupted
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, Tasks
from dfs.core.limits import COMMIT_INTERVAL_S

LOG = logging.getLogger(__name__)


class UpkeepTask:
    """Keeps grants in order until the mount stops."""

    def __init__(
        self,
        *,
        link: MetaLink,
        locks: Locks,
        grants: Grants,
        calls: GrantCalls,
        handles: Handles,
        turns: Turns,
        tasks: Tasks,
        is_dirty: Callable[[Ino], bool] = lambda ino: False,
    ) -> None:
        """`is_dirty` tells whether something of an inode must be stored first, which is not waited for here."""
        self._is_dirty = is_dirty
        self._link = link
        self._locks = locks
        self._grants = grants
        self._calls = calls
        self._handles = handles
        self._turns = turns
        self._mutex = tasks.mutex()
        self._tick = tasks.signal(self._mutex)
        self._unused: set[Ino] = set()
        """Inodes with a grant that no handle used at the last look."""

    def wake(self) -> None:
        """Look at once whether the mount stops."""
        self._tick.notify_all()

    def run(self, ctx: CallContext) -> None:
        """Work every COMMIT_INTERVAL_S until `ctx` says that the mount stops."""
        while ctx.cancelled() is None:
            with self._mutex:
                self._tick.wait(COMMIT_INTERVAL_S)
            try:
                self.work(ctx)
            except Interrupted:
                return

    def work(self, ctx: CallContext) -> None:
        """Do what is due now. Raises: Interrupted."""
        self._link.finish_orphans(ctx)
        self._locks.finish(ctx)
        for ino in self._grants.unsaved():
            self._try(ctx, ino, self._commit)
        inodes = self._grants.inodes()
        unused = {ino for ino in inodes if not self._handles.count(ino)}
        for ino in inodes:
            if ino in self._unused and ino in unused:
                self._try(ctx, ino, self._give_back)
            elif self._grants.unfinished(ino) is not None:
                self._try(ctx, ino, self._finish)
        self._unused = unused

    def _try(self, ctx: CallContext, ino: Ino, work: Callable[[CallContext, Ino], None]) -> None:
        """Do something for one inode. One that fails stays as it is: its next flush meets, and reports, the same error."""
        try:
            work(ctx, ino)
        except Interrupted:
            raise
        except DfsError as error:
            LOG.info("inode %d: upkeep will be tried again: %s", ino, error)

    def _give_back(self, ctx: CallContext, ino: Ino) -> None:
        """Give a grant back unless somebody is at work under it."""
        if self._turns.is_taken(ino):
            return
        with self._turns.hold(ctx, ino):
            if not self._handles.count(ino) and not self._is_dirty(ino):
                self._calls.give_back(ctx, ino)

    def _commit(self, ctx: CallContext, ino: Ino) -> None:
        self._calls.commit(ctx, ino)

    def _finish(self, ctx: CallContext, ino: Ino) -> None:
        if not self._turns.is_taken(ino):
            with self._turns.hold(ctx, ino):
                self._calls.finish(ctx, ino)
