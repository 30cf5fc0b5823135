"""Changing the kernel's flags of a mount that stays (`mount -o remount,ro`, `systemctl reload X.mount`).

Promises: a flag that is not named stays as it is; nosuid and nodev are not lost by the way. The kernel is called itself, because
mount(8) would fill in what fstab says, options of the client among it. What the client was told at its start is not changed.
Called by dfs/cli/mount_helper/program.py.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import Final

from dfs.cli.mount_helper.options import KERNEL_PAIRS
from dfs.core.start_errors import MountPointError
from dfs.fusefs.mount_point import MOUNT_TYPE, find_mount, show

_MS_REMOUNT: Final = 0x20
_BITS: Final = {
    b"ro": 0x1,
    b"nosuid": 0x2,
    b"nodev": 0x4,
    b"noexec": 0x8,
    b"sync": 0x10,
    b"dirsync": 0x80,
    b"nosymfollow": 0x100,
    b"noatime": 0x400,
    b"nodiratime": 0x800,
    b"relatime": 0x20_0000,
    b"lazytime": 0x200_0000,
}
"""MS_* of mount(2) by the names in the kernel's list of mounts."""
OF_THE_LIST: Final = ("user_id=", "group_id=", "max_read=", "blksize=")
"""Begin what the kernel shows of every FUSE mount. mount(8) adds all of that to a remount which names no source."""


def remount(point: bytes, words: Iterable[str]) -> None:
    """Give the mount at `point` the kernel's flags that are named and leave the others.

    Raises: MountPointError if no dfs is mounted there; OSError if the kernel refuses.
    """
    mounted = find_mount(point)
    if mounted is None or mounted.type != MOUNT_TYPE:
        got = "nothing" if mounted is None else mounted.type.decode(errors="replace")
        raise MountPointError(expected=f"a dfs mounted on {show(point)}", got=got)
    flags = _MS_REMOUNT | merge_flags(mounted.flags, words)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, ctypes.c_char_p(point), None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(point))


def merge_flags(present: Iterable[bytes], words: Iterable[str]) -> int:
    """Return mount(2)'s bits for the flags that a mount has, changed by those that are named; other words are left out."""
    bits = sum(bit for name, bit in _BITS.items() if name in set(present))
    for word in words:
        for setting, clearing in KERNEL_PAIRS:
            if word == setting:
                bits |= _BITS[setting.encode()]
            elif word == clearing:
                bits &= ~_BITS[setting.encode()]
    return bits
