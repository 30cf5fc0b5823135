"""What each request to the meta-server may do, so that an export can withhold it: a table over all methods.

Pure. Whoever adds a request says here what it does (tests/unit/meta/test_export_tables.py). Read by gate.py.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from dfs.core.ids import NO_TICKET
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


class Effect(enum.Enum):
    """What a request does."""

    READS = "reads"
    """Changes nothing that others see."""
    CHANGES = "changes"
    """Changes files or names, or asks for the right to."""
    CHANGES_PERHAPS = "changes perhaps"
    """Depends on its parameters: see is_change()."""
    KEEPS = "keeps"
    """Keeps a session's own things: leases, opens, locks; gives up what it holds. All of it is gone with the session."""
    TELLS = "tells"
    """Shows what goes on in the whole cluster."""
    ADMINISTERS = "administers"
    """Shows or changes what is an administrator's."""


EFFECTS: Final[dict[type[Request[Any]], Effect]] = {
    **dict.fromkeys((Lookup, ReadLink, ListFolder, ListNames, GetXattr, ListXattrs, StatFileSystem, Certify), Effect.READS),
    **dict.fromkeys((Create, MakeFolder, MakeNode, MakeSymlink, Link, Unlink, RemoveFolder, Rename), Effect.CHANGES),
    **dict.fromkeys((SetAttributes, SetXattr, RemoveXattr, Acquire, Truncate), Effect.CHANGES),
    **dict.fromkeys((Open, Commit), Effect.CHANGES_PERHAPS),
    **dict.fromkeys((OpenSession, Heartbeat, AssertOpens, EndSession, Yield, Close), Effect.KEEPS),
    **dict.fromkeys((Lock, Unlock, FindLock, AssertLocks), Effect.KEEPS),
    ShowMeta: Effect.TELLS,
    **dict.fromkeys((ListFiles, TakeBackup, FetchBackup, AcceptRollback, CheckTables, FindStrays), Effect.ADMINISTERS),
}
"""Of all of dfs/core/messages/meta_methods.py."""


def is_change(request: Request[Any]) -> bool:
    """Tell whether a client that may only read may not make this request.

    A Yield or Close says a holder's last word: one who may only read holds nothing, as a session whose client may do less than
    before is ended.
    """
    if isinstance(request, Open):
        return request.write
    if isinstance(request, Commit):
        return request.holding.ticket != NO_TICKET  # without one it is fsync(2) of a file that was only read
    return EFFECTS[type(request)] is Effect.CHANGES
