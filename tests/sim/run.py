"""One run of the simulator: a plan is carried out, everything heals, and everything is judged.

Phases: the cluster is made; programs work while faults happen (safety: whatever is read is judged at once); all heals and the
programs must come to their end (liveness); then the whole file system is read, and servers are asked what they hold (judging.py).
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dfs.core.contexts import PlainContext
from dfs.core.errors import NoGoodCopy, NoSpace, ReadOnly
from tests.harness.baton import Baton, Crew
from tests.harness.simulated_network import MessageFaults
from tests.sim.cluster import MountMachine, SimulatedCluster, simulated_stores
from tests.sim.faults import Faults
from tests.sim.judging import Judge
from tests.sim.plan import Plan
from tests.sim.programs import FOLDER, Observed, Program

FINISH_S_MAX = 300.0
"""How long after all is mended programs may take to come to their end."""
START_S_MAX = 60.0
PROGRAMS_MAX = 2
MOUNT_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    plan: Plan
    trace_hash: str
    wrong: tuple[str, ...]
    """What must not have been; empty: the run is good."""
    trace: tuple[str, ...]
    """The last lines of the trace."""
    simulated_s: float
    switches: int


class Failure(Exception):
    """The run can't go on to its end."""


class Run:
    """One run."""

    def __init__(self, plan: Plan, crew: Crew, folder: Path) -> None:
        self._plan = plan
        self.baton = Baton(plan.seed, crew)
        self.observed = Observed()
        self._folder = folder
        self._programs: list[Program] = []

    def main(self) -> None:
        """Carry everything out. Runs as the first task."""
        plan, baton = self._plan, self.baton
        self._cluster = cluster = SimulatedCluster(
            baton,
            str(plan.seed),
            self._folder,
            plan.servers,
            plan.mounts,
            scrubs=plan.scrubs,
            keys=plan.keys,
            write_back=plan.write_back,
        )
        self._make()
        cluster.network.faults = plan.messages
        baton.preempt = plan.preempt
        for server in cluster.data:
            server.disk.pass_on_chance = plan.disk_pass_on
        self._faults = Faults(cluster, plan, self.observed, self.start_mount)
        self._faults.begin()
        for machine in cluster.mounts:
            for number in range(PROGRAMS_MAX):
                steps = [step for step in plan.steps if (step.mount, step.program) == (machine.number, number)]
                self._programs.append(Program(baton, machine, number, steps, self.observed))
            if machine.number:
                self.start_mount(machine)
            else:
                self._start_programs(machine)
        self._wait_for_end()
        Judge(cluster, self.observed, plan).judge()

    def start_mount(self, machine: MountMachine) -> None:
        """Start a mount and what is left of its programs."""
        self._listen(machine)
        fs = self._cluster.mount(machine)
        process = machine.process
        assert process is not None

        def begin() -> None:
            try:
                fs.start(PlainContext("mount"))
            except ReadOnly:  # the operator mounts again
                self.baton.note(f"{machine.name} can't be mounted")
                self.baton.at(self.baton.now_s + MOUNT_AGAIN_S, lambda: None if machine.is_running else self.start_mount(machine))
                self._cluster.kill(machine)
            self._start_programs(machine)

        self.baton.spawn(process, "mount", begin)

    def _listen(self, machine: MountMachine) -> None:
        """Have the oracle hear what the next process of a mount tells."""
        owner = f"{machine.name}/{machine.starts + 1}"
        machine.on_event = lambda event: self.observed.note_loss(owner, event)

    def _start_programs(self, machine: MountMachine) -> None:
        process = machine.process
        assert process is not None
        for program in self._programs:
            if program.machine is machine and not program.is_over:
                self.baton.spawn(process, program.name, program.run)

    def _make(self) -> None:
        """Start all servers and the first mount, and make the folder of names."""
        cluster = self._cluster
        for machine in (cluster.meta, *cluster.data):
            cluster.start(machine)
        first = cluster.mounts[0]
        self._listen(first)
        fs = cluster.mount(first)
        assert first.process is not None

        def begin() -> None:
            fs.start(PlainContext("mount"))
            fs.mkdir(PlainContext("mkdir"), FOLDER, 0o755)

        if not self.baton.spawn(first.process, "mount", begin).join(START_S_MAX):
            raise Failure(f"no file system after {START_S_MAX:.0f} s")

    def _wait_for_end(self) -> None:
        """Wait until all programs are done; when all faults have happened, mend everything."""
        baton, until_s = self.baton, 0.0
        while True:
            baton.sleep(0.5)
            if self._faults.are_over and not until_s:
                self._faults.mend()
                self._cluster.network.faults = MessageFaults()
                until_s = baton.now_s + FINISH_S_MAX
            busy = [program for program in self._programs if not program.is_over]
            if until_s and not busy:
                return
            if until_s and baton.now_s > until_s:
                shown = "; ".join(f"{program.name}: {program.doing}" for program in busy)
                for line in self.baton.where():
                    self.baton.note(line)
                raise Failure(f"not done {FINISH_S_MAX:.0f} s after all was mended: {shown}")


def run_plan(plan: Plan, crew: Crew) -> Result:
    """Carry a plan out and return what came of it."""
    level = logging.getLogger("dfs").level
    logging.getLogger("dfs").setLevel(logging.CRITICAL + 1)
    with tempfile.TemporaryDirectory(prefix="dfs-sim-", dir=_memory_folder()) as folder, simulated_stores():
        run = Run(plan, crew, Path(folder))
        run.observed.late_s = 60.0 if plan.may_delay_messages else 0.0
        run.observed.may_fail |= {NoSpace, ReadOnly} if plan.may_fill_disks else set()
        # Where a copy is void and its server does not know yet, what rots there is told from a loss only after it was cleaned.
        run.observed.may_fail |= {NoGoodCopy} if plan.harms_copies else set()
        wrong = []
        try:
            run.baton.run(run.main)
        except Exception as error:  # noqa: BLE001 (whatever it is, this seed has found it)
            wrong.append(f"{type(error).__name__}: {error}")
        finally:
            logging.getLogger("dfs").setLevel(level)
    wrong = [*run.baton.bugs, *wrong, *run.observed.wrong]
    baton = run.baton
    return Result(plan, baton.trace_hash(), tuple(wrong), tuple(baton.trace), baton.now_s, baton.switches)


def _memory_folder() -> str | None:
    """Return a folder in memory for the meta-server's database, if there is one: its fsyncs prove nothing here."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
