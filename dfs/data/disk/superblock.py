"""Who this data server is: the file `superblock`, JSON, atomically replaced at each change.

Members, format 1: format (1), cluster (UUID, "" while blank), index, servers (N, 0 while blank), block_size (bytes, 0 while
blank), disk (UUID of this state folder), primary and secondary (a RoleState each), mark (the highest number mark that meta told),
doubts (how often it became suspect, or took what a cut
may have voided from a neighbour; 0 if missing), crc32 (over the JSON of all other members with sorted keys and no blanks). A
server with a cluster and blank roles is prepared: the first phase of formatting is done, the second is not.

Promises: what a method returned is on disk. Called by the service. Never knows what the strips hold.

Lock order: change() holds the keyed lock "superblock" over the write; nothing else is taken inside.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from dfs.core.errors import DiskMissing, NotFormatted, WrongServer
from dfs.core.ids import NUMBER_MAX, ServerIndex
from dfs.core.interfaces import Disk, Random, Tasks
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import Identity
from dfs.core.placement import Role
from dfs.core.start_errors import StateError, TooNew

NAME: Final = "superblock"
FORMAT: Final = 1
_TEXTS: Final = ("cluster", "disk")
_STATES: Final = ("primary", "secondary")


@dataclass(frozen=True, slots=True)
class Superblock:
    """The content of the file, without format and sum."""

    cluster: str
    index: int
    servers: int
    block_size: int
    disk: str
    primary: RoleState
    secondary: RoleState
    mark: int
    doubts: int = 0

    @property
    def shape(self) -> Shape:
        """What the file system was made as."""
        return Shape(self.cluster, self.servers, self.block_size)

    @property
    def is_formatted(self) -> bool:
        """Tell whether both phases of formatting are done."""
        return RoleState.BLANK not in (self.primary, self.secondary)

    def state_of(self, role: Role) -> RoleState:
        """Return how far what is held in a role can be trusted."""
        return self.primary if role is Role.PRIMARY else self.secondary

    @property
    def identity(self) -> Identity:
        """The superblock as it is told to others."""
        return Identity(self.shape, ServerIndex(self.index), self.disk, self.primary, self.secondary, self.mark, self.doubts)


def pack_superblock(block: Superblock) -> bytes:
    """Return the file's content."""
    members: dict[str, Any] = {"format": FORMAT, **asdict(block)}
    return json.dumps({**members, "crc32": _sum(members)}, indent=1).encode() + b"\n"


def parse_superblock(raw: bytes) -> Superblock:
    """Return the superblock in a file's content. Raises: StateError if it does not verify."""
    try:
        members = json.loads(raw)
        stored_sum = members.pop("crc32")
        if members.pop("format") != FORMAT:
            raise TooNew(f"a superblock of format {FORMAT}", "another one; was it written by a newer release?")
        if stored_sum != _sum({"format": FORMAT, **members}):
            raise StateError("a superblock with a right checksum", "a wrong one")
        primary, secondary = RoleState(members.pop("primary")), RoleState(members.pop("secondary"))
        block = Superblock(**members, primary=primary, secondary=secondary)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StateError("a readable superblock", f"{error!r}"[:300]) from error
    _check_types(block)
    return block


def _check_types(block: Superblock) -> None:
    """Raise StateError unless every member is of the type that its field has: JSON takes anything."""
    for field in fields(block):
        value: Any = getattr(block, field.name)
        if field.name in _TEXTS:
            is_right = isinstance(value, str)
        elif field.name in _STATES:
            is_right = isinstance(value, RoleState)
        else:
            is_right = type(value) is int and 0 <= value <= NUMBER_MAX
        if not is_right:
            raise StateError(f"a superblock whose {field.name} is one", f"{value!r}"[:100])


def _sum(members: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())


class Identification:
    """Keeps the superblock of one data server in memory and on disk."""

    def __init__(self, disk: Disk, tasks: Tasks, random: Random, index: ServerIndex) -> None:
        self._disk = disk
        self._random = random
        self._index = index
        self._lock = tasks.keyed_lock()
        self._current = Superblock("", index, 0, 0, "", RoleState.BLANK, RoleState.BLANK, 0)

    def start(self) -> None:
        """Read the superblock, or write that of a blank server. Raises: StateError, also if it is another server's."""
        try:
            found = parse_superblock(self._disk.read(NAME))
        except DiskMissing:
            self._current = replace(self._current, disk=self._random.uuid())
            self._disk.replace(NAME, pack_superblock(self._current))
            return
        if found.index != self._index:
            raise StateError(f"the state folder of data server {self._index}", f"that of data server {found.index}")
        self._current = found

    @property
    def current(self) -> Superblock:
        """The superblock as it is on disk."""
        return self._current

    def prepare(self, shape: Shape, index: ServerIndex) -> Superblock:
        """Note whose a blank server will be. Raises: WrongServer if it is not blank and another's; DiskError leaves."""
        if index != self._index:
            raise WrongServer(f"data server {index}", f"data server {self._index}")

        def prepared(block: Superblock) -> Superblock:
            if block.cluster:
                if block.shape != shape:
                    raise WrongServer(_show(shape), _show(block.shape))
                return block
            return replace(block, cluster=shape.cluster, servers=shape.servers, block_size=shape.block_size)

        return self._change(prepared)

    def commit(self, cluster: str) -> Superblock:
        """Count as complete in both roles. Raises: NotFormatted if not prepared; WrongServer if another's; DiskError leaves."""

        def committed(block: Superblock) -> Superblock:
            if not block.cluster:
                raise NotFormatted(f"data server {self._index} is not prepared")
            if block.cluster != cluster:
                raise WrongServer(f"cluster {cluster}", f"cluster {block.cluster}")
            if block.is_formatted:
                return block
            return replace(block, primary=RoleState.COMPLETE, secondary=RoleState.COMPLETE)

        return self._change(committed)

    def adopt(self, shape: Shape, mark: int) -> Superblock:
        """Be what a blank server was before it lost its disk, as its neighbours tell. Raises: DiskError leaves.

        Nothing happens if the server is not blank any more: it was prepared meanwhile.
        """

        def adopted(block: Superblock) -> Superblock:
            if block.cluster:
                return block
            return replace(
                block,
                cluster=shape.cluster,
                servers=shape.servers,
                block_size=shape.block_size,
                primary=RoleState.REBUILDING,
                secondary=RoleState.REBUILDING,
                mark=max(block.mark, mark),
            )

        return self._change(adopted)

    def set_state(self, role: Role, old: RoleState, new: RoleState) -> bool:
        """Change the state of a role, unless it is not `old` any more; tell whether it is `new`. Raises: DiskError leaves."""

        def changed(block: Superblock) -> Superblock:
            if block.state_of(role) is not old:
                return block
            return replace(block, primary=new) if role is Role.PRIMARY else replace(block, secondary=new)

        return self._change(changed).state_of(role) is new

    def accept_loss(self) -> Superblock:
        """Count lost roles as complete. Raises: DiskError leaves."""

        def accepted(state: RoleState) -> RoleState:
            return RoleState.COMPLETE if state is RoleState.LOST else state

        return self._change(lambda b: replace(b, primary=accepted(b.primary), secondary=accepted(b.secondary)))

    def note_mark(self, mark: int) -> None:
        """Remember a number mark if it is the highest. Raises: DiskError leaves."""
        self._change(lambda block: replace(block, mark=mark) if block.mark < mark else block)

    def distrust(self) -> None:
        """Count as suspect in both roles: something that was stored is known to be missing. Raises: DiskError leaves."""
        self._change(_distrusted)

    def note_taking(self) -> None:
        """Note that from now on something may be taken from a neighbour that a cut executed here had voided (decision record 14).

        Meta then does not forget cuts by what this server confirmed before. Raises: DiskError leaves.
        """
        self._change(lambda block: replace(block, doubts=block.doubts + 1))

    def doubt(self) -> None:
        """Count as suspect in both roles without a word on disk: it takes none."""
        self._current = _distrusted(self._current)

    def _change(self, change: Callable[[Superblock], Superblock]) -> Superblock:
        with self._lock.hold("superblock"):
            changed = change(self._current)
            if changed != self._current:
                self._disk.replace(NAME, pack_superblock(changed))
                self._current = changed
            return changed


def _distrusted(block: Superblock) -> Superblock:
    def distrusted(state: RoleState) -> RoleState:
        return RoleState.SUSPECT if state is RoleState.COMPLETE else state

    primary, secondary = distrusted(block.primary), distrusted(block.secondary)
    return replace(block, primary=primary, secondary=secondary, doubts=block.doubts + 1)


def _show(shape: Shape) -> str:
    return f"cluster {shape.cluster} with {shape.servers} servers and blocks of {shape.block_size} bytes"
