"""Extended attributes: which names exist and who may read and change them (xattr(7)), as pure rules.

`user.*`: files and folders only, for whoever may read or write them. `trusted.*`: root only, invisible to others. `security.*`:
kept for security modules, changed by root only; all may read. Everything else is not supported: `system.*` (ACLs are refused) and
`security.capability`, which would have to vanish at each write of the file.
"""

from __future__ import annotations

import stat
from typing import Final

from dfs.core.errors import InvalidArgument, NameTooLong, NoAttribute, NotPermitted, NotSupported
from dfs.core.interfaces import Caller
from dfs.core.limits import XATTR_NAME_BYTES_MAX
from dfs.core.permissions import READ, WRITE, Owned, is_owner, require_access

USER: Final = b"user."
TRUSTED: Final = b"trusted."
SECURITY: Final = b"security."
CAPABILITY: Final = b"security.capability"
"""What the kernel asks for before every write; never kept."""
CREATE: Final = 1
"""XATTR_CREATE: fail if the attribute exists."""
REPLACE: Final = 2
"""XATTR_REPLACE: fail if it does not."""


def check_name(name: bytes) -> None:
    """Raise NotSupported, InvalidArgument or NameTooLong for a name that no inode can have."""
    if len(name) > XATTR_NAME_BYTES_MAX:
        raise NameTooLong(name)
    prefix = namespace(name)
    if name == prefix or b"\0" in name:
        raise InvalidArgument(name)


def namespace(name: bytes) -> bytes:
    """Return the namespace of a name, with its dot. Raises: NotSupported if nothing is kept there."""
    for prefix in (USER, TRUSTED, SECURITY):
        if name.startswith(prefix) and name != CAPABILITY:
            return prefix
    raise NotSupported(name)


def require_readable(inode: Owned, caller: Caller, name: bytes, path: bytes) -> None:
    """Raise NoAttribute or AccessDenied unless the caller may read the attribute, if there is one."""
    prefix = namespace(name)
    if prefix == TRUSTED and caller.uid != 0:
        raise NoAttribute(name)
    if prefix == USER:
        if not _has_user_attributes(inode):
            raise NoAttribute(name)
        require_access(inode, caller, READ, path)


def require_changeable(inode: Owned, caller: Caller, name: bytes, path: bytes) -> None:
    """Raise NotPermitted or AccessDenied unless the caller may set or remove the attribute."""
    if namespace(name) != USER:
        if caller.uid != 0:
            raise NotPermitted(path)
        return
    if not _has_user_attributes(inode):
        raise NotPermitted(path)
    if stat.S_ISDIR(inode.mode) and inode.mode & stat.S_ISVTX and not is_owner(inode, caller):
        raise NotPermitted(path)
    require_access(inode, caller, WRITE, path)


def is_listed(name: bytes, caller: Caller) -> bool:
    """Tell whether listxattr(2) shows a name to the caller."""
    return caller.uid == 0 or not name.startswith(TRUSTED)


def _has_user_attributes(inode: Owned) -> bool:
    return stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode)
