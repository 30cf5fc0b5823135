"""The lease: until when this mount may write.

It ends LEASE_CLIENT_S after the last good heartbeat was SENT, well before the meta-server gives the mount's grants to others
(LEASE_META_S after that heartbeat arrived). A lease that has merely run out comes back with the next good heartbeat.
"""

from __future__ import annotations

from dfs.core.errors import ClientRefused
from dfs.core.interfaces import POLL_S, CallContext, Clock, Tasks, raise_if_cancelled
from dfs.core.limits import LEASE_CLIENT_S


class Lease:
    """When writing must stop."""

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock = clock
        self._mutex = tasks.mutex()
        self._renewed = tasks.signal(self._mutex)
        self._valid_until_s: float | None = None
        self._refusal: ClientRefused | None = None

    def renew(self, sent_s: float) -> None:
        """Note that meta answered well to what was sent at `sent_s` on the monotonic clock."""
        with self._mutex:
            until_s = sent_s + LEASE_CLIENT_S
            self._refusal = None
            self._valid_until_s = until_s if self._valid_until_s is None else max(self._valid_until_s, until_s)
            self._renewed.notify_all()

    def lose(self) -> None:
        """End the lease now: the session has expired."""
        with self._mutex:
            self._valid_until_s = None

    def refuse(self, refusal: ClientRefused) -> None:
        """End the lease now: the meta-server takes nothing of this mount any more, and whoever waits learns it."""
        with self._mutex:
            self._valid_until_s = None
            self._refusal = refusal
            self._renewed.notify_all()

    def is_valid(self) -> bool:
        """Tell whether the mount may write."""
        with self._mutex:
            return self._valid_until_s is not None and self._clock.monotonic_s() < self._valid_until_s

    def wait(self, ctx: CallContext) -> None:
        """Return once the lease is valid. Raises: Interrupted; ClientRefused while the meta-server refuses the mount."""
        while not self.is_valid():
            raise_if_cancelled(ctx)
            refusal = self._refusal
            if refusal is not None:
                raise ClientRefused(refusal.client, refusal.reason)
            with self._mutex:
                self._renewed.wait(POLL_S)
