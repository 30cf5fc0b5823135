"""The meta-server: starts its parts, gives each request that its client may make to its handler, tells how it is, and stops.

Implements MetaApi and Service. dfs/cli makes it, dfs/rpc calls it, the host's service loop watches it. Decides nothing about files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar, cast

import dfs
from dfs.core.capability import Signer
from dfs.core.errors import DiskError, Stopping, UnknownMethod
from dfs.core.events.event import Event
from dfs.core.events.meta_server import META_READ_ONLY
from dfs.core.exports import Export
from dfs.core.interfaces import CallContext, Clock, DataServers, EventSink, Random, Tasks
from dfs.core.messages.cluster import MetaStatus, Shape
from dfs.core.messages.inspection import FileSystemSpace, ShowMeta, StatFileSystem
from dfs.core.messages.requests import Request
from dfs.core.metrics import Sample
from dfs.meta.exporting.export_table import ExportTable
from dfs.meta.measures import database_samples, space_samples, status_samples
from dfs.meta.parts import Host, Parts, build_parts
from dfs.meta.settings import MetaSettings
from dfs.meta.state.room import Look, no_limit
from dfs.meta.state.store import Reader, Store, StoreFailure
from dfs.meta.upkeep.space import free_bytes, total_bytes

A = TypeVar("A")

LOG_SHARE: Final = 64
"""The log takes its space at the start only where it is at most one part in so many of what is free."""
_NOT_FORMATTED: Final = Shape("", 0, 0)


class MetaService:
    """One meta-server."""

    def __init__(
        self,
        settings: MetaSettings,
        store_path: str,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        servers: DataServers,
        events: EventSink,
        look: Look = no_limit,
        signer: Signer | None = None,
    ) -> None:
        """Make a meta-server that runs after start().

        Arguments: `store_path`: the database file, in a folder that exists and that this process has locked;
        `look`: measures the disk under it; `signer`: of capabilities, None where there is no key.
        """
        self._exports = ExportTable(settings.exports)
        self._host = Host(settings, clock, random, tasks, servers, events, look, self._exports, signer)
        self._store_path = store_path
        self._parts: Parts | None = None
        self._idle = "starting"
        """What it is doing while it has no parts."""

    def start(self) -> None:
        """Open the store, begin a new epoch and start the background work. Raises: StateError."""
        store = Store(self._store_path, self._host.tasks, self._host.clock, self._on_store_failure)
        try:
            if self._host.settings.log_bytes <= self._free_bytes() // LOG_SHARE:
                store.take_log_space(self._host.settings.log_bytes)
            parts = build_parts(self._host, store)
        except BaseException:
            store.close()
            raise
        self._parts = parts
        for worker in parts.workers.all():
            worker.start()

    def _free_bytes(self) -> int:
        try:
            return self._host.look().free_bytes
        except DiskError:
            return 0  # the first transaction tells what is wrong with the disk

    def stop(self) -> None:
        """End background work and parked calls, and close the store. Later calls raise Stopping."""
        self._idle = "stopped"
        parts, self._parts = self._parts, None
        if parts is None:
            return
        parts.recalls.close()
        parts.locks.close()
        for worker in parts.workers.all():
            worker.ask_to_stop()
        for worker in parts.workers.all():
            worker.join()
        parts.care.marks.tell_last()
        if parts.care.rollback.may_remove:  # the data servers keep a few only: those of an older state would push better ones out
            parts.snapshots.send_last()
        parts.store.close()

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request of dfs/core/messages/meta_methods.py. Raises: DfsError leaves; Stopping unless it runs."""
        parts = self._running()
        return cast(A, parts.gate.carry(ctx, request, lambda ctx, request: self._carry_out(parts, ctx, request)))

    def set_exports(self, exports: Sequence[Export]) -> None:
        """Let other exports count, for each client from its next call on."""
        self._exports.replace(exports)

    def _carry_out(self, parts: Parts, ctx: CallContext, request: Request[Any]) -> Any:
        handler = parts.handlers.get(type(request))
        if handler is not None:
            return handler(ctx, request)
        if isinstance(request, StatFileSystem):
            return self._stat(parts, ctx)
        if isinstance(request, ShowMeta):
            return self._show(parts)
        raise UnknownMethod(type(request).__name__)

    def status(self) -> str:
        """Return one line for people."""
        parts = self._parts
        if parts is None:
            return self._idle
        state = _state(parts)
        serving = f"serving {parts.store.read(_count_inodes):,} files, {parts.sessions.count():,} mounts"
        return serving if state == "ok" else f"{state}; {serving}"

    def check(self) -> int:
        """Read from the store and return how much work was done; a read-only server still reads. Raises: ReadOnly, Stopping."""
        parts = self._running()
        parts.store.read(_count_inodes)
        return parts.store.counts.changes + parts.store.counts.reads

    def measures(self) -> Iterator[Sample]:
        """Yield how the server is doing. Raises: Stopping, ReadOnly: its disk can't be read; DiskError leaves."""
        parts = self._running()
        yield from database_samples(parts.store.times())
        yield from status_samples(self._show(parts))
        yield from space_samples(self._host.look())

    def _running(self) -> Parts:
        parts = self._parts
        if parts is None:
            raise Stopping
        return parts

    def _stat(self, parts: Parts, ctx: CallContext) -> FileSystemSpace:
        spaces = parts.space.spaces(ctx)
        inodes = parts.store.read(_count_inodes)
        return FileSystemSpace(total_bytes(spaces), free_bytes(spaces, len(parts.cluster.indexes())), inodes)

    def _show(self, parts: Parts) -> MetaStatus:
        inodes, reclaiming = parts.store.read(lambda reader: (_count_inodes(reader), _count_reclaiming(reader)))
        return MetaStatus(
            shape=parts.cluster.shape or _NOT_FORMATTED,
            name=self._host.settings.name,
            state=_state(parts),
            data_servers=parts.cluster.addresses,
            mounts=parts.sessions.statuses(),
            inodes=inodes,
            reclaiming=reclaiming,
            wall_ns=self._host.clock.wall_ns(),
            release=dfs.__version__,
        )

    def _on_store_failure(self, failure: StoreFailure) -> None:
        self._host.events.emit(Event(META_READ_ONLY, details={"reason": failure.reason, "until": _until(failure)}))
        parts = self._parts
        if parts is not None:
            parts.workers.room.wake()


def _state(parts: Parts) -> str:
    """Return MetaStatus.state."""
    failure = parts.store.failure
    if failure is not None:
        return f"read-only: {failure.reason}; nothing can be changed {_until(failure)}"
    if parts.cluster.shape is None:
        return "waiting to format"
    if wrong := "; ".join(text for text in (parts.care.rollback.describe(), parts.care.room.describe()) if text):
        return wrong
    return "waiting for sessions" if parts.opens.is_waiting() else "ok"


def _until(failure: StoreFailure) -> str:
    return "until there is space on its disk again" if failure.is_full else "until it is restarted"


def _count_inodes(reader: Reader) -> int:
    row = reader.one("SELECT inodes FROM counter")
    return 0 if row is None else int(row[0])


def _count_reclaiming(reader: Reader) -> int:
    """Return the length of the reclaimer's backlog; its cost grows with that only, and tools alone ask."""
    row = reader.one("SELECT count(*) FROM reclaim")
    return 0 if row is None else int(row[0])
