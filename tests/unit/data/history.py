"""A data server on a disk in memory and, beside it, the dictionary that it must answer like: steps are taken by both.

Says what may be found after kill -9 (nothing acknowledged is gone) and after a power cut (nothing that Sync, Clean, Drop or a
checkpoint confirmed is gone, nothing comes back, no block is neither its old nor its new content).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest

from dfs.core.cuts import Cut, valid_length
from dfs.core.errors import StaleTicket
from dfs.core.events.data_server import CORRUPT_RECORD, JOURNAL_DAMAGED
from dfs.core.ids import BlockNo, Generation, Ticket
from dfs.core.messages.blocks import CopyState
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


@dataclass
class Model:
    """What was acknowledged, what of it is durable, and what else a block may be after a power cut."""

    now: dict[Key, tuple[int, bytes]] = field(default_factory=dict)
    durable: dict[Key, tuple[int, bytes]] = field(default_factory=dict)
    since: dict[Key, list[Version]] = field(default_factory=dict)
    """Contents since the durable one."""
    floors: dict[int, int] = field(default_factory=dict)
    ticket: int = 1
    mark: int = 0

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


class History:
    """Runs the steps of a history on a server and on the model."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.server = OneServer(self.disk, servers=SERVERS)
        self.model = Model()
        self.in_doubt: dict[Key, tuple[Version, Version]] = {}
        """Blocks that the step in which the server died may have changed: before, after."""
        self.old_mark = 0
        """The mark before the step in which the server died."""
        self.cuts: tuple[Cut, ...] = ()
        """Those of a Clean in which the server died: meta still knows them, so every reader sends them along."""

    def run(self, step: Step) -> None:
        """Let the server, then the model take a step."""
        if step[0] in ("put", "clean", "fence"):
            self.model.ticket += 1
        getattr(self, f"call_{step[0]}")(*step[1:])
        getattr(self, f"note_{step[0]}")(*step[1:])

    def run_killed(self, step: Step, operations: int) -> bool:
        """Let the server die after so many disk operations of a step; the step may or may not have happened, block by block.

        Tells whether it died: not if the step needs no more operations than that.
        """
        model = self.model
        before, durable = dict(model.now), dict(model.durable)
        since = {key: list(versions) for key, versions in model.since.items()}
        floors, self.old_mark = dict(model.floors), model.mark
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
            return True
        finally:
            self.disk.operations_left = None
        return False

    def on(self, disk: MemoryDisk, *, has_booted: bool) -> History:
        """Return this history with a server that starts on another disk. `has_booted`: the machine did, too."""
        other = copy.copy(self)
        other.disk = disk
        boot_id = self.server.boot_id + "'" * has_booted
        other.server = OneServer(disk, servers=SERVERS, boot_id=boot_id)
        return other

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

    def call_mark(self, mark: int) -> None:
        self.server.note_mark(mark)

    def note_mark(self, mark: int) -> None:
        self.model.mark = max(self.model.mark, mark)

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

    def check_mark(self) -> None:
        """After a crash: the mark is as it was told last, or in the middle of telling one before."""
        assert self.server.mark() in (self.old_mark, self.model.mark)

    def check_floors(self) -> None:
        for ino in INOS:
            floor = self.model.floors.get(ino, 0)
            self.server.get(ino, P, 0, newest_cut=floor)
            if floor:
                with pytest.raises(StaleTicket) as raised:
                    self.server.get(ino, P, 0, newest_cut=floor - 1)
                assert raised.value.floor == floor

    def check_after_kill(self) -> None:
        """After a kill in the middle of a step and a new start: each block in doubt is as it was or as it was to be."""
        for key in {*self.model.now, *self.in_doubt}:
            state, found = self.found(key)
            assert state in (CopyState.PRESENT, CopyState.ABSENT)
            allowed = [self.seen(key, version) for version in self.in_doubt.get(key, (self.model.now.get(key),))]
            assert found in allowed, f"{key} is neither as it was nor as it was to be"

    def check_after_power_cut(self) -> None:
        """After the machine stopped and the server started again: check what may be there."""
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
