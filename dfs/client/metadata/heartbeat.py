"""The heartbeat: the task that keeps the session alive, tells meta which files were closed, and hears of recalls.

One call is always parked at meta, so a recall arrives at once. The lease counts from when a good heartbeat was sent. Never waits
for a turn or for a data server: what must be done about a recall is done by recalls.py.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from dfs.client.blocks.patience import Patience
from dfs.client.metadata.clock_watch import ClockWatch
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.meta_retry import AWAY, PatientMeta
from dfs.client.metadata.session import Session
from dfs.core.contexts import GuardedContext
from dfs.core.errors import ClientRefused, DfsError, Interrupted, SessionExpired
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, Clock, Random, Tasks
from dfs.core.limits import BATCH_INODES_MAX
from dfs.core.messages.sessions import Heartbeat, OpenFile

LOG = logging.getLogger(__name__)

RECALLS_TIMEOUT_S: Final = 0.5
"""How long the next heartbeat waits for recalls to be done."""


class ClosedFiles:
    """Files closed since the last heartbeat, of which meta need not hear sooner."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._files: deque[OpenFile] = deque()

    def add(self, files: Iterable[OpenFile]) -> None:
        """Note closed files."""
        with self._mutex:
            self._files.extend(files)

    def abandon(self, handles: Handles, file: OpenFile) -> None:
        """Note that nobody wants what a call has opened; unless something else here has the inode open, it is closed."""
        if not handles.opened_again(file):
            self.add([file])

    def take(self) -> tuple[OpenFile, ...]:
        """Return, and forget, as many as one call may carry."""
        with self._mutex:
            return tuple(self._files.popleft() for _ in range(min(len(self._files), BATCH_INODES_MAX)))


class HeartbeatTask:
    """Sends heartbeats until the mount stops."""

    def __init__(
        self,
        *,
        meta: PatientMeta,
        session: Session,
        lease: Lease,
        grants: Grants,
        closed: ClosedFiles,
        recall: Callable[[tuple[Ino, ...]], None],
        watch: ClockWatch,
        clock: Clock,
        random: Random,
    ) -> None:
        self._meta = meta
        self._session = session
        self._lease = lease
        self._grants = grants
        self._closed = closed
        self._recall = recall
        self._watch = watch
        self._clock = clock
        self._random = random

    def run(self, ctx: CallContext) -> None:
        """Send heartbeats until `ctx` says that the mount stops."""
        patience, told = Patience(self._clock, self._random), ""
        while ctx.cancelled() is None:
            try:
                self._beat(ctx)
            except Interrupted as error:
                if ctx.cancelled() is not None:
                    return
                LOG.warning("the heartbeat was ended by its receiver: %s", error)
            except AWAY:
                told = ""  # an outage, of which the operator is told elsewhere
            except DfsError as error:
                if isinstance(error, ClientRefused):
                    self._lease.refuse(error)
                if told != str(error):
                    told = str(error)
                    LOG.warning("the heartbeat fails: %s", error)
            else:
                told = ""
                patience = Patience(self._clock, self._random)
                continue
            try:
                patience.wait(ctx)
            except Interrupted:
                return

    def _beat(self, ctx: CallContext) -> None:
        if self._session.is_lost:  # meta may know it all the same, so that no heartbeat would tell
            self._session.renew(ctx, self._session.number)
            return
        known = self._grants.recalls()
        told = self._session.context(
            GuardedContext(ctx, lambda: self._session.is_lost or not set(known) <= set(self._grants.recalls()))
        )
        closed = self._closed.take()
        sent_s, sent_ns = self._clock.monotonic_s(), self._clock.wall_ns()
        is_heard = False
        try:
            answer = self._meta.try_once(told, Heartbeat(closed, known))
            is_heard = True
        except SessionExpired:
            is_heard = True  # with the session, meta forgot what it had open
            self._session.renew(ctx, told.session)
            return
        except Interrupted:
            if ctx.cancelled() is not None:
                raise
            return  # meta takes a recall for known that is done: the same grant may be asked back again
        finally:
            if not is_heard:
                self._closed.add(closed)
        if told.session == self._session.number:
            self._lease.renew(sent_s)
        self._watch.note(ctx, sent_ns, answer.wall_ns)
        self._session.learn(ctx, answer)
        if answer.recalls:
            self._recall(answer.recalls)
            # Nearly always they are done in a moment, and the next call need not say that they are known.
            self._grants.wait_for_recalls(ctx, self._clock.monotonic_s() + RECALLS_TIMEOUT_S)
