"""Goal: whatever is written, truncated and removed while a lost disk is rebuilt, and whoever is killed meanwhile, both copies of
everything end up equal and as they were acknowledged (I1, I3, I5, I8).

Method: seeded histories on a ring of servers in one process: puts, late duplicates of puts, cuts and their execution, removals,
kills, outages, lost disks (one at a time), and single steps of the rebuilding in between, also between a batch's leaving the
neighbour and its arrival. A dictionary is the oracle: per block the values that a reader may see. At the end everything heals.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from dfs.core.cuts import Cut, add_cut, valid_length
from dfs.core.errors import DfsError
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.messages.blocks import Clean, CopyState, Drop, ListInodes, Repair
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.rebuild import ListFloors, Pull
from dfs.core.messages.requests import Request
from dfs.core.placement import Role
from dfs.core.records import checksum
from dfs.data.rebuild import role_rebuild
from tests.unit.data.one_server import generation
from tests.unit.data.ring import BLOCK_SIZE, NEWEST, Ring

BLOCKS = 12
INOS = (2, 3, 5)
ACTIONS = 160
SEEDS = range(25)
KINDS = ("put", "put", "put", "late", "cut", "clean", "drop", "step", "step", "step", "kill", "down", "up", "lose", "checkpoint")
RACING = ("put", "late", "cut", "clean", "drop")
"""What may happen while a batch is on its way."""
POWER_KINDS = ("put", "put", "late", "cut", "clean", "drop", "step", "step", "step", "step", "kill", "time", "power", "checkpoint")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_rebuild, "PULL_BYTES", 700)
    monkeypatch.setattr(role_rebuild, "SAVE_INTERVAL_S", 0.0)


@dataclass
class Written:
    """One put, acknowledged or not."""

    gen: Generation
    data: bytes


@dataclass
class File:
    """What is known of a file beside the servers: as the meta-server and the writers know it."""

    cuts: tuple[Cut, ...] = ()
    is_removed: bool = False
    puts: dict[int, list[Written]] = field(default_factory=dict)
    acknowledged: dict[int, Written] = field(default_factory=dict)
    """Per block the newest put that both servers acknowledged."""
    all_cuts: tuple[Cut, ...] = ()


class History:
    """Carries a history out."""

    def __init__(self, n: int, chance: random.Random) -> None:
        self.ring = Ring(n, direct_bytes_min=1024)
        self.ring.on_the_way = self.race
        self.chance = chance
        self.is_healing = False
        self.files = {ino: File() for ino in INOS}
        self.drops: dict[int, set[int]] = {}
        self.ticket = 0

    def act(self, kinds: Sequence[str]) -> None:
        """Do anything."""
        a, b, c = (self.chance.randrange(60) for _ in range(3))
        getattr(self, f"do_{self.chance.choice(kinds)}")(a, b, c)

    def race(self, request: Request[object]) -> None:
        """Let things happen while an answer between servers is on its way."""
        if isinstance(request, Pull | ListFloors) and not self.is_healing:
            while self.chance.random() < 0.6:
                self.act(RACING)

    def do_put(self, a: int, b: int, c: int) -> None:
        ino, block = INOS[a % len(INOS)], b % BLOCKS
        file = self.files[ino]
        if not file.is_removed:
            self.ticket += 1
            put = Written(generation(self.ticket), bytes([self.ticket % 256, a, b]) * (1 + c))
            file.puts.setdefault(block, []).append(put)
            self._put(ino, block, put)

    def _put(self, ino: int, block: int, put: Written) -> None:
        if self.ring.put(ino, block, put.gen, put.data):
            self.files[ino].acknowledged[block] = put

    def do_late(self, a: int, b: int, c: int) -> None:
        """A request that was sent long ago arrives once more at one server."""
        ino, block = INOS[a % len(INOS)], b % BLOCKS
        puts = self.files[ino].puts.get(block)
        if puts and not self.files[ino].is_removed:
            put, role = puts[c % len(puts)], list(Role)[c % 2]
            try:
                self.ring.put_run(ino, role, block, put.gen, [put.data])
            except DfsError:
                return  # refused, or not there

    def do_cut(self, a: int, b: int, c: int) -> None:
        file = self.files[INOS[a % len(INOS)]]
        if not file.is_removed:
            self.ticket += 1
            cut = Cut(b % BLOCKS * BLOCK_SIZE + c, Ticket(self.ticket))
            file.cuts, file.all_cuts = add_cut(file.cuts, cut), (*file.all_cuts, cut)

    def do_clean(self, a: int, b: int, c: int) -> None:
        """Do what meta's cleaner does with one inode."""
        ino = INOS[a % len(INOS)]
        file = self.files[ino]
        told, complete = file.cuts, (RoleState.COMPLETE, RoleState.COMPLETE)
        found: dict[int, str] = {}
        for index in self.ring.indexes:
            try:
                identity = self.ring.call(index, Clean(Ino(ino), told))
            except DfsError:
                continue
            if (identity.primary, identity.secondary) == complete:
                found[index] = identity.disk
        now = {
            i: self.ring.identity(i).disk for i in self.ring.indexes if i not in self.ring.down and self.ring.states(i) == complete
        }
        if len(found) == self.ring.n and now == found:
            file.cuts = tuple(cut for cut in file.cuts if cut not in told)

    def do_drop(self, a: int, b: int, c: int) -> None:
        ino = INOS[a % len(INOS)]
        if b % 6 == 0:
            self.files[ino].is_removed = True
        if self.files[ino].is_removed:
            confirmed = self.drops.setdefault(ino, set())
            for index in self.ring.indexes:
                if index not in confirmed:
                    try:
                        self.ring.call(index, Drop((Ino(ino),)))
                    except DfsError:
                        continue
                    confirmed.add(index)

    def do_step(self, a: int, b: int, c: int) -> None:
        for _ in range(1 + c % 3):
            self.ring.step(a % self.ring.n, list(Role)[b % 2])

    def do_kill(self, a: int, b: int, c: int) -> None:
        self.ring.start(a % self.ring.n)

    def do_down(self, a: int, b: int, c: int) -> None:
        if not self.ring.down:
            self.ring.down.add(a % self.ring.n)

    def do_up(self, a: int, b: int, c: int) -> None:
        self.ring.down.clear()

    def do_lose(self, a: int, b: int, c: int) -> None:
        if all(self.ring.states(i) == (RoleState.COMPLETE, RoleState.COMPLETE) for i in self.ring.indexes):
            self.ring.lose_disk(a % self.ring.n)
            for confirmed in self.drops.values():  # it may be given removed inodes back: the list of inodes finds them again
                confirmed.discard(a % self.ring.n)

    def do_power(self, a: int, b: int, c: int) -> None:
        """Cut the power of one machine, when the others have everything."""
        if all(self.ring.states(i) == (RoleState.COMPLETE, RoleState.COMPLETE) for i in self.ring.indexes):
            self.ring.power_cut(a % self.ring.n, keep=lambda: self.chance.random() < b / 60)
            for confirmed in self.drops.values():
                confirmed.discard(a % self.ring.n)

    def do_time(self, a: int, b: int, c: int) -> None:
        self.ring.clock.advance(c % 8)

    def do_checkpoint(self, a: int, b: int, c: int) -> None:
        self.ring.checkpoint(a % self.ring.n)

    # --- the end -------------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Let all faults end, and everybody do what they do again and again."""
        self.is_healing = True
        self.ring.down.clear()
        self.ring.rebuild()
        for a, ino in enumerate(INOS):
            if self.files[ino].is_removed:
                self.do_drop(a, 1, 0)
                continue
            for block in range(BLOCKS):
                self._repair(ino, block)
            self.do_clean(a, 0, 0)

    def _repair(self, ino: int, block: int) -> None:
        """Do what a reader does with copies that differ."""
        cuts = self.files[ino].cuts
        choice = self.ring.choice(ino, block, cuts)
        if choice.source is None or choice.repair is None:
            return
        bad, _ = self.ring.copy(ino, block, choice.repair, cuts)
        good, data = self.ring.copy(ino, block, choice.source, cuts)
        summed = checksum(Ino(ino), BlockNo(block), good.generation, data)
        server = self.ring.servers_of(ino, block)[choice.repair]
        self.ring.call(server, Repair(Ino(ino), NEWEST, choice.repair, BlockNo(block), bad, good.generation, summed, data))

    def allowed(self, ino: int, block: int) -> set[bytes]:
        """Return what a reader may see: the newest acknowledged put, or a newer one that was not acknowledged."""
        file = self.files[ino]
        floor = file.acknowledged.get(block)
        seen = {self._left(file, block, floor)} if floor is not None else {b""}
        return seen | {self._left(file, block, put) for put in file.puts.get(block, []) if floor is None or put.gen > floor.gen}

    def _left(self, file: File, block: int, put: Written) -> bytes:
        return put.data[: valid_length(file.all_cuts, BlockNo(block), BLOCK_SIZE, put.gen, len(put.data))]

    def judge_each(self) -> None:
        """Tell whether every server by itself, without a reader who repairs, has what was acknowledged."""
        self.is_healing = True
        self.ring.down.clear()
        self.ring.rebuild()
        for ino, file in self.files.items():
            for block in () if file.is_removed else range(BLOCKS):
                for role in Role:
                    copy, data = self.ring.copy(ino, block, role, file.cuts)
                    assert copy.state in (CopyState.PRESENT, CopyState.ABSENT), (ino, block, role, copy)
                    assert data in self.allowed(ino, block), (ino, block, role, copy)

    def judge(self) -> None:
        for index in self.ring.indexes:
            assert self.ring.states(index) == (RoleState.COMPLETE, RoleState.COMPLETE)
            held = self.ring.call(index, ListInodes(Ino(0), 100)).inos
            assert not [ino for ino in held if self.files[ino].is_removed]
        for ino, file in self.files.items():
            if file.is_removed:
                continue
            assert not file.cuts
            assert not self.ring.differences(ino, BLOCKS)
            for block in range(BLOCKS):
                assert self.ring.read(ino, block) in self.allowed(ino, block), (ino, block)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_history_around_a_lost_disk_ends_with_equal_and_right_copies(n: int, seed: int) -> None:
    run = History(n, random.Random(f"{n}/{seed}"))
    for number in range(BLOCKS):
        run.do_put(number, number, 40)
        run.do_put(number + 1, number, 100)
    run.do_lose(1, 0, 0)
    for _ in range(ACTIONS):
        run.act(KINDS)
    run.heal()
    run.judge()


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_history_around_power_cuts_leaves_every_server_with_all_that_was_acknowledged(n: int, seed: int) -> None:
    run = History(n, random.Random(f"power {n}/{seed}"))
    for number in range(BLOCKS):
        run.do_put(number, number, 40)
        run.do_put(number + 1, number, 100)
    for _ in range(ACTIONS):
        run.act(POWER_KINDS)
    run.judge_each()
    run.heal()
    run.judge()
