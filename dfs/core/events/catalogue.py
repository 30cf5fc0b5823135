"""All kinds of events there are, for whoever explains, counts or looks for them."""

from __future__ import annotations

from typing import Final

from dfs.core.events import copies, data_server, meta_server, mount, programs, wire
from dfs.core.events.event import EventKind

_SUBJECTS: Final = (programs, wire, meta_server, data_server, copies, mount)

ALL_KINDS: Final[tuple[EventKind, ...]] = tuple(
    value for subject in _SUBJECTS for value in vars(subject).values() if isinstance(value, EventKind)
)
