"""The way of a scrub: all records of this server, or of one inode, in rising order, a batch at a time.

Promises: every record that is there from the beginning of the walk to its end is in a batch; holes cost nothing; memory is bounded,
whatever there is. Called by the scrub's task. Never reads a record.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dfs.core.ids import BlockNo, Ino
from dfs.core.messages.scrub import EVERYTHING
from dfs.core.placement import Role
from dfs.data.blocks.store import Store
from dfs.data.disk.record_spans import record_spans, runs_of
from dfs.data.scrub.cursor import Position

BATCH_BYTES: Final = 128 << 10
"""Records of a batch: small enough for calls of mounts to come in between."""
BLOCKS_MAX: Final = 256
PAGE_INODES: Final = 1024
"""Inodes of which the numbers are in memory at once."""


class Batch(NamedTuple):
    """Some records of one strip."""

    ino: Ino
    role: Role
    first: BlockNo
    blocks: int
    """How many, from `first` on, step N."""


class Walk:
    """One way through the records."""

    def __init__(self, store: Store, position: Position, only: Ino = EVERYTHING) -> None:
        """Begin at a position; `only`: of one inode, else of all."""
        self._store = store
        self._only = only
        self._page: list[Ino] = []
        """The next inodes, falling."""
        self._is_last_page = False
        self._within = 0.0
        """How much of the strip at `position` is done."""
        self.position = position

    def next(self) -> Batch | None:
        """Return the next batch; None: the end. Raises: DiskError leaves; skip_strip() then leads on."""
        while (ino := self._inode()) is not None:
            if ino != self.position.ino:
                self.position = Position(ino, Role.PRIMARY, 0)
            batch = self._in_strip(self.position)
            if batch is not None:
                return batch
            self.skip_strip()
        return None

    def skip_strip(self) -> None:
        """Go on behind the present strip."""
        ino, role, _ = self.position
        self._within = 0.0
        if role is Role.PRIMARY:
            self.position = Position(ino, Role.SECONDARY, 0)
            return
        self.position = Position(Ino(ino + 1), Role.PRIMARY, 0)
        if self._page and self._page[-1] == ino:
            self._page.pop()

    def fraction(self) -> float:
        """Return about how much is done, 0 .. 1."""
        ino, role, _ = self.position
        in_inode = (self._within + (role is Role.SECONDARY)) / 2
        if self._only:
            return in_inode if ino == self._only else 1.0
        return min(1.0, (ino - 1 + in_inode) / max(1, self._store.strips.highest))

    def _inode(self) -> Ino | None:
        """Return the inode at the position, or the next one of which there is something; None: none."""
        if self._only:
            return self._only if self.position.ino <= self._only else None
        if not self._page and not self._is_last_page:
            page = self._store.inos_above(Ino(self.position.ino - 1), PAGE_INODES)
            self._is_last_page = len(page) < PAGE_INODES
            self._page = page[::-1]
        return self._page[-1] if self._page else None

    def _in_strip(self, position: Position) -> Batch | None:
        """Return the next batch of a strip, and go behind it; None: there is none any more."""
        store, (ino, role, index) = self._store, position
        longest = max(1, min(BLOCKS_MAX, BATCH_BYTES // store.geometry.record_bytes))
        with store.hold(ino):
            layers = store.overlay.find(ino, role)
            with store.strip(ino, role, partly=True) as strip:
                if strip is None and not layers:
                    return None
                residue = layers[0].residue if layers else strip.residue if strip is not None else 0
                spans = record_spans(strip, layers)
        run = next(runs_of(spans, index, longest), None)
        if run is None:
            return None
        first, count = run
        self.position = Position(ino, role, first + count)
        self._within = (first + count) / spans[-1][1]
        return Batch(ino, role, store.geometry.block_no(first, residue), count)
