"""Goal: wherever a data server is killed or its machine loses power, also while it recovers from that, it finds its way back.

Method: one story that touches every kind of file. The real store runs it on a disk in memory and is stopped after each single disk
operation of it, the last write torn or whole. From each of these points it is started again as after kill -9, and as after power
cuts that lose all, none and some of what was not synced; then stopped once more at points of that start, and started again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import pytest

from tests.harness.memory_disk import SECTOR_BYTES, Chooser, Killed, MemoryDisk
from tests.unit.data.history import FAR, History, Step
from tests.unit.data.one_server import P, S

STORY: Final[tuple[Step, ...]] = (
    ("put", 5, P, 0, 8, 512),  # large and new: at its place at once
    ("put", 5, S, 2, 2, 100),  # small and new: appended to the journal
    ("put", 5, P, 0, 3, 512),  # over what is there: by way of the journal
    ("sync", 5),
    ("put", 4097, P, 0, 9, 1),
    ("put", 5, P, 6, 9, 512),  # partly over, partly new
    ("mark", 4096),
    ("fence", 5),
    ("clean", 5, 2048),
    ("put", 5, P, 2, 8, 512),  # where a cut took something away
    ("tick",),
    ("put", 5, S, FAR, 8, 512),  # a second group
    ("put", 5, S, FAR - 4, 9, 100),
    ("checkpoint",),
    ("put", 4097, P, 2, 1, 100),
    ("drop", 5),
    ("put", 4097, S, 0, 8, 512),
    ("clean", 4097, 700),
    ("restart",),
    ("mark", 8192),
    ("put", 4097, P, 0, 3, 512),
    ("checkpoint",),
    ("sync", 4097),
)
TEARS: Final[dict[str, Callable[[int], int]]] = {
    "before": lambda size_bytes: 0,
    "within": lambda size_bytes: size_bytes // 2 // SECTOR_BYTES * SECTOR_BYTES,
}
SAMPLES: Final = 3


def some(seed: str) -> Chooser:
    chance = random.Random(seed)
    return lambda: chance.random() < 0.5


def left_behind(disk: MemoryDisk, seed: str) -> Iterator[tuple[str, MemoryDisk]]:
    """Return what a new start may find: the name of the crash and the disk."""
    yield "kill", disk.twin()
    yield "all lost", disk.after_power_cut(lambda: False)
    yield "none lost", disk.after_power_cut(lambda: True)
    for number in range(SAMPLES):
        yield f"sample {number}", disk.after_power_cut(some(f"{seed}/{number}"))


def check_start(crashed: History, crash: str, disk: MemoryDisk) -> None:
    """Start on what a crash left, and compare everything with the model."""
    started = crashed.on(disk, has_booted=crash != "kill")
    if crash == "kill":
        started.check_after_kill()
    else:
        started.check_after_power_cut()
    started.check_mark()
    started.check_no_damage()


def check_killed_start(crashed: History, crash: str, disk: MemoryDisk, operations: int) -> bool:
    """Kill the server in its start, start it again, and compare. Tells whether the start took so many operations."""
    disk.operations_left = operations
    try:
        crashed.on(disk, has_booted=crash != "kill")
    except Killed:
        disk.operations_left = None
        check_start(crashed, crash, disk)
        return True
    return False


@pytest.mark.parametrize("tear", TEARS)
def test_store_is_right_again_from_every_point_of_a_story(tear: str) -> None:
    seen: Counter[str] = Counter()
    chance = random.Random(tear)
    for at, step in enumerate(STORY):
        for operations in count():
            history = History()
            for before in STORY[:at]:
                history.run(before)
            history.disk.torn_at = TEARS[tear]
            if not history.run_killed(step, operations):
                break
            point = f"step {at} {step}, operation {operations}"
            seen["points"] += 1
            for crash, disk in left_behind(history.disk, point):
                again = disk.twin()
                try:
                    check_start(history, crash, disk)
                    seen["killed starts"] += check_killed_start(history, crash, again, chance.randrange(12))
                except Exception as error:
                    error.add_note(f"{point}, {crash}")
                    raise
                seen["starts"] += 1
    assert seen["points"] > 100
    assert seen["starts"] == (3 + SAMPLES) * seen["points"]
    assert seen["killed starts"] > seen["points"]
