"""What a data server is told by whoever composes it; dfs/cli makes it from the configuration, tests from their needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dfs.core.ids import ServerIndex

SYNC_INTERVAL_S: Final = 5.0
"""Everything stored survives a power cut at the latest after this time, also when nobody asks."""
JOURNAL_AGE_S_MAX: Final = 30.0
"""Journalled blocks are put in place at the latest after this time; sooner when the journal takes nothing for a sync interval."""
SEGMENT_BYTES: Final = 32 << 20
"""The journal begins a new segment when the active one is larger."""
OPEN_STRIPS_MAX: Final = 256
"""Strip files kept open."""
DIRECT_BYTES_MIN: Final = 32 << 10
"""The first blocks of a strip go in place if they come to at least this much; less is cheaper through the journal, where many
small files share one write and one fsync (decision record 5).
"""
APPEND_BYTES_MIN: Final = 8 << 10
"""Further new blocks of a strip go in place if one Put brings at least this much."""

SCRUB_BYTES_PER_S: Final = 10_000_000
"""Pace at which everything stored is read and compared, again and again."""


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The constants of one data server."""

    index: ServerIndex
    boot_id: str
    """Identifies the running kernel: another one at the next start tells that the machine stopped in between."""
    addresses: tuple[str, ...] = ()
    """host:port of all data servers in order of index, of which the neighbours are asked; empty: it never rebuilds."""
    sync_interval_s: float = SYNC_INTERVAL_S
    journal_age_s_max: float = JOURNAL_AGE_S_MAX
    segment_bytes: int = SEGMENT_BYTES
    open_strips_max: int = OPEN_STRIPS_MAX
    direct_bytes_min: int = DIRECT_BYTES_MIN
    append_bytes_min: int = APPEND_BYTES_MIN
    scrub_bytes_per_s: int = SCRUB_BYTES_PER_S
    """0: only when asked, then at SCRUB_BYTES_PER_S."""
