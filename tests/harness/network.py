"""Two machines on a private network, as far as addresses go: network namespaces with a cable between them. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

NET: Final = "10.213.87"


class PrivateNetwork:
    """Machines `a` and `b`. Use it in a `with`: nothing of it stays. Files and mounts are those of this machine."""

    def __init__(self, a: Sequence[int], b: Sequence[int]) -> None:
        """`a`, `b`: last bytes of the addresses of each machine."""
        self.name = {machine: f"dfs-{os.getpid()}-{machine}" for machine in "ab"}
        self._numbers = {"a": a, "b": b}

    def __enter__(self) -> PrivateNetwork:
        try:
            for name in self.name.values():
                _ip("netns", "add", name)
            _ip("-n", self.name["a"], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.name["b"])
            for machine, numbers in self._numbers.items():
                for number in numbers:
                    _ip("-n", self.name[machine], "address", "add", f"{NET}.{number}/24", "dev", "eth0")
                for link in ("lo", "eth0"):
                    _ip("-n", self.name[machine], "link", "set", link, "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()

    def _remove(self) -> None:
        for name in self.name.values():
            if Path(f"/run/netns/{name}").exists():
                _ip("netns", "delete", name)

    def on(self, machine: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` on a machine; unlike `ip netns exec` it keeps the mounts of this one."""
        return ["nsenter", f"--net=/run/netns/{self.name[machine]}", *command]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)
