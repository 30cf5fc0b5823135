"""What a service tells systemd about itself (sd_notify(3)); nothing happens where systemd does not listen.

Owns the environment variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Called by dfs/host/service.py and by dfs/cli for
mounts. Never decides when: that is the service loop's business.
"""

from __future__ import annotations

import logging
import os
import time

from systemd import daemon

log = logging.getLogger(__name__)


class SystemdNotify:
    """The connection to systemd. A message that cannot be sent is logged once: the service is more than its supervision."""

    def __init__(self) -> None:
        self._failed = False

    def ready(self) -> None:
        """Tell that requests are answered from now on."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Tell that the configuration is read again; ready() tells the end of it.

        systemd takes the time for what tells this message from an older one (Type=notify-reload, sd_notify(3)).
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def status(self, text: str) -> None:
        """Show one line on what the service is doing in `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """Prove that the service works."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, duration_s: float) -> None:
        """Ask that starting or stopping may take `duration_s` seconds from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(duration_s * 1e6)}")

    def stopping(self) -> None:
        """Tell that the service is about to end."""
        self._send("STOPPING=1")

    def watchdog_s(self) -> float | None:
        """Return within how many seconds systemd wants a proof of work, or None if it wants none from this process."""
        duration_us = os.environ.get("WATCHDOG_USEC", "")
        pid = os.environ.get("WATCHDOG_PID", "")
        if not duration_us.isdecimal() or int(duration_us) == 0 or pid not in ("", str(os.getpid())):
            return None
        return int(duration_us) / 1e6

    def _send(self, message: str) -> None:
        try:
            daemon.notify(message)
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told %r: %s", message, error)
            self._failed = True
