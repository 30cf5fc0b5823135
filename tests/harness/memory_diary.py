"""A diary of a mount's sessions that outlives a simulated process."""

from __future__ import annotations

from dfs.core.limits import ENDED_SESSIONS_MAX


class MemoryDiary:
    """See SessionDiary; keeps the nonces in a list that the next process of the same machine is given."""

    def __init__(self, nonces: list[bytes]) -> None:
        self._nonces = nonces
        self._left_behind = nonces[:ENDED_SESSIONS_MAX]

    def left_behind(self) -> list[bytes]:
        """Return what the former process left."""
        return self._left_behind

    def begin(self, nonce: bytes) -> None:
        """Note a session before it is asked for."""
        if nonce not in self._nonces:
            self._nonces.append(nonce)

    def keep_only(self, nonce: bytes) -> None:
        """Note that this session is open, and that all others are over."""
        self._left_behind = []
        self._nonces[:] = [nonce]

    def clear(self) -> None:
        """Note that all sessions are over."""
        self._left_behind = []
        self._nonces.clear()
