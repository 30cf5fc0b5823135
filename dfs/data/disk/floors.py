"""The floors: per inode the newest cut ticket that meta told this server, kept also where it holds no block.

`floors/<ino >> 12, 7 hex digits>` holds those of 4096 inodes, atomically replaced at a checkpoint; changes since then are in
the journal. Format 1, little-endian:

| offset | size | field                                                     |
|--------|------|-----------------------------------------------------------|
| 0      | 4    | magic "DFSF"                                              |
| 4      | 4    | format version, 1                                         |
| 8      | 4    | count of entries                                          |
| 12     | 4    | CRC-32 over bytes 0 .. 11 and 16 .. end                   |
| 16     | 16   | entry: inode u64, ticket u64; rising by inode; and so on  |

Promises: a floor only rises, until forget(). In memory a floor takes 16 bytes; a table is read when first needed. Called by the
block store. Never writes the journal: the caller does, before it answers.

Lock order: this object's mutex is the innermost, and no disk is touched under it.
"""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_left, bisect_right
from typing import Final

from dfs.core.crc32 import crc32
from dfs.core.errors import DiskMissing
from dfs.core.ids import NO_TICKET, Ino, Ticket
from dfs.core.interfaces import Disk, Tasks
from dfs.data.disk.quarantine import Quarantine

FOLDER: Final = "floors"
SHARD_BITS: Final = 12
SHARD_NAME: Final = re.compile("[0-9a-f]{7}")
MAGIC: Final = b"DFSF"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sII")
SUM: Final = struct.Struct("<I")
ENTRY: Final = struct.Struct("<QQ")


class Table:
    """The floors of 4096 inodes: two arrays, rising by inode."""

    __slots__ = ("inos", "tickets")

    def __init__(self) -> None:
        self.inos = array("Q")
        self.tickets = array("Q")

    def get(self, ino: Ino) -> Ticket:
        """Return the floor of an inode, 0 for none."""
        at = bisect_left(self.inos, ino)
        return Ticket(self.tickets[at]) if at < len(self.inos) and self.inos[at] == ino else NO_TICKET

    def put(self, ino: Ino, ticket: Ticket) -> None:
        """Set the floor of an inode."""
        at = bisect_left(self.inos, ino)
        if at < len(self.inos) and self.inos[at] == ino:
            self.tickets[at] = ticket
        else:
            self.inos.insert(at, ino)
            self.tickets.insert(at, ticket)

    def remove(self, ino: Ino) -> bool:
        """Remove the floor of an inode; tell whether there was one."""
        at = bisect_left(self.inos, ino)
        if at == len(self.inos) or self.inos[at] != ino:
            return False
        del self.inos[at], self.tickets[at]
        return True

    def pack(self) -> bytes:
        """Return the file's content."""
        body = b"".join([ENTRY.pack(ino, ticket) for ino, ticket in zip(self.inos, self.tickets, strict=True)])
        header = HEADER.pack(MAGIC, VERSION, len(self.inos))
        return header + SUM.pack(crc32(body, crc32(header))) + body


def parse_table(raw: bytes) -> Table | None:
    """Return the floors in a file's content if it verifies, else None."""
    header, body = raw[: HEADER.size], raw[HEADER.size + SUM.size :]
    if len(raw) < HEADER.size + SUM.size or SUM.unpack_from(raw, HEADER.size)[0] != crc32(body, crc32(header)):
        return None
    magic, version, count = HEADER.unpack(header)
    if magic != MAGIC or version != VERSION or len(body) != count * ENTRY.size:
        return None
    table = Table()
    for ino, ticket in ENTRY.iter_unpack(body):
        table.inos.append(ino)
        table.tickets.append(ticket)
    return table


class Floors:
    """The floors of one data server."""

    def __init__(self, disk: Disk, tasks: Tasks, quarantine: Quarantine) -> None:
        self._disk = disk
        self._quarantine = quarantine
        self._mutex = tasks.mutex()
        self._tables: dict[int, Table] = {}
        self._changed: set[int] = set()
        """Tables with changes that are only in the journal."""
        self.lost: list[str] = []
        """Names of the quarantined tables that did not verify: what they said is not known any more."""

    def start(self) -> None:
        """Make the folder. Raises: DiskError leaves."""
        self._disk.make_folder(FOLDER)

    def get(self, ino: Ino) -> Ticket:
        """Return the floor of an inode, 0 for none. Raises: DiskError leaves."""
        table = self._table(ino)
        with self._mutex:
            return table.get(ino)

    def raise_to(self, ino: Ino, ticket: Ticket) -> None:
        """Raise the floor of an inode if it is lower. Raises: DiskError leaves."""
        table = self._table(ino)
        with self._mutex:
            if table.get(ino) < ticket:
                table.put(ino, ticket)
                self._changed.add(ino >> SHARD_BITS)

    def forget(self, ino: Ino) -> None:
        """Remove the floor of an inode that is no more. Raises: DiskError leaves."""
        table = self._table(ino)
        with self._mutex:
            if table.remove(ino):
                self._changed.add(ino >> SHARD_BITS)

    def above(self, after: Ino, limit: int) -> list[tuple[Ino, Ticket]]:
        """Return up to `limit` floors of inodes above `after`, rising. Raises: DiskError leaves."""
        with self._mutex:
            shards = set(self._tables)
        shards |= {int(name, 16) for name in self._disk.list_folder(FOLDER) if SHARD_NAME.fullmatch(name)}
        found: list[tuple[Ino, Ticket]] = []
        for shard in sorted(shard for shard in shards if shard >= (after + 1) >> SHARD_BITS):
            table = self._table(Ino(shard << SHARD_BITS))
            with self._mutex:
                start = bisect_right(table.inos, after)
                end = start + limit - len(found)
                found += [(Ino(i), Ticket(t)) for i, t in zip(table.inos[start:end], table.tickets[start:end], strict=True)]
            if len(found) == limit:
                break
        return found

    def take_changed(self) -> set[int]:
        """Return the tables to be written by save(), and count them as written."""
        with self._mutex:
            changed, self._changed = self._changed, set()
            return changed

    def save(self, shards: set[int]) -> None:
        """Write tables durably. If it fails they count as changed again. Raises: DiskError leaves."""
        left = set(shards)
        try:
            for shard in sorted(shards):
                with self._mutex:
                    raw = self._tables[shard].pack()
                self._disk.replace(_name(shard), raw)
                left.remove(shard)
        finally:
            with self._mutex:
                self._changed |= left

    @property
    def has_changed(self) -> bool:
        """Tell whether a floor is only in the journal."""
        return bool(self._changed)

    def _table(self, ino: Ino) -> Table:
        shard = ino >> SHARD_BITS
        with self._mutex:
            table = self._tables.get(shard)
        if table is None:
            read = self._read(shard)
            with self._mutex:
                table = self._tables.setdefault(shard, read)
        return table

    def _read(self, shard: int) -> Table:
        try:
            raw = self._disk.read(_name(shard))
        except DiskMissing:
            return Table()
        table = parse_table(raw)
        if table is None:
            self.lost.append(self._quarantine.keep(f"floors.{shard:07x}", raw))
            return Table()
        return table


def _name(shard: int) -> str:
    return f"{FOLDER}/{shard:07x}"
