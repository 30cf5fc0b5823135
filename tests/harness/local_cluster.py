"""A whole cluster in this process: real MetaService, DataServices and FileSystems, wired directly, without RPC.

Faults: a server that is down (`Wire.is_down`), an answer that is lost after the effect (`Wire.lose_answers`), a hook that sees
every call (`Wire.hook`), one that sees it between effect and answer (`Wire.before_answer`). Every mount counts its calls by
request type: those made for its callers (`Mount.calls`) and those of its own tasks (`Mount.background`). Restarts keep the state.
Stands in for dfs/rpc and dfs/cli; the clock, threads and database are the real ones, disks are in memory, and lose what was not
synced when their machine's power is cut.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings, WriteBackSettings
from dfs.core.capability import Signer, Verifier
from dfs.core.config import ExportConfig
from dfs.core.contexts import OnBehalfContext, PlainContext
from dfs.core.errors import DfsError, EndReason, Unreachable
from dfs.core.ids import NO_OP, NO_SESSION, OpId, ServerIndex, SessionId
from dfs.core.interfaces import ROOT_CALLER, BlockApi, CallContext, Caller, MetaApi, raise_if_cancelled
from dfs.core.messages.requests import Request
from dfs.core.peers import THIS_PROCESS, Peer, PeerKind
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.clock import SystemClock
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from dfs.meta.service import MetaService
from dfs.meta.settings import MetaSettings
from tests.harness.memory_disk import MemoryDisk
from tests.harness.recorded_events import RecordedEvents
from tests.harness.waiting import wait_until

A = TypeVar("A")
ALICE = Peer("10.0.0.1", PeerKind.CLIENT, name="alice")
"""Who mounts, where there is a key."""
Hook = Callable[[Request[Any]], None]


class CallerContext:
    """A system call's context; `end` asks it to end."""

    def __init__(self, caller: Caller = ROOT_CALLER, request_id: str = "test") -> None:
        self.request_id = request_id
        self.caller = caller
        self.session: SessionId = NO_SESSION
        self.acknowledged: OpId = NO_OP
        self.deadline_s: float | None = None
        self.reason: EndReason | None = None

    def end(self, reason: EndReason = EndReason.SIGNAL) -> None:
        """Do what SIGKILL does."""
        self.reason = reason

    def cancelled(self) -> EndReason | None:
        return self.reason


class Wire:
    """The way to one server, with faults."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.service: MetaApi | BlockApi | None = None
        self.is_down = False
        self.lost: Counter[type[Request[Any]]] = Counter()
        self.hook: Hook | None = None
        self.before_answer: Hook | None = None
        """Called when a request has had its effect and its answer is on the way."""

    def lose_answers(self, kind: type[Request[Any]], count: int = 1) -> None:
        """Lose the next answers to requests of a type, after their effect."""
        self.lost[kind] += count

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        raise_if_cancelled(ctx)
        if self.hook is not None:
            self.hook(request)
        service = self.service
        if self.is_down or service is None:
            raise Unreachable(self.name, "connection refused")
        answer = service.call(ctx, request)
        if self.before_answer is not None:
            self.before_answer(request)
        raise_if_cancelled(ctx)
        if self.service is not service:
            raise Unreachable(self.name, "the connection broke")
        if self.lost[type(request)]:
            self.lost[type(request)] -= 1
            raise Unreachable(self.name, "the connection broke")
        return answer


def coming_from(ctx: CallContext, peer: Peer) -> CallContext:
    """Return a call's context as it arrives from a peer."""
    return OnBehalfContext(ctx, replace(ctx.caller, peer=peer))


class Calls:
    """Calls by request type: for callers, and by the mount's own tasks."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.background: Counter[str] = Counter()

    def count(self, ctx: CallContext, request: Request[Any]) -> None:
        """Count one call."""
        counter = self.background if ctx.request_id in ("heartbeat", "recalls", "upkeep") else self.made
        counter[type(request).__name__] += 1


@dataclass
class WiredMeta:
    """MetaApi of one caller, counting."""

    wire: Wire
    calls: Calls
    peer: Peer = THIS_PROCESS

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        self.calls.count(ctx, request)
        return self.wire.call(coming_from(ctx, self.peer), request)


@dataclass
class WiredServers:
    """DataServers of one caller, counting."""

    wires: Mapping[ServerIndex, Wire]
    calls: Calls
    peer: Peer = THIS_PROCESS
    addresses: dict[ServerIndex, str] = field(default_factory=dict)
    cluster: str = ""

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        raise_if_cancelled(ctx)
        ctx = coming_from(ctx, self.peer)
        answers: dict[ServerIndex, A | DfsError] = {}
        for server, request in calls.items():
            self.calls.count(ctx, request)
            try:
                answers[server] = self.wires[server].call(ctx, request)
            except DfsError as error:
                raise_if_cancelled(ctx)
                answers[server] = error
        return answers

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        answer = self.call_all(ctx, {server: request})[server]
        if isinstance(answer, DfsError):
            raise answer
        return answer

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        self.addresses, self.cluster = dict(addresses), cluster


@dataclass
class Mount:
    """A mount of the cluster."""

    fs: FileSystem
    counted: Calls
    events: RecordedEvents
    meta: Wire

    @property
    def calls(self) -> Counter[str]:
        """Calls made for callers."""
        return self.counted.made

    @property
    def background(self) -> Counter[str]:
        """Calls made by the mount's own tasks."""
        return self.counted.background

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """Count the calls made for callers within."""
        before = Counter(self.calls)
        made: Counter[str] = Counter()
        yield made
        made.update(self.calls - before)


class LocalCluster:
    """One meta-server, N data servers, any number of mounts. Use it in a `with`."""

    def __init__(
        self,
        folder: Path,
        servers: int = 4,
        block_size: int = 512,
        keys: Sequence[bytes] = (),
        exports: Sequence[ExportConfig] = (),
    ) -> None:
        """`keys`: of capabilities, the newest first; none: there is no key, and mounts need no capabilities."""
        self.keys = list(keys)
        self.exports = tuple(exports)
        self.clock, self.random = SystemClock(), SystemRandom()
        self.bugs: list[str] = []
        self.tasks = ThreadTasks(on_bug=lambda: self.bugs.append(threading.current_thread().name))
        self.meta_events, self.data_events = RecordedEvents(), RecordedEvents()
        self.indexes = [ServerIndex(index) for index in range(servers)]
        self.disks = {server: MemoryDisk() for server in self.indexes}
        self.boots = dict.fromkeys(self.indexes, 0)
        """How often each data server's machine was started again."""
        self.meta_wire = Wire("meta")
        self.wires = {server: Wire(f"data server {server}") for server in self.indexes}
        self.addresses = tuple(f"127.0.0.1:{9100 + index}" for index in range(servers))
        self.mounts: list[Mount] = []
        self._store_path = str(folder / "meta.db")
        self._block_size = block_size
        self._data: dict[ServerIndex, DataService] = {}
        self._meta: MetaService | None = None

    def __enter__(self) -> LocalCluster:
        for server in self.indexes:
            self.start_data(server)
        self.start_meta()
        return self

    def __exit__(self, *failure: object) -> None:
        for mount in self.mounts:
            mount.fs.stop(PlainContext())
        self.stop_meta()
        for server in self.indexes:
            self.stop_data(server)
        assert not self.bugs, f"tasks died: {self.bugs}"

    # --- servers -------------------------------------------------------------------------------------------------------------

    def start_data(self, server: ServerIndex) -> None:
        settings = DataSettings(index=server, boot_id=f"boot-{self.boots[server]}", addresses=self.addresses)
        self._data[server] = service = DataService(
            settings=settings,
            disk=self.disks[server],
            neighbours=WiredServers(self.wires, Calls()),
            clock=self.clock,
            random=self.random,
            tasks=self.tasks,
            events=self.data_events,
            verifier=Verifier(lambda: self.keys) if self.keys else None,
        )
        service.start()
        self.wires[server].service = cast(BlockApi, service)

    def stop_data(self, server: ServerIndex) -> None:
        self.wires[server].service = None
        self._data.pop(server).stop()

    def power_cut(self, *servers: ServerIndex, keep: Callable[[], bool] = lambda: False) -> None:
        """Cut the power of data servers' machines at once, and start them again; `keep` as for MemoryDisk.power_cut."""
        for server in servers:
            self.wires[server].service = None  # no answer of the old process counts from now on
        for server in servers:
            self.disks[server] = self.disks[server].after_power_cut(keep)
            self.boots[server] += 1
            self._data.pop(server).stop()  # it goes on with a disk that is no more
        for server in servers:
            self.start_data(server)

    def start_meta(self) -> None:
        settings = MetaSettings(block_size=self._block_size, data_servers=self.addresses, exports=self.exports)
        servers = WiredServers(self.wires, Calls())
        self._meta = MetaService(
            settings,
            self._store_path,
            self.clock,
            self.random,
            self.tasks,
            servers,
            self.meta_events,
            signer=Signer(lambda: self.keys) if self.keys else None,
        )
        self._meta.start()
        self.meta_wire.service = self._meta

    def stop_meta(self) -> None:
        self.meta_wire.service = None
        if self._meta is not None:
            self._meta.stop()
            self._meta = None

    @property
    def meta(self) -> MetaService:
        """The running meta-server."""
        assert self._meta is not None
        return self._meta

    def expire(self, mount: Mount) -> SessionId:
        """Let a mount's lease run out, as if nothing had been heard of it for LEASE_META_S; return the session's number.

        Its next heartbeat, or whatever it calls first, is told.
        """
        number = mount.fs.session
        parts = self.meta._parts
        assert parts is not None

        def is_expired() -> bool:
            live = parts.sessions._live.get(number)
            if live is not None:
                live.heard_s = -1e6
            return live is None

        wait_until(is_expired, "the session to expire", 5)
        return number

    # --- mounts --------------------------------------------------------------------------------------------------------------

    def mount(
        self,
        *,
        attr_timeout_s: float = 1.0,
        start_timeout_s: float = 10.0,
        peer: Peer | None = None,
        write_back: WriteBackSettings | None = None,
    ) -> Mount:
        """Mount once more."""
        mount = self.unstarted_mount(
            attr_timeout_s=attr_timeout_s, start_timeout_s=start_timeout_s, peer=peer, write_back=write_back
        )
        mount.fs.start(PlainContext())
        self.mounts.append(mount)
        return mount

    def unstarted_mount(
        self,
        *,
        attr_timeout_s: float = 1.0,
        start_timeout_s: float = 10.0,
        peer: Peer | None = None,
        write_back: WriteBackSettings | None = None,
    ) -> Mount:
        """Make a mount whose start is the test's business. `peer`: as whom the servers know it."""
        peer = peer or (ALICE if self.keys else THIS_PROCESS)
        calls = Calls()
        events = RecordedEvents()
        settings = MountSettings("localhost", b"/mnt", self.addresses, attr_timeout_s, start_timeout_s, write_back=write_back)
        own_wire = Wire("meta")
        own_wire.service = cast(MetaApi, self.meta_wire)
        fs = FileSystem(
            settings=settings,
            meta=WiredMeta(own_wire, calls, peer),
            servers=WiredServers(self.wires, calls, peer),
            clock=self.clock,
            random=self.random,
            tasks=self.tasks,
            events=events,
        )
        return Mount(fs, calls, events, own_wire)
