"""Requests that change nothing: lookup, readlink, listing. Each reads one committed state; ListNames two, with a pledge between."""

from __future__ import annotations

import stat
from collections import defaultdict
from typing import Final

from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, InvalidArgument, NotAFolder
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, Clock
from dfs.core.limits import LISTING_ENTRIES_MAX, SETTLE_PARK_S
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.listings import InodeCuts, Listing, pack_listing
from dfs.core.messages.names import FolderNames, ListFolder, ListNames, Lookup, ReadLink
from dfs.core.permissions import READ, require_access
from dfs.meta.state.inodes import COLUMNS, Inode, attributes
from dfs.meta.state.paths import resolve
from dfs.meta.state.pledges import Pledges
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.sessions import Sessions
from dfs.meta.state.store import Reader, Row, Store

_ENTRIES: Final = (
    f"SELECT d.name, {COLUMNS} FROM dentry d JOIN inode i ON i.ino = d.ino "
    "WHERE d.parent = ? AND d.name > ? ORDER BY d.name LIMIT ?"
)
_CUTS: Final = (
    "SELECT c.ino, c.offset, c.ticket FROM dentry d JOIN cut c ON c.ino = d.ino "
    "WHERE d.parent = ? AND d.name > ? AND d.name <= ? ORDER BY c.ino, c.ticket"
)
_NEWEST_CUT: Final = 1 + Inode._fields.index("newest_cut")
"""Column of _ENTRIES."""
NOT_PLEDGED: Final = FolderNames(False, ())


class Lookups:
    """Serves Lookup, ListFolder and ListNames."""

    def __init__(self, store: Store, sessions: Sessions, recalls: Recalls, pledges: Pledges, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._recalls = recalls
        self._pledges = pledges
        self._clock = clock

    def lookup(self, ctx: CallContext, request: Lookup) -> Attributes:
        """Return the attributes of an inode, waiting up to SETTLE_PARK_S for what a holder that has gone wrote.

        Raises: SessionExpired: what the caller's own session wrote may be missing; and what resolve() raises.
        """
        until_s = None
        while True:
            releases = self._recalls.releases()
            shown = self._store.read(lambda reader: _look_up(reader, ctx, request))
            self._sessions.require(ctx.session)  # afterwards: what it holds was not yet taken away when this was read
            if not shown.is_settling:
                return shown
            until_s = self._clock.monotonic_s() + SETTLE_PARK_S if until_s is None else until_s
            if not self._recalls.wait_for_release(ctx, releases, until_s):
                return shown

    def list_folder(self, ctx: CallContext, request: ListFolder) -> Listing:
        """Return some entries of a folder. Raises: SessionExpired, as above; what resolve() raises."""
        listing = self._store.read(lambda reader: list_folder(reader, ctx, request))
        self._sessions.require(ctx.session)
        return listing

    def list_names(self, ctx: CallContext, request: ListNames) -> FolderNames:
        """Return all names of a folder with a pledge, or nothing. Raises: SessionExpired; what resolve() raises."""
        self._sessions.require_some(ctx.session)
        if not 1 <= request.limit <= LISTING_ENTRIES_MAX:
            raise BadRequest(f"limit: expected 1 to {LISTING_ENTRIES_MAX}, got {request.limit}")
        folder = self._store.read(lambda reader: _find_folder(reader, ctx, request))
        if not self._pledges.give(ctx.session, folder):
            return NOT_PLEDGED
        # Only now: whatever is not in it yet has to wait for the pledge's end.
        return self._store.read(lambda reader: _list_names(reader, ctx, request, folder))


def _find_folder(reader: Reader, ctx: CallContext, request: ListFolder | ListNames) -> Ino:
    """Return the folder that is to be listed. Raises: NotAFolder, AccessDenied, and what resolve() raises."""
    folder = resolve(reader, ctx.caller, request.base, request.path)
    if not folder.is_folder:
        raise NotAFolder(request.path)
    require_access(folder, ctx.caller, READ, request.path)
    return folder.ino


def _list_names(reader: Reader, ctx: CallContext, request: ListNames, folder: Ino) -> FolderNames:
    if _find_folder(reader, ctx, request) != folder:
        return NOT_PLEDGED  # the path leads elsewhere since
    rows = reader.all("SELECT name FROM dentry WHERE parent = ? LIMIT ?", folder, request.limit + 1)
    return FolderNames(True, tuple([name for (name,) in rows])) if len(rows) <= request.limit else NOT_PLEDGED


def _look_up(reader: Reader, ctx: CallContext, request: Lookup) -> Attributes:
    return attributes(reader, resolve(reader, ctx.caller, request.base, request.path))


def read_link(reader: Reader, ctx: CallContext, request: ReadLink) -> bytes:
    """Return the target of a symbolic link. Raises: InvalidArgument if it is something else."""
    inode = resolve(reader, ctx.caller, request.base, request.path)
    row = reader.one("SELECT target FROM symlink WHERE ino = ?", inode.ino) if stat.S_ISLNK(inode.mode) else None
    if row is None:
        raise InvalidArgument(request.path)
    target: bytes = row[0]
    return target


def list_folder(reader: Reader, ctx: CallContext, request: ListFolder) -> Listing:
    """Return some entries of a folder; the cost grows with these only."""
    if not 1 <= request.limit <= LISTING_ENTRIES_MAX:
        raise BadRequest(f"limit: expected 1 to {LISTING_ENTRIES_MAX}, got {request.limit}")
    folder = _find_folder(reader, ctx, request)
    rows = reader.all(_ENTRIES, folder, request.after, request.limit + 1)
    more = len(rows) > request.limit
    del rows[request.limit :]
    cuts = _cuts_of(reader, folder, request.after, rows)
    return pack_listing([row[0] for row in rows], [row[1:] for row in rows], cuts, more=more)


def _cuts_of(reader: Reader, folder: Ino, after: bytes, rows: list[Row]) -> list[InodeCuts]:
    """Return the cuts of those listed inodes that have any."""
    if not any(row[_NEWEST_CUT] for row in rows):
        return []
    found: dict[Ino, list[Cut]] = defaultdict(list)
    for ino, offset, ticket in reader.all(_CUTS, folder, after, rows[-1][0]):
        found[ino].append(Cut(offset, ticket))
    return [InodeCuts(ino, tuple(cuts)) for ino, cuts in found.items()]
