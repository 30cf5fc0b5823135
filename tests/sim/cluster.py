"""A whole cluster in the simulator: machines that keep their disks, and the processes that run on them.

Builds the real services by their constructors, as the programs of dfs/cli do, with everything around them simulated.
A machine outlives its processes: its disk, its clock, its place in the network. Whoever may restart a process as systemd does is
the supervision here: a service that can't go on is ended and started again.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import dfs.meta.service
from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings, WriteBackSettings
from dfs.core.capability import SLACK_S, Right, Signer, Verifier, capability_key, read
from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError
from dfs.core.events.event import Event
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, Clock, Tasks
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify
from dfs.core.peers import Peer, PeerKind
from dfs.data.service import DataService
from dfs.data.settings import JOURNAL_AGE_S_MAX, SCRUB_BYTES_PER_S, SYNC_INTERVAL_S, DataSettings
from dfs.meta.service import MetaService
from dfs.meta.settings import MetaSettings
from dfs.meta.state.store import Store, StoreFailure, _Job
from tests.harness.baton import Baton, Process
from tests.harness.memory_diary import MemoryDiary
from tests.harness.recorded_events import RecordedEvents
from tests.harness.simulated_disk import SimulatedDisk
from tests.harness.simulated_network import Endpoint, Network, Sender, SimulatedMeta, SimulatedServers
from tests.harness.simulated_tasks import SeededRandom, SimulatedClock, SimulatedTasks

A = TypeVar("A")

BLOCK_BYTES = 512
LOOK_INTERVAL_S = 1.0
RESTART_S = 0.5
"""After how long a service that ended by itself is started again."""
COMMIT_S_MEAN = 0.001
SEGMENT_BYTES = 64 << 10
CAPABILITY_S = 4.0
"""About how long a capability counts."""
CLOCKS_OFF_NS_MAX = 2 * 10**9
"""By how much the clocks of machines may differ at most, where capabilities are used: less than these count."""


@dataclass
class MetaDisk:
    """The disk under the meta-server's database, as far as SQLite tells of it: what a commit says."""

    refusal: int | None = None
    """SQLITE_FULL or SQLITE_IOERR, with which every commit ends; None: it works."""
    is_written_all_the_same: bool = False
    """Whether what such a commit should have written is there in the end, which nobody can know."""

    def commit(self, write: Callable[[], Any]) -> Any:
        """Carry a commit out, or refuse it. Raises: sqlite3.OperationalError."""
        if self.refusal is None:
            return write()
        if self.is_written_all_the_same:
            write()
        error = sqlite3.OperationalError("told to refuse")
        error.sqlite_errorcode = self.refusal
        raise error


class MetaConnection:
    """A connection to the database on such a disk."""

    def __init__(self, connection: sqlite3.Connection, disk: MetaDisk) -> None:
        self._connection = connection
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Do what sqlite3.Connection.execute does; refuse what would be durable."""
        if sql == "COMMIT" or sql.startswith("INSERT OR REPLACE INTO probe"):
            cursor: sqlite3.Cursor = self._disk.commit(lambda: self._connection.execute(sql, *values))
            return cursor
        return self._connection.execute(sql, *values)


class MetaTasks(SimulatedTasks):
    """Concurrency of the meta-server's process, which finds its disk there."""

    def __init__(self, process: Process, disk: MetaDisk) -> None:
        super().__init__(process)
        self.disk = disk


class SimulatedStore(Store):
    """The meta-server's store, trusted as SQLite is, whose commits take time and may fail, and whose files a kill closes."""

    def __init__(self, path: str, tasks: Tasks, clock: Clock, on_failure: Callable[[StoreFailure], None]) -> None:
        assert isinstance(tasks, MetaTasks)
        self._process, self._disk = tasks.process, tasks.disk
        super().__init__(path, tasks, clock, on_failure)

    def _connect(self) -> Any:
        connection = super()._connect()
        self._process.at_death.append(connection.close)
        return MetaConnection(connection, self._disk)

    def _lead(self, batch: list[_Job[Any]]) -> None:
        self._process.baton.pass_on()
        super()._lead(batch)
        self._process.baton.sleep(COMMIT_S_MEAN)


class HurriedVerifier(Verifier):
    """Believes a capability for some seconds, so that many expire in a run."""

    def require(self, text: str, client: str, ino: Ino, right: Right, ticket: Ticket, now_s: float) -> None:
        """Verify as if it were nearly the end of it."""
        found = read(text)
        early_s = 0.0 if found is None else found.expires_s() - found.issued_s + SLACK_S - CAPABILITY_S
        super().require(text, client, ino, right, ticket, now_s + early_s)


@contextmanager
def simulated_stores() -> Iterator[None]:
    """Have meta-servers use SimulatedStore."""
    with mock.patch.object(dfs.meta.service, "Store", SimulatedStore):
        yield


class Machine:
    """What stays when processes end."""

    def __init__(self, cluster: SimulatedCluster, name: str) -> None:
        self.name = name
        self.baton = cluster.baton
        chance = random.Random(f"{cluster.seed}/{name}")
        start_s, off_ns = chance.uniform(0, 1e6), chance.randrange(1 << 40)
        off_ns %= CLOCKS_OFF_NS_MAX if cluster.keys else 1 << 40
        self.clock = SimulatedClock(self.baton, start_s, 1_700_000_000_000_000_000 + off_ns)
        self.boots = 1
        self.starts = 0
        self.process: Process | None = None
        self.is_wanted = False
        """Whether a process shall run here."""
        self.events = RecordedEvents()

    @property
    def is_running(self) -> bool:
        """Tell whether its process lives."""
        return self.process is not None and self.process.is_alive

    def begin(self) -> Process:
        """Begin a process."""
        assert not self.is_running
        self.starts += 1
        self.process = self.baton.process(self.name)
        return self.process


class DataMachine(Machine):
    """A machine with a data server."""

    def __init__(self, cluster: SimulatedCluster, index: ServerIndex) -> None:
        super().__init__(cluster, f"data{index}")
        self.index = index
        self.disk = SimulatedDisk(f"{cluster.seed}/disk{index}")
        self.endpoint = Endpoint(self.name, cluster.addresses[index], self.clock)
        self.disks_lost = 0
        self.service: DataService | None = None
        cluster.network.add(self.endpoint)


class MetaMachine(Machine):
    """The machine with the meta-server."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        super().__init__(cluster, "meta")
        self.disk = MetaDisk()
        self.endpoint = Endpoint(self.name, "meta:9000", self.clock)
        self.service: MetaService | None = None
        cluster.network.add(self.endpoint)


class WatchedEvents:
    """An event sink of one process whose events somebody hears of at once."""

    def __init__(self, events: RecordedEvents, hear: Callable[[Event], None]) -> None:
        self._events = events
        self._hear = hear

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Keep the event, and tell."""
        self._events.emit(event, ctx)
        self._hear(event)


class MountMachine(Machine):
    """A machine with a mount."""

    def __init__(self, cluster: SimulatedCluster, number: int) -> None:
        super().__init__(cluster, f"mount{number}")
        self.number = number
        self.fs: FileSystem | None = None
        self.on_event: Callable[[Event], None] = lambda event: None
        """Called with each event of a process that begins from now on."""
        self.diary: list[bytes] = []
        """The nonces of sessions that no mount of this machine has ended."""
        self.tools: tuple[SimulatedMeta, SimulatedServers] | None = None
        """What `dfsctl` has to call with."""


class SimulatedCluster:
    """One meta-server, N data servers, any number of mounts. Lives within Baton.run()."""

    def __init__(
        self,
        baton: Baton,
        seed: str,
        folder: Path,
        servers: int,
        mounts: int,
        *,
        scrubs: bool = False,
        keys: bool = False,
        write_back: int = 0,
    ) -> None:
        self.baton = baton
        self.seed = seed
        self.keys = (capability_key(b"simulated"),) if keys else ()
        """Of capabilities; none: mounts need none."""
        self.addresses = tuple(f"data{index}:{9100 + index}" for index in range(servers))
        self.network = Network(baton, random.Random(f"{seed}/network"))
        self.data = [DataMachine(self, ServerIndex(index)) for index in range(servers)]
        self.meta = MetaMachine(self)
        self.mounts = [MountMachine(self, number) for number in range(mounts)]
        chance = random.Random(f"{seed}/sizes")
        self.small = chance.random() < 0.5
        """Whether even small writes go in place instead of to the journal first."""
        self._sync_interval_s = chance.choice((0.3, 1.0, SYNC_INTERVAL_S))
        self._journal_age_s_max = chance.choice((0.5, 3.0, JOURNAL_AGE_S_MAX))
        self._scrub_bytes_per_s = SCRUB_BYTES_PER_S if scrubs else 0
        self._keeps_diaries = random.Random(f"{seed}/diaries").random() < 0.5
        """Whether a mount that comes back after a kill knows the session of the killed one."""
        chance = random.Random(f"{seed}/write back")
        self._write_back = WriteBackSettings(
            file_bytes=chance.choice((2000, 8000, 1 << 20)),
            total_bytes=chance.choice((3000, 1 << 20)),
            age_s=chance.choice((0.05, 1.0, 5.0)),
        )
        self._writing_back = write_back
        self._store_path = str(folder / "meta.db")

    @property
    def machines(self) -> list[Machine]:
        """Return all machines."""
        return [self.meta, *self.data, *self.mounts]

    def machine(self, name: str) -> Machine:
        """Return a machine by name."""
        return next(machine for machine in self.machines if machine.name == name)

    def is_complete(self, machine: DataMachine) -> bool:
        """Tell whether a data server runs and has all that it should have."""
        service = machine.service
        if service is None or not machine.is_running or machine.endpoint.service is None:
            return False
        identity = service.call(background("cluster"), Identify())
        return identity.primary is identity.secondary is RoleState.COMPLETE

    # --- beginning -----------------------------------------------------------------------------------------------------------

    def start(self, machine: Machine) -> None:
        """Start what runs on a machine, in a process of its own; returns before it is ready."""
        machine.is_wanted = True
        if machine.is_running:
            return
        process = machine.begin()
        self.baton.note(f"start {machine.name}")
        if isinstance(machine, DataMachine):
            self.baton.spawn(process, "main", lambda: self._run_data(machine, process))
        elif isinstance(machine, MetaMachine):
            self.baton.spawn(process, "main", lambda: self._run_meta(machine, process))

    def mount(self, machine: MountMachine) -> FileSystem:
        """Begin a mount's process and return its file system; whoever calls starts it in a task of that process."""
        machine.is_wanted = True
        process = machine.begin()
        source = Sender(machine.name, machine.clock, process, Peer(machine.name, PeerKind.CLIENT, name=machine.name))
        tools = replace(source, peer=Peer(machine.name, PeerKind.ADMIN))
        machine.tools = SimulatedMeta(self.network, tools, self.meta.endpoint), SimulatedServers(self.network, tools)
        machine.fs = FileSystem(
            settings=MountSettings(machine.name, b"/mnt", self.addresses, 1.0, 1e9, write_back=self._write_back_of(machine)),
            meta=SimulatedMeta(self.network, source, self.meta.endpoint),
            servers=SimulatedServers(self.network, source),
            clock=machine.clock,
            random=SeededRandom(f"{self.seed}/{machine.name}/{machine.starts}"),
            tasks=SimulatedTasks(process),
            events=WatchedEvents(machine.events, machine.on_event),
            diary=MemoryDiary(machine.diary) if self._keeps_diaries else None,
        )
        return machine.fs

    def _write_back_of(self, machine: MountMachine) -> WriteBackSettings | None:
        return self._write_back if machine.number < self._writing_back else None

    def _run_data(self, machine: DataMachine, process: Process) -> None:
        machine.disk.process = process
        service = DataService(
            settings=DataSettings(
                index=machine.index,
                boot_id=f"boot {machine.boots}",
                addresses=self.addresses,
                sync_interval_s=self._sync_interval_s,
                journal_age_s_max=self._journal_age_s_max,
                segment_bytes=SEGMENT_BYTES,
                direct_bytes_min=1024 if self.small else 32 << 10,
                append_bytes_min=512 if self.small else 8 << 10,
                scrub_bytes_per_s=self._scrub_bytes_per_s,
            ),
            disk=machine.disk,
            neighbours=SimulatedServers(self.network, Sender(machine.name, machine.clock, process)),
            clock=machine.clock,
            random=SeededRandom(f"{self.seed}/{machine.name}/{machine.starts}"),
            tasks=SimulatedTasks(process),
            events=machine.events,
            verifier=HurriedVerifier(lambda: self.keys) if self.keys else None,
        )
        machine.service = service
        self._supervise(machine, process, service, lambda: machine.endpoint.listen(process, service, service.name))

    def _run_meta(self, machine: MetaMachine, process: Process) -> None:
        source = Sender(machine.name, machine.clock, process)
        service = MetaService(
            settings=MetaSettings(block_size=BLOCK_BYTES, data_servers=self.addresses),
            store_path=self._store_path,
            clock=machine.clock,
            random=SeededRandom(f"{self.seed}/{machine.name}/{machine.starts}"),
            tasks=MetaTasks(process, machine.disk),
            servers=SimulatedServers(self.network, source),
            events=machine.events,
            signer=Signer(lambda: self.keys) if self.keys else None,
        )
        machine.service = service
        self._supervise(machine, process, service, lambda: machine.endpoint.listen(process, service))

    def _supervise(
        self, machine: DataMachine | MetaMachine, process: Process, service: DataService | MetaService, listen: Callable[[], None]
    ) -> None:
        """Start a service and look after it, as dfs/host/service.py and systemd do between them."""
        try:
            service.start()
            listen()
            while True:
                self.baton.sleep(LOOK_INTERVAL_S)
                service.check()
        except DfsError as error:
            self.baton.note(f"{machine.name} can't go on: {error}")
            self.baton.at(self.baton.now_s + RESTART_S, lambda: self.start(machine) if machine.is_wanted else None)
            self.kill(machine)

    # --- ending --------------------------------------------------------------------------------------------------------------

    def kill(self, machine: Machine) -> None:
        """End a machine's process as SIGKILL does."""
        process = machine.process
        if process is None or not process.is_alive:
            return
        self.baton.note(f"kill {machine.name}")
        if isinstance(machine, DataMachine | MetaMachine):
            machine.endpoint.close()
            self.network.connections_broken(machine.endpoint)
        self.baton.kill(process)

    def stop(self, machine: DataMachine | MetaMachine) -> None:
        """Stop a machine's service in an orderly way, then end its process. Called by a task of another process."""
        process, service = machine.process, machine.service
        if process is None or not process.is_alive or service is None or machine.endpoint.service is None:
            return
        self.baton.note(f"stop {machine.name}")
        machine.endpoint.close()
        machine.endpoint.is_stopping = True
        self.baton.spawn(process, "stop", service.stop).join(40.0)
        self.kill(machine)

    def cut_power(self, machine: Machine, keep: Callable[[], bool]) -> None:
        """Stop a whole machine: of what was not synced `keep` tells what is left."""
        self.kill(machine)
        self.baton.note(f"power cut {machine.name}")
        machine.boots += 1
        if isinstance(machine, DataMachine):
            machine.disk.power_cut(keep)


def background(name: str) -> PlainContext:
    """Return the context of what a test does by itself."""
    return PlainContext(name)
