"""What a running server does with a configuration that changed: SIGHUP has it read again.

Promises: what counts without a restart counts when reload() returns; what does not is named in the log each time, until a restart
or until it is as before; a configuration that is wrong changes nothing. Called by the host's service loop. Which keys are which
is dfs/core/config.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from dfs.core.config import Config
from dfs.core.config_changes import Change, find_changes, with_live_keys
from dfs.core.events.event import Event
from dfs.core.events.programs import CONFIG_NEEDS_RESTART, CONFIG_REFUSED, CONFIG_RELOADED
from dfs.core.interfaces import EventSink
from dfs.core.start_errors import ConfigError
from dfs.host.journal import set_level

SERVERS: Final = "data"
"""How the sections [data:N] of single data servers begin; they concern every server."""


class Reloading:
    """Reads the configuration again for one program."""

    def __init__(
        self,
        *,
        read: Callable[[], Config],
        running: Config,
        sections: Collection[str],
        apply: Callable[[Config], None],
        events: EventSink,
    ) -> None:
        """`read` returns what the file says now or raises ConfigError; `running` is what the program was started with; `sections`
        concern it ("export": all [export:NAME]), besides those of single data servers; `apply` hands the program what counts at
        once, but for the log level.
        """
        self._read = read
        self._running = running
        self._sections = frozenset(sections)
        self._apply = apply
        self._events = events

    def reload(self) -> None:
        """Read the configuration, have the program follow, and tell."""
        try:
            found = self._read()
        except ConfigError as error:
            self._events.emit(Event(CONFIG_REFUSED, details={"reason": str(error)}))
            return
        changes = [change for change in find_changes(self._running, found) if self._concerns(change)]
        self._running = with_live_keys(self._running, found)
        set_level(self._running.log.level.value)
        self._apply(self._running)
        live = "; ".join(str(change) for change in changes if change.is_live)
        self._events.emit(Event(CONFIG_RELOADED, details={"changes": live or "nothing that counts at once has changed"}))
        late = "; ".join(str(change) for change in changes if not change.is_live)
        if late:
            self._events.emit(Event(CONFIG_NEEDS_RESTART, details={"changes": late}))

    def _concerns(self, change: Change) -> bool:
        kind, colon, _ = change.section.partition(":")
        return kind in self._sections or (kind == SERVERS and bool(colon))
