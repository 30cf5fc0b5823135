"""The data server: keeps blocks on local disk and answers the requests of dfs/core/messages/block_methods.py (R1, R5, R6, R8).

Owns the state folder behind its Disk, the task that syncs and checkpoints every few seconds, and the way from blank over prepared
to formatted. Promises: it never calls another process to start; what it acknowledged survives kill -9 at any moment, and what
Sync acknowledged a power cut; after a failed sync it refuses everything and asks to be ended. Called by dfs/rpc with requests,
by dfs/host with start, status, check and stop. Never decides which replica is right.

Lock order: the mutex is for memory only; formatting holds the keyed lock "format" outside of all others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, cast

import dfs
from dfs.core.capability import Verifier
from dfs.core.contexts import PlainContext
from dfs.core.errors import (
    BadRequest,
    DiskError,
    DiskFull,
    DiskReadOnly,
    NoSpace,
    NotFormatted,
    NotTrusted,
    ReadOnly,
    Stopping,
    UnknownMethod,
)
from dfs.core.events.data_server import DATA_SERVER_FORMATTED, DISK_FAILED, UNCLEAN_START
from dfs.core.events.event import Event
from dfs.core.interfaces import CallContext, Clock, DataServers, Disk, EventSink, Random, Task, Tasks
from dfs.core.limits import BLOCK_SIZES, SERVERS_MAX, SERVERS_MIN
from dfs.core.messages.blocks import Clean, CountBlocks, Drop, Fence, Get, ListInodes, Put, Repair, Sync
from dfs.core.messages.cluster import RoleState, Space
from dfs.core.messages.data_server import CommitFormat, DataStatus, Identify, Identity, NoteMark, PrepareFormat, ShowData
from dfs.core.messages.rebuild import AcceptLoss, AskMoment, ListFloors, Pull
from dfs.core.messages.requests import Done, Request
from dfs.core.messages.scrub import Mend, Scrub, ScrubOrder, ShowScrub
from dfs.core.messages.snapshots import FetchSnapshot, ListSnapshots, StoreSnapshot
from dfs.core.metrics import DATA_DISK_FREE, DATA_DISK_SIZE, Sample
from dfs.core.start_errors import StateError
from dfs.data.blocks.checks import check_ino, check_number
from dfs.data.blocks.opening import BlockStore, open_store
from dfs.data.capabilities import CapabilityGuard
from dfs.data.disk.condition import Condition
from dfs.data.disk.replay import OnSegment
from dfs.data.disk.running_mark import LastStop, RunningMark
from dfs.data.disk.snapshots import MetaSnapshots
from dfs.data.disk.superblock import Identification
from dfs.data.disk_trouble import DiskTrouble
from dfs.data.measures import block_samples, role_samples, scrub_samples
from dfs.data.rebuild.adopting import Former
from dfs.data.rebuild.rebuilding import Rebuilding
from dfs.data.scrub.scrubbing import Scrubbing
from dfs.data.settings import DataSettings

log = logging.getLogger(__name__)

A = TypeVar("A")
Handler = Callable[[CallContext, Any], object]

STOP_WAIT_S: Final = 10.0
"""How long stop() waits for the calls that are being answered, and for the background task."""
GIB: Final = 1 << 30
TICK_S: Final = 1.0
"""How often the background task looks whether there is anything to do."""


class DataService:
    """One data server; implements BlockApi and Service."""

    def __init__(
        self,
        *,
        settings: DataSettings,
        disk: Disk,
        neighbours: DataServers,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        events: EventSink,
        verifier: Verifier | None = None,
    ) -> None:
        """`verifier`: of clients' capabilities; None where there is no key, so that nobody needs any."""
        self._settings = settings
        self._guard = CapabilityGuard(verifier, clock)
        self._disk = disk
        self._clock = clock
        self._tasks = tasks
        self._events = events
        self._condition = Condition(tasks, self._give_up)
        self._trouble = DiskTrouble(settings.index, tasks, events)
        self._identification = Identification(disk, tasks, random, settings.index)
        self._rebuilding = Rebuilding(settings, disk, self._identification, neighbours, clock, tasks, events, self._adopt)
        self._scrubbing = Scrubbing(settings, disk, neighbours, clock, tasks, events)
        self._running = RunningMark(disk, settings.boot_id)
        self._snapshots = MetaSnapshots(disk, tasks)
        self._format_lock = tasks.keyed_lock()
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._blocks: BlockStore | None = None
        self._task: Task | None = None
        self._is_stopping = False
        self._starting = ""
        """What start() is doing, for people."""
        self._calls = 0
        """Calls that are being answered."""
        self._work_done = 0
        self._handlers: dict[type, Handler] = {
            Put: self._put,
            Get: lambda ctx, request: self._formatted().reading.get(ctx, request),
            Repair: self._repair,
            Sync: self._sync,
            Fence: lambda ctx, request: self._formatted().fencing.fence(ctx, request),
            Clean: self._clean,
            Drop: self._drop,
            ListInodes: lambda ctx, request: self._formatted().dropping.list_inodes(request),
            AskMoment: lambda ctx, request: self._formatted().lending.moment(),
            Pull: lambda ctx, request: self._formatted().lending.pull(ctx, request),
            ListFloors: lambda ctx, request: self._formatted().lending.list_floors(ctx, request),
            AcceptLoss: self._accept_loss,
            CountBlocks: lambda ctx, request: self._formatted().counting.count(request),
            Scrub: self._scrub,
            ShowScrub: lambda ctx, request: self._scrubbing.show(request.number),
            Mend: lambda ctx, request: self._scrubbing.mend(ctx, request),
            Identify: lambda ctx, request: self._identification.current.identity,
            PrepareFormat: self._prepare_format,
            CommitFormat: self._commit_format,
            NoteMark: self._note_mark,
            StoreSnapshot: self._store_snapshot,
            ListSnapshots: lambda ctx, request: self._snapshots.known(),
            FetchSnapshot: lambda ctx, request: self._snapshots.fetch(request),
            ShowData: self._show,
        }

    # --- Service ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Recover from the disk, then spawn the background task. Raises: StateError."""
        try:
            self._identification.start()
            last = self._running.last_stop()
            if last in (LastStop.PROCESS, LastStop.MACHINE):
                self._events.emit(Event(UNCLEAN_START, server=self._settings.index, details={"what": last.value}))
            self._rebuilding.start()
            self._scrubbing.start()
            is_machine_stop_noted = last is not LastStop.MACHINE or self._distrust_at_start()
            if self._identification.current.is_formatted:
                self._open_store(self._note_recovery, is_kept=last is not LastStop.MACHINE)
            if is_machine_stop_noted:
                self._running.begin()
            self._starting = ""
        except DiskError as error:
            raise StateError("a state folder that can be read and written", str(error)) from error
        self._task = self._tasks.spawn(f"data-{self._settings.index}-checkpoint", self._run)
        self._rebuilding.spawn()
        self._scrubbing.spawn()

    def status(self) -> str:
        """Return one line on what the server is doing."""
        block = self._identification.current
        if not block.is_formatted:
            return "prepared, waiting for the second phase of formatting" if block.cluster else "blank, waiting to be formatted"
        if self._starting:
            return f"data server {block.index} of {block.servers}, {self._starting}"
        return "; ".join(filter(None, (f"data server {block.index} of {block.servers}, {self._describe_room()}", self._progress())))

    def check(self) -> int:
        """Answer a call of our own, as everybody's is answered, and return a number that rises with work done.

        Raises: the DiskError after which the server must end; Stopping.
        """
        error = self._condition.error
        if error is not None:
            raise error
        self.call(PlainContext(), Identify())
        return self._work_done

    def stop(self) -> None:
        """Let the running calls end, put everything in place, sync it, and mark the stop as clean."""
        with self._mutex:
            self._is_stopping = True
        self._changed.notify_all()
        self._wait_for_calls()
        self._rebuilding.stop(STOP_WAIT_S)
        self._scrubbing.stop(STOP_WAIT_S)
        if self._task is not None:
            self._task.join(STOP_WAIT_S)
        try:
            if self._blocks is not None:
                self._blocks.close()
                if self._blocks.store.overlay.is_empty:
                    self._running.end()
            elif self._task is not None:
                self._running.end()
        except (DiskError, NotTrusted) as error:
            log.error("the stop is not clean: %s", error)
        self._blocks = None

    def measures(self) -> Iterator[Sample]:
        """Yield how the server is doing. Raises: DiskError leaves: what comes last, the space, can't be measured."""
        yield from role_samples(self._identification.current, self._rebuilding)
        yield from scrub_samples(self._scrubbing.status())
        blocks = self._blocks
        if blocks is not None:
            yield from block_samples(blocks, self._scrubbing.damaged)
        space = self._space()
        yield Sample(DATA_DISK_SIZE, (), space.total_bytes)
        yield Sample(DATA_DISK_FREE, (), space.free_bytes)

    def set_scrub_pace(self, bytes_per_s: int) -> None:
        """Read and compare so many bytes a second in the background from now on; 0: only when asked."""
        self._scrubbing.set_pace(bytes_per_s)

    def name(self) -> str:
        """Return CLUSTER/INDEX, by which calls say whom they mean; a blank server's cluster is empty. Asked at every call."""
        block = self._identification.current
        return f"{block.cluster}/{block.index}"

    # --- BlockApi --------------------------------------------------------------------------------------------------------

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request. Raises: DfsError leaves; those of the disk become NoSpace, ReadOnly or NotTrusted."""
        handler = self._handlers.get(type(request))
        if handler is None:
            raise UnknownMethod(type(request).__name__)
        self._guard.require(ctx, request)
        self._enter()
        try:
            return cast(A, handler(ctx, request))
        except DiskFull as error:
            raise NoSpace() from error
        except DiskReadOnly as error:
            self._trouble.tell(error, ctx)
            raise ReadOnly() from error
        except DiskError as error:
            self._trouble.tell(error, ctx)
            raise NotTrusted(str(error)) from error
        finally:
            self._leave()

    def _enter(self) -> None:
        self._condition.raise_if_failed()
        with self._mutex:
            if self._is_stopping or self._task is None:
                raise Stopping()
            self._calls += 1

    def _leave(self) -> None:
        with self._mutex:
            self._calls -= 1
            self._work_done += 1
            is_awaited = self._is_stopping and not self._calls
        if is_awaited:
            self._changed.notify_all()

    def _formatted(self) -> BlockStore:
        blocks = self._blocks
        if blocks is None:
            raise NotFormatted(f"data server {self._settings.index} is not part of a file system yet")
        return blocks

    def _put(self, ctx: CallContext, request: Put) -> Done:
        blocks = self._formatted()
        self._rebuilding.require_floors({segment.role for segment in request.segments})
        done = blocks.writing.put(ctx, request)
        self._trouble.note_written()
        if blocks.store.journal.wants_checkpoint:
            self._changed.notify_all()
        return done

    def _sync(self, ctx: CallContext, request: Sync) -> Done:
        blocks = self._formatted()
        check_ino(request.ino)
        block = self._identification.current
        if RoleState.SUSPECT in (block.primary, block.secondary):
            raise NotTrusted(f"data server {block.index} is suspect")
        blocks.syncing.sync(request.ino)
        return Done()

    def _repair(self, ctx: CallContext, request: Repair) -> Done:
        blocks = self._formatted()
        self._rebuilding.require_floors((request.role,))
        return blocks.repairing.repair(ctx, request)

    def _clean(self, ctx: CallContext, request: Clean) -> Identity:
        """Execute cuts; what becomes complete meanwhile may have been copied behind them, so it does not count."""
        before = self._identification.current
        self._formatted().cleaning.clean(ctx, request)
        after = self._identification.current
        if (before.primary, before.secondary) != (after.primary, after.secondary):
            raise NotTrusted(f"data server {after.index} was {before.primary} and {before.secondary} when the cleaning began")
        if before.doubts != after.doubts:
            raise NotTrusted(f"data server {after.index} took something from a neighbour while it cleaned")
        return after.identity

    def _drop(self, ctx: CallContext, request: Drop) -> Done:
        """Remove inodes; confirmed only by a server that was complete before, else they could be copied back afterwards."""
        blocks = self._formatted()
        is_confirmed = self._rebuilding.is_complete()
        done = blocks.dropping.drop(request)
        if not is_confirmed:
            raise NotTrusted(f"data server {self._settings.index} drops again when it is complete")
        return done

    def _show(self, ctx: CallContext, request: ShowData) -> DataStatus:
        identity = self._identification.current.identity
        trouble = self._describe_trouble()
        return DataStatus(
            identity,
            self._space(),
            self._rebuilding.describe(),
            trouble,
            self._scrubbing.status(),
            self._clock.wall_ns(),
            dfs.__version__,
        )

    def _scrub(self, ctx: CallContext, request: Scrub) -> ScrubOrder:
        self._formatted()
        return self._scrubbing.ask(request.ino)

    def _accept_loss(self, ctx: CallContext, request: AcceptLoss) -> Identity:
        self._formatted()
        return self._identification.accept_loss().identity

    # --- formatting ------------------------------------------------------------------------------------------------------

    def _prepare_format(self, ctx: CallContext, request: PrepareFormat) -> Identity:
        shape = request.shape
        low, high = BLOCK_SIZES
        if not shape.cluster or not SERVERS_MIN <= shape.servers <= SERVERS_MAX or request.index >= shape.servers:
            raise BadRequest(f"cluster {shape.cluster!r} of {shape.servers} servers")
        if not low <= shape.block_size <= high or shape.block_size & (shape.block_size - 1):
            raise BadRequest(f"a block size of {shape.block_size}, not a power of two from {low} to {high}")
        return self._identification.prepare(shape, request.index).identity

    def _commit_format(self, ctx: CallContext, request: CommitFormat) -> Identity:
        with self._format_lock.hold("format"):
            block = self._identification.commit(request.cluster)
            if self._blocks is None:
                self._open_store()
                details = {"cluster": block.cluster, "servers": block.servers, "block_size": block.block_size}
                self._events.emit(Event(DATA_SERVER_FORMATTED, server=self._settings.index, details=details), ctx)
        return block.identity

    def _store_snapshot(self, ctx: CallContext, request: StoreSnapshot) -> Done:
        self._formatted().store.reserve.claim(len(request.data), 0)
        return self._snapshots.store(request)

    def _adopt(self, former: Former) -> None:
        """Be again what the neighbours say that this server was. Raises: DiskError leaves."""
        with self._format_lock.hold("format"):
            block = self._identification.adopt(former.shape, former.mark)
            if block.is_formatted and self._blocks is None:
                self._open_store()

    def _note_mark(self, ctx: CallContext, request: NoteMark) -> Done:
        check_number("mark", request.mark)
        self._identification.note_mark(request.mark)
        return Done()

    # --- background ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Sync every sync interval, and checkpoint when it is due, until the server stops."""
        next_s = self._clock.monotonic_s() + self._settings.sync_interval_s
        while True:
            with self._mutex:
                if self._is_stopping and not self._calls:
                    return  # a call may wait for the checkpoint of a full journal
                blocks = self._blocks
                is_due = self._clock.monotonic_s() >= next_s
                if blocks is None or not (is_due or blocks.store.journal.wants_checkpoint):
                    self._changed.wait(min(TICK_S, self._settings.sync_interval_s))
                    continue
            try:
                blocks.checkpoint.run_if_due(self._clock.monotonic_s())
            except NotTrusted as error:
                log.error("the background task ends: %s", error)  # check() tells the service loop to end the process
                return
            next_s = self._clock.monotonic_s() + self._settings.sync_interval_s

    def _wait_for_calls(self) -> None:
        until_s = self._clock.monotonic_s() + STOP_WAIT_S
        with self._mutex:
            while self._calls and (left_s := until_s - self._clock.monotonic_s()) > 0:
                self._changed.wait(left_s)

    def _note_recovery(self, segment: int, segments: int) -> None:
        """Say how far the journal is read: whoever supervises the start sees that it gets on."""
        self._starting = f"reading segment {segment} of {segments} of the journal"

    def _open_store(self, on_segment: OnSegment = lambda segment, segments: None, *, is_kept: bool = True) -> None:
        blocks = open_store(
            self._settings,
            self._identification,
            self._condition,
            self._disk,
            self._clock,
            self._tasks,
            self._events,
            on_segment,
            self._distrust,
            is_kept=is_kept,
        )
        self._rebuilding.attach(blocks)
        self._scrubbing.attach(blocks)
        self._blocks = blocks

    def _space(self) -> Space:
        """Return what new blocks can use of the disk."""
        space, blocks = self._disk.space(), self._blocks
        return space if blocks is None else blocks.store.reserve.usable(space)

    def _describe_room(self) -> str:
        """Return how full the disk is, for people."""
        try:
            space = self._space()
        except DiskError as error:
            return f"its disk can't be measured: {error}"
        return f"{space.free_bytes / GIB:,.1f} of {space.total_bytes / GIB:,.1f} GiB free"

    def _progress(self) -> str:
        return "; ".join(text for text in (self._describe_trouble(), self._rebuilding.describe()) if text)

    def _describe_trouble(self) -> str:
        blocks = self._blocks
        unreadable = "" if blocks is None else blocks.store.bad_records.describe()
        damage = self._scrubbing.describe_damage()
        return "; ".join(text for text in (self._trouble.describe(), unreadable, damage) if text)

    def _give_up(self, error: DiskError) -> None:
        """Tell that a sync failed, and see to it that the next start does not trust what is on this disk (design section 8)."""
        what = "the process ends, because what was not synced may be lost; it is compared with the neighbours after its next start"
        self._events.emit(Event(DISK_FAILED, server=self._settings.index, details={"reason": str(error), "what": what}))
        try:
            self._distrust()
        except DiskError as second:
            log.error("the superblock still calls this disk complete: %s", second)

    def _distrust_at_start(self) -> bool:
        """Be suspect; tell whether that is durable. If it is not, the mark of the last run must stay, to make the next start so."""
        if not self._settings.addresses:
            return True  # there is nobody to be compared with
        try:
            self._distrust()
        except DiskFull as error:
            log.warning("the machine stopped, which can't be noted: %s", error)
            self._identification.doubt()
            return False
        return True

    def _distrust(self) -> None:
        """Count nothing as sure that was stored since the last sync of everything. Raises: DiskError leaves."""
        self._identification.distrust()
        self._rebuilding.begin_anew()
