"""Giving grants back that another session waits for.

The heartbeat hands recalls over; one task serves them in turn. A write under way ends or is abandoned first (writer.py looks at
Grants.recalled_for_s), so the task never waits long for an inode's turn; nor for that of a writer who waits for the very grant in
turn, for meta's answer to him ends the recall. A recall of a grant that this mount does not know of (its Acquire was interrupted)
is answered too: meta frees it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from dfs.client.blocks.patience import Patience
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.turns import Turns
from dfs.core.contexts import GuardedContext
from dfs.core.errors import DfsError, Interrupted
from dfs.core.ids import Ino
from dfs.core.interfaces import POLL_S, CallContext, Clock, Random, Tasks

LOG = logging.getLogger(__name__)


class RecallTask:
    """Serves recalls until the mount stops."""

    def __init__(
        self,
        *,
        grants: Grants,
        calls: GrantCalls,
        turns: Turns,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        hand_over: Callable[[Ino], bool] = lambda ino: False,
    ) -> None:
        """`hand_over` tells whether somebody else will give an inode's grant back, because something must be stored first."""
        self._hand_over = hand_over
        self._grants = grants
        self._calls = calls
        self._turns = turns
        self._clock = clock
        self._random = random
        self._mutex = tasks.mutex()
        self._came = tasks.signal(self._mutex)
        self._waiting: deque[Ino] = deque()

    def recall(self, inos: Iterable[Ino]) -> None:
        """Take recalls from the heartbeat; those that are being served already are left out."""
        with self._mutex:
            known = set(self._grants.recalls())
            news = [ino for ino in inos if ino not in known]
            self._grants.recall(news)
            self._waiting.extend(news)
            self._came.notify_all()

    def wake(self) -> None:
        """Look at once whether the mount stops."""
        self._came.notify_all()

    def run(self, ctx: CallContext) -> None:
        """Serve recalls until `ctx` says that the mount stops."""
        while ctx.cancelled() is None:
            ino = self._next()
            if ino is not None:
                self._serve(ctx, ino)

    def _next(self) -> Ino | None:
        with self._mutex:
            if not self._waiting:
                self._came.wait(10 * POLL_S)
            return self._waiting.popleft() if self._waiting else None

    def _serve(self, ctx: CallContext, ino: Ino) -> None:
        if self._hand_over(ino):
            return
        is_over = GuardedContext(ctx, lambda: self._grants.recalled_for_s(ino) is None)
        try:
            with self._turns.hold(is_over, ino):
                if self._grants.recalled_for_s(ino) is not None and not self._hand_over(
                    ino
                ):  # else whoever had the turn before gave it back
                    self._calls.give_back(ctx, ino)
        except Interrupted:
            return  # the mount stops, or there is nothing to be given back any more
        except DfsError as error:
            LOG.warning("the grant of inode %d could not be given back yet: %s", ino, error)
            self._pause(ctx)
            self._grants.end_recall(ino)  # meta asks again

    def _pause(self, ctx: CallContext) -> None:
        try:
            Patience(self._clock, self._random).wait(ctx)
        except Interrupted:
            LOG.debug("the mount stops")
