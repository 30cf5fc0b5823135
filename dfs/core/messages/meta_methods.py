"""The methods of the meta-server: name on the wire -> request."""

from __future__ import annotations

from typing import Final

from dfs.core.messages.content import Acquire, Certify, Close, Commit, Truncate, Yield
from dfs.core.messages.inspection import (
    AcceptRollback,
    CheckTables,
    FetchBackup,
    FindStrays,
    ListFiles,
    ShowMeta,
    StatFileSystem,
    TakeBackup,
)
from dfs.core.messages.locks import AssertLocks, FindLock, Lock, Unlock
from dfs.core.messages.names import (
    Create,
    Link,
    ListFolder,
    ListNames,
    Lookup,
    MakeFolder,
    MakeNode,
    MakeSymlink,
    Open,
    ReadLink,
    RemoveFolder,
    Rename,
    SetAttributes,
    Unlink,
)
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, OpenSession
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr

META_METHODS: Final[dict[str, type[Request[object]]]] = {
    "open_session": OpenSession,
    "heartbeat": Heartbeat,
    "assert_opens": AssertOpens,
    "end_session": EndSession,
    "lookup": Lookup,
    "readlink": ReadLink,
    "list_folder": ListFolder,
    "list_names": ListNames,
    "create": Create,
    "open": Open,
    "mkdir": MakeFolder,
    "mknod": MakeNode,
    "symlink": MakeSymlink,
    "link": Link,
    "unlink": Unlink,
    "rmdir": RemoveFolder,
    "rename": Rename,
    "set_attributes": SetAttributes,
    "acquire": Acquire,
    "truncate": Truncate,
    "commit": Commit,
    "yield_grant": Yield,
    "close": Close,
    "certify": Certify,
    "setxattr": SetXattr,
    "getxattr": GetXattr,
    "listxattr": ListXattrs,
    "removexattr": RemoveXattr,
    "lock": Lock,
    "unlock": Unlock,
    "find_lock": FindLock,
    "assert_locks": AssertLocks,
    "statfs": StatFileSystem,
    "status": ShowMeta,
    "list_files": ListFiles,
    "take_backup": TakeBackup,
    "fetch_backup": FetchBackup,
    "accept_rollback": AcceptRollback,
    "check_tables": CheckTables,
    "find_strays": FindStrays,
}
"""Method name on the wire -> request."""
