"""Write grants: one client session at a time may write or truncate an inode (design section 6).

Owns the grant table and everything that a holder says of a file's size. Tickets are new numbers of
the one series, so they rise.

An operation number guards against late calls: a Yield or Close whose `op` is below the newest operation that was answered
with the grant was sent before that answer and does not take the grant away again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest, GrantBusy, GrantLost, InvalidArgument, IsAFolder
from dfs.core.ids import NO_SESSION, NO_TICKET, NUMBER_MAX, Generation, Ino, OpId, SessionId, Ticket, ticket_of
from dfs.core.interfaces import Clock
from dfs.core.limits import TICKET_JUMPS_INTERVAL_S, TICKETS_AHEAD_MAX
from dfs.core.messages.content import Grant
from dfs.core.messages.sessions import Holding
from dfs.meta.state.checks import require_number, require_size, require_time
from dfs.meta.state.inodes import Inode, attributes, find, get, record_cut
from dfs.meta.state.numbers import Numbers
from dfs.meta.state.recalls import Recalls
from dfs.meta.state.store import Reader, Transaction


class GrantRow(NamedTuple):
    """A grant that is not free."""

    ino: Ino
    session: SessionId
    ticket: Ticket
    op: OpId
    mtime_ns: int
    fence: Ticket


def grant_row(reader: Reader, ino: Ino) -> GrantRow | None:
    """Return the grant of an inode; None if it is free."""
    row = reader.one("SELECT ino, session, ticket, op, mtime_ns, fence FROM grant_ WHERE ino = ?", ino)
    return None if row is None else GrantRow._make(row)


def require_regular(inode: Inode, path: bytes) -> None:
    """Raise IsAFolder or InvalidArgument unless the inode is a regular file."""
    if inode.is_folder:
        raise IsAFolder(path)
    if not inode.is_regular:
        raise InvalidArgument(path)


def check_holding(holding: Holding) -> None:
    """Raise unless the numbers of a holding are possible."""
    require_number(holding.ino, "holding.ino")
    require_number(holding.ticket, "holding.ticket")
    require_size(holding.size_bytes, b"")
    require_time(holding.mtime_ns, "holding.mtime_ns")


class Grants:
    """Gives, renews and takes grants, inside writing transactions."""

    def __init__(self, numbers: Numbers, recalls: Recalls, clock: Clock, on_cut: Callable[[], None]) -> None:
        """`on_cut` is called when a new cut has become durable, so that data servers are told to execute it."""
        self._on_cut = on_cut
        self._numbers = numbers
        self._recalls = recalls
        self._clock = clock
        self._may_jump_s = clock.monotonic_s()

    def offer(self, tx: Transaction, session: SessionId, op: OpId, ino: Ino) -> Ticket:
        """Return the ticket of the session's grant of an inode, given now if it is free; 0 if it is not."""
        row = grant_row(tx, ino)
        if session == NO_SESSION or (row is not None and (row.session != session or row.fence)):
            return NO_TICKET
        if row is not None:
            self._refresh(tx, row, op)
            return row.ticket
        return self._give(tx, session, op, ino)

    def give_new(self, tx: Transaction, session: SessionId, op: OpId, ino: Ino) -> Ticket:
        """Return the ticket of a grant of an inode that was just made; 0 without a session."""
        return NO_TICKET if session == NO_SESSION else self._give(tx, session, op, ino)

    def acquire(self, tx: Transaction, session: SessionId, op: OpId, ino: Ino, seen: Generation) -> Grant:
        """Give the grant, above the ticket of the generation `seen`.

        Raises: GrantBusy, having recalled it from its holder, or because `seen` was not issued and has to wait; StaleFile.
        """
        inode = get(tx, ino)
        require_regular(inode, b"inode %d" % ino)
        row = self._require_free_for(tx, session, ino)
        highest = ticket_of(seen)
        if highest:
            if highest >= NUMBER_MAX - 1:
                raise BadRequest(f"seen: no ticket is above that of generation {seen}")
            self._rise_above(tx, ino, Ticket(highest))
        if row is None:
            ticket = self._give(tx, session, op, ino)
        elif row.ticket > highest:
            ticket = row.ticket
            self._refresh(tx, row, op)
        else:
            ticket = self._renew(tx, row, op)
        return Grant(ino, ticket, attributes(tx, inode).content)

    def _rise_above(self, tx: Transaction, ino: Ino, seen: Ticket) -> None:
        """See to it that the next ticket is above `seen`. One that was never issued is believed within bounds (decision record 19).

        Raises: GrantBusy: not now.
        """
        if seen < self._numbers.next:
            return
        now_s = self._clock.monotonic_s()
        if seen > self._numbers.mark + TICKETS_AHEAD_MAX or now_s < self._may_jump_s:
            raise GrantBusy(ino)
        self._may_jump_s = now_s + TICKET_JUMPS_INTERVAL_S
        self._numbers.go_above(tx, seen)

    def truncate(self, tx: Transaction, session: SessionId, op: OpId, inode: Inode, size_bytes: int, held: Holding) -> Grant:
        """Cut at the smaller of the new size and the old, with a new ticket, and set the size.

        The old size is the committed one, or the holder's own if that is more. Without a session the grant is not kept.
        Raises: GrantBusy.
        """
        row = self._require_free_for(tx, session, inode.ino)
        old_bytes, mtime_ns = inode.size_bytes, self._clock.wall_ns()
        if row is not None and row.ticket == held.ticket and held.ino == inode.ino:
            old_bytes = max(old_bytes, held.size_bytes)
            if held.dirty and size_bytes == old_bytes:  # junk is cut away: the file stays what its holder knows
                mtime_ns = held.mtime_ns or inode.mtime_ns
        if session == NO_SESSION:
            ticket = self._numbers.ticket(tx)
        else:
            ticket = self._give(tx, session, op, inode.ino) if row is None else self._renew(tx, row, op)
        self._cut(tx, inode, Cut(min(old_bytes, size_bytes), ticket))
        ctime_ns = max(inode.ctime_ns, mtime_ns)
        sparse = 0 if size_bytes == 0 else int(inode.sparse or held.is_sparse or size_bytes > old_bytes)
        sql = "UPDATE inode SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, sparse = ? WHERE ino = ?"
        tx.run(sql, size_bytes, mtime_ns, ctime_ns, sparse, inode.ino)
        return Grant(inode.ino, NO_TICKET if session == NO_SESSION else ticket, attributes(tx, get(tx, inode.ino)).content)

    def commit(self, tx: Transaction, session: SessionId, holding: Holding) -> None:
        """Record what a holder wrote. Raises: GrantLost if it is no longer the holder, or a newer cut was made."""
        if holding.ticket == NO_TICKET:
            return
        inode = find(tx, holding.ino)
        row = grant_row(tx, holding.ino)
        if inode is None or row is None or row.session != session or row.fence or holding.ticket < inode.newest_cut:
            raise GrantLost(holding.ino)
        self._record(tx, inode, row, holding)

    def give_back(self, tx: Transaction, session: SessionId, op: OpId, holding: Holding) -> None:
        """Record the holder's last word and free the grant; one that the session does not hold is none of its business.

        A ticket below the newest cut, or 0, says nothing of the file: the grant is only freed (the session never learned of
        it). A late call (see above) neither frees nor cuts: the session goes on under the ticket that it was told since.
        """
        row = grant_row(tx, holding.ino)
        if row is None or row.session != session or row.fence:
            return
        inode = get(tx, holding.ino)
        is_late = op < row.op
        if NO_TICKET < holding.ticket >= inode.newest_cut:
            size_bytes = self._record(tx, inode, row, holding)
            if holding.dirty and not is_late:
                self._cut(tx, inode, Cut(size_bytes, self._numbers.ticket(tx)))
        if not is_late:
            tx.run("DELETE FROM grant_ WHERE ino = ?", holding.ino)
            tx.after(lambda: self._recalls.released(holding.ino))

    def settle(self, tx: Transaction, ino: Ino, fence: Ticket, end_bytes: int) -> None:
        """Free the grant of a holder that is gone: the file reaches as far as valid data does, and is cut there.

        Arguments: `fence`: under which it was settled, another one has no effect; `end_bytes`: where valid data ends.
        """
        row, inode = grant_row(tx, ino), find(tx, ino)
        if row is None or inode is None or row.fence != fence:
            return
        size_bytes = max(inode.size_bytes, end_bytes)
        if size_bytes != inode.size_bytes:
            now_ns = self._clock.wall_ns()
            # Whether the dead holder left holes nobody knows: the data servers are asked.
            sql = "UPDATE inode SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, sparse = 1 WHERE ino = ?"
            tx.run(sql, size_bytes, now_ns, now_ns, ino)
        self._cut(tx, inode, Cut(size_bytes, self._numbers.ticket(tx)))
        tx.run("DELETE FROM grant_ WHERE ino = ?", ino)
        tx.after(lambda: self._recalls.released(ino))

    def fence_all(self, tx: Transaction, session: SessionId) -> None:
        """Begin to settle everything that a session that ends in `tx` holds: a new ticket becomes the inode's newest cut."""
        for (ino,) in tx.all("SELECT ino FROM grant_ WHERE session = ? AND fence = 0", session):
            fence = self._numbers.ticket(tx)
            tx.run("UPDATE grant_ SET fence = ? WHERE ino = ?", fence, ino)
            tx.run("UPDATE inode SET newest_cut = ? WHERE ino = ?", fence, ino)

    def _cut(self, tx: Transaction, inode: Inode, cut: Cut) -> None:
        record_cut(tx, inode, cut)
        tx.after(self._on_cut)

    def _record(self, tx: Transaction, inode: Inode, row: GrantRow, holding: Holding) -> int:
        """Store the holder's size and time and return the size. Within one ticket the size only grows; a time is stored once,
        so that a late duplicate does not undo a utimens that followed it.
        """
        size_bytes = max(inode.size_bytes, holding.size_bytes)
        is_later = holding.mtime_ns > row.mtime_ns
        if holding.is_sparse and not inode.sparse:
            tx.run("UPDATE inode SET sparse = 1 WHERE ino = ?", inode.ino)
        if size_bytes == inode.size_bytes and not is_later:
            return size_bytes
        mtime_ns = holding.mtime_ns if is_later else inode.mtime_ns
        sql = "UPDATE inode SET size_bytes = ?, mtime_ns = ?, ctime_ns = ? WHERE ino = ?"
        tx.run(sql, size_bytes, mtime_ns, max(inode.ctime_ns, mtime_ns), inode.ino)
        if is_later:
            tx.run("UPDATE grant_ SET mtime_ns = ? WHERE ino = ?", mtime_ns, inode.ino)
        return size_bytes

    def _require_free_for(self, tx: Transaction, session: SessionId, ino: Ino) -> GrantRow | None:
        """Return the session's own grant, or None if it is free. Raises: GrantBusy, having recalled it."""
        row = grant_row(tx, ino)
        if row is None or (row.session == session and not row.fence):
            return row
        if not row.fence:
            self._recalls.ask(ino, row.session)
        raise GrantBusy(ino)

    def _give(self, tx: Transaction, session: SessionId, op: OpId, ino: Ino) -> Ticket:
        ticket = self._numbers.ticket(tx)
        tx.run("INSERT INTO grant_ VALUES (?, ?, ?, ?, 0, 0)", ino, session, ticket, op)
        return ticket

    def _renew(self, tx: Transaction, row: GrantRow, op: OpId) -> Ticket:
        ticket = self._numbers.ticket(tx)
        tx.run("UPDATE grant_ SET ticket = ?, op = ?, mtime_ns = 0 WHERE ino = ?", ticket, max(op, row.op), row.ino)
        return ticket

    def _refresh(self, tx: Transaction, row: GrantRow, op: OpId) -> None:
        if op > row.op:
            tx.run("UPDATE grant_ SET op = ? WHERE ino = ?", op, row.ino)
