"""What happens in a run: operations of programs, and faults, drawn from a seed before anything runs. Pure.

A plan is data, so that a failing one can be made smaller by leaving things out (tests/sim/reducing.py). The schedule, latencies and
the fate of messages are drawn while it runs.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import random
from collections.abc import Container
from dataclasses import dataclass

from dfs.core.plain import from_plain, to_plain
from tests.harness.simulated_network import MessageFaults

BLOCK_BYTES = 512
FILE_BYTES = 10 * BLOCK_BYTES
TAGS_MAX = 240
RECORD_LOCKS, WHOLE_LOCKS = "l0", "l1"
"""Files that are locked with fcntl(2), and with flock(2)."""
NAMES = ("a", "b", "c", "d")
DEEP_NAMES = (*NAMES, "a/a", "a/b", "b/a", "b/b", "a/b/a")
"""Paths below the folder of names, where programs make folders too."""


class Do(enum.Enum):
    """What a program does."""

    WRITE = "write"
    TRUNCATE = "truncate"
    APPEND = "append"
    READ = "read"
    FSYNC = "fsync"
    CLOSE = "close"
    CREATE = "create"
    UNLINK = "unlink"
    RENAME = "rename"
    LIST = "list"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    LINK = "link"
    SYMLINK = "symlink"
    READLINK = "readlink"
    LOCK = "lock"
    UNLOCK = "unlock"
    ORPHAN = "orphan"
    """Make a file, remove its name while it is open, read it, close it."""
    SCRUB = "scrub"
    """Have all data servers read and compare all they hold, or one file; nobody waits for them."""


NAMING = frozenset(
    (Do.CREATE, Do.UNLINK, Do.RENAME, Do.LIST, Do.MKDIR, Do.RMDIR, Do.LINK, Do.SYMLINK, Do.READLINK),
)


class Harm(enum.Enum):
    """What goes wrong."""

    KILL = "kill"
    STOP = "stop"
    PAUSE = "pause"
    PARTITION = "partition"
    ONE_WAY = "one way"
    SET_CLOCK = "set clock"
    POWER_CUT = "power cut"
    BLACKOUT = "blackout"
    """All servers lose power at once; what was fsynced survives (I1)."""
    ROT = "rot"
    ROT_STATE = "rot in state"
    """Of what else a data server keeps: journal, floors, superblock, change log, cursors."""
    MISDIRECT = "misdirect"
    SHORT_READ = "short read"
    READ_ERROR = "read error"
    WRITE_ERROR = "write error"
    FULL = "full"
    META_FULL = "meta full"
    META_ERROR = "meta error"
    """The meta-server's disk refuses a commit, and whether that was written nobody knows; it is restarted after a while."""
    LOSE_DISK = "lose disk"


_REFUSALS = frozenset((Harm.FULL, Harm.WRITE_ERROR, Harm.META_FULL, Harm.META_ERROR))


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of one program."""

    number: int
    mount: int
    program: int
    do: Do
    name: str
    """A file: r.. is written at offsets, a.. appended to, l.. locked; or a name in the folder of names."""
    other: str = ""
    offset: int = 0
    size: int = 0
    pause_s: float = 0.0
    patience_s: float | None = None
    """After which the program is interrupted; None: it waits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, and is mended after a while."""

    number: int
    harm: Harm
    at_s: float
    target: str
    other: str = ""
    duration_s: float = 0.0
    turns: int = 0
    """Of a kill: how many more turns the process gets, so that it dies at any of its yield points; 0: none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run."""

    seed: int
    servers: int
    mounts: int
    preempt: float
    disk_pass_on: float
    messages: MessageFaults
    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]
    scrubs: bool = False
    """Whether data servers scrub by themselves, and at the end it is the scrub that must have made all copies equal."""
    keys: bool = False
    """Whether mounts need capabilities. Clocks are then not set: servers whose clocks differ by minutes refuse each other's."""
    write_back: int = 0
    """How many mounts, the first ones, let programs go on before servers have what they wrote."""

    @property
    def may_fill_disks(self) -> bool:
        """Tell whether programs may be refused for want of space, or by a disk that takes no writes."""
        return any(fault.harm in _REFUSALS for fault in self.faults)

    @property
    def harms_copies(self) -> bool:
        """Tell whether what stands on a disk is changed, or can't be read for a while."""
        return any(
            fault.harm in (Harm.ROT, Harm.ROT_STATE, Harm.MISDIRECT, Harm.SHORT_READ, Harm.READ_ERROR) for fault in self.faults
        )

    @property
    def may_delay_messages(self) -> bool:
        """Tell whether a request may be carried out long after it was sent."""
        is_slow = any(fault.harm is Harm.PAUSE for fault in self.faults)
        return is_slow or self.messages.delay > 0 or self.messages.duplicate > 0

    def without(self, left_out: Container[int]) -> Plan:
        """Return the plan without some steps and faults, by number."""
        return dataclasses.replace(
            self,
            steps=tuple(step for step in self.steps if step.number not in left_out),
            faults=tuple(fault for fault in self.faults if fault.number not in left_out),
        )

    def to_json(self) -> str:
        """Return the plan as text that from_json() reads, also when make_plan() makes other plans than today."""
        return json.dumps(to_plain(self))

    def describe(self) -> str:
        """Return the plan for people."""
        scrubs = f"{', scrubs' if self.scrubs else ''}{', keys' if self.keys else ''}"
        scrubs += f", {self.write_back} mounts write back" if self.write_back else ""
        lines = [f"{self.servers} data servers, {self.mounts} mounts, preempt {self.preempt:.3f}, {self.messages}{scrubs}"]
        for step in self.steps:
            patience = "" if step.patience_s is None else f", interrupted after {step.patience_s:.2f} s"
            where = f" {step.offset}+{step.size}" if step.do in (Do.WRITE, Do.READ, Do.APPEND, Do.TRUNCATE) else ""
            other = f" > {step.other}" if step.other else ""
            lines.append(
                f"  {step.number}: mount {step.mount} program {step.program}, {step.pause_s:.2f} s later: "
                f"{step.do.value} {step.name}{other}{where}{patience}"
            )
        for fault in self.faults:
            other = f" - {fault.other}" if fault.other else ""
            lines.append(
                f"  {fault.number}: at {fault.at_s:.2f} s for {fault.duration_s:.2f} s: {fault.harm.value} {fault.target}{other}"
            )
        return "\n".join(lines)


def from_json(text: str) -> Plan:
    """Return the plan that to_json() wrote."""
    return from_plain(json.loads(text), Plan)


def make_plan(seed: int) -> Plan:
    """Return the plan of a seed."""
    chance = random.Random(f"plan {seed}")
    servers, mounts = chance.choice((2, 3, 3, 4, 5)), chance.choice((1, 2, 2, 3))
    programs = chance.choice((1, 1, 2))
    calm = chance.random() < 0.3
    rate = 0.0 if calm else chance.choice((0.01, 0.03, 0.08))
    messages = MessageFaults(*(rate * chance.choice((0, 1)) for _ in range(4)))
    scrubs = chance.random() < 0.5
    steps = _steps(chance, mounts, programs, hurry=chance.choice((0.01, 0.1, 0.5)), scrubs=scrubs)
    return Plan(
        seed=seed,
        servers=servers,
        mounts=mounts,
        preempt=chance.choice((0.0, 0.0, 0.02, 0.1)),
        disk_pass_on=chance.choice((0.0, 0.05, 0.3)),
        messages=messages,
        steps=steps,
        faults=_faults(chance, servers, mounts, len(steps)),
        scrubs=scrubs,
        keys=random.Random(f"keys {seed}").random() < 0.25,
        write_back=random.Random(f"write back {seed}").choice((0, 0, 1, mounts)),
    )


def _steps(chance: random.Random, mounts: int, programs: int, hurry: float, *, scrubs: bool) -> tuple[Step, ...]:
    flavour = chance.choice(("register", "append", "names", "mixed", "register", "mixed", "locks"))
    names = DEEP_NAMES if flavour == "names" or chance.random() < 0.3 else NAMES
    files = ["r0", "r1"][: chance.choice((1, 2))] if flavour in ("register", "mixed") else []
    files += ["a0"] if flavour in ("append", "mixed") else []
    weights = [*_weights(flavour, chance), (Do.SCRUB, 1 if scrubs else 0)]
    kinds = [do for do, weight in weights for _ in range(weight)]
    is_impatient = chance.random() < 0.3
    count = chance.randrange(20, 60)
    steps = []
    for number in range(count):
        do = chance.choice(kinds)
        if do in (Do.LOCK, Do.UNLOCK):
            name = chance.choice((RECORD_LOCKS, RECORD_LOCKS, WHOLE_LOCKS))
        elif do in NAMING or do is Do.ORPHAN or not files:
            name = chance.choice(names)
        else:
            fitting = [name for name in files if not (do in (Do.WRITE, Do.TRUNCATE) and name[0] == "a")]
            fitting = [name for name in fitting if not (do is Do.APPEND and name[0] == "r")]
            name = chance.choice(fitting) if fitting else files[0]
        steps.append(
            Step(
                number=number,
                mount=chance.randrange(mounts),
                program=chance.randrange(programs),
                do=do,
                name=name,
                other=chance.choice([other for other in names if other != name]) if do in (Do.RENAME, Do.LINK) else "",
                offset=_offset(chance),
                size=_size(chance),
                pause_s=chance.expovariate(1 / hurry) if chance.random() < 0.7 else 0.0,
                patience_s=chance.choice((0.002, 0.05, 1.0)) * chance.random() if is_impatient and chance.random() < 0.2 else None,
            )
        )
    return tuple(steps)


def _weights(flavour: str, chance: random.Random) -> list[tuple[Do, int]]:
    names = [(Do.CREATE, 3), (Do.UNLINK, 2), (Do.RENAME, 2), (Do.LIST, 1)]
    if flavour == "names" or chance.random() < 0.3:
        names += [(Do.MKDIR, 3), (Do.RMDIR, 1), (Do.LINK, 2), (Do.SYMLINK, 1), (Do.READLINK, 1), (Do.RENAME, 2)]
    if flavour == "names":
        return names
    locks = [(Do.LOCK, 5), (Do.UNLOCK, 3)]
    if flavour == "locks":
        return locks
    weights = [(Do.READ, chance.choice((1, 4))), (Do.FSYNC, 1), (Do.CLOSE, chance.choice((1, 3)))]
    if flavour in ("register", "mixed"):
        weights += [(Do.WRITE, 5), (Do.TRUNCATE, chance.choice((0, 1, 3)))]
    if flavour in ("append", "mixed"):
        weights += [(Do.APPEND, 4)]
    return weights + ([*names, *locks[: chance.choice((0, 2))], (Do.ORPHAN, 2)] if flavour == "mixed" else [])


def _offset(chance: random.Random) -> int:
    return chance.choice(
        (0, chance.randrange(FILE_BYTES), BLOCK_BYTES * chance.randrange(10), BLOCK_BYTES * chance.randrange(10) + 1)
    )


def _size(chance: random.Random) -> int:
    return chance.choice((1, 100, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, chance.randrange(1, 3000)))


_KILLS = (Harm.KILL, Harm.KILL, Harm.KILL, Harm.STOP)
_NETWORK = (Harm.PARTITION, Harm.ONE_WAY)
_PAUSES = (Harm.PAUSE, Harm.SET_CLOCK)
_POWER = (Harm.POWER_CUT, Harm.KILL)
_BLACKOUT = (Harm.BLACKOUT, Harm.BLACKOUT, Harm.KILL)
_DISKS = (Harm.ROT, Harm.ROT_STATE, Harm.MISDIRECT, Harm.SHORT_READ, Harm.READ_ERROR, Harm.WRITE_ERROR, Harm.FULL)
_META_DISK = (Harm.META_FULL, Harm.META_ERROR, Harm.KILL)
_ROT = (Harm.ROT_STATE, Harm.ROT_STATE, Harm.ROT, Harm.KILL)
_LOSS = (Harm.LOSE_DISK, Harm.LOSE_DISK, Harm.KILL)
_KINDS: tuple[tuple[Harm, ...], ...] = (
    (),
    _KILLS,
    _KILLS,
    _NETWORK,
    _PAUSES,
    _POWER,
    _DISKS,
    _DISKS,
    _ROT,
    _META_DISK,
    _LOSS,
    _BLACKOUT,
    (*_KILLS, *_NETWORK, *_PAUSES),
    (*_KILLS, *_NETWORK, *_DISKS, *_LOSS, *_POWER),
)
_HARMS_DATA = frozenset((*_DISKS, *_ROT, Harm.LOSE_DISK)) - {Harm.KILL}
DATA_POWER_CUTS = True
"""Whether machines of data servers lose power."""


def _faults(chance: random.Random, servers: int, mounts: int, first_number: int) -> tuple[Fault, ...]:
    """Return the faults. The budget: the disk of one server at most is harmed, so that one good copy of every block is left."""
    kinds = chance.choice(_KINDS)
    if not kinds:
        return ()
    data = [f"data{index}" for index in range(servers)]
    machines = ["meta", *data, *(f"mount{number}" for number in range(mounts))]
    victim = chance.choice(data)
    span_s = chance.choice((1.0, 5.0, 15.0))
    faults = []
    for number in range(first_number, first_number + chance.randrange(1, 6)):
        harm = chance.choice(kinds)
        target = victim if harm in _HARMS_DATA else chance.choice(machines)
        if harm in (Harm.META_FULL, Harm.META_ERROR):
            target = "meta"
        if harm is Harm.STOP and target.startswith("mount"):
            harm = Harm.KILL
        if harm in (Harm.POWER_CUT, Harm.BLACKOUT) and not DATA_POWER_CUTS:
            harm = Harm.POWER_CUT
            target = "meta" if target.startswith("data") else target
        faults.append(
            Fault(
                number=number,
                harm=harm,
                at_s=chance.random() * span_s,
                target=target,
                other=chance.choice([other for other in machines if other != target]) if harm in _NETWORK else "",
                duration_s=chance.choice((0.0, 0.3, 3.0, 12.0, 45.0)) * chance.random(),
                turns=chance.randrange(1, 200) if harm in (Harm.KILL, Harm.LOSE_DISK) and chance.random() < 0.6 else 0,
            )
        )
        if harm is Harm.LOSE_DISK and chance.random() < 0.5:  # a neighbour that is away while it is wanted most
            near = (int(target.removeprefix("data")) + chance.choice((1, -1))) % servers
            at_s, duration_s = max(0.0, faults[-1].at_s - chance.random()), chance.choice((2.0, 10.0))
            faults.append(Fault(number + 100, Harm.KILL, at_s, f"data{near}", "", duration_s))
    return tuple(faults)
