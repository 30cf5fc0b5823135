"""The numbers that name things, each with a type of its own so that they cannot be mixed up.

Inode, ticket and session numbers come from one series kept by the meta-server, below 2**40 and never issued twice.
"""

from __future__ import annotations

from typing import Final, NewType

Ino = NewType("Ino", int)
"""Number of an inode. 1 is the root folder, 0 is never an inode."""
BlockNo = NewType("BlockNo", int)
"""Number of a block within a file, from 0; block i holds bytes [i * block_size, (i + 1) * block_size)."""
ServerIndex = NewType("ServerIndex", int)
"""Number of a data server, 0 <= index < N."""
Generation = NewType("Generation", int)
"""Version of a block, u64: ticket << 24 | counter. 0 means "never written"."""
Ticket = NewType("Ticket", int)
"""Number of a write grant or of a cut, below 2**40. 0 means "none"."""
SessionId = NewType("SessionId", int)
"""Number of a client session (a mount's lease with the meta-server). 0 means "no session"."""
OpId = NewType("OpId", int)
"""Number of a changing call within its session, chosen by the client, strictly rising from 1."""

ROOT_INO: Final = Ino(1)
NO_TICKET: Final = Ticket(0)
NO_GENERATION: Final = Generation(0)
NO_SESSION: Final = SessionId(0)
NO_OP: Final = OpId(0)
COUNTER_BITS: Final = 24
"""Bits of a generation that count the writes under one ticket."""
COUNTER_MAX: Final = (1 << COUNTER_BITS) - 1
NUMBER_MAX: Final = (1 << 40) - 1
"""The highest inode, ticket or session number."""
GENERATION_MAX: Final = NUMBER_MAX << COUNTER_BITS | COUNTER_MAX
"""The highest generation of a block."""


def generation_of(ticket: Ticket, counter: int) -> Generation:
    """Return the generation of write number `counter` (1 .. 2**24 - 1) under `ticket`."""
    return Generation(ticket << COUNTER_BITS | counter)


def ticket_of(generation: Generation) -> Ticket:
    """Return the ticket under which `generation` was written."""
    return Ticket(generation >> COUNTER_BITS)
