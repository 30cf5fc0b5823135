"""The scrub: everything that is stored here is read, again and again at a set pace, and compared with the neighbours' copies.

Owns the task, its pace, what it was asked for, and the cursor of the running pass. Promises: it reads no more bytes a second than
set, a small batch at a time; one bad object never ends a pass; a restart goes on at the saved cursor; whoever asked learns what
came of it. Called by the service. What a batch is, is in scrub_walk.py; what is done with it in comparing.py.

Lock order: the mutex is for memory only.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Final

from dfs.core.contexts import PlainContext
from dfs.core.errors import BadRequest, DfsError, DiskError, EndReason, Interrupted, NotTrusted
from dfs.core.events.data_server import SCRUB_FINISHED, SCRUB_LATE
from dfs.core.events.event import Event
from dfs.core.ids import BlockNo, Ino
from dfs.core.interfaces import CallContext, Clock, DataServers, Disk, EventSink, Task, Tasks
from dfs.core.messages.scrub import EVERYTHING, NOTHING, Mend, Mended, ScrubCounts, ScrubOrder, ScrubResult, ScrubStatus
from dfs.core.placement import Role
from dfs.data.blocks.checks import check_ino
from dfs.data.blocks.opening import BlockStore
from dfs.data.scrub.comparing import Comparing, Look
from dfs.data.scrub.cursor import BEGINNING, Position, ScrubCursor, load_cursor, save_cursor
from dfs.data.scrub.mending import Mending
from dfs.data.scrub.neighbour_watch import NeighbourWatch
from dfs.data.scrub.walk import Batch, Walk
from dfs.data.settings import SCRUB_BYTES_PER_S, DataSettings

log = logging.getLogger(__name__)

IDLE_S: Final = 1.0
"""How often it is looked whether there is something to do."""
RETRY_S: Final = 1.0
"""How long a disk that refuses is left alone."""
SECOND_LOOK_S: Final = 0.2
"""Time for a put under way to reach the second server."""
EXCHANGE_BYTES: Final = 64 << 10
"""A batch counts for at least so many bytes read: what its calls cost, so that small files keep to a pace too."""
SAVE_INTERVAL_S: Final = 30.0
"""How often the cursor is saved: so much is looked at again after a stop."""
DAY_NS: Final = 86_400 * 10**9
PASS_PAUSE_NS: Final = DAY_NS
"""From the end of a pass to the beginning of the next."""
PASS_NS_MAX: Final = 14 * DAY_NS
"""An operator is told when no full pass has ended for so long."""
RESULTS_MAX: Final = 256
"""Orders that are remembered after they ended."""
DAMAGE_MAX: Final = 10_000
"""Damaged blocks that are remembered."""


@dataclass(slots=True)
class Job:
    """A walk with what came of it."""

    walk: Walk
    ino: Ino
    """EVERYTHING for a pass."""
    began_s: float
    orders: tuple[int, ...] = ()
    counts: ScrubCounts = NOTHING
    read_bytes: int = 0
    first_fraction: float = 0.0
    """How much was done when it began, or went on after a restart."""
    damage: set[tuple[Ino, BlockNo]] = field(default_factory=set)


class Scrubbing:
    """Scrubs one data server."""

    def __init__(
        self, settings: DataSettings, disk: Disk, neighbours: DataServers, clock: Clock, tasks: Tasks, events: EventSink
    ) -> None:
        self._settings = settings
        self._bytes_per_s = settings.scrub_bytes_per_s
        self._disk = disk
        self._neighbours = neighbours
        self._clock = clock
        self._tasks = tasks
        self._events = events
        self._mutex = tasks.mutex()
        self._signal = tasks.signal(self._mutex)
        self._is_stopping = False
        self._task: Task | None = None
        self._ctx = PlainContext(f"data-{settings.index}-scrub", self._ending)
        self._blocks: BlockStore | None = None
        self._comparing: Comparing | None = None
        self._mending: Mending | None = None
        self._watch: NeighbourWatch | None = None
        self._cursor = ScrubCursor()
        self._is_saved = True
        """Whether the disk took the last cursor."""
        self._saved_s = self._free_s = clock.monotonic_s()
        """`_free_s`: before this nothing is read, so that the pace is kept."""
        self._pass: Job | None = None
        self._file: Job | None = None
        """Goes before the pass."""
        self._doubtful: tuple[Batch, Look] | None = None
        """Differs, and is to be looked at a second time."""
        self._orders: deque[tuple[int, Ino]] = deque()
        """What was asked for and is not begun."""
        self._results: OrderedDict[int, ScrubResult] = OrderedDict()
        self._last_order = clock.wall_ns()  # numbers of an earlier process are never taken for those of this one
        self._damage: set[tuple[Ino, BlockNo]] = set()
        self._told_late_ns = 0

    # --- life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read how far the last pass had come. Raises: DiskError leaves."""
        self._cursor = load_cursor(self._disk)

    def attach(self, blocks: BlockStore) -> None:
        """Take over the store of a server that is formatted."""
        store = blocks.store
        watch = NeighbourWatch(store, self._neighbours, self._clock)
        self._mending = Mending(store, blocks.repairing, self._neighbours, self._clock, self._tasks)
        self._comparing = Comparing(store, blocks.reading, self._mending, self._neighbours, watch, self._events)
        self._watch, self._blocks = watch, blocks

    def set_pace(self, bytes_per_s: int) -> None:
        """Read so many bytes a second from the next batch on; 0: begin no pass but those that are asked for."""
        self._bytes_per_s = bytes_per_s

    def spawn(self) -> None:
        """Begin to work in the background, unless this server was not told where its neighbours are."""
        if self._settings.addresses:
            self._task = self._tasks.spawn(f"data-{self._settings.index}-scrub", self._run)

    def stop(self, timeout_s: float) -> None:
        """End the work in the background, and save how far it came."""
        with self._mutex:
            self._is_stopping = True
        self._signal.notify_all()
        if self._task is not None and self._task.join(timeout_s) and self._cursor.is_running:
            self._save(self._cursor)

    def _ending(self) -> EndReason | None:
        return EndReason.SHUTDOWN if self._is_stopping else None

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                delay_s = self.step()
            except Interrupted:
                return
            except NotTrusted as error:
                log.error("scrubbing ends: %s", error)  # check() tells the service loop to end the process
                return
            if delay_s:
                self._wait(delay_s)

    def _wait(self, duration_s: float) -> None:
        """Wait, unless the server stops or something is asked for."""
        with self._mutex:
            if not self._is_stopping and not (self._orders and self._job is None):
                self._signal.wait(duration_s)

    # --- requests --------------------------------------------------------------------------------------------------------

    def ask(self, ino: Ino) -> ScrubOrder:
        """Scrub an inode, or everything, at once. Raises: BadRequest, NotTrusted."""
        if ino != EVERYTHING:
            check_ino(ino)
        if not self._settings.addresses:
            raise NotTrusted(f"data server {self._settings.index} knows no neighbours to compare with")
        with self._mutex:
            self._last_order += 1
            self._orders.append((self._last_order, ino))
            self._note_result(self._last_order, ScrubResult(False, NOTHING))
            order = ScrubOrder(self._last_order)
        self._signal.notify_all()
        return order

    def show(self, number: int) -> ScrubResult:
        """Return what came of an order so far. Raises: BadRequest: it is not known."""
        with self._mutex:
            result = self._results.get(number)
            if result is None:
                raise BadRequest(f"scrub {number} is not known to data server {self._settings.index}: was it restarted?")
            running = [job for job in (self._file, self._pass) if job is not None and number in job.orders]
            return ScrubResult(False, running[0].counts) if running else result

    def mend(self, ctx: CallContext, request: Mend) -> Mended:
        """Mend own copies for a neighbour. Raises: as Mending.mend()."""
        if self._mending is None:
            raise NotTrusted(f"data server {self._settings.index} is not part of a file system yet")
        return Mended(self._mending.mend(ctx, request))

    def status(self) -> ScrubStatus:
        """Return how it is doing."""
        job, cursor = self._job, self._cursor
        trouble = self._watch.describe() if self._watch is not None else ""
        is_on = bool(self._bytes_per_s and self._settings.addresses)
        if job is None:
            return ScrubStatus(is_on, last_pass_ns=cursor.ended_ns, counts=cursor.counts)
        fraction, elapsed_s = job.walk.fraction(), self._clock.monotonic_s() - job.began_s
        done = fraction - job.first_fraction
        return ScrubStatus(
            is_on=is_on,
            is_running=True,
            percent=round(100 * fraction, 1),
            bytes_per_s=round(job.read_bytes / elapsed_s) if elapsed_s > 0 else 0,
            left_s=round(elapsed_s / done * (1 - fraction), 1) if done > 0 else None,
            last_pass_ns=cursor.ended_ns,
            counts=job.counts,
            trouble=trouble,
        )

    @property
    def damaged(self) -> int:
        """How many blocks have no good copy, or two that differ, as far as is known."""
        return len(self._damage)

    def describe_damage(self) -> str:
        """Return what no good copy was found of, for people; empty when there is nothing."""
        damage = self._damage
        if not damage:
            return ""
        ino, block = min(damage)
        return f"{len(damage)} blocks without a good copy or with two that differ, the first is block {block} of inode {ino}"

    @property
    def _job(self) -> Job | None:
        """What is being done."""
        return self._file or self._pass

    # --- work ------------------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Do the next bit; return after how many seconds to come again.

        Raises: NotTrusted: a sync failed and the server ends; Interrupted.
        """
        now_s, blocks = self._clock.monotonic_s(), self._blocks
        if blocks is None:
            return IDLE_S
        self._note_time()
        self._take_orders(blocks)
        if self._job is None:
            self._begin_if_due(blocks)
        job = self._job
        if job is None:
            return IDLE_S
        if now_s < self._free_s:
            return self._free_s - now_s
        try:
            self._advance(job)
        except Interrupted:
            raise
        except DfsError as error:
            blocks.store.condition.raise_if_failed()
            self._pass_over(job, error)
        self._job_has_moved(job)
        return max(0.0, self._free_s - self._clock.monotonic_s())

    def _take_orders(self, blocks: BlockStore) -> None:
        """Begin what was asked for: a file before anything else goes on, everything from the beginning."""
        if self._doubtful is not None or self._file is not None:
            return
        with self._mutex:
            orders = sorted(self._orders, key=lambda order: order[1] == EVERYTHING)  # files first
            if not orders:
                return
            ino = orders[0][1]
            numbers = tuple(number for number, wanted in orders if wanted == ino)
            self._orders = deque(order for order in orders if order[1] != ino)
        if ino != EVERYTHING:
            self._file = self._begin(blocks, ino, Position(ino, Role.PRIMARY, 0), numbers)
            return
        if self._pass is not None:
            numbers += self._pass.orders  # whoever asked before is served by the pass that begins now, too
        self._begin_pass(blocks, numbers)

    def _begin_if_due(self, blocks: BlockStore) -> None:
        """Go on with the pass that a stop interrupted, or begin one if it is time."""
        cursor, now_ns = self._cursor, self._clock.wall_ns()
        if cursor.is_running:
            self._pass = self._begin(blocks, EVERYTHING, cursor.position, ())
            self._pass.counts = cursor.counts
            return
        last_ns = max(cursor.since_ns, cursor.ended_ns)
        if self._bytes_per_s and not 0 <= now_ns - last_ns < PASS_PAUSE_NS:
            self._begin_pass(blocks, ())

    def _begin_pass(self, blocks: BlockStore, orders: tuple[int, ...]) -> None:
        now_ns = self._clock.wall_ns()
        self._save(replace(self._cursor, began_ns=now_ns, position=BEGINNING, counts=NOTHING))
        self._pass = self._begin(blocks, EVERYTHING, BEGINNING, orders)

    def _begin(self, blocks: BlockStore, ino: Ino, position: Position, orders: tuple[int, ...]) -> Job:
        walk = Walk(blocks.store, position, ino)
        now_s = self._clock.monotonic_s()
        self._free_s = max(self._free_s, now_s)
        return Job(walk, ino, now_s, orders, first_fraction=walk.fraction())

    def _advance(self, job: Job) -> None:
        comparing = self._comparing
        assert comparing is not None
        if self._doubtful is not None:
            (batch, first), self._doubtful = self._doubtful, None
            counts, damaged = comparing.settle(self._ctx, batch, first)
            job.counts = job.counts.plus(counts)
            self._note_damage(job, batch, damaged)
            self._spend(job, first.present)
            return
        found = job.walk.next()
        if found is None:
            self._end(job)
            return
        look = comparing.look(self._ctx, found)
        self._spend(job, look.present)
        job.counts = job.counts.plus(ScrubCounts(found.blocks, left=0 if look.is_compared else found.blocks))
        if look.differences:
            self._doubtful = found, look
            self._free_s = max(self._free_s, self._clock.monotonic_s() + SECOND_LOOK_S)
        elif look.is_compared:
            self._note_damage(job, found, [])

    def _pass_over(self, job: Job, error: DfsError) -> None:
        """Let a strip that can't be looked at be, so that it does not end the pass."""
        ino, role, _ = job.walk.position
        log.warning("the %s strip of inode %d is passed over: %s", role.name.lower(), ino, error)
        self._doubtful = None
        job.walk.skip_strip()
        job.counts = job.counts.plus(ScrubCounts(left=1))
        self._spend(job, 0)

    def _spend(self, job: Job, records: int) -> None:
        """Count what was read, and keep the pace."""
        assert self._blocks is not None
        read_bytes = records * self._blocks.store.geometry.record_bytes
        job.read_bytes += read_bytes
        pace = self._bytes_per_s or SCRUB_BYTES_PER_S
        self._free_s = max(self._free_s, self._clock.monotonic_s()) + max(read_bytes, EXCHANGE_BYTES) / pace

    def _note_damage(self, job: Job, batch: Batch, damaged: list[BlockNo]) -> None:
        """Remember what is damaged, and forget what is not any more."""
        assert self._blocks is not None
        if not damaged and not self._damage:
            return
        step = self._blocks.store.geometry.servers
        looked = {(batch.ino, BlockNo(batch.first + at * step)) for at in range(batch.blocks)}
        bad = {(batch.ino, block) for block in damaged}
        job.damage |= bad
        if len(self._damage) < DAMAGE_MAX:
            self._damage = (self._damage - looked) | bad

    # --- keeping -----------------------------------------------------------------------------------------------------------

    def _job_has_moved(self, job: Job) -> None:
        """Keep the cursor of a pass up; what is to be looked at a second time does not count as looked at."""
        if self._pass is not job or self._doubtful is not None:
            return
        self._cursor = replace(self._cursor, position=job.walk.position, counts=job.counts)
        if self._clock.monotonic_s() - self._saved_s >= SAVE_INTERVAL_S:
            self._save(self._cursor)

    def _end(self, job: Job) -> None:
        """Note what came of a job that is done."""
        with self._mutex:
            if job is self._file:
                self._file = None
            else:
                self._pass = None
            for number in job.orders:
                self._note_result(number, ScrubResult(True, job.counts))
        if job.ino != EVERYTHING:
            return
        self._damage = job.damage
        self._told_late_ns = 0
        ended_ns = self._clock.wall_ns()
        self._save(replace(self._cursor, began_ns=0, ended_ns=ended_ns, position=BEGINNING, counts=job.counts))
        self._events.emit(Event(SCRUB_FINISHED, server=self._settings.index, details=job.counts._asdict()))

    def _save(self, cursor: ScrubCursor) -> None:
        """Put the cursor on disk; a disk that refuses costs a look at the same records again after a stop."""
        self._cursor = cursor
        self._saved_s = self._clock.monotonic_s()
        try:
            save_cursor(self._disk, cursor)
        except DiskError as error:
            if self._is_saved:
                log.warning("how far the scrub has come can't be saved: %s", error)
            self._is_saved = False
        else:
            self._is_saved = True

    def _note_result(self, number: int, result: ScrubResult) -> None:
        self._results[number] = result
        while len(self._results) > RESULTS_MAX:
            self._results.popitem(last=False)

    def _note_time(self) -> None:
        """Begin to count the time at the first start, and tell when a full pass is long overdue.

        Times that lie ahead were noted before the clock was set back, and say nothing.
        """
        now_ns = self._clock.wall_ns()
        if not 0 < self._cursor.since_ns <= now_ns:
            self._save(replace(self._cursor, since_ns=now_ns))
        last_ns = max(time_ns for time_ns in (self._cursor.since_ns, self._cursor.ended_ns) if time_ns <= now_ns)
        if self._told_late_ns > now_ns:
            self._told_late_ns = 0
        if self._bytes_per_s and now_ns - max(last_ns, self._told_late_ns) >= PASS_NS_MAX:
            self._told_late_ns = now_ns
            days = (now_ns - last_ns) // DAY_NS
            reason = (self._watch.describe() if self._watch is not None else "") or "all copies can be compared"
            self._events.emit(Event(SCRUB_LATE, server=self._settings.index, details={"days": days, "reason": reason}))
