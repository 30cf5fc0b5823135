"""The folder on which a file system is mounted: whether it can be used, and how it is freed again.

Promises: never touches a mounted file system, which might be dead and hang whoever asks it; /proc/self/mountinfo is asked instead.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from dfs.core.start_errors import MountPointError

MOUNTINFO: Final = Path("/proc/self/mountinfo")
FUSE_DEVICE: Final = Path("/dev/fuse")
UNMOUNT_PROGRAMS: Final = ("fusermount", "fusermount3")
"""Debian 12's fuse3 brings both names, older packages the first only."""
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
_FLAGS_FIELD: Final = 5
MOUNT_TYPE: Final = b"fuse.dfs"
_AUTOMOUNT: Final = b"autofs"
"""Type of what stands where systemd mounts on first access."""
_DEVICE_FIELD: Final = 2
_POINT_FIELD: Final = 4
_LINKS_MAX: Final = 40
FREE_TIMEOUT_S: Final = 10.0


def check_mount_point(path: bytes, *, may_hold_files: bool = False) -> bytes:
    """Return the absolute path, free of symbolic links, of a folder that can be mounted on.

    Arguments: `may_hold_files`: whether a mount may hide what is in it.
    Raises: MountPointError unless it exists, is a folder, is empty and not mounted on, and this machine has FUSE.
    """
    point = resolve_point(path)
    if find_mount(point) is not None and not is_automount(point):
        remedy = "fusermount -u frees it, with -uz if its process is gone"
        raise MountPointError(expected="a mount point that is free", got=f"{show(point)} mounted already ({remedy})")
    try:
        names = os.listdir(point)
    except FileNotFoundError as error:
        raise MountPointError(expected="an existing folder as mount point", got=f"nothing at {show(point)}") from error
    except NotADirectoryError as error:
        raise MountPointError(expected="a folder as mount point", got=f"a file at {show(point)}") from error
    except OSError as error:
        raise MountPointError(expected="a readable folder as mount point", got=f"{show(point)}: {error.strerror}") from error
    if names and not may_hold_files:
        raise MountPointError(expected="an empty folder as mount point", got=f"{len(names)} entries in {show(point)}")
    if not FUSE_DEVICE.exists():
        raise MountPointError(expected=f"{FUSE_DEVICE} (kernel module fuse)", got="nothing there")
    return point


def check_own_mount_point(path: bytes) -> bytes:
    """Return the same for a folder on which this file system belongs whatever has come upon it: files that programs have written
    below while nothing was mounted, or what a dead client of it left (see free_mount_point).

    Raises: MountPointError.
    """
    point = resolve_point(path)
    return point if _is_ours(point) else check_mount_point(point, may_hold_files=True)


def free_mount_point(point: bytes) -> bool:
    """Take a dfs off the tree at `point` if one is uppermost there, alive or dead; False if that fails.

    Raises: MountPointError if this system has no fusermount.
    """
    # Anything else there is not ours: below a dead dfs an automount may wait, which must stay.
    return not _is_ours(point) or unmount(point, lazily=True, timeout_s=FREE_TIMEOUT_S)


def _is_ours(point: bytes) -> bool:
    mounted = find_mount(point)
    return mounted is not None and mounted.type == MOUNT_TYPE


class MountedAt(NamedTuple):
    """One line of the kernel's list of mounts."""

    point: bytes
    device: bytes
    """major:minor, the file system's own for as long as anybody uses it."""
    type: bytes
    """File system type, "fuse.dfs" for ours."""
    source: bytes
    """What is mounted; what mount(8) was given, or the meta-server's address, for ours."""
    flags: frozenset[bytes]
    """The kernel's, of the mount and of the file system: b"ro", b"nosuid", ..."""


def list_mounts() -> list[MountedAt]:
    """Return what is mounted where, as this process sees it; a later mount hides an earlier one at the same point."""
    return parse_mountinfo(MOUNTINFO.read_bytes())


def parse_mountinfo(text: bytes) -> list[MountedAt]:
    """Return what proc_pid_mountinfo(5) lists; it writes blanks and backslashes as octal numbers."""
    # Not splitlines(): a carriage return is part of a name.
    return [_parse_line(line) for line in text.split(b"\n") if line]


def _parse_line(line: bytes) -> MountedAt:
    fields, _, source = line.partition(b" - ")
    parts = fields.split(b" ")
    kind, named, *inner = source.split(b" ")
    flags = frozenset(b",".join([parts[_FLAGS_FIELD], *inner]).split(b","))
    point, shown = (_ESCAPE.sub(_unescape, text) for text in (parts[_POINT_FIELD], named))
    return MountedAt(point, parts[_DEVICE_FIELD], kind, shown, flags)


def find_mount(point: bytes) -> MountedAt | None:
    """Return what is mounted at exactly `point`, the uppermost, or None."""
    return next((mounted for mounted in reversed(list_mounts()) if mounted.point == point), None)


def find_device(point: bytes) -> bytes | None:
    """Return the device that is mounted at `point`, or None."""
    mounted = find_mount(point)
    return None if mounted is None else mounted.device


def is_automount(point: bytes) -> bool:
    """Tell whether an automount waits at `point` for its first access, nothing being mounted on it yet."""
    mounted = find_mount(point)
    return mounted is not None and mounted.type == _AUTOMOUNT


def is_device_mounted(device: bytes) -> bool:
    """Tell whether a device is mounted anywhere: it is not after a lazy unmount, though files may still be open on it."""
    return any(mounted.device == device for mounted in list_mounts())


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def unmount(point: bytes, *, lazily: bool, timeout_s: float) -> bool:
    """Unmount, and tell whether it worked. `lazily`: also while files are open there; they stay usable until closed.

    Raises: MountPointError if there is no program to unmount with.
    """
    flags = "-uqz" if lazily else "-uq"
    for program in UNMOUNT_PROGRAMS:
        try:
            # Not in this thread: the unmount itself may ask the file system, and end never.
            done = subprocess.run([program, flags, "--", point], timeout=timeout_s, stderr=subprocess.DEVNULL, check=False)
        except FileNotFoundError:
            continue
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0
    raise MountPointError(expected="the program fusermount (package fuse3)", got="none in PATH")


def show(path: bytes) -> str:
    """Return a path for people."""
    return os.fsdecode(path).encode("utf-8", "backslashreplace").decode()


def resolve_point(path: bytes) -> bytes:
    """Return the absolute path that a mount point's name leads to, without symbolic links, and never looking at what is mounted.

    Raises: MountPointError for a circle of links.
    """
    taken = {mounted.point for mounted in list_mounts()}
    for _ in range(_LINKS_MAX):
        folder, name = os.path.split(os.path.abspath(path))
        point = os.path.join(os.path.realpath(folder), name)
        if point in taken or not os.path.islink(point):
            return point
        path = os.path.join(os.path.dirname(point), os.readlink(point))
    raise MountPointError(expected="a mount point", got=f"a circle of links at {show(path)}")
