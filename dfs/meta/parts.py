"""How the meta-server's parts fit together: built once per start, from what is on disk.

Lock order of the whole package: the store's leadership (a transaction under way), then any one of the small mutexes of
opens, open rights, sessions, recalls, locks, answers, gate, workers, space; none of these is held while another is taken, and none
while waiting for the disk or a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from dfs.core.capability import Signer
from dfs.core.exports import FULL
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, Clock, DataServers, EventSink, Random, Tasks, raise_if_cancelled
from dfs.core.messages.content import Acquire, Certify, Close, Commit, Truncate, Yield
from dfs.core.messages.inspection import AcceptRollback, CheckTables, FetchBackup, FindStrays, ListFiles, TakeBackup
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, Unlock
from dfs.core.messages.names import (
    Create,
    Link,
    ListFolder,
    ListNames,
    Lookup,
    MakeFolder,
    MakeNode,
    MakeSymlink,
    Open,
    ReadLink,
    RemoveFolder,
    Rename,
    SetAttributes,
    Unlink,
)
from dfs.core.messages.requests import Change, Request
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, OpenSession
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from dfs.meta.exporting.export_table import ExportTable
from dfs.meta.exporting.gate import Gate
from dfs.meta.exporting.open_rights import OpenRights
from dfs.meta.exporting.vouching import Vouching
from dfs.meta.requests import reading
from dfs.meta.requests.attributes import AttributeChanger
from dfs.meta.requests.file_list import list_files
from dfs.meta.requests.files import Files
from dfs.meta.requests.inspection import Inspection
from dfs.meta.requests.lock_calls import LockCalls
from dfs.meta.requests.names import Names
from dfs.meta.requests.reading import Lookups
from dfs.meta.requests.removal import Removal
from dfs.meta.requests.renames import Renames
from dfs.meta.requests.session_calls import EXPIRY_TICK_S, SessionCalls
from dfs.meta.requests.xattrs import XattrChanger, get_xattr, list_xattrs
from dfs.meta.settings import MetaSettings
from dfs.meta.state.answers import Answers
from dfs.meta.state.cluster import Cluster
from dfs.meta.state.grants import Grants
from dfs.meta.state.locks import Locks
from dfs.meta.state.numbers import Numbers
from dfs.meta.state.opens import Opens
from dfs.meta.state.pledges import Pledged, Pledges
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.room import LOOK_INTERVAL_S, Look, Room
from dfs.meta.state.sessions import SessionRow, Sessions, load_sessions
from dfs.meta.state.store import Reader, Store, Transaction
from dfs.meta.upkeep.backups import KEEP_S, Backups
from dfs.meta.upkeep.cleaner import Cleaner
from dfs.meta.upkeep.formatter import Formatter
from dfs.meta.upkeep.marks import ADVANCE_S, Marks
from dfs.meta.upkeep.reclaimer import Reclaimer
from dfs.meta.upkeep.rollback import Rollback, Step
from dfs.meta.upkeep.settler import Settler
from dfs.meta.upkeep.snapshots import SNAPSHOT_INTERVAL_S, SnapshotSender
from dfs.meta.upkeep.space import SpaceWatch
from dfs.meta.upkeep.strays import FIRST_SCAN_S, Strays
from dfs.meta.upkeep.worker import Worker

Handler = Callable[[CallContext, Any], Any]
Work = Callable[[Transaction, CallContext, Any], Any]
OnRepeat = Callable[[Transaction, CallContext, Any, Any], None]
Read = Callable[[Reader, CallContext, Any], Any]


@dataclass(frozen=True, slots=True)
class Host:
    """What a meta-server is given from outside."""

    settings: MetaSettings
    clock: Clock
    random: Random
    tasks: Tasks
    servers: DataServers
    events: EventSink
    look: Look
    exports: ExportTable
    signer: Signer | None


class _Loaded(NamedTuple):
    """What is on disk at a start."""

    mark: int
    epoch: int
    orphans: list[Ino]
    sessions: list[SessionRow]


class _Steps(NamedTuple):
    """What the background tasks do."""

    expirer: Step
    settler: Step
    cleaner: Step
    reclaimer: Step
    formatter: Step
    marks: Step
    snapshots: Step
    room: Step
    backups: Step
    strays: Step


@dataclass(frozen=True, slots=True)
class Workers:
    """The background tasks."""

    expirer: Worker
    settler: Worker
    cleaner: Worker
    reclaimer: Worker
    formatter: Worker
    marks: Worker
    snapshots: Worker
    room: Worker
    backups: Worker
    strays: Worker

    def all(self) -> tuple[Worker, ...]:
        """Return them all."""
        return (
            self.expirer,
            self.settler,
            self.cleaner,
            self.reclaimer,
            self.formatter,
            self.marks,
            self.snapshots,
            self.room,
            self.backups,
            self.strays,
        )


class Care(NamedTuple):
    """What keeps the database and the data servers from harm, and what waits for nobody's request."""

    room: Room
    rollback: Rollback
    marks: Marks
    backups: Backups
    strays: Strays


@dataclass(frozen=True, slots=True)
class Parts:
    """A meta-server that runs."""

    store: Store
    cluster: Cluster
    sessions: Sessions
    opens: Opens
    recalls: Recalls
    locks: Locks
    space: SpaceWatch
    care: Care
    snapshots: SnapshotSender
    gate: Gate
    handlers: Mapping[type[Request[Any]], Handler]
    workers: Workers


def build_parts(host: Host, store: Store) -> Parts:
    """Begin a new epoch on `store` and return the parts, the workers not yet started.

    Raises: StateError if the configuration contradicts the file system.
    """
    clock, tasks = host.clock, host.tasks
    cluster = Cluster(store, host.servers, host.settings)
    loaded = store.change(_begin)
    recalls = Recalls(tasks, clock)
    sessions = Sessions(tasks, clock, loaded.sessions)
    opens = Opens(tasks, loaded.orphans, [row.session for row in loaded.sessions])
    locks = Locks(tasks, clock, sessions.is_live, opens.is_waiting)
    answers = Answers(store, sessions, tasks)
    rights = OpenRights(tasks)
    numbers = Numbers(loaded.mark, lambda: workers.marks.wake())
    if cluster.shape is not None:
        numbers.expect_marks()
    grants = Grants(numbers, recalls, clock, lambda: workers.cleaner.wake())
    removal = Removal(store, opens, recalls, clock, lambda: workers.reclaimer.wake())
    formatter = Formatter(cluster, host.servers, host.settings, tasks, host.random, host.events, lambda: _formatted(workers))
    session_calls = SessionCalls(
        store,
        sessions,
        answers,
        opens,
        recalls,
        locks,
        grants,
        removal,
        numbers,
        cluster,
        formatter,
        clock,
        host.events,
        loaded.epoch,
        lambda: workers.settler.wake(),
        lambda peer: host.exports.find(peer) or FULL,
        rights.forget_session,
    )
    vouching = Vouching(store, sessions, host.exports, rights, clock, host.signer)
    gate = Gate(store, sessions, host.exports, vouching, session_calls.expel, clock, tasks, host.events)
    snapshots = SnapshotSender(store, cluster, host.servers, clock)
    care = _take_care(host, store, cluster, numbers, session_calls, removal, lambda: workers)
    steps = _Steps(
        expirer=session_calls.expire,
        settler=Settler(store, cluster, host.servers, grants, recalls).step,
        cleaner=care.rollback.guard(Cleaner(store, cluster, host.servers).step),
        reclaimer=care.rollback.guard(Reclaimer(store, cluster, host.servers).step),
        formatter=formatter.step,
        marks=care.marks.step,
        snapshots=care.rollback.guard(snapshots.step),
        room=care.room.step,
        backups=care.backups.step,
        strays=care.strays.step,
    )
    workers = _make_workers(host, steps)
    if not loaded.sessions:
        removal.reap(loaded.orphans)
    pledges = Pledges(tasks, clock, follows_others=bool(loaded.sessions))
    names = Names(numbers, cluster, grants, opens, removal, pledges, care.room, clock)
    renames = Renames(removal, pledges, clock)
    files = Files(store, sessions, answers, grants, opens, recalls, removal, clock)
    lookups = Lookups(store, sessions, recalls, pledges, clock)
    handlers: dict[type[Request[Any]], Handler] = {
        **_session_handlers(session_calls),
        Lookup: lookups.lookup,
        ListFolder: lookups.list_folder,
        ListNames: lookups.list_names,
        **_reading_handlers(store),
        **_name_handlers(answers, clock, names, renames, AttributeChanger(clock), XattrChanger(care.room, clock)),
        **_file_handlers(files),
        **_administrator_handlers(care.backups, care.rollback, Inspection(store, care.rollback)),
        **_lock_handlers(LockCalls(store, sessions, answers, locks)),
        Certify: vouching.certify,
    }
    space = SpaceWatch(cluster, host.servers, tasks, clock)
    return Parts(store, cluster, sessions, opens, recalls, locks, space, care, snapshots, gate, handlers, workers)


def _take_care(
    host: Host,
    store: Store,
    cluster: Cluster,
    numbers: Numbers,
    session_calls: SessionCalls,
    removal: Removal,
    workers: Callable[[], Workers],
) -> Care:
    """Build what takes care; `workers` is asked when something is to be woken, later."""
    clock, events = host.clock, host.events
    rollback = Rollback(
        store,
        events,
        is_accepted=host.settings.accept_rollback,
        on_adopted=session_calls.end_all,
        on_release=lambda: _released(workers()),
    )
    marks = Marks(store, cluster, host.servers, numbers, rollback, clock)
    return Care(
        room=Room(host.look, store, events, lambda: workers().room.wake(), removal.reap_left),
        rollback=rollback,
        marks=marks,
        backups=Backups(store, host.tasks, clock, lambda: _backed_up(workers(), marks)),
        strays=Strays(store, cluster, host.servers, rollback, clock, events, lambda: workers().reclaimer.wake()),
    )


def _make_workers(host: Host, steps: _Steps) -> Workers:
    """Return the background tasks, each with its pace."""
    worker = partial(Worker, tasks=host.tasks, clock=host.clock)
    hourly = partial(worker, period_s=SNAPSHOT_INTERVAL_S, retry_s_min=60.0, retry_s_max=600.0)
    return Workers(
        expirer=worker("expirer", steps.expirer, period_s=EXPIRY_TICK_S),
        settler=worker("settler", steps.settler, retry_s_max=2.0),
        cleaner=worker("cleaner", steps.cleaner, gather_s=1.0),
        reclaimer=worker("reclaimer", steps.reclaimer, gather_s=0.5),
        formatter=worker("formatter", steps.formatter, retry_s_max=2.0),
        marks=worker("marks", steps.marks, period_s=ADVANCE_S),
        snapshots=hourly("snapshots", steps.snapshots),
        room=worker("room", steps.room, gather_s=1.0, retry_s_min=1.0, retry_s_max=LOOK_INTERVAL_S),
        backups=worker("backups", steps.backups, retry_s_min=KEEP_S, retry_s_max=KEEP_S),
        strays=worker("strays", steps.strays, period_s=FIRST_SCAN_S, retry_s_min=60.0, retry_s_max=FIRST_SCAN_S),
    )


def _begin(tx: Transaction) -> _Loaded:
    """Count the start and return what is on disk."""
    tx.run("UPDATE counter SET epoch = epoch + 1")
    row = tx.one("SELECT mark, epoch FROM counter")
    assert row is not None
    orphans = [Ino(ino) for (ino,) in tx.all("SELECT ino FROM inode WHERE nlink = 0")]
    return _Loaded(row[0], row[1], orphans, load_sessions(tx))


def _formatted(workers: Workers) -> None:
    workers.formatter.wake()
    workers.marks.wake()
    workers.snapshots.wake()


def _released(workers: Workers) -> None:
    workers.cleaner.wake()
    workers.reclaimer.wake()
    workers.snapshots.wake()


def _backed_up(workers: Workers, marks: Marks) -> None:
    marks.note_copy()
    workers.marks.wake()
    workers.backups.wake()


def _session_handlers(calls: SessionCalls) -> dict[type[Request[Any]], Handler]:
    return {
        OpenSession: calls.open_session,
        Heartbeat: calls.heartbeat,
        AssertOpens: calls.assert_opens,
        EndSession: calls.end_session,
    }


def _reading_handlers(store: Store) -> dict[type[Request[Any]], Handler]:
    def reads(read: Read) -> Handler:
        return lambda ctx, request: store.read(lambda reader: read(reader, ctx, request))

    return {
        ReadLink: reads(reading.read_link),
        ListFiles: reads(list_files),
        GetXattr: reads(get_xattr),
        ListXattrs: reads(list_xattrs),
    }


def _name_handlers(
    answers: Answers, clock: Clock, names: Names, renames: Renames, changer: AttributeChanger, xattrs: XattrChanger
) -> dict[type[Request[Any]], Handler]:
    def changes(work: Work, on_repeat: OnRepeat | None = None) -> Handler:
        def handle(ctx: CallContext, request: Change[Any]) -> Any:
            repeat = None if on_repeat is None else lambda tx, answer: on_repeat(tx, ctx, request, answer)
            while True:
                try:
                    return answers.change(ctx, request, lambda tx: work(tx, ctx, request), repeat)
                except Pledged as pledged:
                    clock.sleep(max(0.0, pledged.until_s - clock.monotonic_s()))
                    raise_if_cancelled(ctx)

        return handle

    return {
        Create: changes(names.create, names.reopen),
        MakeFolder: changes(names.make_folder),
        MakeNode: changes(names.make_node),
        MakeSymlink: changes(names.make_symlink),
        Link: changes(names.link),
        Unlink: changes(names.unlink, names.keep_open),
        RemoveFolder: changes(names.remove_folder),
        Rename: changes(renames.rename),
        SetAttributes: changes(changer.set_attributes),
        SetXattr: changes(xattrs.set),
        RemoveXattr: changes(xattrs.remove),
    }


def _file_handlers(files: Files) -> dict[type[Request[Any]], Handler]:
    return {
        Open: files.open,
        Acquire: files.acquire,
        Truncate: files.truncate,
        Commit: files.commit,
        Yield: files.yield_grant,
        Close: files.close,
    }


def _lock_handlers(calls: LockCalls) -> dict[type[Request[Any]], Handler]:
    return {
        Lock: calls.lock,
        Unlock: calls.unlock,
        AssertLocks: calls.assert_locks,
        FindLock: calls.find_lock,
    }


def _administrator_handlers(backups: Backups, rollback: Rollback, inspection: Inspection) -> dict[type[Request[Any]], Handler]:
    return {
        AcceptRollback: rollback.accept,
        CheckTables: inspection.check_tables,
        FindStrays: inspection.find_strays,
        TakeBackup: backups.take,
        FetchBackup: backups.fetch,
    }
