"""Carries out the faults of a plan, each at its time, and mends everything in the end.

Runs in a process of its own, which nothing can harm. Called by run.py.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

from dfs.core.start_errors import StateError
from dfs.data.disk.superblock import NAME as SUPERBLOCK
from dfs.data.disk.superblock import parse_superblock
from tests.harness.memory_disk import SECTOR_BYTES
from tests.harness.simulated_disk import SimulatedDisk
from tests.sim.cluster import DataMachine, Machine, MetaMachine, MountMachine, SimulatedCluster
from tests.sim.plan import Fault, Harm, Plan
from tests.sim.programs import Observed

STATE_FILES = ("journal/", "journal/", "floors/", SUPERBLOCK, "changes", "synced", "running", "scrub", "rebuild")
REFUSAL_S = 0.3
"""Less than passes until a service that ended is started again."""


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
        for server in cluster.data:
            server.disk.mend()
        self._mend_meta()
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
        if fault.turns and machine.process is not None and machine.is_running:
            baton.wait_for_turn(machine.process, fault.turns, 5.0)
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
            if self._plan.keys:
                return
            machine.clock.wall_at_start_ns += self._chance.choice((-1, 1)) * self._chance.randrange(10**15)
        elif fault.harm is Harm.POWER_CUT:
            self._note_if_second(machine)
            share = self._chance.random()
            cluster.cut_power(machine, lambda: self._chance.random() < share)
            baton.sleep(fault.duration_s)
            self._start(machine)
        elif fault.harm is Harm.BLACKOUT:
            self._black_out(fault)
        elif fault.harm in (Harm.META_FULL, Harm.META_ERROR):
            disk = cluster.meta.disk
            disk.refusal = sqlite3.SQLITE_FULL if fault.harm is Harm.META_FULL else sqlite3.SQLITE_IOERR
            disk.is_written_all_the_same = fault.harm is Harm.META_ERROR and self._chance.random() < 0.5
            baton.sleep(fault.duration_s)
            self._mend_meta()
        elif isinstance(machine, DataMachine):
            self._harm_disk(fault, machine)

    def _mend_meta(self) -> None:
        """Have the meta-server's disk work again; a meta-server that can't know what is written is restarted by its operator."""
        meta = self._cluster.meta
        meta.disk.refusal, meta.disk.is_written_all_the_same = None, False
        parts = meta.service._parts if meta.service is not None and meta.is_running else None
        if parts is not None and parts.store.failure is not None and not parts.store.failure.is_full:
            self._cluster.kill(meta)
            self._start(meta)

    def _note_if_second(self, machine: Machine) -> None:
        """Note what is not promised when a server loses something before another one that did has all of it again."""
        if not isinstance(machine, DataMachine):
            return
        others = [other for other in self._cluster.data if other is not machine]
        if any((other.boots > 1 or other.disks_lost) and not self._cluster.is_complete(other) for other in others):
            self._observed.note_blackout()

    def _black_out(self, fault: Fault) -> None:
        """Cut the power of all servers, and of the mounts or not; what runs on the mounts goes on, or begins anew."""
        cluster, chance = self._cluster, self._chance
        share, with_mounts = chance.random(), chance.random() < 0.5
        gone = [machine for machine in cluster.machines if with_mounts or not isinstance(machine, MountMachine)]
        for machine in gone:
            cluster.cut_power(machine, lambda: chance.random() < share)
        self._observed.note_blackout()
        self._baton.sleep(fault.duration_s)
        for machine in gone:
            self._start(machine)

    def _harm_disk(self, fault: Fault, machine: DataMachine) -> None:
        baton, disk, chance = self._baton, machine.disk, self._chance
        strips = [name for name in disk.names("strips/") if disk.length(name)]
        if fault.harm is Harm.LOSE_DISK:
            self._lose_disk(machine)
            baton.sleep(fault.duration_s)
            self._start(machine)
        elif fault.harm is Harm.ROT_STATE:
            self._rot_state(fault, machine)
        elif fault.harm is Harm.SHORT_READ:
            disk.short_reads = chance.randrange(1, 4)
            baton.sleep(fault.duration_s)
            disk.short_reads = 0
        elif fault.harm is Harm.FULL:
            disk.free_bytes = chance.randrange(20_000)
            baton.sleep(fault.duration_s)
            disk.free_bytes = None
        elif fault.harm is Harm.WRITE_ERROR:
            disk.fail_on.add(("write", "strips/"))
            baton.sleep(fault.duration_s)
            disk.fail_on.discard(("write", "strips/"))
        elif strips:
            self._harm_strip(fault, disk, chance.choice(strips), chance.choice(strips))

    def _rot_state(self, fault: Fault, machine: DataMachine) -> None:
        """Let something else than a strip rot, while its server is down or runs; in the end it is read again by a new process.

        Who the server is can't be had from elsewhere: it must say so and refuse to serve, and gets another disk.
        """
        disk, chance = machine.disk, self._chance
        kind = chance.choice(STATE_FILES)
        names = [name for name in disk.names(kind) if disk.length(name)]
        is_down = chance.random() < 0.5 or kind == SUPERBLOCK
        if is_down:
            self._cluster.kill(machine)
        if names:
            name = chance.choice(names)
            self._baton.note(f"rot in {name}")
            for _ in range(chance.choice((1, 1, 20))):
                disk.flip(name, chance.randrange(disk.length(name)), chance.randrange(1, 256))
        if not is_down:
            self._baton.sleep(fault.duration_s)
            self._cluster.kill(machine)
        if kind == SUPERBLOCK and names and not _is_superblock_whole(disk):
            self._cluster.start(machine)
            self._baton.sleep(REFUSAL_S)
            if machine.endpoint.service is not None and not _is_superblock_whole(disk):
                self._observed.wrong.append(f"{machine.name} serves although nobody can read who it is")
            self._lose_disk(machine)
        self._start(machine)

    def _lose_disk(self, machine: DataMachine) -> None:
        self._cluster.kill(machine)
        self._note_if_second(machine)
        machine.disk.wipe()
        machine.disks_lost += 1

    def _harm_strip(self, fault: Fault, disk: SimulatedDisk, name: str, other: str) -> None:
        chance = self._chance
        size = disk.length(name)
        if fault.harm is Harm.ROT:
            for _ in range(chance.choice((1, 1, 600))):
                disk.flip(name, chance.randrange(size), chance.randrange(1, 256))
        elif fault.harm is Harm.MISDIRECT:
            to = chance.randrange(disk.length(other)) // SECTOR_BYTES * SECTOR_BYTES
            disk.misdirect(name, chance.randrange(size) // SECTOR_BYTES * SECTOR_BYTES, other, to)
        elif fault.harm is Harm.READ_ERROR:
            start = chance.randrange(size)
            area = (name, start, start + 4096)
            disk.unreadable.add(area)
            self._baton.sleep(fault.duration_s)
            disk.unreadable.discard(area)

    def _start(self, machine: Machine) -> None:
        if machine.is_running:
            return
        if isinstance(machine, MountMachine):
            self._start_mount(machine)
        else:
            self._cluster.start(machine)


def _is_superblock_whole(disk: SimulatedDisk) -> bool:
    """Tell whether a superblock says still what it said, without the process's noticing."""
    try:
        parse_superblock(bytes(disk._files[SUPERBLOCK].now))
    except StateError:
        return False
    return True
