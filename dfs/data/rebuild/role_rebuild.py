"""Copying one role of this server from the neighbour that holds the other replica of the same blocks (R7, design section 8).

First all floors, then all strips in rising order of inode and record. Until the floors are here nothing may be stored in the role:
a late write that the neighbour would refuse must not find a server that has forgotten why. A role that is suspect, because its
machine stopped or a sync failed, knows its floors, which are synced before they count, and until when all of it was synced: it
looks through its own strips first, then takes what is newer in those that changed at the source since (decision record 12).

| state of this role  | of the source        | what is done                                                                |
|---------------------|----------------------|-----------------------------------------------------------------------------|
| rebuilding, lost    | complete             | copy; complete at the end                                                   |
| rebuilding, lost    | rebuilding, lost     | both wait for each other: lost; what is left is copied, and it stays lost   |
| rebuilding, lost    | suspect              | wait until the source trusts itself                                         |
| suspect             | any but blank        | compare by copying what is newer; complete at the end                       |

Promises: a role becomes complete only when all of it was copied and is on disk; nothing newer is undone (I5); a source that is
away is waited for; a restart of either side goes on at the saved cursor, and a source that lost its disk is begun anew. Called by
Rebuilding, by one task per role.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import replace
from typing import Final, NamedTuple

from dfs.core.errors import BadAnswer, DfsError, Interrupted, NotFormatted, WrongServer
from dfs.core.events.data_server import DATA_LOST, REBUILD_FINISHED, REBUILD_PROGRESS, REBUILD_STARTED
from dfs.core.events.event import Event, EventKind
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, Clock, DataServers, EventSink
from dfs.core.limits import BATCH_INODES_MAX, FILE_BYTES_MAX
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify, Identity
from dfs.core.messages.rebuild import ListFloors, Pull, Pulled
from dfs.core.placement import Role, twin_of
from dfs.data.blocks.opening import BlockStore
from dfs.data.disk.journal_entries import Entry, Kind
from dfs.data.rebuild.cursor import NO_INO, Cursor, Cursors, Phase
from dfs.data.rebuild.moment_keeper import MomentKeeper
from dfs.data.rebuild.progress import RebuildProgress

log = logging.getLogger(__name__)

PULL_BYTES: Final = 512 << 10
"""Block data of one Pull: small enough for calls of mounts to come in between."""
SAVE_INTERVAL_S: Final = 5.0
"""How often what was copied is synced and the cursor saved: so much is copied again after a stop."""
PROGRESS_INTERVAL_S: Final = 30.0
"""How often progress is told in the log."""
RETRY_S: Final = 1.0
"""How long a source that is away, or a disk that is full, is left alone."""
IDLE_S: Final = 1.0
"""How often it is looked whether there is something to copy."""


LOOK_STRIPS: Final = 256
"""Strips of its own that a suspect role opens in one step."""


class Course(enum.Enum):
    """What the states of a role and of its source allow."""

    COPY = "copy"
    SALVAGE = "salvage"
    """Copy what is left; neither side can become complete by it."""
    WAIT = "wait"


class Copied(NamedTuple):
    """How far the copying of a role is."""

    ratio: float
    """0 .. 1; what it was before it was last known is 0."""
    data_bytes: int
    """Since the process began."""


NOT_BEGUN: Final = Copied(0.0, 0)


def course_of(own: RoleState, source: RoleState) -> Course:
    """Return what is to be done with a role that is not complete; the table above."""
    if source is RoleState.COMPLETE or own is RoleState.SUSPECT:
        return Course.COPY
    return Course.WAIT if source is RoleState.SUSPECT else Course.SALVAGE


class RoleRebuild:
    """Copies one role."""

    def __init__(
        self, role: Role, blocks: BlockStore, cursors: Cursors, neighbours: DataServers, clock: Clock, events: EventSink
    ) -> None:
        block = blocks.store.identification.current
        self._role = role
        self._blocks = blocks
        self._identification = blocks.store.identification
        self._cursors = cursors
        self._neighbours = neighbours
        self._clock = clock
        self._events = events
        self._source, self._source_role = twin_of(blocks.store.server, role, block.servers)
        self._cursor = cursors.saved(role)
        self._progress = RebuildProgress(clock)
        self._saved_s = self._told_s = clock.monotonic_s()
        self._moments = MomentKeeper(role, blocks, neighbours, self._source, clock)
        self._copied_bytes = 0
        self._looked = NO_INO
        """Up to here the own strips were looked through."""
        self._trouble = ""
        self._is_told = False
        """Whether the log says that this pass has begun, or goes on."""

    @property
    def has_floors(self) -> bool:
        """Tell whether this role knows the floors that it must know before anything is stored in it."""
        state = self._state
        if state is RoleState.COMPLETE or self._cursor.phase is not Phase.FLOORS:
            return True
        return state is RoleState.SUSPECT and self._blocks.store.moments.of(self._role) is not None

    def copied(self) -> Copied:
        """Return how much of the role is copied, and how much was since this process began."""
        return Copied(1.0 if self._cursor.phase is Phase.ENDED else self._progress.ratio, self._copied_bytes)

    def describe(self) -> str:
        """Return how far it is, for people; empty when there is nothing to copy."""
        state, name = self._state, self._role.name.lower()
        if state is RoleState.COMPLETE:
            return ""
        if self._cursor.phase is Phase.ENDED:
            return f"{name} lost: see dfsctl lost"
        where = self._trouble or self._progress.describe(self._cursor.data_bytes)
        return f"{name} {state}, from server {self._source}: {where}"

    def step(self, ctx: CallContext) -> float:
        """Copy one batch; return after how many seconds to come again.

        Raises: NotTrusted: a sync failed and the server ends; Interrupted.
        """
        state = self._state
        if state is RoleState.COMPLETE:
            self._rest()
            self._moments.step(ctx)
            return IDLE_S
        try:
            delay_s = self._advance(ctx, state)
        except Interrupted:
            raise
        except DfsError as error:
            self._blocks.store.condition.raise_if_failed()
            self._note_trouble(str(error))
            return RETRY_S
        if not delay_s:
            self._note_trouble("")
        return delay_s

    @property
    def _state(self) -> RoleState:
        return self._identification.current.state_of(self._role)

    def _rest(self) -> None:
        if self._cursor != Cursor():
            self._cursors.forget(self._role)  # also after a crash just before
            self._cursor = Cursor()
            self._is_told = False

    def _advance(self, ctx: CallContext, state: RoleState) -> float:
        if self._cursor.phase is Phase.ENDED:
            return self._look_again(ctx)
        if not self._blocks.store.changes.is_sure(self._role):
            return self._look_through()
        if not self._cursor.disk:
            return self._begin(ctx, state)
        if not self._is_told:
            self._tell_start(f"goes on at inode {self._cursor.ino}", state)
        if self._cursor.phase is Phase.FLOORS:
            return self._copy_floors(ctx)
        return self._copy_strips(ctx, state)

    # --- beginning -------------------------------------------------------------------------------------------------------

    def _identify(self, ctx: CallContext) -> Identity:
        """Return who the source is. Raises: WrongServer, NotFormatted; PeerError leaves."""
        identity = self._neighbours.call(ctx, self._source, Identify())
        own = self._identification.current
        if identity.shape.cluster not in ("", own.cluster) or identity.index != self._source:
            raise WrongServer(
                f"data server {self._source} of cluster {own.cluster}",
                f"data server {identity.index} of cluster {identity.shape.cluster}",
            )
        if RoleState.BLANK in (identity.primary, identity.secondary):
            raise NotFormatted(f"data server {self._source} is blank")
        return identity

    def _begin(self, ctx: CallContext, state: RoleState) -> float:
        identity = self._identify(ctx)
        source = _state_in(identity, self._source_role)
        course = course_of(state, source)
        if course is Course.WAIT:
            self._note_trouble(f"waiting until server {self._source} trusts itself")
            return RETRY_S
        if course is Course.SALVAGE:
            self._lose(state)
        if state is RoleState.SUSPECT:
            self._begin_comparing(identity)
            self._tell_start("something may be missing", state, source)
        else:
            self._cursor = Cursor(identity.disk, is_salvage=course is Course.SALVAGE)
            self._tell_start("the disk was lost", state, source)
        return 0.0

    def _begin_comparing(self, identity: Identity) -> None:
        """Compare what changed since the last sync of everything; all there is if the source has another disk since."""
        moment = self._blocks.store.moments.of(self._role)
        if moment is None:
            self._cursor = Cursor(identity.disk)
        else:
            since = moment.tick if moment.disk == identity.disk else 0
            self._cursor = Cursor(identity.disk, Phase.STRIPS, Ino(1), since=since)

    def _look_through(self) -> float:
        """Open some of the own strips, which brings to light what is torn or was not synced, and note what changed."""
        store = self._blocks.store
        inos = store.strips.inos_above(self._looked, LOOK_STRIPS)
        for ino in inos:
            with store.hold(ino), store.strip(ino, self._role) as strip:
                is_changed = strip is not None and any(group.unsynced for group in strip.groups.values())
                if is_changed and not store.overlay.is_noted_changed(ino, self._role):
                    store.write_journal([Entry(Kind.CHANGED, ino, role=self._role)])
        if inos:
            self._looked = inos[-1]
        else:
            store.changes.end_doubt(self._role)
        return 0.0

    def _look_again(self, ctx: CallContext) -> float:
        """Begin anew if the source of a lost role has become complete: the loss was accepted there."""
        identity = self._identify(ctx)
        if identity.disk != self._cursor.disk or _state_in(identity, self._source_role) is RoleState.COMPLETE:
            self._cursor = Cursor()
            return 0.0
        return RETRY_S

    def _lose(self, state: RoleState) -> None:
        """Count as lost: the source waits for this role as this role waits for the source."""
        if state is RoleState.REBUILDING and self._identification.set_state(self._role, state, RoleState.LOST):
            what = f"the {self._role.name.lower()} strips, because server {self._source} lost its disk too"
            self._events.emit(Event(DATA_LOST, server=self._blocks.store.server, details={"what": what}))

    # --- copying ---------------------------------------------------------------------------------------------------------

    def _copy_floors(self, ctx: CallContext) -> float:
        cursor = self._cursor
        answer = self._neighbours.call(ctx, self._source, ListFloors(cursor.ino, BATCH_INODES_MAX))
        if self._is_other_disk(answer.disk):
            return 0.0
        self._blocks.absorbing.absorb_floors(answer.floors)
        if answer.more:
            self._require_progress((answer.last,), (cursor.ino,))
            self._cursor = replace(cursor, ino=answer.last)
            return 0.0
        self._blocks.store.journal.sync()
        self._save(replace(cursor, phase=Phase.STRIPS, ino=Ino(1)))
        return 0.0

    def _copy_strips(self, ctx: CallContext, state: RoleState) -> float:
        cursor = self._cursor
        wanted = Pull(self._source_role, cursor.ino, cursor.index, PULL_BYTES, cursor.since)
        pulled = self._neighbours.call(ctx, self._source, wanted)
        if self._is_other_disk(pulled.disk):
            return 0.0
        course = course_of(state, pulled.state)
        if course is Course.WAIT:
            self._note_trouble(f"waiting until server {self._source} trusts itself")
            return RETRY_S
        if course is Course.SALVAGE and not cursor.is_salvage:
            self._cursors.save(self._role, replace(self._cursors.saved(self._role), is_salvage=True))
            self._lose(state)
            cursor = replace(cursor, is_salvage=True)
        if pulled.more:
            self._require_progress((pulled.next_ino, pulled.next_index), (cursor.ino, cursor.index))
        data_bytes = cursor.data_bytes + self._absorb(ctx, pulled)
        self._cursor = replace(cursor, ino=pulled.next_ino, index=pulled.next_index, data_bytes=data_bytes)
        if not pulled.more:
            self._end()
            return 0.0
        self._progress.note(pulled)
        now_s = self._clock.monotonic_s()
        if now_s - self._saved_s >= SAVE_INTERVAL_S:
            self._sync()
            self._save(self._cursor)
        if now_s - self._told_s >= PROGRESS_INTERVAL_S:
            self._told_s = now_s
            self._emit(REBUILD_PROGRESS, progress=self._progress.describe(data_bytes))
        return 0.0

    def _absorb(self, ctx: CallContext, pulled: Pulled) -> int:
        """Store a batch and return how many bytes of data it has."""
        for strip in pulled.strips:
            missing = self._blocks.absorbing.absorb(ctx, self._role, strip)
            if missing or not strip.is_known:
                what = (
                    f"inode {strip.ino}: {len(missing) or 'an unknown number of'} blocks, the copy on server {self._source} is bad"
                )
                block = missing[0] if missing else None
                event = Event(DATA_LOST, server=self._blocks.store.server, ino=strip.ino, block=block, details={"what": what})
                self._events.emit(event)
        data_bytes = sum(len(strip.data) for strip in pulled.strips)
        self._copied_bytes += data_bytes
        return data_bytes

    def _require_progress(self, following: tuple[int, ...], place: tuple[int, ...]) -> None:
        """Raise BadAnswer unless the place where the source says to go on lies behind this one: else the copying never ended."""
        if following <= place or not all(0 <= number <= FILE_BYTES_MAX for number in following):
            raise BadAnswer(f"data server {self._source}", f"after {place} comes {following}")

    def _is_other_disk(self, disk: str) -> bool:
        """Tell whether the source lost its disk since the copying began; then it begins anew."""
        if disk == self._cursor.disk:
            return False
        self._cursor = Cursor()
        return True

    def _end(self) -> None:
        """Make everything durable, then let it count."""
        cursor = self._cursor
        self._sync()
        if cursor.is_salvage:
            self._save(replace(cursor, phase=Phase.ENDED))
        else:
            state = self._state
            if state is not RoleState.COMPLETE:
                self._identification.set_state(self._role, state, RoleState.COMPLETE)
            self._rest()
        progress = f"{cursor.data_bytes:,} bytes copied from server {self._source}"
        self._emit(REBUILD_FINISHED, state=str(self._state), progress=progress)

    def _sync(self) -> None:
        blocks = self._blocks
        blocks.store.journal.sync()
        blocks.syncing.sync_changed()
        blocks.store.strips.sync_folders()

    def _save(self, cursor: Cursor) -> None:
        self._cursors.save(self._role, cursor)
        self._cursor = cursor
        self._saved_s = self._clock.monotonic_s()

    # --- telling ---------------------------------------------------------------------------------------------------------

    def _tell_start(self, reason: str, state: RoleState, source: RoleState | None = None) -> None:
        self._is_told = True
        self._progress = RebuildProgress(self._clock)
        self._told_s = self._saved_s = self._clock.monotonic_s()
        self._emit(REBUILD_STARTED, reason=f"{state}, {reason}", source=str(source or "not asked yet"))

    def _emit(self, kind: EventKind, **details: object) -> None:
        details["role"] = self._role.name.lower()
        self._events.emit(Event(kind, server=self._blocks.store.server, peer=str(self._source), details=details))

    def _note_trouble(self, trouble: str) -> None:
        """Log that copying waits, and that it goes on, once each."""
        if trouble == self._trouble:
            return
        if trouble:
            log.info("copying the %s strips from server %d waits: %s", self._role.name.lower(), self._source, trouble)
        else:
            log.info("copying the %s strips from server %d goes on", self._role.name.lower(), self._source)
        self._trouble = trouble


def _state_in(identity: Identity, role: Role) -> RoleState:
    return identity.primary if role is Role.PRIMARY else identity.secondary
