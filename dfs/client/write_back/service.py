"""Write-back: write() returns when its bytes are in a buffer of this mount, and they are stored afterwards (decision record 25).

Promises: whoever reads, looks or appends through this mount sees what waits; everything that waited when drain() began is stored,
or told as an error, when it returns; nothing is stored once somebody else may have written, and nothing is given back while
something waits. What can't be stored is given up as a whole, told in the journal, and reported once to every handle that was open
then, by its next fsync or close; afterwards the file is written through until a write succeeds, so that its program hears of the
trouble at once. What can't be stored yet goes on waiting, and so do writers once a buffer is full (I7).

A mount that does not buffer never has a buffer: then every method returns at once. Lock order: an inode's turn, then the mutex
here, then those of grants and lease. Called by files.py, filesystem.py and whoever gives grants back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dfs.client.blocks.read_ahead import ReadAhead
from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants, Held
from dfs.client.metadata.handles import Handle, Handles
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.turns import Turns
from dfs.client.settings import WriteBackSettings
from dfs.client.write_back.buffers import Buffers, FileBuffer, Patch
from dfs.client.write_back.pieces import first_batch
from dfs.client.write_back.storing import Storing
from dfs.core.contexts import GuardedContext
from dfs.core.errors import DfsError, FileTooLarge, GrantLost, Interrupted, NoSpace, NotFound, ReadOnly, StaleFile
from dfs.core.events.event import Event
from dfs.core.events.mount import WRITES_LOST
from dfs.core.ids import Ino
from dfs.core.interfaces import POLL_S, CallContext, Clock, EventSink, Tasks, raise_if_cancelled
from dfs.core.limits import FILE_BYTES_MAX
from dfs.core.messages.names import Lookup
from dfs.core.records import Buffer

LOG = logging.getLogger(__name__)

TASKS: Final = 2
"""Tasks that store what has waited long enough."""
BATCH_BYTES: Final = 2 << 20
"""Stored at once: about 2 MiB / (servers / 2) for each server."""
PATIENCE_S: Final = 1.0
"""A task that has waited so long for servers turns to another file, if one is due."""
PUT_OFF_S: Final = 0.5
"""Before it is tried again."""


class WriteBack:
    """All that waits to be stored."""

    def __init__(
        self,
        *,
        settings: WriteBackSettings | None,
        link: MetaLink,
        cache: AttributeCache,
        grants: Grants,
        calls: GrantCalls,
        handles: Handles,
        lease: Lease,
        turns: Turns,
        storing: Storing,
        write_through: Callable[[CallContext, Ino, bytes, Buffer, int | None], int],
        reading: ReadAhead,
        clock: Clock,
        tasks: Tasks,
        events: EventSink,
    ) -> None:
        """`write_through` does what Writer.write does; `settings`: None: nothing ever waits."""
        self.is_on = settings is not None
        self._link = link
        self._cache = cache
        self._grants = grants
        self._calls = calls
        self._handles = handles
        self._lease = lease
        self._turns = turns
        self._storing = storing
        self._write_through = write_through
        self._reading = reading
        self._clock = clock
        self._events = events
        self._mutex = tasks.mutex()
        self._due = tasks.signal(self._mutex)
        self._room = tasks.signal(self._mutex)
        self._buffers = Buffers(settings or WriteBackSettings())
        self._errors: dict[int, DfsError] = {}
        """By handle, what its next fsync or close reports."""
        self._claimed: set[Ino] = set()
        """Inodes that a task is at work for."""
        self._owed: set[Ino] = set()
        """Inodes whose grant is given back once nothing waits."""
        self._careful: set[Ino] = set()
        """Files that are written through, because what waited could not be stored."""
        calls.before_leaving = self.drain_for_good

    # --- writing -----------------------------------------------------------------------------------------------------------

    def write(self, ctx: CallContext, handle: Handle, data: Buffer, offset: int | None) -> int:
        """Have all of `data` wait at `offset`, or at the end of the file for None; return its length.

        Raises: Interrupted; FileTooLarge, StaleFile; what meta answers to whom it does not let write.
        """
        ino, count = handle.ino, len(data)
        with self._mutex:
            buffer = self._buffers.get(ino)
            if buffer is not None and buffer.is_open and count:
                held = self._grants.held(ino)
                if (
                    held is not None
                    and held.since == buffer.since
                    and not held.junk
                    and not self._grants.is_recalled(ino)
                    and self._lease.is_valid()
                    and self._buffers.has_room(ino, count)
                ):
                    self._add(buffer, held, data, offset)
                    return count
        return self._write_in_turn(ctx, handle, data, offset) if count else 0

    def _write_in_turn(self, ctx: CallContext, handle: Handle, data: Buffer, offset: int | None) -> int:
        ino = handle.ino
        while True:
            if ino in self._careful:
                return self._write_carefully(ctx, handle, data, offset)
            self._wait_for_room(ctx, ino, len(data))
            with self._turns.hold(ctx, ino):
                held = self._calls.ready(ctx, ino)
                self._give_up_if_lost(ctx, ino)
                with self._mutex:
                    if ino not in self._careful and self._buffers.has_room(ino, len(data)):
                        self._add(self._opened(held, handle.path), held, data, offset)
                        return len(data)

    def _write_carefully(self, ctx: CallContext, handle: Handle, data: Buffer, offset: int | None) -> int:
        self.drain(ctx, handle.ino)
        try:
            count = self._write_through(ctx, handle.ino, handle.path, data, offset)
        finally:
            self._reading.drop(handle.ino)
        self._careful.discard(handle.ino)
        return count

    def _opened(self, held: Held, path: bytes) -> FileBuffer:
        """Return the buffer of this time of holding the grant."""
        buffer = self._buffers.get(held.ino)
        if buffer is None or buffer.since != held.since:
            if buffer is not None:
                self._buffers.end(buffer)
            buffer = FileBuffer(held.ino, path, held.since, self._grants.losses())
            self._buffers.begin(buffer)
        buffer.is_open = True
        return buffer

    def _add(self, buffer: FileBuffer, held: Held, data: Buffer, offset: int | None) -> None:
        start = max(buffer.size_bytes, held.content.size_bytes) if offset is None else offset
        if start + len(data) > FILE_BYTES_MAX:
            raise FileTooLarge(buffer.path)
        if self._buffers.add(buffer, start, data, self._clock.monotonic_s(), self._clock.wall_ns()):
            self._due.notify_all()

    def _wait_for_room(self, ctx: CallContext, ino: Ino, count: int) -> None:
        """Wait until so many bytes may be added. Raises: Interrupted."""
        while True:
            with self._mutex:
                if self._buffers.has_room(ino, count):
                    return
                self._due.notify_all()
                self._room.wait(POLL_S)
            raise_if_cancelled(ctx)

    # --- looking -----------------------------------------------------------------------------------------------------------

    def is_dirty(self, ino: Ino) -> bool:
        """Tell whether anything of an inode waits."""
        if not self._buffers:
            return False
        with self._mutex:
            return self._buffers.dirty(ino) is not None

    @property
    def is_any_dirty(self) -> bool:
        """Whether anything waits at all."""
        return self._buffers.total_bytes > 0

    @property
    def total_bytes(self) -> int:
        """What everything that waits counts for."""
        return self._buffers.total_bytes

    def patch(self, ctx: CallContext, ino: Ino, offset: int, end: int) -> Patch | None:
        """Return what is to be put over what is stored, to be asked for before that is looked at; None: nothing.

        Waits for the lease, without which others may have written since. Raises: Interrupted.
        """
        if not self.is_dirty(ino):
            return None
        self._lease.wait(ctx)
        with self._mutex:
            buffer = self._buffers.dirty(ino)
            if buffer is None or buffer.losses != self._grants.losses():
                return None
            held = self._grants.held(ino)
            return self._buffers.patch(buffer, 0 if held is None else held.content.size_bytes, offset, end)

    def reach(self, ino: Ino) -> tuple[int, int] | None:
        """Return how far what waits reaches, and when it was written (ns); None: nothing waits."""
        if not self._buffers:
            return None
        with self._mutex:
            buffer = self._buffers.dirty(ino)
            if buffer is None or buffer.losses != self._grants.losses():
                return None
            return buffer.size_bytes, buffer.mtime_ns

    # --- storing -----------------------------------------------------------------------------------------------------------

    def drain(self, ctx: CallContext, ino: Ino) -> None:
        """Store what waits of an inode now. What can't be is given up (see raise_error). Raises: Interrupted."""
        if self.is_dirty(ino):
            with self._turns.hold(ctx, ino):
                self._store_all(ctx, ino)

    def drain_for_good(self, ctx: CallContext, ino: Ino) -> None:
        """The same with the turn held, and let nobody add anything before they had the turn. Raises: Interrupted."""
        if not self._buffers:
            return
        with self._mutex:
            buffer = self._buffers.get(ino)
            if buffer is None:
                return
            buffer.is_open = False
        self._store_all(ctx, ino)
        with self._mutex:
            self._buffers.end(buffer)

    def raise_error(self, number: int) -> None:
        """Raise, once, the error of what a handle's program had written, or was to read, and could not be stored."""
        if self._errors:
            error = self._errors.pop(number, None)
            if error is not None:
                raise error

    def forget(self, handle: Handle) -> None:
        """Note that a handle is gone."""
        self._errors.pop(handle.number, None)
        if not self._handles.count(handle.ino):
            self._careful.discard(handle.ino)

    def hurry(self, ino: Ino) -> bool:
        """Have the tasks store what waits of an inode, and then give its grant back. Result: False if nothing waits."""
        with self._mutex:
            if self._buffers.dirty(ino) is None:
                return False
            self._owed.add(ino)
            self._due.notify_all()
            return True

    def _store_all(self, ctx: CallContext, ino: Ino) -> None:
        """Store what waits when this begins, the inode's turn held."""
        with self._mutex:
            buffer = self._buffers.dirty(ino)
            if buffer is None:
                return
            self._buffers.begin_leaving(buffer, self._clock.monotonic_s())
        try:
            while buffer.leaving:
                self._store_some(ctx, buffer)
        except Interrupted:
            raise
        except DfsError as error:
            self._give_up(ctx, buffer, error)
        finally:
            if buffer.leaving:
                with self._mutex:
                    self._buffers.keep(buffer, self._clock.monotonic_s() + PUT_OFF_S)

    def _store_some(self, ctx: CallContext, buffer: FileBuffer) -> None:
        held = self._grants.held(buffer.ino)
        if held is None or buffer.losses != self._grants.losses():
            raise GrantLost(buffer.ino)
        count = first_batch(buffer.leaving, held.content.layout.block_size, BATCH_BYTES)
        self._storing.store(ctx, buffer, buffer.leaving[:count])
        self._reading.drop(buffer.ino)  # before readers look at the servers for what they found here
        with self._mutex:
            self._buffers.stored(buffer, count)
            self._room.notify_all()

    # --- giving up ---------------------------------------------------------------------------------------------------------

    def _give_up_if_lost(self, ctx: CallContext, ino: Ino) -> None:
        """Give up what waits if somebody else may have written since; the turn is held."""
        with self._mutex:
            buffer, held = self._buffers.dirty(ino), self._grants.held(ino)
            if buffer is None or (held is not None and held.since == buffer.since):
                return
        self._give_up(ctx, buffer, GrantLost(ino))

    def _give_up(self, ctx: CallContext, buffer: FileBuffer, error: DfsError) -> None:
        """Forget all that waits of an inode, and see to it that whoever should knows."""
        ino = buffer.ino
        with self._mutex:
            lost_bytes, reached = buffer.cost_bytes, buffer.reached
            self._buffers.end(buffer)
            buffer.leaving = []
            buffer.is_open = False
            self._room.notify_all()
        held = self._grants.held(ino)
        if reached and held is not None:
            self._grants.mark_junk(ino, held.session)
        self._cache.forget_attributes(ino)
        self._reading.drop(ino)
        numbers = self._handles.numbers(ino)
        if isinstance(error, StaleFile) and not numbers:
            return  # it was removed
        for number in numbers:
            self._errors[number] = replace(error)
        if isinstance(error, (NoSpace, ReadOnly)) and numbers:
            self._careful.add(ino)
        details = {"count": lost_bytes, "reason": str(error)}
        self._events.emit(Event(WRITES_LOST, ino=ino, path=buffer.path, details=details), ctx)

    def end(self, ctx: CallContext) -> None:
        """The mount ends: tell what could not be stored in time."""
        for buffer in self._buffers:
            if buffer.is_dirty:
                self._give_up(ctx, buffer, Interrupted("the mount ended first"))

    # --- the tasks -----------------------------------------------------------------------------------------------------------

    def run(self, ctx: CallContext) -> None:
        """Store what is due until `ctx` says that the mount stops."""
        while ctx.cancelled() is None:
            ino = self._next_due()
            if ino is None:
                continue
            try:
                self._store_due(ctx, ino)
            finally:
                with self._mutex:
                    self._claimed.discard(ino)

    def wake(self) -> None:
        """Look at once whether the mount stops."""
        self._due.notify_all()

    def _next_due(self) -> Ino | None:
        """Return an inode of which something is due, claimed; None if there is none for a while."""
        with self._mutex:
            ino, wait_s = self._find_due()
            if ino is None:
                self._due.wait(wait_s)
            else:
                self._claimed.add(ino)
            return ino

    def _find_due(self) -> tuple[Ino | None, float]:
        for ino in self._owed:
            if ino not in self._claimed and self._buffers.dirty(ino) is None:
                return ino, 0.0
        buffer, wait_s = self._buffers.due(self._clock.monotonic_s(), self._claimed, self._owed)
        return None if buffer is None else buffer.ino, wait_s

    def _store_due(self, ctx: CallContext, ino: Ino) -> None:
        until_s = self._clock.monotonic_s() + PATIENCE_S
        patient = GuardedContext(ctx, lambda: self._clock.monotonic_s() > until_s and self._is_another_due())
        try:
            if self.is_dirty(ino) and self._is_removed(patient, ino):
                self._throw_away(patient, ino)
            self.drain(patient, ino)
            if ino in self._owed:
                self._give_back(ctx, patient, ino)
        except Interrupted:
            self._put_off(ino)
        except DfsError as error:
            LOG.warning("inode %d: what was written could not be settled with the meta-server yet: %s", ino, error)
            self._put_off(ino)
            self._owed.discard(ino)
            self._grants.end_recall(ino)  # meta asks again

    def _give_back(self, ctx: CallContext, patient: CallContext, ino: Ino) -> None:
        """Give back a grant that is asked for, once nothing waits under it."""
        with self._turns.hold(patient, ino):
            if self.is_dirty(ino):
                return
            if self._grants.is_recalled(ino):  # else whoever had the turn before gave it back
                self._calls.give_back(ctx, ino)
            self._owed.discard(ino)

    def _throw_away(self, ctx: CallContext, ino: Ino) -> None:
        """Forget what waits of an inode that nobody can read any more."""
        with self._turns.hold(ctx, ino):
            with self._mutex:
                buffer = self._buffers.dirty(ino)
            if buffer is not None and not self._handles.is_open(ino):
                self._give_up(ctx, buffer, StaleFile(buffer.path))

    def _put_off(self, ino: Ino) -> None:
        with self._mutex:
            buffer = self._buffers.get(ino)
            if buffer is not None:
                buffer.not_before_s = self._clock.monotonic_s() + PUT_OFF_S

    def _is_another_due(self) -> bool:
        with self._mutex:
            return self._find_due()[0] is not None

    def _is_removed(self, ctx: CallContext, ino: Ino) -> bool:
        """Tell whether nobody can ever read an inode any more: it has neither a name nor a handle."""
        if self._handles.is_open(ino):
            return False
        try:
            return not self._link.ask(ctx, Lookup(ino, b"")).nlink
        except (NotFound, StaleFile):
            return True
