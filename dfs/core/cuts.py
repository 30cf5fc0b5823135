"""Cuts: recorded truncations, and the one rule that says which bytes they void.

A cut (n, T) says: bytes at or past offset n in blocks whose generation is below T << 24 are void, as if never written.
A file's cuts are kept with rising offsets and rising tickets: a newer cut at the same or a lower offset replaces the older.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dfs.core.ids import NO_TICKET, BlockNo, Generation, Ticket, ticket_of


class Cut(NamedTuple):
    """A recorded truncation."""

    offset: int
    """First void byte of the file."""
    ticket: Ticket
    """Blocks of a generation below ticket << 24 are concerned."""


def add_cut(cuts: Iterable[Cut], cut: Cut) -> tuple[Cut, ...]:
    """Return `cuts` with `cut`, the newest, added; those that it makes superfluous are left out."""
    return (*(old for old in cuts if old.offset < cut.offset), cut)


def newest_ticket(cuts: Iterable[Cut]) -> Ticket:
    """Return the newest ticket among `cuts`, or 0 for none."""
    return max((cut.ticket for cut in cuts), default=NO_TICKET)


def valid_length(cuts: Iterable[Cut], block_no: BlockNo, block_size: int, generation: Generation, length: int) -> int:
    """Return how many leading bytes of a block are not void.

    Arguments: the file's cuts, the block's number and stored generation, and `length`, its stored bytes (0 .. block_size).
    Result: 0 .. length; 0 means that the block is as if never written.
    """
    ticket = ticket_of(generation)
    for cut in cuts:
        if ticket < cut.ticket:
            length = min(length, max(0, cut.offset - block_no * block_size))
    return length
