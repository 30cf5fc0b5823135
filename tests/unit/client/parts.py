"""What tests of the client's parts have in common: host adapters and a context."""

from __future__ import annotations

from dfs.host.clock import SystemClock
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks

TASKS = ThreadTasks()
CLOCK = SystemClock()
RANDOM = SystemRandom()


class ManualClock:
    """A clock that moves only when told, also under somebody who waits for a signal."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        return int(self.now_s * 1e9)

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


class LeastChance:
    """Random that always draws the lowest number."""

    def uniform(self, low: float, high: float) -> float:
        return low

    def token_bytes(self, count: int) -> bytes:
        return bytes(count)

    def uuid(self) -> str:
        return "00000000-0000-0000-0000-000000000000"
