"""Who may do what: POSIX's rules on permission bits, owners, sticky folders and set-id bits, as pure functions.

The meta-server asks before every change and every open, and for each folder on a path; nothing here knows where inodes live.
Functions named `may_` tell; `require_` raise. Root (uid 0) passes, as with CAP_DAC_OVERRIDE, CAP_FOWNER and CAP_FSETID.
"""

from __future__ import annotations

import stat
from typing import Final, Protocol

from dfs.core.errors import AccessDenied, NotPermitted
from dfs.core.interfaces import Caller

READ: Final = 4
WRITE: Final = 2
SEARCH: Final = 1
"""Search of a folder, execution of a file."""

PERMISSION_BITS: Final = 0o7777


class Owned(Protocol):
    """What has an owner and a mode: Attributes, or an inode of the meta-server."""

    @property
    def mode(self) -> int:
        """File type and permission bits."""

    @property
    def uid(self) -> int:
        """Owner."""

    @property
    def gid(self) -> int:
        """Group."""


def in_group(caller: Caller, gid: int) -> bool:
    """Tell whether `gid` is the caller's group or one of its supplementary groups."""
    return gid == caller.gid or gid in caller.groups


def may_access(inode: Owned, caller: Caller, want: int) -> bool:
    """Tell whether the permission bits allow all of `want` (READ, WRITE and SEARCH, added up).

    Only the first class that fits counts: owner, then group, then others. Root needs one execute bit to run a file.
    """
    mode = inode.mode
    if caller.uid == 0:
        return not want & SEARCH or stat.S_ISDIR(mode) or bool(mode & 0o111)
    if caller.uid == inode.uid:
        mode >>= 6
    elif in_group(caller, inode.gid):
        mode >>= 3
    return mode & want == want


def require_access(inode: Owned, caller: Caller, want: int, path: bytes) -> None:
    """Raise AccessDenied, naming `path`, unless may_access."""
    if not may_access(inode, caller, want):
        raise AccessDenied(path)


def is_owner(inode: Owned, caller: Caller) -> bool:
    """Tell whether the caller owns the inode or is root."""
    return caller.uid in (0, inode.uid)


def require_removable(folder: Owned, victim: Owned, caller: Caller, path: bytes) -> None:
    """Raise unless the caller may take `victim`'s name out of `folder`.

    Raises: AccessDenied without write and search permission on the folder; NotPermitted if the folder is sticky and
    the caller owns neither it nor the victim.
    """
    require_access(folder, caller, WRITE | SEARCH, path)
    if folder.mode & stat.S_ISVTX and not is_owner(folder, caller) and not is_owner(victim, caller):
        raise NotPermitted(path)


def born_gid(folder: Owned, caller: Caller) -> int:
    """Return the group of what the caller creates in `folder`: the folder's, if that is set-group-ID."""
    return folder.gid if folder.mode & stat.S_ISGID else caller.gid


def born_mode(folder: Owned, caller: Caller, mode: int) -> int:
    """Return the mode of what the caller creates in `folder`, where `mode` has the type and the umask is applied.

    A folder inherits set-group-ID. A program loses it if its group is not one of the caller's.
    """
    if folder.mode & stat.S_ISGID:
        if stat.S_ISDIR(mode):
            return mode | stat.S_ISGID
        if mode & stat.S_IXGRP:
            return _without_foreign_setgid(mode, folder.gid, caller)
    return mode


def mode_after_chmod(inode: Owned, caller: Caller, bits: int, gid: int, path: bytes) -> int:
    """Return the whole mode after the caller sets the permission bits; `gid` is the group from then on.

    Who may write a file may take its set-id bits away, and nothing else: the kernel asks for that in the name of one who writes it.
    Raises: NotPermitted if the caller does not own the inode.
    """
    mode = stat.S_IFMT(inode.mode) | bits & PERMISSION_BITS
    if not is_owner(inode, caller):
        loses_only = inode.mode & ~mode & ~(stat.S_ISUID | stat.S_ISGID) == 0 and not mode & ~inode.mode
        if not loses_only or mode == inode.mode or not stat.S_ISREG(mode) or not may_access(inode, caller, WRITE):
            raise NotPermitted(path)
        return mode
    return _without_foreign_setgid(mode, gid, caller)


def mode_after_chown(inode: Owned, caller: Caller, uid: int, gid: int, path: bytes) -> int:
    """Return the mode after the caller gives the inode to `uid` and `gid`.

    Only root may change the owner; an owner may choose among its own groups. Set-id bits of what is not a folder do not
    survive a change by others than root. Raises: NotPermitted.
    """
    if caller.uid == 0:
        return inode.mode
    if caller.uid != inode.uid or uid != inode.uid or (gid != inode.gid and not in_group(caller, gid)):
        raise NotPermitted(path)
    if stat.S_ISDIR(inode.mode):
        return inode.mode
    mode = inode.mode & ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode


def require_settable_times(inode: Owned, caller: Caller, *, both_now: bool, path: bytes) -> None:
    """Raise unless the caller may set the times (utimensat(2)).

    Setting both to the present needs ownership or write permission (else AccessDenied); anything else needs ownership
    (else NotPermitted).
    """
    if is_owner(inode, caller):
        return
    if not both_now:
        raise NotPermitted(path)
    require_access(inode, caller, WRITE, path)


def _without_foreign_setgid(mode: int, gid: int, caller: Caller) -> int:
    if caller.uid == 0 or in_group(caller, gid):
        return mode
    return mode & ~stat.S_ISGID
