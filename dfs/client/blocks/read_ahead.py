"""Reading ahead for programs that read a file from front to back: one call per server for the next megabytes.

The kernel asks for 128 KiB to 1 MiB at a time, and a call costs a server and this mount more than the bytes that it brings; and
while a program takes what is there, the servers can already be at work. So a chunk is read at once, and the next, larger one, by
a task of the mount, as soon as half of it was asked for. Promises: what is handed out was verified, is at most MAX_AGE_S old, and
was read after the file was last opened, written or cut by this mount, so close-to-open holds as without it; a block that is lost
further on fails nobody who did not ask for it. Called by files.py.

The mutex is innermost; no server is called under it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.reader import Reader
from dfs.core.errors import DfsError, NoGoodCopy
from dfs.core.ids import Ino
from dfs.core.interfaces import POLL_S, CallContext, Clock, Tasks, raise_if_cancelled

CHUNK_BYTES: Final = 1 << 20
"""Read at once when a stream begins."""
NEXT_CHUNK_BYTES: Final = 2 << 20
"""Read at once by a task, when a program has read on: a call costs the same, however much it brings."""
ASKED_BYTES_MIN: Final = 64 << 10
"""Smaller reads are not the kernel reading ahead for somebody: they are answered as they are."""
ASKED_BYTES_MAX: Final = NEXT_CHUNK_BYTES // 2
"""Larger reads are answered as they are, too: they bring enough in one call, and nothing is kept for them."""
MAX_AGE_S: Final = 1.0
CHUNKS_PER_STREAM: Final = 2
STREAMS_MAX: Final = 32
"""Handles that are followed, the latest: each may keep CHUNKS_PER_STREAM chunks in memory, all of them 128 MiB at most."""
TASKS: Final = 2
"""Tasks that read ahead."""
_IDLE_S: Final = 10 * POLL_S
"""How often an idle task looks whether the mount stops."""


@dataclass(slots=True, eq=False)
class _Chunk:
    """Bytes that are to be read, are being read, or are there."""

    view: FileView
    start: int
    end: int
    begun_s: float | None = None
    """When somebody began to read it; None: whoever wants it first does."""
    data: bytes | None = None
    is_over: bool = False
    """Nobody may use it (any more)."""


@dataclass(slots=True, eq=False)
class _Stream:
    """How one handle is read."""

    ino: Ino
    next_offset: int
    chunks: deque[_Chunk] = field(default_factory=deque)
    """In the order of the file; the kernel's threads may still ask for the end of one when another asks for the next."""

    def give_up(self) -> None:
        """Let nobody use the chunks any more."""
        for chunk in self.chunks:
            chunk.is_over = True
        self.chunks.clear()


class ReadAhead:
    """Follows the reads of all handles."""

    def __init__(self, reader: Reader, clock: Clock, tasks: Tasks) -> None:
        self._reader = reader
        self._clock = clock
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._came = tasks.signal(self._mutex)
        self._due: deque[_Chunk] = deque()
        """Chunks for the tasks to read."""
        self._streams: dict[int, _Stream] = {}
        """By handle, the one that was read last at the end."""

    def read(self, ctx: CallContext, handle: int, view: FileView, size_bytes: int, offset: int) -> bytes:
        """Return the same as Reader.read. Raises: the same."""
        end = min(offset + size_bytes, view.content.size_bytes)
        if not ASKED_BYTES_MIN <= end - offset <= ASKED_BYTES_MAX:
            return self._reader.read(ctx, view, size_bytes, offset)
        with self._mutex:
            chunk = self._chunk_for(handle, view, offset, end)
            is_mine = chunk is not None and self._claim(chunk)
        data = None
        if chunk is not None:
            data = self._fetch(ctx, chunk) if is_mine else self._wait(ctx, chunk)
        if chunk is None or data is None:
            return self._reader.read(ctx, view, size_bytes, offset)
        return data[offset - chunk.start : end - chunk.start]

    def drop(self, ino: Ino) -> None:
        """Note that the file was written, cut or opened: what was read before is not handed out any more."""
        with self._mutex:
            for stream in self._streams.values():
                if stream.ino == ino:
                    stream.give_up()

    def forget(self, handle: int) -> None:
        """Note that a handle is closed."""
        with self._mutex:
            stream = self._streams.pop(handle, None)
            if stream is not None:
                stream.give_up()

    # --- the tasks -----------------------------------------------------------------------------------------------------------

    def run(self, ctx: CallContext) -> None:
        """Read what is due until `ctx` says that the mount stops."""
        while ctx.cancelled() is None:
            chunk = self._next_due()
            if chunk is None:
                continue
            try:
                self._fetch(ctx, chunk)
            except DfsError:
                continue  # whoever wants the bytes reads them himself, and hears what is wrong

    def wake(self) -> None:
        """Look at once whether the mount stops."""
        self._came.notify_all()

    def _next_due(self) -> _Chunk | None:
        """Return a chunk that nobody has begun; None if there is none for a while."""
        with self._mutex:
            if not self._due:
                self._came.wait(_IDLE_S)
            while self._due:
                chunk = self._due.popleft()
                if not chunk.is_over and self._claim(chunk):
                    return chunk
            return None

    # --- chunks --------------------------------------------------------------------------------------------------------------

    def _chunk_for(self, handle: int, view: FileView, offset: int, end: int) -> _Chunk | None:
        """Return the chunk that answers, perhaps not begun; None if nothing is to be read ahead."""
        stream = self._streams.pop(handle, None)
        if stream is None:
            self._streams[handle] = _Stream(view.ino, end)
            if len(self._streams) > STREAMS_MAX:
                self._streams.pop(next(iter(self._streams))).give_up()
            return None
        self._streams[handle] = stream
        for chunk in stream.chunks:
            if chunk.start <= offset and end <= chunk.end and self._is_current(chunk, view):
                stream.next_offset = max(stream.next_offset, end)
                if chunk is stream.chunks[-1] and end - chunk.start > (chunk.end - chunk.start) // 2:
                    self._plan(stream, view, chunk.end)
                return chunk
        # Reads of one program come from several threads of the kernel: one may be skipped, to come later.
        is_sequential = stream.next_offset <= offset <= stream.next_offset + (end - offset)
        stream.next_offset = end
        limit = min(offset + max(CHUNK_BYTES, 2 * (end - offset)), view.content.size_bytes)
        if not is_sequential or limit <= end:
            return None
        stream.give_up()
        stream.chunks.append(_Chunk(view, offset, limit))
        return stream.chunks[-1]

    def _plan(self, stream: _Stream, view: FileView, start: int) -> None:
        """Have the chunk that begins at `start` read by a task, unless the file ends there."""
        end = min(start + NEXT_CHUNK_BYTES, view.content.size_bytes)
        if end <= start:
            return
        if len(stream.chunks) == CHUNKS_PER_STREAM:
            stream.chunks.popleft()
        chunk = _Chunk(view, start, end)
        stream.chunks.append(chunk)
        self._due.append(chunk)
        self._came.notify_all()

    def _is_current(self, chunk: _Chunk, view: FileView) -> bool:
        if chunk.is_over or chunk.view.content != view.content:
            return False
        return chunk.begun_s is None or self._clock.monotonic_s() - chunk.begun_s <= MAX_AGE_S

    def _claim(self, chunk: _Chunk) -> bool:
        """Tell whether the caller is the one who reads the chunk."""
        if chunk.begun_s is not None:
            return False
        chunk.begun_s = self._clock.monotonic_s()
        return True

    def _fetch(self, ctx: CallContext, chunk: _Chunk) -> bytes | None:
        """Read a chunk for all who want it. Result: None if it has a block that is lost. Raises: as Reader.read."""
        data = None
        try:
            data = self._reader.read(ctx, chunk.view, chunk.end - chunk.start, chunk.start)
        except NoGoodCopy:
            return None
        finally:
            with self._mutex:
                chunk.data = data
                chunk.is_over = chunk.is_over or data is None
                self._changed.notify_all()
        return data

    def _wait(self, ctx: CallContext, chunk: _Chunk) -> bytes | None:
        """Return a chunk that another caller reads; None if that failed. Raises: Interrupted."""
        while True:
            with self._mutex:
                if chunk.is_over or chunk.data is not None:
                    return None if chunk.is_over else chunk.data
                self._changed.wait(POLL_S)
            raise_if_cancelled(ctx)
