"""The judgement at the end of a run, when nothing is broken any more: all is there, nothing else is, and all servers agree.

Reads through a mount of its own and asks the servers directly. What is wrong goes to Observed.wrong. Called by run.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable

from dfs.cli.tools.scrub import order_scrub
from dfs.client.filesystem import FileSystem
from dfs.core.contexts import PlainContext
from dfs.core.errors import DfsError, NoGoodCopy, NotFound, WouldBlock
from dfs.core.ids import BlockNo, Ino, ServerIndex
from dfs.core.locks import LockKind, LockOwner, whole_file
from dfs.core.messages.blocks import CopyState, Get, ListInodes, Run, unpack_copies
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.scrub import ScrubCounts, ScrubResult, ShowScrub
from dfs.core.placement import Role
from dfs.data.scrub.neighbour_watch import ASK_AGAIN_S
from dfs.meta.parts import Parts
from dfs.meta.state.invariants import broken_invariants
from dfs.meta.upkeep.strays import QUARANTINE_DAYS
from tests.sim.cluster import MountMachine, SimulatedCluster
from tests.sim.contents import AppendFile, Look, Outcome
from tests.sim.names import Kind, NameOp, Node, explain
from tests.sim.plan import BLOCK_BYTES, Do, Harm, Plan
from tests.sim.programs import TARGET, Observed, listed, path_of, signature

SETTLE_S_MAX = 120.0
"""How long cleaning, reclaiming and rebuilding may take when nothing is broken."""
READ_BYTES_MAX = 1 << 16
CALLS_MIN, CALLS_PER_STEP, CALLS_PER_S = 200, 20, 2
"""What all processes may call together: in any run, for each step, and for each process in each second."""
SCRUB_CALLS_PER_STRIP = 3
"""One look, as a strip here is shorter than a batch; what differs takes up to seven calls, but few strips do."""
CTX = PlainContext("judge")


class Judge:
    """Judges one run."""

    def __init__(self, cluster: SimulatedCluster, observed: Observed, plan: Plan) -> None:
        self._cluster = cluster
        self._baton = cluster.baton
        self._observed = observed
        self._plan = plan
        self._unreadable: set[bytes] = set()
        """Files with a block of which there is no good copy, and need not be."""

    def judge(self) -> None:
        """Look at everything."""
        cluster = self._cluster
        self._wait_for(self._is_meta_writing, "the meta-server does not write again")
        self._machine = machine = MountMachine(cluster, 99)
        fs = cluster.mount(machine)
        process = machine.process
        assert process is not None
        task = self._baton.spawn(process, "judge", lambda: self._look(fs))
        if not task.join(SETTLE_S_MAX * 4):
            self._wrong("the judge itself does not come to an end")

    def _look(self, fs: FileSystem) -> None:
        fs.start(CTX)
        self._wait_for(self._are_servers_complete, "the data servers are not complete")
        self._wait_for(self._have_mounts_told, "mounts have not told the meta-server what they wrote")
        self._wait_for_meta()
        self._let_strays_go()
        if self._plan.scrubs and self._is_all_good_after_scrubs():
            self._judge_all_copies(fs)  # nobody has read anything yet
        self._judge_names(fs)
        self._judge_locks(fs)
        for name in sorted(self._observed.files):
            self._judge_file(fs, name)
        for _ in range(2):  # the first look may have seen a copy that was just being repaired, or have met floors that rotted
            for path in self._paths(fs):
                self._try_read(fs, path)
            self._wait_for(self._are_servers_complete, "the data servers are not complete again")
        self._wait_for_meta()
        self._judge_all_copies(fs)
        self._judge_strips()
        self._judge_meta()
        self._judge_calls()

    # --- files and names -----------------------------------------------------------------------------------------------------

    def _judge_file(self, fs: FileSystem, name: str) -> None:
        file = self._observed.files[name]
        stamp = self._observed.stamps.next()
        look = Look("judge", stamp, self._baton.now_s, stamp, knows_all=True)
        try:
            data = self._try_read(fs, file.path)
        except NotFound:
            if any(change.outcome.name == "ACKNOWLEDGED" and not change.waits for change in file.changes):
                self._wrong(f"{file.path!r} is gone")
            return
        if data is None:
            return
        if isinstance(file, AppendFile):
            self._observed.wrong += file.check(data)
        else:
            self._observed.wrong += [f"at the end: {text}" for text in file.check(look, 0, READ_BYTES_MAX, data)]

    def _judge_names(self, fs: FileSystem) -> None:
        observed = self._observed
        if not observed.names:
            return
        ops = list(observed.names)
        nodes: dict[str, Node] = {}
        unsigned: set[str] = set()
        folders = [""]
        for folder in folders:
            began = observed.stamps.next()
            seen = frozenset(map(listed, fs.list_folder(CTX, path_of(folder))))
            ops.append(NameOp(10**6, Kind.LIST, folder, "", began, observed.stamps.next(), is_known=True, seen=seen))
            for entry in sorted(seen):
                path = f"{folder}/{entry.name}".lstrip("/")
                nodes[path] = Node(entry.kind, 0 if entry.kind == "folder" else self._maker(fs, path, entry.kind, unsigned))
                if entry.kind == "folder":
                    folders.append(path)
        found = explain(ops, None if unsigned else nodes)
        if isinstance(found, str):
            self._wrong(f"names: {found}")

    def _maker(self, fs: FileSystem, path: str, kind: str, unsigned: set[str]) -> int:
        """Return who made a file or symbolic link; note in `unsigned` if nobody can tell."""
        if kind == "link":
            return int(fs.readlink(CTX, path_of(path)).removeprefix(TARGET))
        by_signature = {signature(op.number): op.number for op in self._observed.names}
        data = self._try_read(fs, path_of(path))
        maker = None if data is None else by_signature.get(data)
        if data is None:
            unsigned.add(path)
        elif maker is None and self._is_part(data, by_signature):
            unsigned.add(path)  # its maker was interrupted, or killed, before it had signed
        elif maker is None:
            self._wrong(f"/names/{path} holds what nobody wrote: {data[:60]!r}")
        return maker or 0

    def _judge_locks(self, fs: FileSystem) -> None:
        """Every program has closed its files, or its session is over: nothing is locked any more."""
        for name in self._observed.locks.files:
            handle = fs.create(CTX, b"/" + name.encode(), 0o644, os.O_RDWR | os.O_CREAT)
            for kind in LockKind:
                try:
                    fs.lock(CTX, handle, LockOwner(kind, 1), whole_file(is_exclusive=True, pid=1), wait=False)
                except WouldBlock:
                    self._wrong(f"/{name}: a {kind.name.lower()} lock is still there, and nobody who holds it")
            fs.release(CTX, handle)

    def _is_part(self, data: bytes, signatures: Iterable[bytes]) -> bool:
        """Tell whether a file was signed in part; after a blackout blocks may be missing that were not synced."""
        if any(whole.startswith(data) for whole in signatures):
            return True
        if not self._observed.blackouts:
            return False
        blocks = {whole[at : at + BLOCK_BYTES] for whole in signatures for at in range(0, len(whole), BLOCK_BYTES)}
        return all(
            not any(data[at : at + BLOCK_BYTES]) or data[at : at + BLOCK_BYTES] in blocks for at in range(0, len(data), BLOCK_BYTES)
        )

    def _paths(self, fs: FileSystem) -> list[bytes]:
        paths, folders = [], [b""]
        for folder in folders:
            for entry in fs.list_folder(CTX, folder or b"/"):
                path = folder + b"/" + entry.name
                if stat.S_ISREG(entry.attributes.mode):
                    paths.append(path)
                elif stat.S_ISDIR(entry.attributes.mode):
                    folders.append(path)
        return paths

    def _try_read(self, fs: FileSystem, path: bytes) -> bytes | None:
        """Read a file; None if that fails for a reason that may be.

        A write that was never acknowledged may have reached one server alone. What rots there has no good copy, and nobody can
        tell that it does not matter.
        """
        try:
            return self._read(fs, path)
        except NoGoodCopy as error:
            if not self._plan.harms_copies or not self._may_be_on_one_server(path, error.block_no * BLOCK_BYTES):
                raise
            self._unreadable.add(path)
            return None

    def _may_be_on_one_server(self, path: bytes, offset: int) -> bool:
        file = self._observed.files.get(path.removeprefix(b"/").decode())
        if file is None:
            return bool(self._observed.unsigned)
        unsure = [
            change
            for change in file.changes
            if (change.outcome is not Outcome.ACKNOWLEDGED or change.waits) and change.end is not None
        ]
        if isinstance(file, AppendFile):
            return bool(unsure)
        return any(change.covers(byte) for change in unsure for byte in range(offset, offset + BLOCK_BYTES))

    def _read(self, fs: FileSystem, path: bytes) -> bytes:
        handle = fs.open(CTX, path, 0)
        try:
            return fs.read(CTX, handle, READ_BYTES_MAX, 0)
        finally:
            fs.release(CTX, handle)

    # --- servers -------------------------------------------------------------------------------------------------------------

    def _are_servers_complete(self) -> bool:
        return all(self._cluster.is_complete(machine) for machine in self._cluster.data)

    def _backlog(self) -> dict[str, int]:
        """Return what meta still has to do."""
        service = self._cluster.meta.service
        parts = service._parts if service is not None else None
        if parts is None:
            return {"starts of meta": 1}
        counts = (
            "SELECT (SELECT count(*) FROM cut), (SELECT count(*) FROM reclaim), (SELECT count(*) FROM inode WHERE nlink = 0), "
            "count(*) FROM grant_ WHERE fence != 0"
        )
        ((cuts, removed, orphans, settling),) = parts.store.read(lambda reader: reader.all(counts))
        dead = parts.sessions.count() - sum(machine.is_running for machine in (*self._cluster.mounts, self._machine))
        return {"cuts": cuts, "removed": removed, "orphans": orphans, "settling": settling, "sessions of the dead": max(0, dead)}

    def _is_all_good_after_scrubs(self) -> bool:
        """Have all servers scrub what they hold, until all of it was compared and nothing was left to be repaired.

        Result: whether they found a good copy of everything; if not, reading tells whether that may be.
        """
        assert self._machine.tools is not None
        meta, servers = self._machine.tools
        until_s, counts = self._baton.now_s + SETTLE_S_MAX, [ScrubCounts(left=1)]
        while any(each.left or (each.damaged and not self._plan.harms_copies) for each in counts):
            if self._baton.now_s > until_s:
                self._wrong(f"scrubs do not come to an end {SETTLE_S_MAX:.0f} s after all was mended: {counts}")
                break
            orders = order_scrub(CTX, meta, servers, None)
            results: dict[ServerIndex, ScrubResult] = {}
            while not (results and all(result.is_done for result in results.values())):
                self._baton.sleep(0.5)
                results = {server: servers.call(CTX, server, ShowScrub(number)) for server, number in orders.items()}
            counts = [result.counts for result in results.values()]
        return not any(each.damaged for each in counts)

    def _judge_all_copies(self, fs: FileSystem) -> None:
        for path in self._paths(fs):
            if path not in self._unreadable:
                self._judge_copies(path, fs.getattr(CTX, path))

    def _judge_copies(self, path: bytes, attributes: Attributes) -> None:
        """Both replicas of every block below the size are the same."""
        content = attributes.content
        layout = content.layout
        for number in range(-(-content.size_bytes // layout.block_size)):
            block_no = BlockNo(number)
            copies = []
            for role in Role:
                service = self._cluster.data[layout.server_of(block_no, role)].service
                assert service is not None
                request = Get(attributes.ino, content.newest_cut, content.cuts, (Run(role, block_no, 1),), ())
                try:
                    found = service.call(CTX, request)
                except DfsError as error:
                    self._wrong(f"{path!r} block {number}: the {role.name} server says {error!r}")
                    return
                copies.append((unpack_copies(found.copies)[0], found.data))
            if {copy.state for copy, _ in copies} == {CopyState.ABSENT, CopyState.UNKNOWN}:
                continue  # zeros; which of these a record in a hole is, only its own server can learn
            if copies[0] != copies[1]:
                shown = [f"{copy.state.name} {copy.length} bytes, generation {copy.generation:#x}" for copy, _ in copies]
                self._wrong(f"{path!r} (inode {attributes.ino}) block {number}: the copies differ: {shown[0]}; {shown[1]}")

    def _strays(self) -> list[tuple[str, Ino]]:
        """Return the inodes that meta does not know, with the data servers that hold strips of them."""
        known = {ino for (ino,) in self._meta().store.read(lambda reader: reader.all("SELECT ino FROM inode"))}
        found = []
        for machine in self._cluster.data:
            assert machine.service is not None
            found += [(machine.name, ino) for ino in machine.service.call(CTX, ListInodes(Ino(0), 4096)).inos if ino not in known]
        return found

    def _let_strays_go(self) -> None:
        """Let the week pass, for whoever counts it, after which meta gives up strips that a late request made again, or that a
        server copied back, or found unsynced, after it had dropped them.
        """
        self._wait_for(lambda: self._meta().care.rollback.may_doubt, "meta does not know the marks of all servers")
        for waited_s in (0.0, QUARANTINE_DAYS * 86_400.0):
            if self._strays():
                self._scan(waited_s)
        self._wait_for(lambda: not self._strays(), "strips without an inode are there")
        self._wait_for_meta()

    def _scan(self, waited_s: float) -> None:
        """Have meta look for strays as if its last look were so long ago."""
        strays, worker, now_s = self._meta().care.strays, self._meta().workers.strays, self._cluster.meta.clock.monotonic_s()
        if strays._scanned_s is not None:
            strays._scanned_s -= waited_s
        strays._due_s = now_s
        worker.wake()
        self._wait_for(lambda: strays._due_s > now_s, "meta does not look for strips without an inode")

    def _judge_strips(self) -> None:
        """No data server holds a strip of an inode that meta does not know."""
        for name, ino in self._strays():
            self._wrong(f"{name} holds strips of inode {ino}, which meta does not know")

    def _meta(self) -> Parts:
        """Return the parts of the meta-server, which runs."""
        service = self._cluster.meta.service
        assert service is not None
        assert service._parts is not None
        return service._parts

    def _judge_meta(self) -> None:
        broken = self._meta().store.read(lambda reader: list(broken_invariants(reader)))
        self._observed.wrong += [f"meta: {text}" for text in broken]

    def _judge_calls(self) -> None:
        """All together make no more calls than the work and the time that has passed explain, whatever goes wrong: no storms.

        Three times what was seen in the worst of 120 runs. What one operation may cost is tested elsewhere, call by call.
        """
        processes = len(self._cluster.machines) + 1
        limit = CALLS_MIN + CALLS_PER_STEP * len(self._plan.steps) + CALLS_PER_S * processes * self._baton.now_s
        made = sum(self._cluster.network.calls.values())
        if made > limit:
            most = self._cluster.network.calls.most_common(5)
            self._wrong(f"{made} calls for {len(self._plan.steps)} steps in {self._baton.now_s:.0f} s; most of them: {most}")
        made, limit = sum(self._cluster.network.scrub_calls.values()), self._scrub_calls_max()
        if made > limit:
            most = self._cluster.network.scrub_calls.most_common(5)
            self._wrong(f"{made} calls for scrubs in {self._baton.now_s:.0f} s, expected at most {limit:.0f}; most of them: {most}")

    def _scrub_calls_max(self) -> float:
        """Return what scrubs may call: in each pass a few calls for each strip that its server may have held, and now and then
        a question whether a neighbour can be compared with.

        A pass begins because somebody asks, or because a clock was set; what a start interrupts may be done once more.
        """
        plan, cluster = self._plan, self._cluster
        orders = sum(count for name, count in cluster.network.calls.items() if name.endswith(".Scrub"))
        if plan.messages.duplicate:
            orders *= 2
        jumps = sum(fault.harm is Harm.SET_CLOCK and fault.target.startswith("data") for fault in plan.faults)
        passes = orders + jumps + sum(machine.starts for machine in cluster.data)
        inodes = len(self._observed.files) + sum(step.do in (Do.CREATE, Do.ORPHAN) for step in plan.steps)
        return SCRUB_CALLS_PER_STRIP * passes * 2 * inodes + 2 * self._baton.now_s / ASK_AGAIN_S * plan.servers

    def _have_mounts_told(self) -> bool:
        """Tell whether meta knows the sizes of all that was written; a close that was refused leaves that to the mount."""
        running = [machine.fs for machine in self._cluster.mounts if machine.is_running and machine.fs is not None]
        return not any(
            fs._back.is_any_dirty or fs._grants.unsaved() or any(map(fs._grants.unfinished, fs._grants.inodes())) for fs in running
        )

    def _is_meta_writing(self) -> bool:
        service = self._cluster.meta.service
        parts = service._parts if service is not None and self._cluster.meta.endpoint.service is not None else None
        return parts is not None and parts.store.failure is None

    # --- inside --------------------------------------------------------------------------------------------------------------

    def _wait_for_meta(self) -> None:
        self._wait_for(lambda: not any(self._backlog().values()), "meta still has work")
        left = {what: count for what, count in self._backlog().items() if count}
        if left:
            self._wrong(f"left to do: {left}")

    def _wait_for(self, is_so: Callable[[], bool], otherwise: str) -> None:
        until_s = self._baton.now_s + SETTLE_S_MAX
        while not is_so():
            if self._baton.now_s > until_s:
                self._wrong(f"{otherwise} {SETTLE_S_MAX:.0f} s after all was mended")
                return
            self._baton.sleep(0.5)

    def _wrong(self, text: str) -> None:
        self._observed.wrong.append(text)
