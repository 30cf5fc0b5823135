"""Which strips were changed lately, so that a neighbour whose machine lost power need not compare everything (design section 8).

Time is counted in ticks of at least LATE_PUT_S each. The file `changes`, replaced at every checkpoint before journal segments are
dropped, format 1, little-endian:

| offset | size | field                                                                                 |
|--------|------|---------------------------------------------------------------------------------------|
| 0      | 4    | magic "DFSC"                                                                          |
| 4      | 4    | format version, 1                                                                     |
| 8      | 4    | CRC-32 over bytes 12 .. end                                                           |
| 12     | 8    | tick at which it was saved                                                            |
| 20     | 8    | mark: ticks below it may have been told to others                                     |
| 28     | 16   | per role, primary first: u64, the tick from which on everything is noted              |
| 44     | 16   | entry: inode << 2 | role (1 primary, 2 secondary) u64, tick u64; the oldest first; and so on |

Promises: what was put into the journal since the file was saved is noted again when it is replayed, so kill -9 loses nothing; a
file that can't be read means that any strip may have changed. Called by the block store, and by Lending for a neighbour. Never
says that a strip did not change unless it knows.

Lock order: this object's mutex is the innermost (memory only); save() is called by one task at a time.
"""

from __future__ import annotations

import logging
import struct
from typing import Final

from dfs.core.crc32 import crc32
from dfs.core.errors import DiskFull, DiskMissing
from dfs.core.ids import Ino
from dfs.core.interfaces import Clock, Disk, Tasks
from dfs.core.limits import LATE_PUT_S
from dfs.core.placement import Role

log = logging.getLogger(__name__)

NAME: Final = "changes"
MAGIC: Final = b"DFSC"
VERSION: Final = 1
LEAD: Final = struct.Struct("<4sII")
HEADER: Final = struct.Struct("<QQQQ")
ENTRY: Final = struct.Struct("<QQ")
STRIPS_MAX: Final = 16_384
"""Strips noted per role; of older changes it is only known that there were some."""
TICKS_AT_ONCE: Final = 1 << 16
"""The mark on disk is so far ahead of the tick: it is moved once in four days."""


class ChangeLog:
    """The strips of one data server that changed lately."""

    def __init__(self, disk: Disk, tasks: Tasks, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock
        self._mutex = tasks.mutex()
        self._ticks: dict[Role, dict[Ino, int]] = {role: {} for role in Role}
        """When each strip was last changed; the longest ago first."""
        self._noted_from: dict[Role, int] = dict.fromkeys(Role, 0)
        self._counts: dict[Role, int] = dict.fromkeys(Role, 0)
        self._unsure: set[Role] = set()
        self._tick = self._mark = 0
        self._first = self._saved = 0
        """The tick in which this process began, and the one that the file had then."""
        self._tick_began_s = clock.monotonic_s()

    def start(self) -> None:
        """Read what was saved, and begin a tick that nobody was told of. Raises: DiskError leaves."""
        try:
            raw = self._disk.read(NAME)
            is_known = self._parse(raw)
            if not is_known:
                log.warning("%s does not verify: any strip may have changed before this start", NAME)
        except DiskMissing:
            is_known = False
        if not is_known:
            # Ticks are slower than seconds: above all that may have been told before.
            self._tick = self._first = self._saved = self._clock.wall_ns() // 10**9
            self._noted_from = dict.fromkeys(Role, self._tick)
        try:
            self.save()
        except DiskFull as error:  # a full disk must start; until there is space nobody is told a tick
            log.info("%s stays as it is: %s", NAME, error)

    def note(self, ino: Ino, role: Role) -> None:
        """Note that something is stored in a strip, before that is acknowledged."""
        with self._mutex:
            self._note(ino, role)

    def note_all(self, role: Role) -> None:
        """Note that what changed in a role before now is not known: any strip may have."""
        with self._mutex:
            self._noted_from[role] = self._tick + 1

    def tick(self) -> int:
        """Return the present tick; everything that is noted from now on belongs to it or a later one. Raises: DiskError leaves."""
        with self._mutex:
            now_s = self._clock.monotonic_s()
            if now_s - self._tick_began_s >= LATE_PUT_S:
                self._tick += 1
                self._tick_began_s = now_s
            is_told = self._tick < self._mark
        if not is_told:
            self.save()
        return self._tick

    def since(self, role: Role, tick: int) -> list[Ino] | None:
        """Return the strips that changed since a tick or up to LATE_PUT_S before it, rising; None: any may have."""
        with self._mutex:
            from_tick = (self._saved if tick == self._first else tick) - 1
            if from_tick < self._noted_from[role]:
                return None
            return sorted(ino for ino, changed in self._ticks[role].items() if changed >= from_tick)

    def count(self, role: Role) -> int:
        """Return a number that rises with each change in a role."""
        return self._counts[role]

    def doubt(self, role: Role) -> None:
        """Note that some changes of a role may not be noted yet: the machine stopped, and the journal's end with it."""
        with self._mutex:
            self._unsure.add(role)

    def end_doubt(self, role: Role) -> None:
        """Note that all strips of a role have been looked at, and durably noted if they were changed."""
        self.save()
        with self._mutex:
            self._unsure.discard(role)

    def is_sure(self, role: Role) -> bool:
        """Tell whether all changes of a role are noted."""
        return role not in self._unsure

    def save(self) -> None:
        """Put everything that is noted on disk. Raises: DiskError leaves."""
        with self._mutex:
            mark = self._tick + TICKS_AT_ONCE
            header = HEADER.pack(self._tick, mark, *(self._noted_from[role] for role in Role))
            entries = [ENTRY.pack(ino << 2 | role, tick) for role in Role for ino, tick in self._ticks[role].items()]
        body = header + b"".join(entries)
        self._disk.replace(NAME, LEAD.pack(MAGIC, VERSION, crc32(body)) + body)
        with self._mutex:
            self._mark = mark

    def _note(self, ino: Ino, role: Role) -> None:
        ticks = self._ticks[role]
        self._counts[role] += 1
        ticks.pop(ino, None)
        ticks[ino] = self._tick
        if len(ticks) > STRIPS_MAX:
            oldest = next(iter(ticks))
            self._noted_from[role] = max(self._noted_from[role], ticks.pop(oldest) + 1)

    def _parse(self, raw: bytes) -> bool:
        """Take what a file says; tell whether it verifies."""
        if len(raw) < LEAD.size + HEADER.size or (len(raw) - LEAD.size - HEADER.size) % ENTRY.size:
            return False
        magic, version, summed = LEAD.unpack_from(raw)
        if magic != MAGIC or version != VERSION or crc32(raw[LEAD.size :]) != summed:
            return False
        self._saved, self._first, *noted_from = HEADER.unpack_from(raw, LEAD.size)
        self._tick = self._first
        self._noted_from = dict(zip(Role, noted_from, strict=True))
        for key, tick in ENTRY.iter_unpack(raw[LEAD.size + HEADER.size :]):
            self._ticks[Role(key & 3)][Ino(key >> 2)] = tick
        return True
