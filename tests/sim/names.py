"""Whether what mounts did to the names below one folder can have happened: a search for an order that explains all answers.

All mounts work on the same few names. Each operation happened at one moment between its beginning and its end, or, if nobody knows
how it ended, at one moment after its beginning or never. The history is right if there is such an order in which a plain dict
of paths would have given every answer (linearizability, after Wing and Gong). Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Node(NamedTuple):
    """What stands at a path. Names of one file or symbolic link have equal nodes; folders have no maker that anybody could tell."""

    kind: str
    """"file", "folder" or "link"."""
    maker: int = 0
    """Number of the operation that made it."""


FOLDER = Node("folder")
State = tuple[tuple[str, Node], ...]
"""What stands at which path below the folder, sorted."""


class Listed(NamedTuple):
    """An entry of a listing."""

    name: str
    kind: str
    links: int


class Kind(enum.Enum):
    """What is done to names."""

    CREATE = "create"
    MKDIR = "mkdir"
    SYMLINK = "symlink"
    LINK = "link"
    UNLINK = "unlink"
    RMDIR = "rmdir"
    RENAME = "rename"
    READLINK = "readlink"
    LIST = "list"
    LOOK = "look"
    """Made by the kernel before it adds a name; only that there is none is noted, for that must be true."""


class Refusal(Exception):
    """The answer to an operation that may not be: the name of the error that a mount raises."""


@dataclass(eq=False, slots=True)
class NameOp:
    """One operation and its answer."""

    number: int
    kind: Kind
    name: str
    """A path below the folder; empty: the folder itself."""
    other: str
    began: int
    ended: int | None = None
    """None: it never returned to anybody."""
    is_known: bool = False
    """Whether the answer tells what happened."""
    refusal: str = ""
    """Name of the error that it ended with; empty: success."""
    seen: frozenset[Listed] | int | None = None
    """What a listing showed, or who had made the symbolic link that was read."""

    def apply(self, state: State) -> tuple[State, str, frozenset[Listed] | int | None]:
        """Return what it makes of the names, and what it answers: a refusal, and what it sees."""
        tree = Tree(state)
        try:
            seen = _WORK[self.kind](tree, self)
        except Refusal as refusal:
            return state, str(refusal), None
        return (state if seen is not None else tree.state()), "", seen


class Tree:
    """Names as a dict of paths; each method is one system call, with its errors in the order in which they are looked for."""

    def __init__(self, state: State) -> None:
        self.nodes = dict(state)

    def state(self) -> State:
        """Return it as a value."""
        return tuple(sorted(self.nodes.items()))

    def make(self, path: str, node: Node) -> None:
        """Create, mkdir or symlink."""
        if self._locate(path) is not None:
            raise Refusal("AlreadyExists")
        self.nodes[path] = node

    def link(self, path: str, new: str) -> None:
        """Give a file or symbolic link a further name."""
        node = self._existing(path)
        if self._locate(new) is not None:
            raise Refusal("AlreadyExists")
        if node == FOLDER:
            raise Refusal("NotPermitted")
        self.nodes[new] = node

    def unlink(self, path: str) -> None:
        """Remove a name that is not a folder's."""
        if self._existing(path) == FOLDER:
            raise Refusal("IsAFolder")
        del self.nodes[path]

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        if self._existing(path) != FOLDER:
            raise Refusal("NotAFolder")
        if self._children(path):
            raise Refusal("FolderNotEmpty")
        del self.nodes[path]

    def rename(self, path: str, new: str) -> None:
        """Move a name, and what is below it, over what stands at the new one."""
        self._require_folder_of(path)
        target = self._locate(new)
        node = self._existing(path)
        if node == FOLDER and new.startswith(path + "/"):
            raise Refusal("InvalidArgument")
        if path == new or (target is not None and target == node != FOLDER):
            return
        if target is not None:
            if node == FOLDER != target:
                raise Refusal("NotAFolder")
            if target == FOLDER != node:
                raise Refusal("IsAFolder")
            if self._children(new):
                raise Refusal("FolderNotEmpty")
        moved = {at: self.nodes.pop(at) for at in list(self.nodes) if at == path or at.startswith(path + "/")}
        self.nodes.update({new + at[len(path) :]: each for at, each in moved.items()})

    def readlink(self, path: str) -> int:
        """Return who made a symbolic link."""
        node = self._existing(path)
        if node.kind != "link":
            raise Refusal("InvalidArgument")
        return node.maker

    def look(self, path: str) -> None:
        """Find out whether something stands at a path."""
        self._existing(path)

    def entries(self, path: str) -> frozenset[Listed]:
        """Return the entries of a folder."""
        if path and self._existing(path) != FOLDER:
            raise Refusal("NotAFolder")
        return frozenset(Listed(at.rpartition("/")[2], self.nodes[at].kind, self._links(at)) for at in self._children(path))

    def _links(self, path: str) -> int:
        node = self.nodes[path]
        if node == FOLDER:
            return 2 + sum(self.nodes[at] == FOLDER for at in self._children(path))
        return sum(other == node for other in self.nodes.values())

    def _children(self, path: str) -> list[str]:
        return [at for at in self.nodes if at.rpartition("/")[0] == path]

    def _require_folder_of(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        if folder and self._existing(folder) != FOLDER:
            raise Refusal("NotAFolder")

    def _locate(self, path: str) -> Node | None:
        self._require_folder_of(path)
        return self.nodes.get(path)

    def _existing(self, path: str) -> Node:
        node = self._locate(path)
        if node is None:
            raise Refusal("NotFound")
        return node


_WORK: dict[Kind, Callable[[Tree, NameOp], frozenset[Listed] | int | None]] = {
    Kind.CREATE: lambda tree, op: tree.make(op.name, Node("file", op.number)),
    Kind.MKDIR: lambda tree, op: tree.make(op.name, FOLDER),
    Kind.SYMLINK: lambda tree, op: tree.make(op.name, Node("link", op.number)),
    Kind.LINK: lambda tree, op: tree.link(op.name, op.other),
    Kind.UNLINK: lambda tree, op: tree.unlink(op.name),
    Kind.RMDIR: lambda tree, op: tree.rmdir(op.name),
    Kind.RENAME: lambda tree, op: tree.rename(op.name, op.other),
    Kind.READLINK: lambda tree, op: tree.readlink(op.name),
    Kind.LIST: lambda tree, op: tree.entries(op.name),
    Kind.LOOK: lambda tree, op: tree.look(op.name),
}
"""Listings and readlink return what they see, the others None."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The folder at the end of an order that explains the history."""

    state: State


STEPS_MAX = 200_000


def explain(history: list[NameOp], final: dict[str, Node] | None = None) -> Explanation | str:
    """Return an order's end, or why there is none.

    Arguments: `final`: what stands there at the end, if that is known.
    """
    ops = sorted(history, key=lambda op: op.began)
    everything = sum(1 << at for at, op in enumerate(ops) if op.is_known)
    wanted = None if final is None else tuple(sorted(final.items()))
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, ())]
    best = 0
    while stack:
        done, state = stack.pop()
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if len(seen) > STEPS_MAX:
            return "too many orders to try: make the scenario smaller"
        if done & everything == everything and (wanted is None or state == wanted):
            return Explanation(state)
        best = max(best, done, key=lambda mask: (mask & everything).bit_count())
        stack.extend(_following(ops, done, state))
    left = [op for at, op in enumerate(ops) if op.is_known and not best >> at & 1]
    return f"no order explains the answers; one explains all but {_shown(left) or 'the end: ' + repr(final)}; all: {_shown(ops)}"


def _following(ops: list[NameOp], done: int, state: State) -> list[tuple[int, State]]:
    """Return what one more operation may lead to."""
    horizon = min(
        (op.ended for at, op in enumerate(ops) if op.is_known and op.ended is not None and not done >> at & 1), default=None
    )
    result = []
    for at, op in enumerate(ops):
        if done >> at & 1:
            continue
        if horizon is not None and op.began > horizon:
            break
        following, refusal, seen = op.apply(state)
        if op.is_known and (refusal, seen) != (op.refusal, op.seen):
            continue
        if op.is_known or not refusal:
            result.append((done | 1 << at, following))
    return result


def _shown(ops: list[NameOp]) -> str:
    return "; ".join(
        f"#{op.number} {op.kind.value} {op.name}{'>' + op.other if op.other else ''} {op.began}..{op.ended} "
        f"{(op.refusal or 'yes') if op.is_known else '?'}{_shown_seen(op.seen)}"
        for op in ops
    )


def _shown_seen(seen: frozenset[Listed] | int | None) -> str:
    if isinstance(seen, frozenset):
        return str([f"{entry.name} {entry.kind} {entry.links}" for entry in sorted(seen)])
    return "" if seen is None else f" made by {seen}"
