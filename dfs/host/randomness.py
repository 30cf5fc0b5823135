"""Chance from the operating system, for the services' Random. Owns nothing; built once by dfs/cli."""

from __future__ import annotations

import random
import secrets
import uuid


class SystemRandom:
    """Numbers that no other process or machine will have drawn too."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._random.uniform(low, high)

    def token_bytes(self, count: int) -> bytes:
        """Return `count` unpredictable bytes."""
        return secrets.token_bytes(count)

    def uuid(self) -> str:
        """Return a new random UUID in its usual form of 36 characters."""
        return str(uuid.uuid4())
