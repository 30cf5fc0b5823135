"""What the meta-server vouches for: capabilities, and whether a squashed user may write a file by its number (decision record 22).

Adds a capability to each answer that opens a file or brings a grant, and makes one when a client asks (Certify). Only for clients,
and only where there is a key. Called by gate.py.
"""

from __future__ import annotations

from typing import Any

from dfs.core.capability import Capability, Right, Signer
from dfs.core.errors import AccessDenied
from dfs.core.exports import FULL, Squash, Terms
from dfs.core.ids import NO_TICKET, Ino, Ticket
from dfs.core.interfaces import CallContext, Caller, Clock
from dfs.core.messages.content import Acquire, Certify, Close, Grant, Opened, Truncate
from dfs.core.messages.names import Create, Open
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import Heartbeat
from dfs.core.peers import PeerKind
from dfs.core.permissions import READ, WRITE, require_access
from dfs.meta.exporting.export_table import ExportTable
from dfs.meta.exporting.open_rights import OpenRights
from dfs.meta.state.grants import grant_row, require_regular
from dfs.meta.state.inodes import Inode, find, get
from dfs.meta.state.sessions import Sessions
from dfs.meta.state.store import Reader, Store


class Vouching:
    """Signs what clients show to data servers."""

    def __init__(
        self, store: Store, sessions: Sessions, exports: ExportTable, rights: OpenRights, clock: Clock, signer: Signer | None
    ) -> None:
        """`signer`: None where there is no key."""
        self._store = store
        self._sessions = sessions
        self._exports = exports
        self._rights = rights
        self._clock = clock
        self._signer = signer

    def certify(self, ctx: CallContext, request: Certify) -> str:
        """Return a capability with the rights that the caller has. Raises: StaleFile; SessionExpired."""
        self._sessions.require_some(ctx.session)
        if not self._is_for(ctx):
            return ""
        terms = self._exports.find(ctx.caller.peer) or FULL
        rights, ticket = self._store.read(lambda reader: self._judge(reader, ctx, request.ino, terms))
        return self._sign(ctx, request.ino, rights, ticket)

    def with_capability(self, ctx: CallContext, request: Request[Any], answer: Any) -> Any:
        """Return an answer with a capability, if it opens a file or brings a grant."""
        if isinstance(answer, Grant):
            return answer._replace(capability=self._sign(ctx, answer.ino, Right.READ | Right.WRITE, answer.ticket))
        if isinstance(answer, Opened):
            grant = answer.grant
            text = self._sign(ctx, grant.ino, _opened_for(request, grant.ticket), grant.ticket)
            return answer._replace(grant=grant._replace(capability=text))
        return answer

    def note(self, ctx: CallContext, request: Request[Any], answer: Any) -> None:
        """Remember what a squashed user has opened or closed."""
        if isinstance(answer, Opened):
            rights = Right.READ if isinstance(request, Open) and request.read else Right.NONE
            if isinstance(request, Create) or (isinstance(request, Open) and request.write):
                rights |= Right.WRITE
            self._rights.note(ctx.session, answer.attributes.ino, rights)
        elif isinstance(request, Close):
            self._rights.forget(ctx.session, request.file.ino)
        elif isinstance(request, Heartbeat):
            for file in request.closed:
                self._rights.forget(ctx.session, file.ino)

    def require_write(self, ctx: CallContext, request: Request[Any]) -> None:
        """Raise AccessDenied if a squashed user asks for the grant of a file that he may not write.

        Others are judged where they open it: a client that may name any user as the caller needs no such way round.
        """
        if isinstance(request, Acquire):
            ino = request.ino
        elif isinstance(request, Truncate) and request.handle and not request.path:
            ino = request.base
        else:
            return
        if Right.WRITE in self._rights.of(ctx.session, ino):
            return
        self._store.read(lambda reader: _require_write(reader, ctx, ino))

    def _judge(self, reader: Reader, ctx: CallContext, ino: Ino, terms: Terms) -> tuple[Right, Ticket]:
        """Return the rights that the caller has to an inode, and the ticket under which he may put."""
        inode = get(reader, ino)
        require_regular(inode, b"inode %d" % ino)
        row = grant_row(reader, ino)
        if row is not None and row.session == ctx.session and not row.fence:
            return Right.READ | Right.WRITE, row.ticket
        if terms.squash is Squash.NONE or self._rights.of(ctx.session, ino) or _may(inode, ctx.caller, READ):
            return Right.READ, NO_TICKET
        return Right.NONE, NO_TICKET

    def _is_for(self, ctx: CallContext) -> bool:
        return self._signer is not None and ctx.caller.peer.kind is PeerKind.CLIENT

    def _sign(self, ctx: CallContext, ino: Ino, rights: Right, ticket: Ticket) -> str:
        if self._signer is None or not self._is_for(ctx):
            return ""
        capability = Capability(ino, rights, ticket, self._clock.wall_ns() // 10**9)
        return self._signer.sign(capability, ctx.caller.peer.name)


def _opened_for(request: Request[Any], ticket: Ticket) -> Right:
    """Return the rights that come with an open file."""
    if ticket:
        return Right.READ | Right.WRITE
    return Right.READ if isinstance(request, Create) or (isinstance(request, Open) and request.read) else Right.NONE


def _require_write(reader: Reader, ctx: CallContext, ino: Ino) -> None:
    inode = find(reader, ino)
    row = grant_row(reader, ino)
    if inode is None or (row is not None and row.session == ctx.session and not row.fence):
        return
    if not _may(inode, ctx.caller, WRITE):
        raise AccessDenied(b"inode %d" % ino)


def _may(inode: Inode, caller: Caller, wanted: int) -> bool:
    """Tell whether a user may do this to a file; its owner always may, who could change its bits (and may have since)."""
    if caller.uid == inode.uid:
        return True
    try:
        require_access(inode, caller, wanted, b"")
    except AccessDenied:
        return False
    return True
