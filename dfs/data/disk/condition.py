"""Whether this data server can go on.

Promises: after a failed sync nothing is promised any more: what the kernel dropped then can't be known, so every later call is
refused and the host's service loop, which asks through check(), ends the process (design section 8).
"""

from __future__ import annotations

from collections.abc import Callable

from dfs.core.errors import DiskError, NotTrusted
from dfs.core.interfaces import Tasks


class Condition:
    """Remembers the first error after which the server must end."""

    def __init__(self, tasks: Tasks, on_failure: Callable[[DiskError], None]) -> None:
        """`on_failure` is told the first error, once, before anybody else is."""
        self._mutex = tasks.mutex()
        self._on_failure = on_failure
        self._error: DiskError | None = None

    def fail(self, error: DiskError) -> NotTrusted:
        """Note that the server can't go on; return what the caller is to be told."""
        with self._mutex:
            is_first = self._error is None
            if is_first:
                self._error = error
        if is_first:
            self._on_failure(error)
        return NotTrusted(str(error))

    @property
    def error(self) -> DiskError | None:
        """The error after which the server must end."""
        return self._error

    def raise_if_failed(self) -> None:
        """Raise NotTrusted if the server can't go on."""
        if self._error is not None:
            raise NotTrusted(str(self._error))
