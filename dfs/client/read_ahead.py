"""Reading ahead for programs that read a file from front to back: one call per server for the next CHUNK_BYTES.

The kernel asks for 128 KiB at a time, and a call costs a server and this mount more than the 32 KiB that it brings. Promises: what
is handed out was verified, is at most MAX_AGE_S old, and was read after the file was last opened, written or cut by this mount, so
close-to-open holds as without it; a block that is lost further on fails nobody who did not ask for it. Called by files.py.

The mutex is innermost; no server is called under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dfs.client.file_view import FileView
from dfs.client.reader import Reader
from dfs.core.errors import NoGoodCopy
from dfs.core.ids import Ino
from dfs.core.interfaces import POLL_S, CallContext, Clock, Tasks, raise_if_cancelled
from dfs.core.meta_messages import Content

CHUNK_BYTES: Final = 1 << 20
"""Read at once."""
ASKED_BYTES_MIN: Final = 64 << 10
"""Smaller reads are not the kernel reading ahead for somebody: they are answered as they are."""
MAX_AGE_S: Final = 1.0
STREAMS_MAX: Final = 64
"""Handles that are followed, the latest: each may keep CHUNK_BYTES in memory."""


@dataclass(slots=True, eq=False)
class _Chunk:
    """Bytes that are being read, or are there."""

    start: int
    end: int
    content: Content
    begun_s: float
    data: bytes | None = None
    is_over: bool = False
    """Nobody may use it (any more)."""


@dataclass(slots=True, eq=False)
class _Stream:
    """How one handle is read."""

    ino: Ino
    next_offset: int
    chunk: _Chunk | None = None


class ReadAhead:
    """Follows the reads of all handles."""

    def __init__(self, reader: Reader, clock: Clock, tasks: Tasks) -> None:
        self._reader = reader
        self._clock = clock
        self._mutex = tasks.mutex()
        self._changed = tasks.signal(self._mutex)
        self._streams: dict[int, _Stream] = {}
        """By handle, the one that was read last at the end."""

    def read(self, ctx: CallContext, handle: int, view: FileView, size_bytes: int, offset: int) -> bytes:
        """Return the same as Reader.read. Raises: the same."""
        end = min(offset + size_bytes, view.content.size_bytes)
        if end - offset < ASKED_BYTES_MIN:
            return self._reader.read(ctx, view, size_bytes, offset)
        with self._mutex:
            chunk = self._chunk_for(handle, view, offset, end)
            is_new = chunk is not None and chunk.begun_s < 0
            if chunk is not None and is_new:
                chunk.begun_s = self._clock.monotonic_s()
        data = None
        if chunk is not None:
            data = self._fetch(ctx, chunk, view) if is_new else self._wait(ctx, chunk)
        if chunk is None or data is None:
            return self._reader.read(ctx, view, size_bytes, offset)
        return data[offset - chunk.start : end - chunk.start]

    def drop(self, ino: Ino) -> None:
        """Note that the file was written, cut or opened: what was read before is not handed out any more."""
        with self._mutex:
            for stream in self._streams.values():
                if stream.ino == ino and stream.chunk is not None:
                    stream.chunk.is_over = True
                    stream.chunk = None

    def forget(self, handle: int) -> None:
        """Note that a handle is closed."""
        with self._mutex:
            self._streams.pop(handle, None)

    def _chunk_for(self, handle: int, view: FileView, offset: int, end: int) -> _Chunk | None:
        """Return the chunk that answers, begun_s < 0: which the caller must read; None if nothing is to be read ahead."""
        stream = self._streams.pop(handle, None)
        if stream is None:
            self._streams[handle] = _Stream(view.ino, end)
            if len(self._streams) > STREAMS_MAX:
                del self._streams[next(iter(self._streams))]
            return None
        self._streams[handle] = stream
        chunk = stream.chunk
        if chunk is not None and chunk.start <= offset and end <= chunk.end and self._is_current(chunk, view):
            stream.next_offset = max(stream.next_offset, end)
            return chunk
        # Reads of one program come from several threads of the kernel: one may be skipped, to come later.
        is_sequential = stream.next_offset <= offset <= stream.next_offset + (end - offset)
        stream.next_offset = end
        limit = min(offset + CHUNK_BYTES, view.content.size_bytes)
        if not is_sequential or limit <= end:
            return None
        stream.chunk = _Chunk(offset, limit, view.content, -1.0)
        return stream.chunk

    def _is_current(self, chunk: _Chunk, view: FileView) -> bool:
        return chunk.content == view.content and self._clock.monotonic_s() - chunk.begun_s <= MAX_AGE_S

    def _fetch(self, ctx: CallContext, chunk: _Chunk, view: FileView) -> bytes | None:
        """Read a chunk for all who want it. Result: None if it has a block that is lost. Raises: as Reader.read."""
        data = None
        try:
            data = self._reader.read(ctx, view, chunk.end - chunk.start, chunk.start)
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
