"""Feeding systemd's watchdog for a mount, with proofs that it works and nothing else.

A thread of its own has the mount asked a question through the kernel, several times in each period; only an answer is passed on.
A mount that hangs therefore starves the watchdog, and systemd ends and restarts the client, which frees the programs that hang with
it. A cluster that does not answer starves nobody: the question needs no server. Composed by dfs/cli/mount_loop.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dfs.host.service import Notify

QUESTIONS_PER_PERIOD: Final = 3


class MountWatchdog:
    """One thread that asks and feeds."""

    def __init__(self, notify: Notify, ask: Callable[[float], bool], period_s: float) -> None:
        """Arguments: who is fed, the question with its time limit in seconds, and within how many seconds systemd wants a proof."""
        self._notify = notify
        self._ask = ask
        self._interval_s = period_s / QUESTIONS_PER_PERIOD
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dfs-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a question under way is not waited for."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            if self._ask(self._interval_s):
                self._notify.watchdog()
