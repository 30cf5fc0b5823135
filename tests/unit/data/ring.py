"""All data servers of a file system in one process, whose background work moves only when the test says so.

A test loses disks, kills servers, takes them down, and rebuilds step by step. What was acknowledged is kept in `Ring.expected`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from dfs.core.choose import Choice, choose
from dfs.core.contexts import PlainContext
from dfs.core.cuts import Cut
from dfs.core.errors import DfsError, Stopping, Unreachable
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket, ticket_of
from dfs.core.interfaces import CallContext, raise_if_cancelled
from dfs.core.messages.blocks import Clean, Copy, CopyState, Get, Put, Run, Segment, unpack_copies
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import CommitFormat, Identify, Identity, PrepareFormat
from dfs.core.messages.requests import Request
from dfs.core.placement import Layout, Role
from dfs.core.records import checksum, pack_checksums
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.randomness import SystemRandom
from tests.harness.fake_clock import FakeClock
from tests.harness.memory_disk import MemoryDisk
from tests.harness.recorded_events import RecordedEvents
from tests.unit.data.one_server import CLUSTER, IdleTasks

A = TypeVar("A")
CONTEXT = PlainContext()
NEWEST = Ticket(1 << 39)
STEPS_MAX = 10_000
BLOCK_SIZE = 512


class Ring:
    """N data servers that know each other."""

    def __init__(self, servers: int, *, direct_bytes_min: int = 2048, is_formatted: bool = True) -> None:
        self.n = servers
        self.indexes = [ServerIndex(index) for index in range(servers)]
        self.clock = FakeClock()
        self.events = {index: RecordedEvents() for index in self.indexes}
        self.disks = {index: MemoryDisk() for index in self.indexes}
        self.boots = dict.fromkeys(self.indexes, 0)
        """How often each server's machine was started again."""
        self.down: set[int] = set()
        self.asked: list[tuple[int, Request[object]]] = []
        """Every call between servers."""
        self.on_the_way: Callable[[Request[object]], None] = lambda request: None
        """Called between a server's answer to another one and its arrival."""
        self._direct_bytes_min = direct_bytes_min
        self._services: dict[int, DataService] = {}
        for index in self.indexes:
            self.start(index)
        if is_formatted:
            for index in self.indexes:
                self.call(index, PrepareFormat(self.shape, index))
            for index in self.indexes:
                self.call(index, CommitFormat(CLUSTER))

    @property
    def shape(self) -> Shape:
        return Shape(CLUSTER, self.n, BLOCK_SIZE)

    # --- servers ---------------------------------------------------------------------------------------------------------

    def start(self, index: int) -> None:
        """Start a server, also after the last one was killed: the kernel keeps what was written."""
        settings = DataSettings(
            ServerIndex(index),
            f"boot-{self.boots[ServerIndex(index)]}",
            addresses=tuple(f"127.0.0.1:{9100 + each}" for each in range(self.n)),
            direct_bytes_min=self._direct_bytes_min,
            append_bytes_min=self._direct_bytes_min,
        )
        self._services[index] = service = DataService(
            settings=settings,
            disk=self.disks[ServerIndex(index)],
            neighbours=Neighbours(self),
            clock=self.clock,
            random=SystemRandom(),
            tasks=IdleTasks(),
            events=self.events[ServerIndex(index)],
        )
        service.start()

    def power_cut(self, *indexes: int, keep: Callable[[], bool] = lambda: False) -> None:
        """Cut the power of servers' machines at once, and start them again; `keep` as for MemoryDisk.power_cut."""
        for server in map(ServerIndex, indexes):
            self.disks[server].power_cut(keep)
            self.boots[server] += 1
        for index in indexes:
            self.start(index)

    def sync_all(self) -> None:
        """Let every server do what it does every few seconds: everything is synced, and known to be."""
        for _ in range(2):
            for index in self.indexes:
                for role in Role:
                    self.step(index, role)
            for index in self.indexes:
                self.checkpoint(index)
            self.clock.advance(6)
        for index in self.indexes:
            for role in Role:
                self.step(index, role)

    def lose_disk(self, index: int) -> None:
        """Delete the folder and start the server again."""
        self.disks[ServerIndex(index)] = MemoryDisk()
        self.start(index)

    def call(self, index: int, request: Request[A]) -> A:
        """Call a server. Raises: Unreachable if it is down."""
        if index in self.down:
            raise Unreachable(f"data server {index}", "connection refused")
        return self._services[index].call(CONTEXT, request)

    def identity(self, index: int) -> Identity:
        return self._services[index].call(CONTEXT, Identify())

    def states(self, index: int) -> tuple[RoleState, RoleState]:
        identity = self.identity(index)
        return identity.primary, identity.secondary

    def service(self, index: int) -> DataService:
        return self._services[index]

    def checkpoint(self, index: int) -> None:
        blocks = self._services[index]._blocks
        if blocks is not None:
            blocks.checkpoint.run()

    # --- rebuilding ------------------------------------------------------------------------------------------------------

    def step(self, index: int, role: Role) -> float:
        """Let a server do one bit of its background work; nothing if it is down."""
        if index in self.down:
            return 1.0
        return self._services[index]._rebuilding.step(role)

    def rebuild(self, *indexes: int) -> None:
        """Let servers (default: all) work until all of them wait, several times over."""
        for _ in range(4):
            for index in indexes or self.indexes:
                for role in Role:
                    for _ in range(STEPS_MAX):
                        if self.step(index, role):
                            break
                    else:
                        raise AssertionError(f"server {index} copies for ever")
            self.clock.advance(10)

    # --- files -----------------------------------------------------------------------------------------------------------

    def layout(self, ino: int) -> Layout:
        return Layout(ino % self.n, self.n, BLOCK_SIZE)

    def servers_of(self, ino: int, block: int) -> dict[Role, int]:
        return {role: self.layout(ino).server_of(BlockNo(block), role) for role in Role}

    def put(self, ino: int, block: int, gen: Generation, data: bytes) -> bool:
        """Store a block on both its servers; tell whether both acknowledged."""
        acknowledged = 0
        for role, server in self.servers_of(ino, block).items():
            summed = checksum(Ino(ino), BlockNo(block), gen, data)
            segment = Segment(role, BlockNo(block), 1, len(data))
            request = Put(Ino(ino), ticket_of(gen), gen, (segment,), pack_checksums([summed]), data)
            try:
                self.call(server, request)
            except DfsError:
                continue
            acknowledged += 1
        return acknowledged == len(Role)

    def put_run(self, ino: int, role: Role, first: int, gen: Generation, blocks: list[bytes]) -> None:
        """Store every Nth block on the one server that holds them in a role."""
        numbers = [BlockNo(first + at * self.n) for at in range(len(blocks))]
        sums = [checksum(Ino(ino), number, gen, data) for number, data in zip(numbers, blocks, strict=True)]
        segment = Segment(role, numbers[0], len(blocks), len(blocks[-1]))
        server = self.layout(ino).server_of(numbers[0], role)
        self.call(server, Put(Ino(ino), ticket_of(gen), gen, (segment,), pack_checksums(sums), b"".join(blocks)))

    def write_file(self, ino: int, blocks: list[bytes], gen: Generation) -> None:
        """Store a whole file on all servers."""
        for first in range(min(self.n, len(blocks))):
            for role in Role:
                self.put_run(ino, role, first, gen, blocks[first :: self.n])

    def clean(self, index: int, ino: int, *cuts: Cut) -> Identity:
        return self.call(index, Clean(Ino(ino), cuts))

    def copy(self, ino: int, block: int, role: Role, cuts: tuple[Cut, ...] = ()) -> tuple[Copy, bytes]:
        """Return what the server of a role says of a block, and its bytes."""
        run = Run(role, BlockNo(block), 1)
        server = self.layout(ino).server_of(BlockNo(block), role)
        answer = self.call(server, Get(Ino(ino), NEWEST, cuts, (run,), ()))
        return unpack_copies(answer.copies)[0], answer.data

    def choice(self, ino: int, block: int, cuts: tuple[Cut, ...] = ()) -> Choice:
        """Judge a block as a reader does; a server that is down says nothing."""
        told: dict[Role, Copy | None] = {}
        for role in Role:
            try:
                told[role] = self.copy(ino, block, role, cuts)[0]
            except Unreachable:
                told[role] = None
        return choose(told[Role.PRIMARY], told[Role.SECONDARY])

    def read(self, ino: int, block: int) -> bytes | None:
        """Return a block's bytes as a reader sees it, b"" for a hole; None: no good copy."""
        choice = self.choice(ino, block)
        if choice.source is not None:
            return self.copy(ino, block, choice.source)[1]
        return b"" if choice.verdict.value == "hole" else None

    def differences(self, ino: int, blocks: int) -> list[int]:
        """Return the blocks of which both servers do not say and hold the same."""
        return [block for block in range(blocks) if self.copy(ino, block, Role.PRIMARY) != self.copy(ino, block, Role.SECONDARY)]

    def state_of(self, ino: int, block: int, role: Role) -> CopyState:
        return self.copy(ino, block, role)[0].state


class Neighbours:
    """DataServers as one server of a ring sees them."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.cluster = ""

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        answers: dict[ServerIndex, A | DfsError] = {}
        for server, request in calls.items():
            try:
                answers[server] = self.call(ctx, server, request)
            except DfsError as error:
                answers[server] = error
        return answers

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        raise_if_cancelled(ctx)
        self._ring.asked.append((server, request))
        try:
            answer = self._ring.call(server, request)
            self._ring.on_the_way(request)
            return answer
        except Stopping as error:
            raise Unreachable(f"data server {server}", "stopping") from error

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        self.cluster = cluster
