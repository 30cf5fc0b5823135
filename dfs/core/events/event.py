"""An event: a fact that an operator should act on, with a stable MESSAGE_ID, a level and fields (conventions: Logs).

What the template of a kind names is what its fields in the journal are named: {server} is DFS_SERVER, {free} is DFS_FREE.
"""

from __future__ import annotations

import enum
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex

REQUEST_FIELD: Final = "DFS_REQUEST"
"""The journal field that names the user's operation, the same on all hosts: `journalctl DFS_REQUEST=...`."""
UNIT_FIELD: Final = "DFS_UNIT"
"""The journal field in which a program says itself which unit it is part of: the journal misses that of one that has just ended."""


class Level(enum.IntEnum):
    """Syslog's levels, as logging has them."""

    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


@dataclass(frozen=True, slots=True)
class EventKind:
    """What sort of thing happened."""

    name: str
    message_id: str
    """32 hex digits."""
    level: Level
    template: str
    """Formatted with the event's fields and details."""
    also: tuple[str, ...] = ()
    """Fields that every event of the kind has besides those that its template names."""

    def names(self) -> frozenset[str]:
        """Return the names of the fields and details that every event of the kind has; it may have others."""
        return frozenset(self.also) | {name for _, name, _, _ in string.Formatter().parse(self.template) if name}

    def fields(self) -> frozenset[str]:
        """Return the same as journal fields."""
        return frozenset(journal_field(name) for name in self.names())


def journal_field(name: str) -> str:
    """Return the journal field of a name in a template or of an event's detail."""
    return f"DFS_{name.upper()}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. Fields that do not apply stay None; further words go into `details`."""

    kind: EventKind
    server: ServerIndex | None = None
    ino: Ino | None = None
    path: bytes | None = None
    block: BlockNo | None = None
    generation: Generation | None = None
    peer: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def fields(self) -> dict[str, str]:
        """Return the journal fields: DFS_SERVER, DFS_INO, DFS_PATH, DFS_BLOCK, DFS_GENERATION, DFS_PEER, and a detail each."""
        return {journal_field(name): str(value) for name, value in self._words().items() if value is not None}

    def message(self) -> str:
        """Return the line for people. Raises: KeyError if a detail of the template is missing."""
        return self.kind.template.format(**self._words())

    def _words(self) -> dict[str, object]:
        """Return everything by its name in templates. A name of a file that is not known is shown as such."""
        return {
            "server": self.server,
            "ino": self.ino,
            "path": ("?" if "path" in self.kind.names() else None)
            if self.path is None
            else self.path.decode("utf-8", "backslashreplace"),
            "block": self.block,
            "generation": self.generation,
            "peer": self.peer,
            **self.details,
        }
