"""Goal: whatever is put, cut, dropped and killed in whatever order, the server answers what a dictionary would.

Method: Hypothesis draws histories for one server on a disk in memory. kill -9 may come between any two steps and must lose
nothing at all; a power cut may come too and must lose nothing that Sync, Clean, Drop or a checkpoint confirmed, must bring
nothing back, and must never leave a block that is neither its old nor its new content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dfs.core.block_messages import CopyState
from dfs.core.cuts import Cut, valid_length
from dfs.core.errors import StaleTicket
from dfs.core.events import CORRUPT_RECORD, JOURNAL_DAMAGED
from dfs.core.ids import BlockNo, Generation, Ticket
from dfs.core.placement import Role
from tests.harness.memory_disk import Killed, MemoryDisk
from tests.unit.data.one_server import OneServer, P, S, generation

SERVERS = 2
BLOCK = 512
FAR = SERVERS * 1920
"""First block of the second group."""
INOS = (5, 4097)
STARTS = (0, 2, 6, FAR - 4, FAR)

Key = tuple[int, Role, int]
Version = tuple[int, bytes] | None
"""Generation and data; None: absent."""
Step = tuple[Any, ...]
"""Name of a step and what it needs."""

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Model:
    """What was acknowledged, what of it is durable, and what else a block may be after a power cut."""

    now: dict[Key, tuple[int, bytes]] = field(default_factory=dict)
    durable: dict[Key, tuple[int, bytes]] = field(default_factory=dict)
    since: dict[Key, list[Version]] = field(default_factory=dict)
    """Contents since the durable one."""
    floors: dict[int, int] = field(default_factory=dict)
    ticket: int = 1

    def set(self, key: Key, version: Version) -> None:
        if version is None:
            self.now.pop(key, None)
        else:
            self.now[key] = version
        self.since.setdefault(key, []).append(version)

    def make_durable(self, ino: int | None) -> None:
        """Count everything, or everything of an inode, as synced."""
        for key in {*self.now, *self.durable, *self.since}:
            if ino in (None, key[0]):
                self.since.pop(key, None)
                self.durable.pop(key, None)
                if key in self.now:
                    self.durable[key] = self.now[key]

    def cut(self, ino: int, cuts: tuple[Cut, ...]) -> None:
        for key in [key for key in self.now if key[0] == ino]:
            gen, data = self.now[key]
            length = valid_length(cuts, BlockNo(key[2]), BLOCK, Generation(gen), len(data))
            if length != len(data):
                self.set(key, (gen, data[:length]) if length else None)


@st.composite
def puts(draw: st.DrawFn) -> tuple[str, int, Role, int, int, int]:
    return (
        "put",
        draw(st.sampled_from(INOS)),
        draw(st.sampled_from((P, S))),
        draw(st.sampled_from(STARTS)),
        draw(st.sampled_from((1, 2, 3, 8, 9))),
        draw(st.sampled_from((1, 100, BLOCK))),
    )


def with_cut(name: str) -> st.SearchStrategy[tuple[str, int, int]]:
    return st.tuples(st.just(name), st.sampled_from(INOS), st.sampled_from((0, 700, 2048, FAR * BLOCK, FAR * BLOCK + 5)))


def on_inode(*names: str) -> st.SearchStrategy[tuple[str, int]]:
    return st.tuples(st.sampled_from(names), st.sampled_from(INOS))


STEPS = st.one_of(
    puts(),
    puts(),
    with_cut("clean"),
    with_cut("look"),
    on_inode("drop", "sync", "fence"),
    st.tuples(st.sampled_from(("checkpoint", "tick", "tick", "kill", "restart"))),
)
LIVELY = st.lists(STEPS, max_size=25)


class History:
    """Runs the steps of a history on a server and on the model."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.server = OneServer(self.disk, servers=SERVERS)
        self.model = Model()
        self.in_doubt: dict[Key, tuple[Version, Version]] = {}
        """Blocks that the step in which the server died may have changed: before, after."""
        self.cuts: tuple[Cut, ...] = ()
        """Those of a Clean in which the server died: meta still knows them, so every reader sends them along."""

    def run(self, step: Step) -> None:
        """Let the server, then the model take a step."""
        if step[0] in ("put", "clean", "fence"):
            self.model.ticket += 1
        getattr(self, f"call_{step[0]}")(*step[1:])
        getattr(self, f"note_{step[0]}")(*step[1:])

    def run_killed(self, step: Step, operations: int) -> None:
        """Let the server die after so many disk operations of a step; the step may or may not have happened, block by block."""
        model = self.model
        before, durable = dict(model.now), dict(model.durable)
        since = {key: list(versions) for key, versions in model.since.items()}
        floors = dict(model.floors)
        self.disk.operations_left = operations
        try:
            self.run(step)
        except Killed:
            if step[0] == "clean":
                self.cuts = (Cut(step[2], Ticket(model.ticket)),)
            getattr(self, f"note_{step[0]}")(*step[1:])
            for key in {*before, *model.now}:
                if before.get(key) != model.now.get(key):
                    since.setdefault(key, []).append(model.now.get(key))
                    self.in_doubt[key] = (before.get(key), model.now.get(key))
            model.durable, model.since, model.floors = durable, since, floors
        finally:
            self.disk.operations_left = None

    def call_put(self, ino: int, role: Role, first: int, count: int, last_length: int) -> None:
        self.server.put(ino, generation(self.model.ticket), (role, first + role - 1, self.blocks(count, last_length)))

    def note_put(self, ino: int, role: Role, first: int, count: int, last_length: int) -> None:
        for at, block in enumerate(self.blocks(count, last_length)):
            self.model.set((ino, role, first + role - 1 + at * SERVERS), (generation(self.model.ticket), block))

    def blocks(self, count: int, last_length: int) -> list[bytes]:
        """Return the blocks of a put; the residues of the two roles differ, the contents of all puts too."""
        blocks = [bytes([self.model.ticket % 251, at]) * (BLOCK // 2) for at in range(count)]
        return [*blocks[:-1], blocks[-1][:last_length]]

    def call_clean(self, ino: int, offset: int) -> None:
        self.server.clean(ino, Cut(offset, Ticket(self.model.ticket)))

    def note_clean(self, ino: int, offset: int) -> None:
        self.model.cut(ino, (Cut(offset, Ticket(self.model.ticket)),))
        self.model.make_durable(ino)
        self.model.floors[ino] = self.model.ticket

    def call_drop(self, ino: int) -> None:
        self.server.drop(ino)

    def note_drop(self, ino: int) -> None:
        for key in [key for key in self.model.now if key[0] == ino]:
            self.model.set(key, None)
        self.model.make_durable(ino)
        self.model.floors.pop(ino, None)

    def call_sync(self, ino: int) -> None:
        self.server.sync(ino)

    def note_sync(self, ino: int) -> None:
        self.model.make_durable(ino)

    def call_fence(self, ino: int) -> None:
        end = self.server.fence(ino, self.model.ticket)
        ends = [key[2] * BLOCK + len(data) for key, (_, data) in self.model.now.items() if key[0] == ino]
        assert end == max(ends, default=0)

    def note_fence(self, ino: int) -> None:
        self.model.floors[ino] = self.model.ticket

    def call_look(self, ino: int, offset: int) -> None:
        self.check(ino, (Cut(offset, Ticket(self.model.ticket)),))

    def note_look(self, ino: int, offset: int) -> None:
        """Reading changes nothing."""

    def call_checkpoint(self) -> None:
        self.server.checkpoint()

    def note_checkpoint(self) -> None:
        self.model.make_durable(None)

    def call_tick(self) -> None:
        self.server.tick(0.0)

    def note_tick(self) -> None:
        self.model.make_durable(None)

    def call_kill(self) -> None:
        self.server.kill()

    def note_kill(self) -> None:
        """A killed process loses nothing."""

    def call_restart(self) -> None:
        self.server.restart()

    def note_restart(self) -> None:
        self.model.make_durable(None)

    def check(self, ino: int, cuts: tuple[Cut, ...] = ()) -> None:
        """Compare all that the server answers of an inode with the model."""
        for role in (P, S):
            for start in (role - 1, FAR - 4 + role - 1):
                got = self.server.get(ino, role, start, 12, cuts=cuts, newest_cut=1 << 39)
                for at, block in enumerate(got):
                    block_no = start + at * SERVERS
                    gen, data = self.model.now.get((ino, role, block_no), (0, b""))
                    data = data[: valid_length(cuts, BlockNo(block_no), BLOCK, Generation(gen), len(data))]
                    expected = (CopyState.PRESENT if data else CopyState.ABSENT, gen, data)
                    assert (block.state, block.generation, block.data) == expected

    def check_floors(self) -> None:
        for ino in INOS:
            floor = self.model.floors.get(ino, 0)
            self.server.get(ino, P, 0, newest_cut=floor)
            if floor:
                with pytest.raises(StaleTicket) as raised:
                    self.server.get(ino, P, 0, newest_cut=floor - 1)
                assert raised.value.floor == floor

    def check_after_kill(self) -> None:
        """Start again after a kill in the middle of a step; each block in doubt is as it was or as it was to be."""
        self.server.kill()
        for key in {*self.model.now, *self.in_doubt}:
            state, found = self.found(key)
            assert state in (CopyState.PRESENT, CopyState.ABSENT)
            assert found in [self.seen(key, version) for version in self.in_doubt.get(key, (self.model.now.get(key),))]

    def check_after_power_cut(self, choices: list[bool]) -> None:
        """Let the machine stop, start again, and check what may be there."""
        left = iter(choices)
        self.disk.power_cut(lambda: next(left, True))
        self.server.reboot()
        model = self.model
        for key in {*model.now, *model.durable, *model.since}:
            state, found = self.found(key)
            allowed = [self.seen(key, version) for version in (model.durable.get(key), *model.since.get(key, []))]
            if state is CopyState.UNKNOWN:
                assert len(allowed) > 1, f"{key} is unknown, though it was synced"
                continue
            assert state in (CopyState.PRESENT, CopyState.ABSENT)
            assert found in allowed, f"{key} is neither its old nor its new content"

    def found(self, key: Key) -> tuple[CopyState, Version]:
        """Return what the server answers of a block to a reader who knows the cuts."""
        block = self.server.one(*key, cuts=self.cuts)
        return block.state, (block.generation, block.data) if block.state is CopyState.PRESENT else None

    def seen(self, key: Key, version: Version) -> Version:
        """Return what such a reader sees of a stored version."""
        if version is None:
            return None
        gen, data = version
        length = valid_length(self.cuts, BlockNo(key[2]), BLOCK, Generation(gen), len(data))
        return (gen, data[:length]) if length else None

    def check_no_damage(self) -> None:
        assert not [event for kind in (CORRUPT_RECORD, JOURNAL_DAMAGED) for event in self.server.events.of(kind)]


@QUICK
@given(LIVELY)
def test_server_with_any_history_of_calls_and_kills_answers_what_was_acknowledged(steps: list[Step]) -> None:
    history = History()
    for step in steps:
        history.run(step)
    for ino in INOS:
        history.check(ino)
    history.check_floors()
    history.run(("kill",))
    for ino in INOS:
        history.check(ino)
    history.check_floors()
    history.check_no_damage()


@QUICK
@given(LIVELY, st.lists(st.booleans(), max_size=60))
@example(  # blocks were cleaned, then written again in place: the map page survived, the record under it did not
    [
        ("put", 5, Role.PRIMARY, 0, 1, 1),
        ("put", 5, Role.PRIMARY, 3836, 8, 1),
        ("clean", 5, 1966085),
        ("clean", 5, 1966085),
        ("put", 5, Role.PRIMARY, 0, 1, 1),
        ("put", 5, Role.PRIMARY, 3836, 8, 1),
        ("clean", 4097, 0),
    ],
    [False, False, False, False, True, False, False],
)
def test_server_after_a_power_cut_has_what_was_synced_and_nothing_that_was_gone(steps: list[Step], choices: list[bool]) -> None:
    history = History()
    for step in steps:
        history.run(step)
    history.check_after_power_cut(choices)
    history.check_floors()
    history.check_no_damage()


@QUICK
@given(LIVELY, STEPS, st.integers(0, 12))
def test_server_killed_in_the_middle_of_a_step_has_each_block_old_or_new(steps: list[Step], last: Step, operations: int) -> None:
    history = History()
    for step in steps:
        history.run(step)
    history.run_killed(last, operations)
    history.check_after_kill()
    history.check_no_damage()


@QUICK
@given(LIVELY, STEPS, st.integers(0, 12), st.lists(st.booleans(), max_size=60))
def test_server_struck_by_a_power_cut_in_the_middle_of_a_step_keeps_what_was_synced(
    steps: list[Step], last: Step, operations: int, choices: list[bool]
) -> None:
    history = History()
    for step in steps:
        history.run(step)
    history.run_killed(last, operations)
    history.check_after_power_cut(choices)
    history.check_no_damage()
