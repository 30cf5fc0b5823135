"""The conversation with the meta-server about write grants: acquire, commit, cut away junk, truncate, give back.

The rules are those of design section 6. Everything here but commit is
called with the inode's turn held. A grant is forgotten before it is given back. A Yield or Close whose caller is killed before meta
has answered is `Unfinished`: whoever comes next for the inode, or the upkeep task, sends it again first. A Truncate whose caller is
killed is not sent again, for others may have written meanwhile: it becomes a Yield. Whatever is told here drops what the mount has
cached of the inode.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dfs.client.blocks.patience import pause
from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grants import Grants, Held, Unfinished
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.meta_link import MetaLink
from dfs.core.errors import (
    Conflict,
    FileError,
    GrantBusy,
    GrantLost,
    Interrupted,
    NotFound,
    PeerError,
    ReadOnly,
    SessionExpired,
    StaleFile,
    StaleTicket,
)
from dfs.core.ids import COUNTER_MAX, NO_GENERATION, NO_TICKET, Generation, Ino, OpId, SessionId, Ticket, generation_of, ticket_of
from dfs.core.interfaces import CallContext, Clock
from dfs.core.limits import RETRY_DELAY_S_MIN
from dfs.core.messages.content import Acquire, Close, Commit, Grant, Truncate, Yield
from dfs.core.messages.sessions import Holding, OpenFile


class GrantCalls:
    """Brings, keeps and returns grants."""

    def __init__(self, *, link: MetaLink, grants: Grants, cache: AttributeCache, lease: Lease, clock: Clock) -> None:
        self.before_leaving: Callable[[CallContext, Ino], None] = lambda ctx, ino: None
        """Called, with the turn held, before a grant is given back: what waits to be stored under it is stored first."""
        self._link = link
        self._grants = grants
        self._cache = cache
        self._lease = lease
        self._clock = clock

    @property
    def session(self) -> SessionId:
        """The session that counts now."""
        return self._link.session

    # --- with the turn held ------------------------------------------------------------------------------------------------

    def ready(self, ctx: CallContext, ino: Ino) -> Held:
        """Return the grant, fit for a write: held within the lease, no junk, the counter not full.

        One that was held before and is asked back goes first. One that came just now is returned all the same: where several
        sessions wait it is asked back as it arrives, and they would pass it round without end, none of them using it.

        Raises: Interrupted; StaleFile if the inode is gone; what else meta answers.
        """
        is_new = False
        while True:
            self.finish(ctx, ino)
            self._lease.wait(ctx)
            held = self._grants.held(ino)
            if held is not None and not is_new and self._grants.recalled_for_s(ino) is not None:
                self.give_back(ctx, ino)
            elif held is None:
                self.acquire(ctx, ino, NO_GENERATION)
                is_new = True
            elif held.counter >= COUNTER_MAX:
                self.acquire(ctx, ino, held.generation())
            elif held.junk:
                self.truncate(ctx, ino, held.content.size_bytes, by_handle=True)
            else:
                return held

    def acquire(self, ctx: CallContext, ino: Ino, seen: Generation) -> None:
        """Ask for the grant until it is there; with `seen`, for a ticket above that generation although one may be held.

        Raises: Interrupted; StaleFile; what else meta answers.
        """
        since = NO_TICKET
        if (held := self._grants.held(ino)) is not None:
            self.commit(ctx, ino)
            if self._grants.holds(ino, held.ticket):
                since = held.since
            self._forget(held)
        while True:
            with self._grants.expect(self._link.session) as expectation:
                if held is None or expectation.session != held.session:
                    since = NO_TICKET
                try:
                    grant = self._link.change(ctx, partial(_acquire, ino, seen))
                except NotFound as error:
                    raise StaleFile(error.path) from error
                except GrantBusy:
                    since = NO_TICKET
                    # Meta has waited for a while already. It says that this session does not hold the grant: a recall that came
                    # late is void, and whoever serves recalls must not wait behind this caller for it.
                    self._grants.end_recall(ino)
                else:
                    if self._grants.adopt(expectation, grant, since):
                        return
                    since = NO_TICKET
                    seen = generation_of(grant.ticket, COUNTER_MAX)
            pause(ctx, self._clock, RETRY_DELAY_S_MIN)

    def acquire_above(self, ctx: CallContext, held: Held, refusal: Conflict | StaleTicket) -> None:
        """Ask for a grant above what the data server has seen that refused a put under `held`.

        Not if the session was lost: meta settles everything then. Raises: what acquire() does.
        """
        seen = ticket_of(Generation(refusal.highest)) if isinstance(refusal, Conflict) else Ticket(refusal.floor)
        if self.session == held.session:
            self.acquire(ctx, held.ino, generation_of(Ticket(max(seen, held.ticket)), COUNTER_MAX))

    def truncate(self, ctx: CallContext, ino: Ino, size_bytes: int, *, by_handle: bool) -> Grant:
        """Set the size under the grant, which comes with the answer; also cuts junk away.

        Raises: Interrupted; FileError leaves that meta answers.
        """
        while True:
            self.finish(ctx, ino)
            session = self._link.session
            held = self._grants.held(ino)
            op = self._link.begin_op()
            holding = nothing_held(ino) if held is None else held.holding()
            request = Truncate(op, ino, b"", size_bytes, by_handle, holding)
            unfinished = Unfinished(ino, session, request, held)
            self._grants.begin(unfinished)
            try:
                grant = self._send(ctx, unfinished, request)
            except (Interrupted, PeerError):
                self._disown(unfinished)
                raise
            except GrantBusy:
                if held is not None:
                    self._forget(held)
                self._grants.end_recall(ino)  # as above
                pause(ctx, self._clock, RETRY_DELAY_S_MIN)
            else:
                if grant is not None:
                    return grant

    def give_back(self, ctx: CallContext, ino: Ino) -> None:
        """Forget the grant, then tell meta the last word on the file; also a grant of which only meta knows."""
        self._leave(ctx, ino, Yield)

    def close(self, ctx: CallContext, file: OpenFile) -> None:
        """Give the grant back and drop the open of a file that was written, in one call."""
        self._leave(ctx, file.ino, lambda op, holding: Close(op, file, holding))

    def finish(self, ctx: CallContext, ino: Ino) -> None:
        """Tell meta what an earlier caller was interrupted in telling. Raises: Interrupted; ReadOnly."""
        unfinished = self._grants.unfinished(ino)
        if unfinished is None:
            return
        try:
            self._tell(ctx, unfinished, unfinished.request)
        except ReadOnly:
            raise
        except (FileError, GrantBusy):
            return  # it had no effect, and whoever wanted it has gone

    # --- without a turn ------------------------------------------------------------------------------------------------------

    def commit(self, ctx: CallContext, ino: Ino) -> None:
        """Record size and time if meta does not know them yet. Raises: what meta answers; Interrupted."""
        held = self._grants.held(ino)
        if held is not None and held.unsaved:
            self.record(ctx, held)

    def record(self, ctx: CallContext, held: Held) -> None:
        """Record a holder's size and time. A grant that meta does not know is forgotten: meta has settled the size itself."""
        holding = held.holding()
        try:
            self._link.ask_within(ctx, Commit(holding), held.session)
        except (GrantLost, SessionExpired):
            self._forget(held)
        else:
            self._cache.forget_attributes(held.ino)
            self._grants.committed(holding)

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _leave(self, ctx: CallContext, ino: Ino, make: Callable[[OpId, Holding], Yield | Close]) -> None:
        self.before_leaving(ctx, ino)
        self.finish(ctx, ino)
        if self._grants.has_junk(ino) and self._grants.held(ino) is None:
            self.acquire(ctx, ino, NO_GENERATION)  # only a holder can have the junk cut
        op = self._link.begin_op()

        def request(held: Held | None) -> Yield | Close:
            return make(op, nothing_held(ino) if held is None else held.holding())

        unfinished = self._grants.leave(ino, self._link.session, request)
        self._tell(ctx, unfinished, unfinished.request)
        self._grants.end_recall(ino)

    def _tell(self, ctx: CallContext, unfinished: Unfinished, request: Yield | Close | Truncate) -> None:
        try:
            self._link.send(ctx, request, unfinished.session)
        except (SessionExpired, StaleFile):
            self._end(unfinished)  # there is nothing left that meta could be told
        else:
            self._end(unfinished)

    def _send(self, ctx: CallContext, unfinished: Unfinished, request: Truncate) -> Grant | None:
        """Send a Truncate and adopt the grant that it brings. Result: None if the session expired, so that it must be made anew."""
        with self._grants.expect(unfinished.session) as expectation:
            try:
                grant = self._link.send(ctx, request, unfinished.session)
            except SessionExpired:
                self._end(unfinished)
                return None
            except (FileError, GrantBusy):
                self._end(unfinished)
                raise
            self._grants.end_junk(unfinished.ino)
            self._end(unfinished)
            self._grants.adopt(expectation, grant)
            return grant

    def _disown(self, unfinished: Unfinished) -> None:
        """Give up a Truncate that meta may or may not have made.

        From the next call on, which acknowledges it, meta refuses it if it still comes; the grant that it may have brought is given
        back.
        """
        self._end(unfinished)
        ino = unfinished.ino
        if self._grants.has_junk(ino) and self._grants.held(ino) is None:
            return  # the junk's own cut comes first, and acquires the grant
        op = self._link.begin_op()

        def request(held: Held | None) -> Yield:
            return Yield(op, nothing_held(ino) if held is None else held.holding())

        self._grants.leave(ino, unfinished.session, request)

    def _forget(self, held: Held) -> None:
        """Hold a grant no more. What was cached under it goes first: a read in between would find the size of before."""
        self._cache.forget_attributes(held.ino)
        self._grants.forget(held.ino, held.ticket)

    def _end(self, unfinished: Unfinished) -> None:
        self._cache.forget_attributes(unfinished.ino)  # before the grant's own view of the file is gone
        self._grants.end(unfinished)
        self._link.end_op(unfinished.request.op)


def _acquire(ino: Ino, seen: Generation, op: OpId) -> Acquire:
    return Acquire(op, ino, seen)


def nothing_held(ino: Ino) -> Holding:
    """Return what is said of an inode of which nothing is held."""
    return Holding(ino, NO_TICKET, 0, 0, dirty=False)
