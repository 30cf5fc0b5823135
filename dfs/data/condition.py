"""Whether this data server can go on.

Promises: after a failed sync nothing is promised any more: what the kernel dropped then can't be known, so every later call is
refused and the host's service loop, which asks through check(), ends the process (design section 8).
"""

from __future__ import annotations

from dfs.core.errors import DiskError, NotTrusted
from dfs.core.interfaces import Tasks


class Condition:
    """Remembers the first error after which the server must end."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._error: DiskError | None = None

    def fail(self, error: DiskError) -> NotTrusted:
        """Note that the server can't go on; return what the caller is to be told."""
        with self._mutex:
            if self._error is None:
                self._error = error
        return NotTrusted(str(error))

    @property
    def error(self) -> DiskError | None:
        """The error after which the server must end."""
        return self._error

    def raise_if_failed(self) -> None:
        """Raise NotTrusted if the server can't go on."""
        if self._error is not None:
            raise NotTrusted(str(self._error))
