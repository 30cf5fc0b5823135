"""A database that is older than what the data servers remember: restored from a backup, or copied back by hand.

It is brought up to them (restoring.py), reads, writes and makes new files. But what it does not know may be what others
hold dear: until an administrator accepts it (`dfsctl meta accept-rollback`, `dfs-meta --accept-rollback`) data servers are told to
remove nothing: no strips of removed files, nothing that a cut voids, no strips of unknown inodes, no better snapshot of the meta-
server for one of this state. A better backup still finds everything. The same holds at each start until the marks were compared.

Promises: what was noticed and what was accepted is durable. Called by marks.py, by the workers whose steps it guards, and by the
service. The reasons are in decision record 15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dfs.core.errors import NotPermitted
from dfs.core.events.event import Event
from dfs.core.events.meta_server import META_ROLLBACK_ACCEPTED, META_ROLLED_BACK
from dfs.core.interfaces import CallContext, EventSink
from dfs.core.messages.inspection import AcceptRollback
from dfs.core.messages.requests import Done
from dfs.meta.state.numbers import NUMBERS_SKIPPED, Numbers
from dfs.meta.state.store import Reader, Store, Transaction
from dfs.meta.upkeep.restoring import bring_up

Step = Callable[[CallContext], bool]


class Seen(NamedTuple):
    """What was noticed."""

    own: int
    seen: int

    def words(self) -> str:
        """Return it for people."""
        what = f"theirs {self.seen}" if self.seen else "some could not be asked when it was restored"
        return f"its mark was {self.own}, {what}"


def load_rollback(reader: Reader) -> Seen | None:
    """Return what was noticed and not accepted."""
    row = reader.one("SELECT own, seen FROM rollback")
    return None if row is None else Seen(*row)


class Rollback:
    """Whether this database is to be believed when it says that something is no more."""

    def __init__(
        self,
        store: Store,
        events: EventSink,
        *,
        is_accepted: bool,
        on_adopted: Callable[[], None],
        on_release: Callable[[], None],
    ) -> None:
        """Load what was noticed before, and accept it if `is_accepted`, for this whole run.

        Arguments: `on_adopted`: ends what was loaded before the database was brought up; `on_release`: removing may begin.
        """
        self._store = store
        self._events = events
        self._is_accepted = is_accepted
        self._on_adopted = on_adopted
        self._on_release = on_release
        self._is_compared = False
        self._is_compared_with_all = False
        self._seen = store.read(load_rollback)
        if self._seen is not None and is_accepted:
            self._accept(None)
        elif self._seen is not None:
            self._tell(self._seen, None)

    @property
    def may_remove(self) -> bool:
        """Whether data servers may be told to remove what is known to be no more."""
        return self._is_compared and self._seen is None

    @property
    def may_doubt(self) -> bool:
        """Whether what is not known may be put into quarantine: every data server was compared with."""
        return self._is_compared_with_all and self._seen is None

    def guard(self, step: Step) -> Step:
        """Return a worker's step that does nothing while nothing may be removed; `on_release` wakes it."""
        return lambda ctx: step(ctx) if self.may_remove else True

    def note_compared(self, *, is_everyone: bool) -> None:
        """Note that the marks of all servers, or of all but one, are not above ours (any more)."""
        is_news = not self._is_compared
        self._is_compared = True
        self._is_compared_with_all = is_everyone
        if is_news and self._seen is None:
            self._on_release()

    def adopt(self, ctx: CallContext, numbers: Numbers, own: int, highest: int) -> None:
        """Go above the highest mark that a server remembers, and bring the database, whose mark was `own`, up to the servers."""
        found = Seen(own, highest)

        def work(tx: Transaction) -> None:
            numbers.go_above(tx, highest + NUMBERS_SKIPPED)
            bring_up(tx, lambda: numbers.take(tx))
            if not self._is_accepted:
                tx.run("INSERT OR REPLACE INTO rollback VALUES (1, ?, ?)", *found)

        self._store.change(work)
        if self._is_accepted:
            self._events.emit(Event(META_ROLLBACK_ACCEPTED, details={"what": found.words()}), ctx)
        else:
            self._seen = found
            self._tell(found, ctx)
        self._on_adopted()

    def accept(self, ctx: CallContext, request: AcceptRollback) -> Done:
        """Believe this database from now on. Raises: NotPermitted."""
        if ctx.caller.uid != 0:
            raise NotPermitted(b"/")
        if self._seen is not None:
            self._accept(ctx)
        return Done()

    def describe(self) -> str:
        """Return what is wrong and what to do, for people; empty when nothing is."""
        if self._seen is None:
            return ""
        return (
            f"rolled back: older than what the data servers remember ({self._seen.words()}); nothing is removed from them until "
            "a newer backup is restored or `dfsctl meta accept-rollback` accepts this one"
        )

    def _accept(self, ctx: CallContext | None) -> None:
        seen = self._seen
        assert seen is not None
        self._store.change(lambda tx: tx.run("DELETE FROM rollback"))
        self._seen = None
        self._events.emit(Event(META_ROLLBACK_ACCEPTED, details={"what": seen.words()}), ctx)
        if self._is_compared:
            self._on_release()

    def _tell(self, seen: Seen, ctx: CallContext | None) -> None:
        self._events.emit(Event(META_ROLLED_BACK, details={"what": seen.words()}), ctx)
