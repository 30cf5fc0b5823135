"""Waiting that can be ended (I7): every pause of the client looks at ctx.cancelled() at least every POLL_S seconds."""

from __future__ import annotations

from dfs.client.blocks.backoff import delay_s
from dfs.core.interfaces import POLL_S, CallContext, Clock, Random, raise_if_cancelled


def pause(ctx: CallContext, clock: Clock, duration_s: float) -> None:
    """Do nothing for `duration_s` seconds.

    Raises: Interrupted as soon as the operation's owner wants it to end.
    """
    end_s = clock.monotonic_s() + duration_s
    while True:
        raise_if_cancelled(ctx)
        left_s = end_s - clock.monotonic_s()
        if left_s <= 0:
            return
        clock.sleep(min(left_s, POLL_S))


class Patience:
    """The pauses of one operation that tries again and again."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._failures = 0

    def wait(self, ctx: CallContext) -> None:
        """Pause after a failure, longer each time. Raises: Interrupted."""
        pause(ctx, self._clock, delay_s(self._failures, self._random.uniform(0, 1)))
        self._failures += 1
