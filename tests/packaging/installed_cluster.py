"""A cluster on one booted host, from the installed packages, used as an administrator does: systemctl, dfsctl, dfs-mount."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from tests.harness.booted_host import BootedHost
from tests.harness.waiting import wait_until

SERVERS: Final = 4
META: Final = "dfs-meta.service"
POINT: Final = "/mnt/dfs"
MOUNT: Final = "dfs-mounted.service"


def data(index: int) -> str:
    """Return the unit of a data server."""
    return f"dfs-data@{index}.service"


ALL: Final = (META, *(data(index) for index in range(SERVERS)))


class InstalledCluster:
    """A meta-server and four data servers on one host."""

    def __init__(self, host: BootedHost) -> None:
        self.host = host

    def set_up(self) -> None:
        """Describe it, start it for this boot and all later ones, and mount."""
        addresses = ",".join(f"127.0.0.1:{9100 + index}" for index in range(SERVERS))
        self.host.run("dfsctl", "init", "--servers", addresses)
        self.host.run("systemctl", "restart", META)
        self.host.run("systemctl", "enable", "--now", *ALL[1:])
        self.mount()

    def mount(self) -> None:
        """Mount; returns when programs can use the file system."""
        self.host.run("mkdir", "-p", POINT)
        as_service = ["systemd-run", "--quiet", "--collect", f"--unit={MOUNT}", "--property=Type=notify"]
        self.host.run(*as_service, "dfs-mount", POINT)

    def unmount(self) -> None:
        """Unmount."""
        self.host.run("systemctl", "stop", MOUNT)

    def write(self, name: str, text: str) -> None:
        """Write a file and have it synced."""
        self.host.run("timeout", "20", "dd", f"of={POINT}/{name}", "conv=fsync", "status=none", stdin=text)

    def read(self, name: str) -> str:
        """Return what a file holds."""
        return self.host.run("timeout", "20", "cat", f"{POINT}/{name}")

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.host.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def pid(self, unit: str) -> int:
        """Return the main process of a unit, 0 if there is none."""
        return int(self.show(unit, "MainPID"))

    def is_up(self, unit: str) -> bool:
        """Tell whether a unit is there, all of it."""
        return (self.show(unit, "ActiveState"), self.show(unit, "SubState")) == ("active", "running")

    def drop_in(self, unit: str, text: str) -> None:
        """Say more of a unit until the next boot."""
        folder = f"/run/systemd/system/{unit}.d"
        self.host.run("mkdir", "-p", folder)
        self.host.run("dd", f"of={folder}/test.conf", "status=none", stdin=text)
        self.host.run("systemctl", "daemon-reload")

    def configure(self, text: str) -> None:
        """Put the last word on the configuration."""
        self.host.run("dd", "of=/etc/dfs/dfs.conf.d/99-test.conf", "status=none", stdin=text)

    def hit(self, unit: str, signal: str) -> float:
        """Send a signal to the main process of a unit; return after how many seconds another one serves in its place."""
        before, began_s = self.pid(unit), time.monotonic()
        self.host.run("kill", f"-{signal}", str(before))
        wait_until(lambda: self.pid(unit) not in (0, before) and self.is_up(unit), f"{unit} to be back after {signal}", 30)
        return time.monotonic() - began_s

    def journal(self, unit: str) -> list[dict[str, Any]]:
        """Return what the journal has of a unit in this boot."""
        lines = self.host.run("journalctl", "--boot", "--output=json", f"--unit={unit}").splitlines()
        return [json.loads(line) for line in lines]

    def wait_to_hear(self, unit: str, words: str) -> None:
        """Wait until a unit has logged something with these words in it."""
        wait_until(lambda: any(words in message for message in self.messages(unit)), f"{unit} to log {words!r}")

    def messages(self, unit: str) -> list[str]:
        """Return what a unit has logged in this boot."""
        return [str(entry["MESSAGE"]) for entry in self.journal(unit)]
