"""Goal: systemd's watchdog hears from a mount that works, and from no other, whatever the rest of its process does.

Method: mounts of the memory file system whose NOTIFY_SOCKET is the test's; one of them is made to hang inside.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.fusefs.mount_point import unmount
from tests.harness.memory_mount_process import MemoryMountProcess

PERIOD_S = 1.5


class Watchdog:
    """What systemd hears."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def is_fed_within(self, timeout_s: float) -> bool:
        """Tell whether a proof of work arrives in time."""
        self._socket.settimeout(timeout_s)
        try:
            while b"WATCHDOG=1" not in self._socket.recv(4096):
                pass
        except TimeoutError:
            return False
        return True

    def drain(self) -> None:
        """Forget what has arrived."""
        while self.is_fed_within(0.01):
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def watchdog(tmp_path: Path) -> Iterator[Watchdog]:
    """Return a watchdog."""
    made = Watchdog(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def mount(tmp_path: Path, watchdog: Watchdog) -> Iterator[MemoryMountProcess]:
    """Return a mount that the watchdog watches over."""
    made = MemoryMountProcess(tmp_path)
    try:
        made.start(NOTIFY_SOCKET=str(watchdog.path), WATCHDOG_USEC=str(round(PERIOD_S * 1e6)))
        yield made
    finally:
        made.close()


def test_mount_that_works_feeds_the_watchdog_again_and_again(mount: MemoryMountProcess, watchdog: Watchdog) -> None:
    assert all(watchdog.is_fed_within(10 * PERIOD_S) for _ in range(3))


def test_client_that_hangs_starves_the_watchdog_though_its_process_lives(mount: MemoryMountProcess, watchdog: Watchdog) -> None:
    assert watchdog.is_fed_within(10 * PERIOD_S)
    os.mknod(mount.path("stuck-check"))
    watchdog.is_fed_within(PERIOD_S)  # a question that was under way
    watchdog.drain()
    assert not watchdog.is_fed_within(3 * PERIOD_S)
    os.unlink(mount.path("stuck-check"))
    assert watchdog.is_fed_within(10 * PERIOD_S)


def test_mount_that_nobody_can_ask_any_more_is_believed(mount: MemoryMountProcess, watchdog: Watchdog) -> None:
    with open(mount.path("file"), "w") as file:
        os.mknod(mount.path("stuck-check"))
        assert unmount(mount.point, lazily=True, timeout_s=10)
        watchdog.drain()
        assert all(watchdog.is_fed_within(10 * PERIOD_S) for _ in range(3))
        file.write("still open")
