"""A meta-server in this process, on a real database file, with fake data servers and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from dfs.core.cuts import Cut
from dfs.core.errors import EndReason
from dfs.core.ids import NO_OP, NO_SESSION, ROOT_INO, Ino, OpId, SessionId, Ticket
from dfs.core.interfaces import ROOT_CALLER, Caller
from dfs.core.messages.content import Opened
from dfs.core.messages.inodes import Attributes, Content
from dfs.core.messages.names import Create, Lookup
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import Heartbeat, Holding, OpenFile, OpenSession
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from dfs.meta.parts import Parts
from dfs.meta.service import MetaService
from dfs.meta.settings import MetaSettings
from dfs.meta.state.room import Look, no_limit
from tests.harness.fake_clock import FakeClock
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.recorded_events import RecordedEvents
from tests.harness.waiting import wait_until

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class FakeContext:
    """A caller."""

    session: SessionId = NO_SESSION
    caller: Caller = ROOT_CALLER
    acknowledged: OpId = NO_OP
    request_id: str = "test"
    deadline_s: float | None = None
    end: Callable[[], EndReason | None] = lambda: None

    def cancelled(self) -> EndReason | None:
        return self.end()


@dataclass
class Mount:
    """A client session, with operation numbers that rise."""

    meta: MetaUnderTest
    session: SessionId
    caller: Caller = ROOT_CALLER
    ops: list[int] = field(default_factory=lambda: [0])
    acknowledged: int = 0

    def op(self) -> OpId:
        self.ops[0] += 1
        return OpId(self.ops[0])

    def context(self) -> FakeContext:
        return FakeContext(self.session, self.caller, OpId(self.acknowledged))

    def call(self, request: Request[A]) -> A:
        return self.meta.service.call(self.context(), request)

    def create(self, path: bytes, mode: int = 0o644, *, exclusive: bool = False) -> Opened:
        return self.call(Create(self.op(), ROOT_INO, path, mode, exclusive))

    def look(self, path: bytes, base: Ino = ROOT_INO) -> Attributes:
        return self.call(Lookup(base, path))

    def acting_as(self, uid: int, gid: int, *groups: int) -> Mount:
        """Return this mount used by another user."""
        return replace(self, caller=Caller(uid, gid, groups))


@dataclass
class MetaUnderTest:
    """A meta-server that can be crashed and started again."""

    path: Path
    settings: MetaSettings
    clock: FakeClock = field(default_factory=FakeClock)
    servers: FakeDataServers = field(default_factory=FakeDataServers)
    events: RecordedEvents = field(default_factory=RecordedEvents)
    bugs: list[str] = field(default_factory=list)
    look: Look = no_limit
    nonces: int = 0

    def __post_init__(self) -> None:
        self.dead: list[MetaService] = []
        self.service = self._new()

    def _new(self) -> MetaService:
        tasks = ThreadTasks(on_bug=lambda: self.bugs.append("a task died"))
        return MetaService(self.settings, str(self.path), self.clock, SystemRandom(), tasks, self.servers, self.events, self.look)

    def start(self) -> None:
        self.service.start()

    def crash(self) -> None:
        """Go on with a new object on the same file, as after kill -9: nothing of the old one is closed or written."""
        for worker in self.running().workers.all():
            worker.ask_to_stop()
        self.dead.append(self.service)
        self.service = self._new()
        self.start()

    def stop(self) -> None:
        for service in [self.service, *self.dead]:
            service.stop()
        assert not self.bugs

    def running(self) -> Parts:
        """Return the parts of the running service."""
        assert self.service._parts is not None
        return self.service._parts

    def age(self, duration_s: float, *heard: Mount) -> None:
        """Let time pass in steps in which leases are looked at, while the mounts in `heard` renew theirs."""
        for _ in range(int(duration_s)):
            self.clock.advance(1.0)
            for mount in heard:
                self.running().sessions.heard(mount.session)
            self.running().workers.expirer.wake()
            wait_until(lambda: self.running().sessions._looked_s == self.clock.monotonic_s())

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that background work brings about, letting its delays pass."""

        def look() -> bool:
            self.clock.advance(0.5)
            return condition()

        wait_until(look)

    def content(self, ino: int) -> Content:
        """Return what is committed of a file, also while it is being settled: this caller does not wait for that."""
        return self.service.call(FakeContext(end=lambda: EndReason.DEADLINE), Lookup(Ino(ino), b"")).content

    def mount(self, *, nonce: bytes | None = None) -> Mount:
        self.nonces += 1
        chosen = nonce if nonce is not None else self.nonces.to_bytes(16, "big")
        opened = self.service.call(FakeContext(), OpenSession(chosen, "host", b"/mnt", ()))
        return Mount(self, opened.session)


def heartbeat_of(mount: Mount, *closed: OpenFile) -> None:
    """Send a heartbeat whose sender does not stay for the answer."""
    context = FakeContext(mount.session, mount.caller, end=lambda: EndReason.DEADLINE)
    mount.meta.service.call(context, Heartbeat(closed, ()))


def holding(ino: Ino, ticket: int, size_bytes: int, mtime_ns: int = 0, *, dirty: bool = False) -> Holding:
    return Holding(ino, Ticket(ticket), size_bytes, mtime_ns, dirty)


def cut(offset: int, ticket: int) -> Cut:
    return Cut(offset, Ticket(ticket))


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[MetaUnderTest]:
    """A meta-server that formatted four data servers."""
    servers = FakeDataServers()
    running = MetaUnderTest(tmp_path / "meta.db", MetaSettings(data_servers=servers.names), servers=servers)
    running.start()
    wait_until(lambda: servers.cluster != "")
    yield running
    running.stop()
