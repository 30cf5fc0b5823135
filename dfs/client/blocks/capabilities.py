"""The capabilities that this mount has been given, to be shown to data servers (decision record 22).

They come with answers of the meta-server that open files and bring grants. Texts that make no sense are as good as none. Memory
only, bounded; what is forgotten is asked for again (dfs/client/blocks/showing.py).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from dfs.core.capability import Capability, Right, allows, read
from dfs.core.ids import NO_TICKET, Ino, Ticket
from dfs.core.interfaces import Tasks
from dfs.core.messages.content import Grant, Opened

KEPT_MAX: Final = 4096


class Known(NamedTuple):
    """A capability and what it says."""

    text: str
    says: Capability


class Capabilities:
    """Capabilities by inode: one to write with and one to read with. The mutex is innermost."""

    def __init__(self, tasks: Tasks) -> None:
        self._mutex = tasks.mutex()
        self._known: dict[tuple[Ino, bool], Known] = {}
        """By inode and whether it is one to write with; the last one learned is the last."""

    @property
    def is_used(self) -> bool:
        """Whether data servers want to see any: the meta-server has given some."""
        return bool(self._known)

    def learn(self, answer: Any) -> None:
        """Take the capability in an answer of the meta-server, if it has one."""
        if isinstance(answer, Opened):
            answer = answer.grant
        if isinstance(answer, Grant) and answer.capability:
            self.add(answer.capability)

    def add(self, text: str) -> None:
        """Take a capability."""
        says = read(text)
        if says is None:
            return
        key = (says.ino, bool(says.ticket))
        with self._mutex:
            self._known.pop(key, None)
            self._known[key] = Known(text, says)
            if len(self._known) > KEPT_MAX:
                del self._known[next(iter(self._known))]

    def find(self, ino: Ino, right: Right, ticket: Ticket = NO_TICKET) -> str:
        """Return the newest capability that allows this; empty: none is known."""
        best = ""
        issued_s = -1
        for is_for_writing in (True, False):
            known = self._known.get((ino, is_for_writing))
            if known is not None and known.says.issued_s > issued_s and allows(known.says, right, ticket):
                best, issued_s = known.text, known.says.issued_s
        return best
