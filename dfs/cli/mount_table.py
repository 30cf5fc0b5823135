"""The kernel's mount table, as far as dfs mounts are concerned: who is mounted where, who uses it, and unmounting.

Reads /proc only and never looks at a mount point itself (no stat, no listing), because a mount whose client has died or
hangs would answer with an error or not at all. Called by dfs/cli/local_cluster.py and by the tests' harness.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dfs.fusefs import mount_point
from dfs.fusefs.mount_point import MOUNT_TYPE, MountedAt

UNMOUNT_TIMEOUT_S: Final = 10.0


class Holder(NamedTuple):
    """A process that keeps a mount busy."""

    pid: int
    command: str
    path: str
    """One of the files or folders below the mount that it has open, runs from or stands in."""


def absolute(path: Path) -> Path:
    """Return `path` without symbolic links on the way to it, but not looking at its last part, which may be a dead mount."""
    whole = Path(os.path.abspath(path))
    return whole.parent.resolve() / whole.name


def find_mount(path: Path) -> MountedAt | None:
    """Return what is mounted at exactly `path`, or None."""
    return mount_point.find_mount(os.fsencode(absolute(path)))


def find_mount_above(path: str) -> MountedAt | None:
    """Return the mount on which a path without symbolic links stands, or None."""
    inside = os.fsencode(path) + b"/"
    above = [mounted for mounted in mount_point.list_mounts() if inside.startswith(mounted.point.rstrip(b"/") + b"/")]
    return max(reversed(above), key=lambda mounted: len(mounted.point), default=None)


def is_mounted(path: Path) -> bool:
    """Tell whether a dfs file system is mounted at `path`, alive or dead."""
    mounted = find_mount(path)
    return mounted is not None and mounted.type == MOUNT_TYPE


def find_holders(path: Path) -> list[Holder]:
    """Return the processes that use something below `path`; those of other users are seen by root only."""
    inside = f"{absolute(path)}/"
    found: list[Holder] = []
    for folder in Path("/proc").glob("[0-9]*"):
        used = next((name for name in _names_used(folder) if f"{name}/".startswith(inside)), None)
        if used is not None:
            found.append(Holder(int(folder.name), _command(folder), used))
    return found


def _names_used(folder: Path) -> Iterator[str]:
    links = [folder / "cwd", folder / "root", folder / "exe"]
    try:
        links += (folder / "fd").iterdir()
        links += (folder / "map_files").iterdir()
    except OSError:
        links = links[:3]  # gone meanwhile, or another user's: what is readable of it will do
    for link in links:
        try:
            yield os.readlink(link)
        except OSError:
            continue


def _command(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() or "?"
    except OSError:
        return "?"


def unmount(path: Path, *, lazy: bool = False) -> bool:
    """Unmount `path` and tell whether it is gone; `lazy` detaches it from the tree even while it is in use.

    Raises: MountPointError if this system has no fusermount.
    """
    mount_point.unmount(os.fsencode(absolute(path)), lazily=lazy, timeout_s=UNMOUNT_TIMEOUT_S)
    return find_mount(path) is None
