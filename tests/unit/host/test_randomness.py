"""Goal: chance is never the same twice and in its range. Method: draw."""

from __future__ import annotations

import uuid

from dfs.core.interfaces import Random
from dfs.host.randomness import SystemRandom


def test_draws_are_in_range_and_differ_between_objects() -> None:
    first: Random = SystemRandom()
    second = SystemRandom()
    assert all(2.0 <= first.uniform(2.0, 3.0) <= 3.0 for _ in range(100))
    assert len(first.token_bytes(16)) == 16
    assert first.token_bytes(16) != second.token_bytes(16)
    assert first.uuid() != second.uuid()
    assert uuid.UUID(first.uuid()).version == 4
