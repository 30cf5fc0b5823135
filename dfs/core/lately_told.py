"""What an operator was told lately, so that the same is not told again at each of a thousand requests (pure; the mutex comes from
outside).

Promises: memory is bounded, whoever asks; past the bound nothing more is told, for then somebody has many names. Called by
dfs/meta/exporting/gate.py and dfs/rpc/verifier.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


class LatelyTold:
    """Remembers about whom something was told. Safe for any number of threads."""

    __slots__ = ("_mutex", "_period_s", "_told_s", "most")

    def __init__(self, mutex: AbstractContextManager[Any], *, period_s: float, most: int) -> None:
        """`period_s`: for how long the same is no news; `most`: of how many that is remembered."""
        self._mutex = mutex
        self._period_s = period_s
        self._told_s: dict[str, float] = {}
        self.most = most

    @property
    def count(self) -> int:
        """Of how many something is remembered."""
        return len(self._told_s)

    def is_news(self, about: str, now_s: float) -> bool:
        """Tell whether something is to be told about somebody now, and take it for told."""
        with self._mutex:
            if now_s - self._told_s.get(about, -self._period_s) < self._period_s:
                return False
            if len(self._told_s) >= self.most:
                self._told_s = {each: told_s for each, told_s in self._told_s.items() if now_s - told_s < self._period_s}
                if len(self._told_s) >= self.most:
                    return False
            self._told_s[about] = now_s
        return True
