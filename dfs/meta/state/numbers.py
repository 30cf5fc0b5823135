"""The one series of inode, ticket and session numbers: never issued twice, always below a mark that is on disk.

`take` is called inside transactions only, so one thread at a time, and needs no lock. A number that reaches the mark raises it
in the same transaction: both become durable together or not at all. Data servers are told each mark (dfs/meta/upkeep/marks.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dfs.core.errors import NoSpace
from dfs.core.ids import NUMBER_MAX, Ino, SessionId, Ticket
from dfs.meta.state.store import Transaction

MARK_STEP: Final = 10_000
"""How far the mark is raised at a time: a start loses at most so many numbers of 2**40."""
NUMBERS_SKIPPED: Final = 1_000_000
"""Far more than a meta-server can have issued before it told any data server of its last mark."""
EARLY_SKIP: Final = 100_000
"""What is left out if a number is needed before the data servers' marks are known: the database may have been put back."""


class Numbers:
    """Issues numbers."""

    def __init__(self, mark: int, on_raise: Callable[[], None]) -> None:
        """Begin at the mark that is on disk.

        Arguments: `mark`: all numbers ever issued are below it; `on_raise`: called when a higher mark has become durable.
        """
        self._next = mark
        self._mark = mark
        self._durable_mark = mark
        self._on_raise = on_raise
        self._is_early = False

    @property
    def mark(self) -> int:
        """The mark on disk."""
        return self._durable_mark

    @property
    def next(self) -> int:
        """Above all numbers that were issued."""
        return self._next

    def take(self, tx: Transaction) -> int:
        """Issue the next number. Raises: NoSpace after 2**40 of them."""
        number = self._next
        if self._is_early:
            self._is_early = False
            number = self._mark + EARLY_SKIP
        if number >= self._mark:
            self._raise_mark(tx, number + MARK_STEP)
        self._next = number + 1
        return number

    def expect_marks(self) -> None:
        """Leave EARLY_SKIP numbers out if one is needed before marks_are_known(); called before the first is issued."""
        self._is_early = True

    def marks_are_known(self) -> None:
        """Note that the data servers' marks were compared with ours."""
        self._is_early = False

    def advance(self, tx: Transaction) -> None:
        """Raise the mark by one, so that who remembers it can tell this state of the database from all before."""
        self._raise_mark(tx, self._mark + 1)

    def ino(self, tx: Transaction) -> Ino:
        """Issue the number of an inode."""
        return Ino(self.take(tx))

    def ticket(self, tx: Transaction) -> Ticket:
        """Issue a ticket."""
        return Ticket(self.take(tx))

    def session(self, tx: Transaction) -> SessionId:
        """Issue the number of a client session."""
        return SessionId(self.take(tx))

    def go_above(self, tx: Transaction, number: int) -> None:
        """Issue only numbers above `number` from now on. Raises: NoSpace if there are none."""
        if number < self._next:
            return
        if number + 1 >= self._mark:
            self._raise_mark(tx, number + 1 + MARK_STEP)
        self._next = number + 1

    def _raise_mark(self, tx: Transaction, mark: int) -> None:
        if mark > NUMBER_MAX:
            raise NoSpace(b"all 2**40 inode, ticket and session numbers are used up")
        old = self._mark
        tx.run("UPDATE counter SET mark = ?", mark)
        self._mark = mark

        def undo() -> None:
            self._mark = old

        def durable() -> None:
            self._durable_mark = max(self._durable_mark, mark)
            self._on_raise()

        tx.undo(undo)
        tx.after(durable)
