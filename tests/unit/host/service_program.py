"""A program around run_service for test_service.py: a service that says on standard output what is done with it.

Arguments: key=value. start, open, close, stop, check, status, reload = what that step does (no reload without its key):
"ok" (default), "hang", "slow" (half a second), "refuse" (a StartError), "fail" (a DiskError), "bug", or "late" (fails while
the service is being stopped).
idle=yes: check() proves no progress, and status() tells how often it was called. stop_timeout_s = seconds.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from dfs.cli.arguments import run_program
from dfs.core.errors import DiskFailed
from dfs.core.start_errors import StateError
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.service import run_service

HANG_S = 300.0


class ScriptedService:
    """A core.interfaces.Service that follows the program's arguments."""

    def __init__(self, script: dict[str, str]) -> None:
        self._script = script
        self._checks = 0
        self._state = "idle"
        self._stopping = threading.Event()

    def act(self, step: str) -> None:
        """Do what the script wants of this step."""
        print(step, flush=True)
        self._play(step)
        print(f"{step} done", flush=True)

    def acting(self, step: str) -> Callable[[], None]:
        """Return a function that acts `step`."""
        return lambda: self.act(step)

    def start(self) -> None:
        """Start."""
        self._state = "recovering"
        self.act("start")
        self._state = "serving"

    def stop(self) -> None:
        """Stop."""
        self._stopping.set()
        self.act("stop")

    def status(self) -> str:
        """Return the state."""
        self._play("status")
        return f"{self._checks} checks" if self._script.get("idle") == "yes" else self._state

    def check(self) -> int:
        """Return a rising number, or what the script wants."""
        self._play("check")
        self._checks += 1
        return 0 if self._script.get("idle") == "yes" else self._checks

    def _play(self, step: str) -> None:
        match self._script.get(step, "ok"):
            case "hang":
                threading.Event().wait(HANG_S)
            case "slow":
                threading.Event().wait(0.5)
            case "refuse":
                raise StateError("a state folder of ours", "another's")
            case "fail":
                raise DiskFailed("sync", "journal", "Input/output error")
            case "late":
                print(f"late {step} begins", flush=True)
                self._stopping.wait(HANG_S)
                raise DiskFailed("read", "journal", "Bad file descriptor")
            case "bug":
                raise RuntimeError("broken")


def main() -> int:
    """Run the service."""
    script = dict(argument.split("=", 1) for argument in sys.argv[1:])
    setup_logging("info", "dfs-test")
    service = ScriptedService(script)
    run_service(
        service=service,
        what="test server",
        open_for_requests=service.acting("open"),
        close_for_requests=service.acting("close"),
        events=JournalEvents(),
        reload=service.acting("reload") if "reload" in script else None,
        stop_timeout_s=float(script.get("stop_timeout_s", "10")),
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_program("dfs-test", main))
