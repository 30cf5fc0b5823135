"""Scrub: reading everything that is stored, and comparing it with the neighbours' copies, as requests and answers.

The requests are methods of a data server like those of dfs/core/messages/block_methods.py, which lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from dfs.core.ids import BlockNo, Ino, Ticket
from dfs.core.messages.requests import Request
from dfs.core.placement import Role

EVERYTHING: Final = Ino(0)
"""Stands for all inodes."""


class ScrubCounts(NamedTuple):
    """What a scrub met, in blocks."""

    blocks: int = 0
    """Looked at on the server that scrubs, holes between them included."""
    repaired: int = 0
    """Copies that were replaced, here and at the neighbours."""
    damaged: int = 0
    """Blocks of which there is no good copy, or two that differ."""
    left: int = 0
    """Blocks of which the copies could not be compared, or a copy not be replaced: a later pass tries again."""

    def plus(self, other: ScrubCounts) -> ScrubCounts:
        """Return the sums."""
        return ScrubCounts(*map(sum, zip(self, other, strict=True)))


NOTHING = ScrubCounts()


@dataclass(frozen=True, slots=True)
class ScrubStatus:
    """How a data server's scrub is doing."""

    is_on: bool = False
    """Whether passes begin by themselves."""
    is_running: bool = False
    percent: float = 0.0
    """Of the running pass, or of the file that is scrubbed; 0 .. 100."""
    bytes_per_s: int = 0
    """Read by it on average since it began, or since the server was started."""
    left_s: float | None = None
    """About how long it will still take; None: not known."""
    last_pass_ns: int = 0
    """When the last full pass ended, since 1970; 0: never."""
    counts: ScrubCounts = NOTHING
    """Of the running pass, else of the last one that ended."""
    trouble: str = ""
    """Why some copies are not compared at the moment, for people; empty if all are."""


NO_SCRUB: Final = ScrubStatus()
"""Of a server that says nothing of it."""


@dataclass(frozen=True, slots=True)
class ScrubOrder:
    """By which a scrub that was asked for can be asked after."""

    number: int


@dataclass(frozen=True, slots=True)
class ScrubResult:
    """How far a scrub that was asked for has come."""

    is_done: bool
    counts: ScrubCounts


@dataclass(frozen=True, slots=True)
class Mended:
    """How many copies were replaced."""

    repaired: int


@dataclass(frozen=True, slots=True)
class Scrub(Request[ScrubOrder]):
    """Scrub everything from the beginning, or one inode, at once. `ino`: 0 for everything. Faults: NotTrusted (no neighbours)."""

    ino: Ino


@dataclass(frozen=True, slots=True)
class ShowScrub(Request[ScrubResult]):
    """Return how far a scrub has come that was asked for. Faults: BadRequest (not known: the server was restarted since)."""

    number: int


@dataclass(frozen=True, slots=True)
class Mend(Request[Mended]):
    """Compare some of this server's blocks with the neighbour's copies, and replace those of its own that must give way.

    `newest_cut`: the floor of whoever asks. `seen`: the copies as they were seen twice, packed: this server's of all these blocks,
    then the neighbour's. Where one has changed since, or the two servers were told different cuts, nothing happens. Faults:
    StaleTicket (the floor here is higher), NotTrusted (the role is not complete), those of Get at the neighbour, NoSpace, ReadOnly,
    BadRequest.
    """

    ino: Ino
    newest_cut: Ticket
    role: Role
    first: BlockNo
    blocks: int
    seen: bytes
