"""Which kind of peer may call which method: what each key is good for.

Servers call what their own work needs, administrators what tools ask, clients what a mount does and what shows how the cluster is.
Asked by dfs/rpc/dispatch.py of every call whose caller was proved; without a key nobody was, and everybody may call everything.
Each request of META_METHODS and BLOCK_METHODS is here: a test compares them.
"""

from __future__ import annotations

from typing import Any, Final

from dfs.core.messages.blocks import Clean, CountBlocks, Drop, Fence, Get, ListInodes, Put, Repair, Sync
from dfs.core.messages.content import Acquire, Certify, Close, Commit, Truncate, Yield
from dfs.core.messages.data_server import CommitFormat, Identify, NoteMark, PrepareFormat, ShowData
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
from dfs.core.messages.rebuild import AcceptLoss, AskMoment, ListFloors, Pull
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import Mend, Scrub, ShowScrub
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, OpenSession
from dfs.core.messages.snapshots import FetchSnapshot, ListSnapshots, StoreSnapshot
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from dfs.core.peers import PeerKind

Kinds = frozenset[PeerKind]

_META: Final = frozenset({PeerKind.META})
_DATA: Final = frozenset({PeerKind.DATA})
_ADMIN: Final = frozenset({PeerKind.ADMIN})
_CLIENTS: Final = frozenset({PeerKind.CLIENT, PeerKind.ADMIN})
_ALL: Final = frozenset(PeerKind)

CALLERS: Final[dict[type[Request[Any]], Kinds]] = {
    # The meta-server's methods: what a mount does.
    **dict.fromkeys((OpenSession, Heartbeat, AssertOpens, EndSession), _CLIENTS),
    **dict.fromkeys((Lookup, ReadLink, ListFolder, ListNames, Create, Open, MakeFolder, MakeNode, MakeSymlink), _CLIENTS),
    **dict.fromkeys((Link, Unlink, RemoveFolder, Rename, SetAttributes), _CLIENTS),
    **dict.fromkeys((Acquire, Truncate, Commit, Yield, Close, Certify), _CLIENTS),
    **dict.fromkeys((SetXattr, GetXattr, ListXattrs, RemoveXattr), _CLIENTS),
    **dict.fromkeys((Lock, Unlock, FindLock, AssertLocks), _CLIENTS),
    **dict.fromkeys((StatFileSystem, ShowMeta), _CLIENTS),
    # What tools ask of the meta-server.
    **dict.fromkeys((ListFiles, TakeBackup, FetchBackup, AcceptRollback, CheckTables, FindStrays), _ADMIN),
    # The data servers' methods: blocks, as mounts, tools and the other data servers use them.
    **dict.fromkeys((Put, CountBlocks), _CLIENTS),
    Sync: _CLIENTS | _META,
    Get: _CLIENTS | _DATA,
    Repair: _ADMIN | _DATA,
    # Who a data server is and how it is.
    **dict.fromkeys((Identify, ShowData), _ALL),
    # What the meta-server has them do.
    **dict.fromkeys((Fence, Clean, Drop, PrepareFormat, CommitFormat, NoteMark, StoreSnapshot), _META),
    ListInodes: _META | _ADMIN,
    # What they ask of each other.
    **dict.fromkeys((Pull, ListFloors, AskMoment), _DATA),
    # A mount has a server take its neighbour's copy, rather than hand it one (decision record 22).
    Mend: _CLIENTS | _DATA,
    # What tools ask of them.
    **dict.fromkeys((AcceptLoss, Scrub, ShowScrub, ListSnapshots, FetchSnapshot), _ADMIN),
}
"""Request -> the kinds that may send it."""
