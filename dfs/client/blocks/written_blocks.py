"""How much a file with holes occupies: asked of the data servers, which alone know what was ever written (st_blocks).

A file without holes needs no question. What is lost to a server that is away its neighbour tells, which has the other replica of
the same blocks. Called by filesystem.py; answers are believed as long as attributes are.
"""

from __future__ import annotations

from typing import Final

from dfs.core.errors import DfsError
from dfs.core.ids import Ino, ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers, Tasks
from dfs.core.messages.blocks import BlockCounts, CountBlocks
from dfs.core.messages.inodes import Attributes

KEPT_MAX: Final = 4096


class WrittenBlocks:
    """Counts written blocks."""

    def __init__(self, servers: DataServers, clock: Clock, tasks: Tasks, timeout_s: float) -> None:
        self._servers = servers
        self._clock = clock
        self._timeout_s = timeout_s
        self._mutex = tasks.mutex()
        self._known: dict[Ino, tuple[tuple[int, int], float, int]] = {}
        """Inode -> size and time of the content that was counted, when that expires, bytes."""

    def set_timeout(self, timeout_s: float) -> None:
        """Believe what is counted from now on for so long."""
        self._timeout_s = timeout_s

    def bytes_of(self, ctx: CallContext, attributes: Attributes) -> int:
        """Return how many bytes of the file are stored, once. Raises: Interrupted."""
        size_bytes = attributes.content.size_bytes
        if not attributes.is_sparse or not size_bytes:
            return size_bytes
        content, now_s = (size_bytes, attributes.mtime_ns), self._clock.monotonic_s()
        known, expires_s, counted = self._known.get(attributes.ino, (None, 0.0, 0))
        if known == content and now_s < expires_s:
            return counted
        counted = min(size_bytes, self._count(ctx, attributes))
        with self._mutex:
            if len(self._known) >= KEPT_MAX:
                self._known.clear()
            self._known[attributes.ino] = (content, now_s + self._timeout_s, counted)
        return counted

    def _count(self, ctx: CallContext, attributes: Attributes) -> int:
        layout, size_bytes = attributes.content.layout, attributes.content.size_bytes
        request = CountBlocks(attributes.ino, layout.block_of(size_bytes - 1) + 1)
        answers = self._servers.call_all(ctx, {ServerIndex(index): request for index in range(layout.servers)})
        blocks = 0
        for index in range(layout.servers):
            primary = _told(answers[ServerIndex(index)])[0]
            if primary is None:
                primary = _told(answers[ServerIndex((index + 1) % layout.servers)])[1]
            if primary is None:
                return size_bytes  # nobody knows: rather too much
            blocks += primary
        return blocks * layout.block_size


def _told(answer: BlockCounts | DfsError) -> tuple[int | None, int | None]:
    return (None, None) if isinstance(answer, DfsError) else (answer.primary, answer.secondary)
