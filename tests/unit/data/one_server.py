"""One data server for tests: formatted, driven by hand, and killed, stopped or struck by a power cut when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dfs.core.contexts import PlainContext
from dfs.core.cuts import Cut
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket, ticket_of
from dfs.core.interfaces import Disk
from dfs.core.messages.blocks import Clean, Copy, CopyState, Drop, Fence, Get, Put, Repair, Run, Segment, Sync, unpack_copies
from dfs.core.messages.cluster import Shape
from dfs.core.messages.data_server import CommitFormat, Identify, NoteMark, PrepareFormat
from dfs.core.placement import Role
from dfs.core.records import checksum, pack_checksums
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTask, ThreadTasks
from tests.harness.fake_clock import FakeClock
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.recorded_events import RecordedEvents

P, S = Role.PRIMARY, Role.SECONDARY
CONTEXT = PlainContext()
CLUSTER = "0b6f6d1c-cluster"


class IdleTasks(ThreadTasks):
    """Tasks whose background never runs: the test decides when a checkpoint happens, and a killed server is really dead.

    Workers of a checkpoint run at once, so that a history is the same each time.
    """

    def spawn(self, name: str, function: Callable[[], None]) -> ThreadTask:
        if not name.endswith(("-checkpoint", "-rebuild-primary", "-rebuild-secondary", "-scrub")):
            function()
        return super().spawn(name, lambda: None)


@dataclass(frozen=True)
class Block:
    """One block as a Get answered it."""

    state: CopyState
    generation: int
    data: bytes


def generation(ticket: int, counter: int = 1) -> Generation:
    return Generation(ticket << 24 | counter)


class OneServer:
    """A data server, its disk and what it reported."""

    def __init__(
        self,
        disk: Disk,
        *,
        servers: int = 2,
        block_size: int = 512,
        index: int = 0,
        direct_bytes_min: int = 4096,
        open_strips_max: int = 4,
        boot_id: str = "boot-1",
    ) -> None:
        """Start a server; a blank disk is formatted."""
        self.disk = disk
        self.servers = servers
        self.block_size = block_size
        self.index = ServerIndex(index)
        self.events = RecordedEvents()
        self.boot_id = boot_id
        self._direct_bytes_min = direct_bytes_min
        self._open_strips_max = open_strips_max
        self.service = self._start()
        self.service.call(CONTEXT, PrepareFormat(Shape(CLUSTER, servers, block_size), self.index))
        self.service.call(CONTEXT, CommitFormat(CLUSTER))

    def _start(self) -> DataService:
        service = self.unstarted()
        service.start()
        return service

    def unstarted(self) -> DataService:
        """Make a server on this disk whose start is the test's business."""
        settings = DataSettings(
            self.index,
            self.boot_id,
            direct_bytes_min=self._direct_bytes_min,
            append_bytes_min=self._direct_bytes_min // 2,
            open_strips_max=self._open_strips_max,
        )
        return DataService(
            settings=settings,
            disk=self.disk,
            neighbours=FakeDataServers(0),
            clock=FakeClock(),
            random=SystemRandom(),
            tasks=IdleTasks(),
            events=self.events,
        )

    def kill(self) -> None:
        """Kill -9 and start again: the kernel keeps what was written."""
        self.service = self._start()

    def restart(self) -> None:
        """Stop cleanly and start again."""
        self.service.stop()
        self.service = self._start()

    def reboot(self) -> None:
        """Start again after the machine stopped."""
        self.boot_id += "'"
        self.service = self._start()

    def checkpoint(self) -> None:
        """Put all in place that is in the journal."""
        blocks = self.service._blocks
        assert blocks is not None
        blocks.checkpoint.run()

    def tick(self, now_s: float) -> None:
        """Do what the background task does every few seconds."""
        blocks = self.service._blocks
        assert blocks is not None
        blocks.checkpoint.run_if_due(now_s)

    def put(self, ino: int, gen: Generation, *segments: tuple[Role, int, Sequence[bytes]], ticket: int | None = None) -> None:
        """Store blocks: (role, first block, data of each) per segment."""
        self.service.call(CONTEXT, self.put_request(ino, gen, *segments, ticket=ticket))

    def put_request(
        self, ino: int, gen: Generation, *segments: tuple[Role, int, Sequence[bytes]], ticket: int | None = None
    ) -> Put:
        sums = [
            checksum(Ino(ino), BlockNo(first + at * self.servers), gen, block)
            for _, first, blocks in segments
            for at, block in enumerate(blocks)
        ]
        return Put(
            Ino(ino),
            Ticket(ticket_of(gen) if ticket is None else ticket),
            gen,
            tuple(Segment(role, BlockNo(first), len(blocks), len(blocks[-1])) for role, first, blocks in segments),
            pack_checksums(sums),
            b"".join(block for _, _, blocks in segments for block in blocks),
        )

    def get(
        self, ino: int, role: Role, first: int, count: int = 1, *, cuts: tuple[Cut, ...] = (), newest_cut: int = 1 << 39
    ) -> list[Block]:
        """Read blocks, once with data and once without; both must agree."""
        run = Run(role, BlockNo(first), count)
        answer = self.service.call(CONTEXT, Get(Ino(ino), Ticket(newest_cut), cuts, (run,), (run,)))
        copies = unpack_copies(answer.copies)
        assert copies[:count] == copies[count:]
        blocks, at = [], 0
        for number, copy in enumerate(copies[:count]):
            data = answer.data[at : at + copy.length]
            at += copy.length
            if copy.state is CopyState.PRESENT:
                block_no = BlockNo(first + number * self.servers)
                assert checksum(Ino(ino), block_no, copy.generation, data) == copy.checksum
            blocks.append(Block(copy.state, copy.generation, data))
        assert at == len(answer.data)
        return blocks

    def one(self, ino: int, role: Role, block: int, *, cuts: tuple[Cut, ...] = ()) -> Block:
        return self.get(ino, role, block, cuts=cuts)[0]

    def copy(self, ino: int, role: Role, block: int, *, cuts: tuple[Cut, ...] = ()) -> Copy:
        """Return what Get says of a block, as a Repair names it."""
        run = Run(role, BlockNo(block), 1)
        return unpack_copies(self.service.call(CONTEXT, Get(Ino(ino), Ticket(1 << 39), cuts, (), (run,))).copies)[0]

    def repair(
        self, ino: int, role: Role, block: int, replaces: Copy, gen: Generation, data: bytes, *, newest_cut: int = 1 << 39
    ) -> None:
        summed = checksum(Ino(ino), BlockNo(block), gen, data)
        self.service.call(CONTEXT, Repair(Ino(ino), Ticket(newest_cut), role, BlockNo(block), replaces, gen, summed, data))

    def sync(self, ino: int) -> None:
        self.service.call(CONTEXT, Sync(Ino(ino)))

    def clean(self, ino: int, *cuts: Cut) -> None:
        self.service.call(CONTEXT, Clean(Ino(ino), cuts))

    def fence(self, ino: int, ticket: int, *cuts: Cut) -> int:
        return self.service.call(CONTEXT, Fence(Ino(ino), Ticket(ticket), cuts)).end_bytes

    def note_mark(self, mark: int) -> None:
        self.service.call(CONTEXT, NoteMark(mark))

    def mark(self) -> int:
        return self.service.call(CONTEXT, Identify()).mark

    def drop(self, *inos: int) -> None:
        self.service.call(CONTEXT, Drop(tuple(Ino(ino) for ino in inos)))
