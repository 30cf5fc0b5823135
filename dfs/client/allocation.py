"""fallocate(2): room that must be there, holes, and ranges of zeros.

Nothing is set aside: modes 0 and KEEP_SIZE check that there is room now. PUNCH_HOLE and ZERO_RANGE write zeros where there is
something else, so a hole stays a hole, but what was written stays allocated. Called by filesystem.py.
"""

from __future__ import annotations

from typing import Final

from dfs.client.files import Files
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handle
from dfs.client.metadata.inode_attributes import InodeAttributes
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.turns import Turns
from dfs.client.writer import Writer
from dfs.core.errors import BadHandle, FileTooLarge, InvalidArgument, NoSpace, NotSupported
from dfs.core.interfaces import CallContext
from dfs.core.limits import FILE_BYTES_MAX
from dfs.core.messages.inspection import StatFileSystem

KEEP_SIZE: Final = 0x01
PUNCH_HOLE: Final = 0x02
ZERO_RANGE: Final = 0x10
CHUNK_BYTES: Final = 1 << 20
"""Zeros are written so many at a time."""


class Allocation:
    """Carries out fallocate."""

    def __init__(
        self,
        *,
        link: MetaLink,
        files: Files,
        inodes: InodeAttributes,
        grants: Grants,
        calls: GrantCalls,
        turns: Turns,
        writer: Writer,
    ) -> None:
        self._link = link
        self._grants = grants
        self._files = files
        self._inodes = inodes
        self._calls = calls
        self._turns = turns
        self._writer = writer

    def allocate(self, ctx: CallContext, number: int, mode: int, offset: int, length: int) -> None:
        """Do what fallocate(2) says of `mode`. Raises: NotSupported for other modes; NoSpace, FileTooLarge, BadHandle."""
        handle = self._files.handle(number)
        if not handle.mode.write:
            raise BadHandle(handle.path)
        if offset < 0 or length <= 0:
            raise InvalidArgument(handle.path)
        if offset + length > FILE_BYTES_MAX:
            raise FileTooLarge(handle.path)
        if mode in (0, KEEP_SIZE):
            self._require_room(ctx, handle, offset, offset + length)
        elif mode in (PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE):
            self._write_zeros(ctx, handle, offset, offset + length)
        else:
            raise NotSupported(handle.path)
        self._finish(ctx, handle, 0 if mode & KEEP_SIZE else offset + length)

    def _require_room(self, ctx: CallContext, handle: Handle, offset: int, end: int) -> None:
        shown = self._inodes.of(ctx, handle.ino)
        start = offset if shown.is_sparse else max(offset, shown.content.size_bytes)
        if end > start and end - start > self._link.ask(ctx, StatFileSystem()).free_bytes:
            raise NoSpace(handle.path)

    def _write_zeros(self, ctx: CallContext, handle: Handle, offset: int, end: int) -> None:
        end = min(end, self._inodes.of(ctx, handle.ino).content.size_bytes)
        while offset < end:
            length = min(end - offset, CHUNK_BYTES - offset % CHUNK_BYTES)
            zeros = bytes(length)
            found = self._files.read_as_stored(ctx, handle, length, offset)
            if found != zeros[: len(found)]:
                self._writer.write(ctx, handle.ino, handle.path, zeros[: len(found)], offset)
                self._files.forget(handle.ino)
            offset += length

    def _finish(self, ctx: CallContext, handle: Handle, size_bytes: int) -> None:
        """Let the file reach to `size_bytes` if it is shorter, and have its time changed whatever was to be done."""
        with self._turns.hold(ctx, handle.ino):
            held = self._calls.ready(ctx, handle.ino)
            if held.content.size_bytes < size_bytes:
                self._calls.truncate(ctx, handle.ino, size_bytes, by_handle=True)
            else:
                self._grants.touched(handle.ino, held.ticket)
        self._files.forget(handle.ino)
