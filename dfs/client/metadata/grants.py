"""The write grants that this mount holds: per inode the ticket, the count of writes, size, cuts and what is not committed yet.

Memory only: grant_calls.py talks to the meta-server about them. A `Held` never changes, it is replaced: readers look at it
without a lock. Whoever acquires, writes under, or gives back a grant has the inode's turn (turns.py); commit does not need it.
Answers that bring a grant may arrive late: an `Expectation` taken before the call tells whether the grant was given back in the
meantime, and must not be believed. The mutex is innermost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dfs.core.ids import COUNTER_MAX, NO_TICKET, BlockNo, Generation, Ino, SessionId, Ticket, generation_of
from dfs.core.interfaces import POLL_S, CallContext, Clock, Tasks, raise_if_cancelled
from dfs.core.messages.content import Close, Grant, Truncate, Yield
from dfs.core.messages.inodes import Content
from dfs.core.messages.sessions import Holding
from dfs.core.placement import Layout
from dfs.core.records import Buffer


class Tail(NamedTuple):
    """The bytes of a file's last block, kept so that appending to it costs no read."""

    block_no: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What the holder of a grant knows of the inode."""

    ino: Ino
    session: SessionId
    ticket: Ticket
    content: Content
    """Size and cuts as they are, which meta may not know yet."""
    counter: int = 0
    """Writes made under the ticket."""
    mtime_ns: int = 0
    """0: not written since the last commit."""
    unsaved: bool = False
    """Whether size or time must be committed."""
    junk: bool = False
    """Whether a write ended unacknowledged, so that meta must cut at the size before anything else is written."""
    tail: Tail | None = None
    is_sparse: bool = False
    """Whether a write under this grant has left blocks below the size unwritten."""
    since: Ticket = NO_TICKET
    """The first ticket of this time of holding the grant: nobody else has had it since."""

    def holding(self) -> Holding:
        """Return what meta is told."""
        mtime_ns = self.mtime_ns if self.unsaved else 0
        return Holding(self.ino, self.ticket, self.content.size_bytes, mtime_ns, self.junk, self.is_sparse)

    def generation(self) -> Generation:
        """Return the generation of the newest write."""
        return generation_of(self.ticket, self.counter)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A change of a grant of which it is not known whether meta has made it: sent again before anything else is done."""

    ino: Ino
    session: SessionId
    request: Yield | Close | Truncate
    held: Held | None
    """What was held; a Yield or Close has forgotten it already."""
    since_s: float = 0.0
    """When it began, on the monotonic clock."""


@dataclass(slots=True, eq=False)
class Expectation:
    """A call under way whose answer may bring a grant."""

    session: SessionId
    forgotten: set[Ino] = field(default_factory=set)


class Grants:
    """All grants of the mount."""

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock = clock
        self._mutex = tasks.mutex()
        self._held: dict[Ino, Held] = {}
        self._unfinished: dict[Ino, Unfinished] = {}
        self._expected: set[Expectation] = set()
        self._recalled_s: dict[Ino, float] = {}
        self._recall_ended = tasks.signal(self._mutex)
        self._told = tasks.signal(self._mutex)
        self._junk: set[Ino] = set()
        self._lost: set[SessionId] = set()
        """Sessions that have expired; meta cuts what they left."""
        self._written_max = NO_TICKET
        """The newest ticket under which something was written and that is held no more."""

    # --- looking -----------------------------------------------------------------------------------------------------------

    def held(self, ino: Ino) -> Held | None:
        """Return the grant of an inode."""
        return self._held.get(ino)

    def view(self, ino: Ino) -> Held | None:
        """Return what this mount knows better than meta: a held grant, or one of which meta has not heard the last word."""
        held = self._held.get(ino)
        if held is None and (unfinished := self._unfinished.get(ino)) is not None:
            return unfinished.held
        return held

    def has_junk(self, ino: Ino) -> bool:
        """Tell whether a write of this session may have left junk, also if the grant was forgotten since."""
        return ino in self._junk

    def holds(self, ino: Ino, ticket: Ticket) -> bool:
        """Tell whether the grant is (still) held under this very ticket."""
        held = self._held.get(ino)
        return held is not None and held.ticket == ticket

    def losses(self) -> int:
        """Return a number that rises when the grants of a session are lost: what was asked before may say less than was written."""
        return len(self._lost)

    def inodes(self) -> list[Ino]:
        """Return all inodes whose grant is held, or of which meta must still be told something."""
        with self._mutex:
            return list(self._held.keys() | self._unfinished.keys() | self._junk)

    def unsaved(self) -> list[Ino]:
        """Return the inodes whose size or time must be committed."""
        with self._mutex:
            return [ino for ino, held in self._held.items() if held.unsaved]

    # --- receiving ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def expect(self, session: SessionId) -> Iterator[Expectation]:
        """Note that a call that may bring grants to this session is under way."""
        expectation = Expectation(session)
        with self._mutex:
            self._expected.add(expectation)
        try:
            yield expectation
        finally:
            with self._mutex:
                self._expected.discard(expectation)

    def adopt(self, expectation: Expectation, grant: Grant, since: Ticket = NO_TICKET) -> bool:
        """Take a grant that was answered; one that is held already under the same or a newer ticket stays as it is.

        Arguments: `since`: as in Held, if the grant was held until it was asked for, and by nobody else until the answer.
        Result: whether the grant is held now. False: it may have gone since it was asked for; ask for a newer ticket.
        """
        with self._mutex:
            if not grant.ticket or expectation.session in self._lost:
                return False
            if grant.ino in expectation.forgotten or grant.ino in self._unfinished:
                return False
            held = self._held.get(grant.ino)
            if held is None and grant.ticket <= self._written_max:
                return False  # maybe held before: its counter is forgotten, and a generation must not be used twice
            if held is None or held.ticket < grant.ticket:
                junk = grant.ino in self._junk
                since = (held.since if held is not None else since) or grant.ticket
                self._held[grant.ino] = Held(grant.ino, expectation.session, grant.ticket, grant.content, junk=junk, since=since)
            return True

    # --- writing -----------------------------------------------------------------------------------------------------------

    def next_generation(self, ino: Ino, ticket: Ticket) -> Generation | None:
        """Return the generation of the next write under a ticket; None if it is not held, or its counter is full."""
        with self._mutex:
            held = self._held.get(ino)
            if held is None or held.ticket != ticket or held.counter >= COUNTER_MAX:
                return None
            held = self._held[ino] = replace(held, counter=held.counter + 1)
            return held.generation()

    def wrote(
        self, ino: Ino, ticket: Ticket, end_bytes: int, tail: Tail | None, *, leaves_hole: bool = False, at_ns: int | None = None
    ) -> bool:
        """Note a write that both replicas have, made by its program at `at_ns` on the wall clock (None: now).

        Result: False if the grant under which it was made has gone.
        """
        with self._mutex:
            held = self._held.get(ino)
            if held is None or held.ticket != ticket:
                return False
            content = held.content
            if end_bytes > content.size_bytes:
                content = content._replace(size_bytes=end_bytes)
            is_sparse = held.is_sparse or leaves_hole
            mtime_ns = self._clock.wall_ns() if at_ns is None else at_ns
            self._held[ino] = replace(held, content=content, mtime_ns=mtime_ns, unsaved=True, tail=tail, is_sparse=is_sparse)
            return True

    def touched(self, ino: Ino, ticket: Ticket) -> None:
        """Note that the file's time has changed, though not its bytes."""
        with self._mutex:
            held = self._held.get(ino)
            if held is not None and held.ticket == ticket:
                self._held[ino] = replace(held, mtime_ns=self._clock.wall_ns(), unsaved=True)

    def mark_junk(self, ino: Ino, session: SessionId) -> None:
        """Note that a write made in `session`, which must not have expired since, ended unacknowledged."""
        with self._mutex:
            if session in self._lost:
                return
            self._junk.add(ino)
            held = self._held.get(ino)
            if held is not None:
                self._held[ino] = replace(held, junk=True, tail=None)

    def end_junk(self, ino: Ino) -> None:
        """Note that meta has cut, or was told to."""
        with self._mutex:
            self._junk.discard(ino)
            held = self._held.get(ino)
            if held is not None and held.junk:
                self._held[ino] = replace(held, junk=False)

    def committed(self, holding: Holding) -> None:
        """Note that meta has recorded this."""
        with self._mutex:
            held = self._held.get(holding.ino)
            if held is not None and held.ticket == holding.ticket and held.holding() == holding:
                self._held[holding.ino] = replace(held, unsaved=False, mtime_ns=0)

    def doubt_commits(self) -> None:
        """Note that meta was restarted: what it recorded last is told once more."""
        with self._mutex:
            self._held = {ino: replace(held, unsaved=True) if held.counter else held for ino, held in self._held.items()}

    # --- giving back -------------------------------------------------------------------------------------------------------

    def forget(self, ino: Ino, ticket: Ticket | None = None) -> Held | None:
        """Hold the grant no more; with `ticket`, only if it is that one. Result: what was held.

        Grants of this inode that calls under way may bring are not believed either.
        """
        with self._mutex:
            held = self._held.get(ino)
            if ticket is not None and (held is None or held.ticket != ticket):
                return None
            self._drop(ino)
            return held

    def leave(self, ino: Ino, session: SessionId, make: Callable[[Held | None], Yield | Close]) -> Unfinished:
        """Hold the grant no more and remember what meta must be told of that, in one step: an answer that brings the same grant
        again, from before meta hears of it, is never believed.
        """
        with self._mutex:
            held = self._held.get(ino)
            if held is not None:
                session = held.session
            unfinished = self._unfinished[ino] = Unfinished(ino, session, make(held), held, self._clock.monotonic_s())
            self._drop(ino)
            self._junk.discard(ino)
            return unfinished

    def forget_all(self, session: SessionId) -> list[Unfinished]:
        """Hold nothing more: the session has expired. Result: what meta was still to be told, and needs no more."""
        with self._mutex:
            needless = list(self._unfinished.values())
            for ino in list(self._held):
                self._drop(ino)
            self._unfinished.clear()
            self._told.notify_all()
            self._recalled_s.clear()
            self._junk.clear()
            self._lost.add(session)
            return needless

    def begin(self, unfinished: Unfinished) -> None:
        """Remember what meta is about to be told."""
        with self._mutex:
            self._unfinished[unfinished.ino] = unfinished

    def unfinished(self, ino: Ino) -> Unfinished | None:
        """Return what meta must be told before anything else."""
        return self._unfinished.get(ino)

    def end(self, unfinished: Unfinished) -> None:
        """Note that meta knows."""
        with self._mutex:
            if self._unfinished.get(unfinished.ino) is unfinished:
                del self._unfinished[unfinished.ino]
                self._told.notify_all()

    def wait_until_told(self, ctx: CallContext, ino: Ino, patience_s: float) -> None:
        """Wait while meta has not answered the last word on a file for longer than that: it may have given the grant on since.

        Raises: Interrupted.
        """
        while (unfinished := self._unfinished.get(ino)) is not None and unfinished.held is not None:
            if self._clock.monotonic_s() - unfinished.since_s < patience_s or ino in self._held:
                return
            raise_if_cancelled(ctx)
            with self._mutex:
                if self._unfinished.get(ino) is unfinished:
                    self._told.wait(POLL_S)

    def _drop(self, ino: Ino) -> None:
        held = self._held.pop(ino, None)
        if held is not None and held.counter:
            self._written_max = max(self._written_max, held.ticket)
        for expectation in self._expected:
            expectation.forgotten.add(ino)

    # --- recalls -----------------------------------------------------------------------------------------------------------

    def recall(self, inos: Iterable[Ino]) -> None:
        """Note that another session waits for these grants."""
        now_s = self._clock.monotonic_s()
        with self._mutex:
            for ino in inos:
                self._recalled_s.setdefault(ino, now_s)

    def recalled_for_s(self, ino: Ino) -> float | None:
        """Return for how many seconds the grant has been asked back; None: it is not."""
        since_s = self._recalled_s.get(ino)
        return None if since_s is None else self._clock.monotonic_s() - since_s

    def is_recalled(self, ino: Ino) -> bool:
        """Tell whether the grant is asked back."""
        return ino in self._recalled_s

    def end_recall(self, ino: Ino) -> None:
        """Note that the grant was given back."""
        with self._mutex:
            self._recalled_s.pop(ino, None)
            self._recall_ended.notify_all()

    def wait_for_recalls(self, ctx: CallContext, until_s: float) -> None:
        """Return when no recall is left to be done, at `until_s` on the monotonic clock, or when `ctx` ends."""
        while ctx.cancelled() is None:
            with self._mutex:
                left_s = until_s - self._clock.monotonic_s()
                if not self._recalled_s or left_s <= 0:
                    return
                self._recall_ended.wait(min(left_s, POLL_S))

    def recalls(self) -> tuple[Ino, ...]:
        """Return the inodes whose recall is not yet done."""
        with self._mutex:
            return tuple(self._recalled_s)


def leaves_hole(layout: Layout, size_bytes: int, first: BlockNo) -> bool:
    """Tell whether a write to a file of so many bytes that begins with block `first` leaves blocks before it unwritten."""
    return first > -(-size_bytes // layout.block_size)


def tail_after(held: Held, end: int, first: BlockNo, body: Buffer) -> Tail | None:
    """Return what is known of the file's last block after a write up to `end`, if it is a partial one."""
    layout = held.content.layout
    size = max(end, held.content.size_bytes)
    last = layout.block_of(size - 1)
    written_last = first + (len(body) - 1) // layout.block_size
    if written_last < last:
        return held.tail if held.tail is not None and held.tail.block_no == last else None
    if size % layout.block_size == 0:
        return None
    return Tail(last, bytes(body[(last - first) * layout.block_size :]))
