"""One campaign: a cluster, writers on two mounts, faults in turn for some minutes; then everything heals and is verified."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.cluster import Cluster
from tests.torture.faults import Faults
from tests.torture.writer import MountState, Writer, clock_time

SERVERS: Final = 4
MOUNTS: Final = 2
WRITERS: Final = 4
STILL_FILES: Final = 6
"""Files that nobody writes, for damaging."""
JOIN_TIMEOUT_S: Final = 120.0


@dataclass(slots=True)
class Outcome:
    """What a campaign did and found."""

    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    files: int = 0
    losses: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Return all of it in words."""
        lines = [f"{self.operations.total()} operations: " + ", ".join(f"{n} {kind}" for kind, n in self.operations.most_common())]
        lines.append(f"{self.faults.total()} faults: " + ", ".join(f"{n} {kind}" for kind, n in self.faults.most_common()))
        lines.append(f"{self.files} files verified")
        lines += [f"loss: {loss}" for loss in self.losses]
        lines.append(f"losses: {len(self.losses)}")
        return "\n".join(lines)


def run_campaign(folder: Path, minutes: float, seed: int, only: frozenset[str] = frozenset()) -> Outcome:
    """Run a campaign in an empty folder, inside a network namespace of its own. `only`: kinds of fault to make; none: all."""
    outcome = Outcome()
    hosts = [f"127.0.1.{10 + index}" for index in range(SERVERS)]
    with Cluster(folder / "cluster", n=SERVERS, meta_host="127.0.1.1", data_hosts=hosts) as cluster:
        states = {number: MountState() for number in range(MOUNTS)}
        chance, ended = random.Random(seed), threading.Event()
        faults = Faults(cluster, states, chance, ended)
        faults.prepare_disks()
        try:
            cluster.start(mounts=MOUNTS)
            _make_still_files(cluster.mount().path / "still", chance)
            _torment(cluster, faults, states, minutes, seed, chance, outcome, only)
        finally:
            ended.set()
            if outcome.losses:
                print(cluster.logs())
            cluster.close()
            faults.remove_disks()
    return outcome


def _make_still_files(folder: Path, chance: random.Random) -> None:
    folder.mkdir()
    for number in range(STILL_FILES):
        (folder / f"s{number}").write_bytes(chance.randbytes(100_000))


def _torment(
    cluster: Cluster,
    faults: Faults,
    states: dict[int, MountState],
    minutes: float,
    seed: int,
    chance: random.Random,
    outcome: Outcome,
    only: frozenset[str],
) -> None:
    writers = [
        Writer(number, cluster.mount(number % MOUNTS).path / f"w{number}", states[number % MOUNTS], seed)
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    _break_things(faults, writers, time.monotonic() + 60 * minutes, chance, outcome, only)
    for writer in writers:
        writer.ask_to_stop()
    for number, writer in enumerate(writers):
        if not writer.join(JOIN_TIMEOUT_S):
            outcome.losses.append(f"writer {number} hangs")
    faults.wait_whole()
    if not outcome.losses:
        outcome.files = sum(writer.verify(cluster.mount((number + 1) % MOUNTS).path) for number, writer in enumerate(writers))
    for writer in writers:
        outcome.operations += writer.operations
        outcome.losses += writer.failures
    for command in (("lost", "--everywhere"), ("fsck",)):
        done = faults.dfsctl(*command)
        if done.returncode:
            outcome.losses += (done.stdout + done.stderr).splitlines()
    for writer in writers:
        if writer.failures:
            print("\n".join(writer.story))


def _break_things(
    faults: Faults, writers: list[Writer], ends_s: float, chance: random.Random, outcome: Outcome, only: frozenset[str]
) -> None:
    """Make one fault after the other: each kind once in a fixed order, then at random."""
    kinds = {name: make for name, make in faults.kinds().items() if not only or name in only}
    order = list(kinds)
    while time.monotonic() < ends_s and not any(writer.failures for writer in writers):
        name = order.pop(0) if order else chance.choice(list(kinds))
        print(f"{clock_time()} {name}", flush=True)
        try:
            kinds[name]()
        except AssertionError as error:
            outcome.losses.append(f"{name}: {error}")
            return
        outcome.faults[name] += 1
