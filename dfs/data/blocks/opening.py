"""Putting the block store together and bringing it up to date after the last stop.

Promises: when open_store() returns, everything that was acknowledged can be read: what was in the journal is in the overlay.
Called by the service at start, and when a blank server is formatted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dfs.core.interfaces import Clock, Disk, EventSink, Tasks
from dfs.core.messages.cluster import RoleState
from dfs.core.placement import Role
from dfs.data.blocks.absorbing import Absorbing
from dfs.data.blocks.checkpoint import Checkpoint
from dfs.data.blocks.cleaning import Cleaning
from dfs.data.blocks.comparisons import Comparisons
from dfs.data.blocks.counting import Counting
from dfs.data.blocks.dropping import Dropping
from dfs.data.blocks.fencing import Fencing
from dfs.data.blocks.lending import Lending
from dfs.data.blocks.reading import Reading
from dfs.data.blocks.repairing import Repairing
from dfs.data.blocks.store import Store
from dfs.data.blocks.syncing import Syncing
from dfs.data.blocks.writing import Writing
from dfs.data.disk.bad_records import BadRecords
from dfs.data.disk.change_log import ChangeLog
from dfs.data.disk.condition import Condition
from dfs.data.disk.floors import Floors
from dfs.data.disk.geometry import Geometry
from dfs.data.disk.journal import Journal
from dfs.data.disk.journal_entries import Kind
from dfs.data.disk.overlay import Overlay
from dfs.data.disk.quarantine import Quarantine
from dfs.data.disk.replay import OnSegment, Replay, Replayed
from dfs.data.disk.reserve import Reserve
from dfs.data.disk.strip_loading import StripLoader
from dfs.data.disk.strips import Strips
from dfs.data.disk.superblock import Identification
from dfs.data.disk.sync_moments import SyncMoments
from dfs.data.settings import DataSettings


@dataclass(frozen=True, slots=True)
class BlockStore:
    """The block store of a formatted data server and the operations on it."""

    store: Store
    reading: Reading
    writing: Writing
    repairing: Repairing
    fencing: Fencing
    cleaning: Cleaning
    dropping: Dropping
    lending: Lending
    absorbing: Absorbing
    counting: Counting
    syncing: Syncing
    checkpoint: Checkpoint

    def close(self) -> None:
        """Put everything in place, sync it, close all files. Raises: NotTrusted: a sync failed."""
        try:
            self.checkpoint.run()
        finally:
            self.store.journal.close()
            self.store.strips.close()


def open_store(
    settings: DataSettings,
    identification: Identification,
    condition: Condition,
    disk: Disk,
    clock: Clock,
    tasks: Tasks,
    events: EventSink,
    on_segment: OnSegment,
    distrust: Callable[[], None],
    *,
    is_kept: bool,
) -> BlockStore:
    """Return the block store of a formatted server; `on_segment` and `is_kept` as for Replay.run().

    `distrust`: makes the server suspect, to be compared from the beginning, durably. Raises: DiskError leaves; StateError.
    """
    quarantine = Quarantine(disk)
    store = _make_store(settings, identification, condition, disk, clock, tasks, events, quarantine)
    quarantine.start()
    _read_files(store)
    replay = Replay(disk, store.geometry, settings.index, quarantine, events)
    _replay(store, replay.run(on_segment, is_kept=is_kept, synced=store.moments.journal), distrust)
    return _with_operations(store, settings, tasks)


def _make_store(
    settings: DataSettings,
    identification: Identification,
    condition: Condition,
    disk: Disk,
    clock: Clock,
    tasks: Tasks,
    events: EventSink,
    quarantine: Quarantine,
) -> Store:
    """Put together what all operations share; nothing is read yet."""
    block = identification.current
    geometry = Geometry(block.servers, block.block_size)
    floors = Floors(disk, tasks, quarantine)
    loader = StripLoader(geometry, settings.index, quarantine, events, floors, lambda role: store.is_suspect(role))
    changes = ChangeLog(disk, tasks, clock)
    reserve = Reserve(disk, tasks, events, settings.index)
    store = Store(
        geometry=geometry,
        server=settings.index,
        identification=identification,
        strips=Strips(disk, tasks, geometry, loader, changes, settings.open_strips_max),
        overlay=Overlay(tasks),
        journal=Journal(disk, tasks, condition, min(settings.segment_bytes, reserve.segment_bytes_max)),
        floors=floors,
        condition=condition,
        events=events,
        bad_records=BadRecords(settings.index, tasks, quarantine, events),
        inode_locks=tasks.keyed_lock(),
        reserve=reserve,
        changes=changes,
        moments=SyncMoments(disk, tasks),
        comparisons=Comparisons(tasks),
    )
    reserve.journal_bytes = lambda: store.journal.size_bytes
    return store


def _read_files(store: Store) -> None:
    """Read what was in place when the server ended."""
    store.strips.start()
    store.floors.start()
    store.moments.start()
    store.changes.start()
    for role in Role:
        if store.is_suspect(role):
            store.changes.doubt(role)
        elif store.identification.current.state_of(role) is not RoleState.COMPLETE:
            store.changes.note_all(role)  # it is copied anew, and may have lost its word on what it stored meanwhile


def _replay(store: Store, replayed: Replayed, distrust: Callable[[], None]) -> None:
    """Take over what was in the journal, and begin a new segment of it."""
    for entry in replayed.entries:
        store.apply(entry)
        if entry.kind is Kind.DROPPED:
            for role in Role:
                store.strips.discard(entry.ino, role)
        elif entry.kind is Kind.CHANGED and entry.role is not None:
            store.strips.note_left_unsynced(entry.ino, entry.role)
    if replayed.is_damaged:
        store.moments.forget()
        for role in Role:
            store.changes.note_all(role)
        distrust()
    store.journal.start(replayed.segments)


def _with_operations(store: Store, settings: DataSettings, tasks: Tasks) -> BlockStore:
    syncing = Syncing(store, tasks)
    return BlockStore(
        store=store,
        reading=Reading(store),
        writing=Writing(store, settings.direct_bytes_min, settings.append_bytes_min),
        repairing=Repairing(store, tasks),
        fencing=Fencing(store),
        cleaning=Cleaning(store, syncing),
        dropping=Dropping(store),
        lending=Lending(store),
        absorbing=Absorbing(store, settings.direct_bytes_min),
        counting=Counting(store),
        syncing=syncing,
        checkpoint=Checkpoint(store, syncing, tasks, settings.journal_age_s_max),
    )
