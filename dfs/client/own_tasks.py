"""The tasks that a mount runs beside its system calls: heartbeat, recalls, upkeep, reading ahead and writing back.

Started and ended by filesystem.py. Each ends by itself once the context that it was given says that the mount stops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from dfs.client.blocks.read_ahead import TASKS as READ_AHEAD_TASKS
from dfs.client.content_path import ContentPath
from dfs.client.metadata.clock_watch import ClockWatch
from dfs.client.metadata.heartbeat import HeartbeatTask
from dfs.client.metadata.meta_path import MetaPath
from dfs.client.metadata.recalls import RecallTask
from dfs.client.upkeep import UpkeepTask
from dfs.client.write_back.service import TASKS as WRITE_BACK_TASKS
from dfs.core.contexts import PlainContext
from dfs.core.errors import EndReason
from dfs.core.interfaces import CallContext, Clock, EventSink, Random, Task, Tasks

LOG = logging.getLogger(__name__)

JOIN_TIMEOUT_S: Final = 5.0


class OwnTasks:
    """Them all."""

    def __init__(
        self,
        *,
        recalls: RecallTask,
        upkeep: UpkeepTask,
        heartbeat: HeartbeatTask,
        content: ContentPath,
        tasks: Tasks,
        ending: Callable[[], EndReason | None],
    ) -> None:
        """`ending` tells whether the mount stops."""
        self.recalls = recalls
        self.upkeep = upkeep
        self.heartbeat = heartbeat
        self._reading, self._back = content.reading, content.back
        self._tasks = tasks
        self._ending = ending
        self._running: list[Task] = []

    def start(self) -> None:
        """Begin: the session is open."""
        for name, run in self._work():
            own = PlainContext(name, self._ending)
            self._running.append(self._tasks.spawn(name, lambda run=run, own=own: run(own)))  # type: ignore[misc]

    def join(self) -> None:
        """Have the tasks see that the mount stops, and wait until they ended: bounded in time."""
        self.recalls.wake()
        self.upkeep.wake()
        self._reading.wake()
        self._back.wake()
        for task in self._running:
            if not task.join(JOIN_TIMEOUT_S):
                LOG.warning("a task of the mount did not end within %.0f s", JOIN_TIMEOUT_S)

    def _work(self) -> Iterator[tuple[str, Callable[[CallContext], None]]]:
        yield "heartbeat", self.heartbeat.run
        yield "recalls", self.recalls.run
        yield "upkeep", self.upkeep.run
        for number in range(READ_AHEAD_TASKS):
            yield f"read-ahead-{number}", self._reading.run
        for number in range(WRITE_BACK_TASKS if self._back.is_on else 0):
            yield f"write-back-{number}", self._back.run


def make_own_tasks(
    *,
    meta: MetaPath,
    content: ContentPath,
    clock: Clock,
    random: Random,
    tasks: Tasks,
    events: EventSink,
    ending: Callable[[], EndReason | None],
) -> OwnTasks:
    """Return the tasks, not started."""
    back = content.back
    recalls = RecallTask(
        grants=meta.grants,
        calls=meta.calls,
        turns=meta.turns,
        clock=clock,
        random=random,
        tasks=tasks,
        hand_over=back.hurry,
    )
    upkeep = UpkeepTask(
        link=meta.link,
        locks=content.locks,
        grants=meta.grants,
        calls=meta.calls,
        handles=meta.handles,
        turns=meta.turns,
        tasks=tasks,
        is_dirty=back.is_dirty,
    )
    heartbeat = HeartbeatTask(
        meta=meta.patient,
        session=meta.session,
        lease=meta.lease,
        grants=meta.grants,
        closed=meta.closed,
        recall=recalls.recall,
        watch=ClockWatch(clock, events),
        clock=clock,
        random=random,
    )
    return OwnTasks(recalls=recalls, upkeep=upkeep, heartbeat=heartbeat, content=content, tasks=tasks, ending=ending)
