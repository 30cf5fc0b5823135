"""Open files: create, open, read, write, truncate, flush, fsync, release (design section 6).

What the calls cost: create and open one call to meta, read and write none, close after writing one in all (flush gives the grant
back with the last word on the file, or release does), release of a file that was only read none. Called by filesystem.py.
"""

from __future__ import annotations

from collections.abc import Callable

from dfs.client.blocks.patience import pause
from dfs.client.blocks.read_ahead import ReadAhead
from dfs.client.blocks.replication import Replication
from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grant_calls import GrantCalls, nothing_held
from dfs.client.metadata.grants import Grants, Held
from dfs.client.metadata.handles import Handle, Handles
from dfs.client.metadata.heartbeat import ClosedFiles
from dfs.client.metadata.inode_attributes import InodeAttributes
from dfs.client.metadata.inode_paths import inode_of
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.open_flags import OpenMode, open_mode
from dfs.client.metadata.turns import Turns
from dfs.client.metadata.whole_folders import WholeFolders
from dfs.client.names import parent_of
from dfs.client.write_back.service import WriteBack
from dfs.client.writer import Writer
from dfs.core.errors import BadHandle, FileTooLarge, Interrupted, InvalidArgument, NotFound, ReadOnly, StaleFile, StaleTicket
from dfs.core.ids import Ino, OpId, ServerIndex
from dfs.core.interfaces import CallContext, Clock
from dfs.core.limits import FILE_BYTES_MAX, RETRY_DELAY_S_MIN
from dfs.core.messages.content import Commit, Opened
from dfs.core.messages.names import Create, Open
from dfs.core.messages.requests import Change
from dfs.core.messages.sessions import AssertOpens, OpenFile
from dfs.core.records import Buffer


class Files:
    """Operations on open files."""

    def __init__(
        self,
        *,
        link: MetaLink,
        cache: AttributeCache,
        folders: WholeFolders,
        inodes: InodeAttributes,
        grants: Grants,
        calls: GrantCalls,
        handles: Handles,
        closed: ClosedFiles,
        turns: Turns,
        reading: ReadAhead,
        writer: Writer,
        replication: Replication,
        back: WriteBack,
        clock: Clock,
    ) -> None:
        self._link = link
        self._cache = cache
        self._folders = folders
        self._inodes = inodes
        self._grants = grants
        self._calls = calls
        self._handles = handles
        self._closed = closed
        self._turns = turns
        self._reading = reading
        self._writer = writer
        self._replication = replication
        self._back = back
        self._clock = clock

    # --- opening -----------------------------------------------------------------------------------------------------------

    def create(self, ctx: CallContext, path: bytes, mode: int, flags: int) -> int:
        """Create a regular file with the permission bits `mode` and open it. Result: a handle."""
        wanted = open_mode(flags)
        base, relative = self._inodes.place(path)
        with self._folders.adding(path):
            return self._open(ctx, path, wanted, lambda op: Create(op, base, relative, mode, wanted.exclusive))

    def open(self, ctx: CallContext, path: bytes, flags: int) -> int:
        """Open a regular file. Result: a handle.

        An inode's number alone stands for the name that it was seen under last: an open always asks what a name leads to.
        Raises: StaleFile if that is no longer this inode.
        """
        wanted, ino = open_mode(flags), inode_of(path)
        if ino is None:
            return self._open_at(ctx, path, wanted, None)
        try:
            return self._open_at(ctx, self._cache.last_name(ino) or path, wanted, ino)
        except NotFound as error:
            raise StaleFile(error.path) from error

    def _open_at(self, ctx: CallContext, path: bytes, wanted: OpenMode, expected: Ino | None) -> int:
        base, relative = self._inodes.place(path)
        return self._open(ctx, path, wanted, lambda op: Open(op, base, relative, wanted.read, wanted.write), expected)

    def _open(
        self,
        ctx: CallContext,
        path: bytes,
        wanted: OpenMode,
        make: Callable[[OpId], Change[Opened]],
        expected: Ino | None = None,
    ) -> int:
        ops: list[OpId] = []

        def request(op: OpId) -> Change[Opened]:
            ops.append(op)
            return make(op)

        def finish(op: OpId, answer: Opened) -> None:
            self._closed.abandon(self._handles, OpenFile(answer.attributes.ino, op))

        asked = self._cache.moment()
        with self._grants.expect(self._link.session) as expectation:
            opened = self._link.change(ctx, request, finish=finish)
            self._grants.adopt(expectation, opened.grant)
        file = OpenFile(opened.attributes.ino, ops[-1])
        self._reading.drop(file.ino)
        handle = self._handles.add(file, self._cache.shown_path(path), wanted)
        name = None if self._handles.alias(path) is not None else path
        if opened.is_new:
            self._cache.changed(asked, opened.attributes, name)
            self._cache.touched_at(parent_of(path), opened.attributes.ctime_ns)
        else:
            self._cache.learn(asked, opened.attributes, name)
        try:
            if expected is not None and file.ino != expected:
                raise StaleFile(handle.path)
            self._grants.wait_until_told(ctx, file.ino, 0.0)  # else what was held before would show, whatever others wrote since
            if self._link.session != expectation.session:  # a new session was told what is open, maybe without this
                self._link.ask(ctx, AssertOpens((file,)))
            if wanted.truncate and not self._is_known_empty(file.ino):
                self.truncate(ctx, path, 0, handle.number)
        except BaseException:
            self.release(ctx, handle.number)
            raise
        return handle.number

    def _is_known_empty(self, ino: Ino) -> bool:
        """Tell whether this mount holds the grant and the file is empty. What others hold may be longer than meta knows."""
        held = self._grants.view(ino)
        return held is not None and not held.content.size_bytes and not self._back.is_dirty(ino)

    # --- bytes -------------------------------------------------------------------------------------------------------------

    def read(self, ctx: CallContext, number: int, size_bytes: int, offset: int) -> bytes:
        """Return up to `size_bytes` bytes; fewer only at the end of the file."""
        handle = self._handles.get(number)
        if not handle.mode.read:
            raise BadHandle(handle.path)
        if offset < 0 or size_bytes < 0:
            raise InvalidArgument(handle.path)
        return self.read_as_stored(ctx, handle, size_bytes, offset)

    def read_as_stored(self, ctx: CallContext, handle: Handle, size_bytes: int, offset: int) -> bytes:
        """Return bytes of an open file, whatever it was opened for; fewer only at the end of the file."""
        end = offset + size_bytes
        patch = self._back.patch(ctx, handle.ino, offset, end)
        if patch is not None and (whole := patch.whole(offset, end)) is not None:
            return whole
        view = self._inodes.view(ctx, handle.ino, handle.path)
        while True:
            try:
                stored = self._reading.read(ctx, handle.number, view, size_bytes, offset)
                return stored if patch is None else patch.over(stored, offset, end)
            except StaleTicket:
                patch = self._back.patch(ctx, handle.ino, offset, end)
                newer = self._inodes.newer_view(ctx, view, handle.path)
                if newer.content.newest_cut <= view.content.newest_cut:
                    pause(ctx, self._clock, RETRY_DELAY_S_MIN)  # meta is about to make the cut that the server was told of
                view = newer

    def write(self, ctx: CallContext, number: int, data: Buffer, offset: int) -> int:
        """Write all of `data`; to the end of the file, whatever `offset` says, if the handle was opened with O_APPEND."""
        handle = self._handles.get(number)
        if not handle.mode.write:
            raise BadHandle(handle.path)
        if offset < 0:
            raise InvalidArgument(handle.path)
        if self._back.is_on:
            return self._back.write(ctx, handle, data, None if handle.mode.append else offset)
        try:
            return self._writer.write(ctx, handle.ino, handle.path, data, None if handle.mode.append else offset)
        finally:
            self._reading.drop(handle.ino)

    def truncate(self, ctx: CallContext, path: bytes, size_bytes: int, number: int | None) -> None:
        """Set the size of what stands at `path`, or of what a handle has open for writing."""
        if size_bytes < 0:
            raise InvalidArgument(path)
        if size_bytes > FILE_BYTES_MAX:
            raise FileTooLarge(path)
        handle = None if number is None else self._handles.get(number)
        if handle is not None and not handle.mode.write:
            raise InvalidArgument(handle.path)
        ino = self._inodes.at(ctx, path).ino if handle is None else handle.ino
        try:
            with self._turns.hold(ctx, ino):
                self._back.drain_for_good(ctx, ino)
                self._calls.truncate(ctx, ino, size_bytes, by_handle=handle is not None)
        finally:
            self._reading.drop(ino)

    # --- closing -----------------------------------------------------------------------------------------------------------

    def flush(self, ctx: CallContext, number: int) -> None:
        """Make what was written visible to other mounts, and let them write if this is the only handle."""
        handle = self._handles.get(number)
        if not handle.mode.write:
            return
        ino = handle.ino
        held = self._settled(ctx, ino)
        if held is not None and held.unsaved:
            if self._handles.count(ino) == 1 and not self._turns.is_taken(ino):
                with self._turns.hold(ctx, ino):
                    self._calls.give_back(ctx, ino)
            else:
                self._calls.commit(ctx, ino)
        self._back.raise_error(number)

    def fsync(self, ctx: CallContext, number: int, servers: int) -> None:
        """Make what was written survive a power cut of all machines (I1): first on the data servers, then at meta.

        Who holds the grant knows how far the file reaches, whoever wrote it: servers without a block below that have nothing that
        counts. Without the grant, all `servers` data servers are asked.
        """
        handle = self._handles.get(number)
        ino = handle.ino
        held = self._settled(ctx, ino)
        if held is None:
            self._replication.sync(ctx, ino, map(ServerIndex, range(servers)))
            self._link.ask(ctx, Commit(nothing_held(ino)))
        else:
            self._replication.sync(ctx, ino, held.content.layout.servers_below(held.content.size_bytes))
            self._calls.record(ctx, held)
        self._back.raise_error(number)

    def release(self, ctx: CallContext, number: int) -> None:
        """Forget a handle; with the last one of an inode, let go of everything that was held for it."""
        self._reading.forget(number)
        handle, file = self._handles.remove(number)
        self._back.forget(handle)
        if file is not None:
            self.close(ctx, file)
        elif handle.mode.write:
            self._calls.commit(ctx, handle.ino)

    def close(self, ctx: CallContext, file: OpenFile) -> None:
        """Tell meta that nothing here has the inode open any more: with the grant, or with the next heartbeat."""
        if self._has_nothing_to_tell(file.ino) or self._back.is_dirty(file.ino):
            self._closed.add([file])  # what waits is stored by its task, and upkeep gives the grant back
            return
        try:
            with self._turns.hold(ctx, file.ino):
                self._calls.close(ctx, file)
        except (Interrupted, ReadOnly):
            self._closed.add([file])  # upkeep gives the grant back
            raise

    def _settled(self, ctx: CallContext, ino: Ino) -> Held | None:
        """Store what waits, cut away what a failed write has left, and return the grant if this mount has it."""
        self._back.drain(ctx, ino)
        if self._grants.unfinished(ino) is not None:
            with self._turns.hold(ctx, ino):
                self._calls.finish(ctx, ino)
        return self._grants.held(ino)

    def _has_nothing_to_tell(self, ino: Ino) -> bool:
        return self._grants.view(ino) is None and not self._grants.has_junk(ino) and self._grants.unfinished(ino) is None

    def forget(self, ino: Ino) -> None:
        """Note an own change of an inode."""
        self._reading.drop(ino)
        self._cache.forget_attributes(ino)

    def forget_read_ahead(self, ino: Ino) -> None:
        """Note that another mount may have changed the content since it was last read."""
        self._reading.drop(ino)

    def handle(self, number: int) -> Handle:
        """Return an open handle. Raises: BadHandle, StaleFile."""
        return self._handles.get(number)
