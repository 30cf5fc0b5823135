"""What a test run must not leave behind: processes that it started, directly or not, and mounts in its folders.

Every process of a run carries a mark in its environment, so that those of other runs on this machine are never touched.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from dfs.cli.mount_names import SESSIONS, file_name
from dfs.cli.mount_table import unmount
from dfs.fusefs.mount_point import list_mounts

MARK = "DFS_TEST_RUN"
FROM_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}


def marked_environment() -> dict[str, str]:
    """Return the environment for a process of this test run: with the mark, as in a user's shell otherwise.

    Neither the user's own dfs settings are in it nor what make tells the makes below it: those print which folder they enter.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("DFS_") and name not in FROM_MAKE}
    return own | {MARK: str(os.getpid())}


def find_processes() -> list[tuple[int, str]]:
    """Return number and command of all living processes that carry this run's mark."""
    mark = f"{MARK}={os.getpid()}".encode()
    found: list[tuple[int, str]] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")))
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


def find_mounts(below: Path) -> list[Path]:
    """Return all mount points below a folder, the innermost first."""
    points = [Path(os.fsdecode(mounted.point)) for mounted in reversed(list_mounts())]
    return [point for point in points if point.is_relative_to(below)]


def remove_leftovers(below: Path) -> list[str]:
    """Remove whatever this run left behind and return what it was, in words."""
    left: list[str] = []
    for path in find_mounts(below):
        unmount(path, lazy=True)
        left.append(f"mount {path}")
    for pid, command in find_processes():
        left.append(f"process {pid}: {command}")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it was ending
    _remove_diaries(below)
    return left


def _remove_diaries(below: Path) -> None:
    """Remove what mounts that tests killed left in /run for the next one at their place."""
    for diary in SESSIONS.glob(f"{file_name(os.fsencode(below), '')}*"):
        diary.unlink(missing_ok=True)
