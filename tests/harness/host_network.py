"""A private network for booted hosts: a bridge in a network namespace of its own, with no way out.

The namespace is held by one process of this run, and is gone with it and the hosts. Each host's cable can be pulled. Needs root.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.harness.booted_host import Wiring
from tests.harness.leftovers import marked_environment
from tests.harness.waiting import wait_until

BRIDGE: Final = "br0"
SUBNET: Final = "10.77.0"
END_TIMEOUT_S: Final = 10.0
_LINK: Final = """\
[Match]
Name=host0

[Network]
Address={address}/24
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
_WANTED: Final = {
    "multi-user.target": "systemd-networkd.service",
    "sockets.target": "systemd-networkd.socket",
    "network-online.target": "systemd-networkd-wait-online.service",
}
"""What makes systemd-networkd set up the network at boot, and network-online.target wait for it."""


class HostNetwork:
    """One network. Use it in a `with` around that of its hosts."""

    def __init__(self, *names: str) -> None:
        """`names`: what its hosts are called."""
        self._addresses = {name: f"{SUBNET}.{10 + number}" for number, name in enumerate(names)}
        command = ["unshare", "--net", "sleep", "infinity"]
        self._holder = subprocess.Popen(command, env=marked_environment(), stdin=subprocess.DEVNULL)
        try:
            wait_until(self._has_namespace, "a network namespace")
            self._ip("link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
            self._ip("link", "set", BRIDGE, "up")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> HostNetwork:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it; its hosts are gone by now."""
        self._holder.kill()
        self._holder.wait(END_TIMEOUT_S)

    def wiring(self, name: str) -> Wiring:
        """Return how a host is connected to it."""
        # The kernel takes its time with the network of a container that was killed, and the next one needs the same cable.
        remove = f"ip link delete vb-{name} 2>/dev/null || ! ip link show vb-{name} 2>/dev/null"
        return Wiring(self._entering, (f"--network-bridge={BRIDGE}",), (*self._entering, "sh", "-c", remove))

    def files(self, name: str) -> dict[str, str]:
        """Return the files that a host needs, by path: its address, and the names of all."""
        lines = ["127.0.0.1 localhost", *(f"{address} {each}" for each, address in self._addresses.items())]
        return {
            "/etc/systemd/network/10-host0.network": _LINK.format(address=self._addresses[name]),
            "/etc/hosts": "\n".join(lines) + "\n",
        }

    def links(self) -> dict[str, str]:
        """Return the symbolic links that a host needs, by path: what must be started for the network."""
        return {f"/etc/systemd/system/{target}.wants/{unit}": f"/usr/lib/systemd/system/{unit}" for target, unit in _WANTED.items()}

    def pull_cable(self, name: str) -> None:
        """Cut a host off."""
        self._ip("link", "set", f"vb-{name}", "down")

    def plug_cable(self, name: str) -> None:
        """Connect it again."""
        self._ip("link", "set", f"vb-{name}", "up")

    @property
    def _entering(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net")

    def _ip(self, *words: str) -> None:
        subprocess.run([*self._entering, "ip", *words], check=True, capture_output=True, text=True, timeout=END_TIMEOUT_S)

    def _has_namespace(self) -> bool:
        assert self._holder.poll() is None, "unshare failed"
        own, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{self._holder.pid}/ns/net")
        return os.readlink(own) != os.readlink(theirs)
