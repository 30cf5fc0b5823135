"""Carries out the faults of a plan, each at its time, and mends everything in the end.

Runs in a process of its own, which nothing can harm. Called by run.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.sim.cluster import DataMachine, Machine, MetaMachine, MountMachine, SimulatedCluster
from tests.sim.plan import Fault, Harm, Plan
from tests.sim.programs import Observed


class Faults:
    """The faults of one run."""

    def __init__(
        self, cluster: SimulatedCluster, plan: Plan, observed: Observed, start_mount: Callable[[MountMachine], None]
    ) -> None:
        self._cluster = cluster
        self._baton = cluster.baton
        self._plan = plan
        self._observed = observed
        self._start_mount = start_mount
        self._chance = random.Random(f"{plan.seed}/faults")
        self._left = len(plan.faults)
        self._process = cluster.baton.process("faults")

    @property
    def are_over(self) -> bool:
        """Tell whether every fault has happened and had its time."""
        return not self._left

    def begin(self) -> None:
        """Begin to carry them out."""
        for fault in self._plan.faults:
            self._baton.spawn(self._process, f"#{fault.number}", lambda fault=fault: self._carry_out(fault))  # type: ignore[misc]

    def mend(self) -> None:
        """Make everything work: nothing is cut, every machine runs, every disk does what it is told."""
        cluster = self._cluster
        self._baton.note("mend")
        cluster.network.cut.clear()
        for machine in cluster.machines:
            if machine.process is not None and machine.process.is_paused:
                self._baton.resume(machine.process)
            self._start(machine)

    def _carry_out(self, fault: Fault) -> None:
        self._baton.sleep(fault.at_s)
        machine = self._cluster.machine(fault.target)
        self._baton.note(f"fault {fault.number}: {fault.harm.value} {fault.target} {fault.other}")
        try:
            self._harm(fault, machine)
        finally:
            self._left -= 1

    def _harm(self, fault: Fault, machine: Machine) -> None:
        cluster, baton = self._cluster, self._baton
        if fault.harm is Harm.KILL:
            cluster.kill(machine)
            baton.sleep(fault.duration_s)
            self._start(machine)
        elif fault.harm is Harm.STOP and isinstance(machine, DataMachine | MetaMachine):
            cluster.stop(machine)
            baton.sleep(fault.duration_s)
            self._start(machine)
        elif fault.harm is Harm.PAUSE:
            process = machine.process
            if process is not None and process.is_alive:
                baton.pause(process)
                baton.sleep(fault.duration_s)
                baton.resume(process)
        elif fault.harm in (Harm.PARTITION, Harm.ONE_WAY):
            pairs = {(fault.target, fault.other)}
            if fault.harm is Harm.PARTITION:
                pairs.add((fault.other, fault.target))
            cluster.network.cut |= pairs
            baton.sleep(fault.duration_s)
            cluster.network.cut -= pairs
        elif fault.harm is Harm.SET_CLOCK:
            machine.clock.wall_at_start_ns += self._chance.choice((-1, 1)) * self._chance.randrange(10**15)

    def _start(self, machine: Machine) -> None:
        if machine.is_running:
            return
        if isinstance(machine, MountMachine):
            self._start_mount(machine)
        else:
            self._cluster.start(machine)
