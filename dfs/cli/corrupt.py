"""`corrupt.py DATA_PORT PATH`: change one random byte of one random block of a file on a data server's disk, while it runs.

For trying out that damage is found and repaired (R9); never part of normal operation. The byte is one of the block's data, so
that only its checksum can tell. What is still in the server's redo journal is answered from there and not from its place in the
strip file: the program waits until the file's blocks are in place. Exit status: 1 if the server holds no block of the file.
"""

from __future__ import annotations

import os
import random
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from dfs.cli.arguments import make_parser, parse_port, run_program
from dfs.cli.listener import find_state_folder
from dfs.cli.polling import poll_until
from dfs.cli.tools.dump_strip import find_first_page
from dfs.core.errors import DfsError, ExitCode
from dfs.core.ids import BlockNo, Ino
from dfs.core.placement import Role
from dfs.core.records import HEADER_BYTES, parse_record
from dfs.core.start_errors import StateError, UsageError
from dfs.data.disk.geometry import MAP_PAGE_BYTES, RECORDS_PER_GROUP, Geometry
from dfs.data.disk.journal import FOLDER as JOURNAL_FOLDER
from dfs.data.disk.journal_entries import ENTRY_HEADER_BYTES, HEADER, LEAD, MAGIC, Kind
from dfs.data.disk.map_page import MapPage, parse_map_page
from dfs.data.disk.strips import strip_name
from dfs.data.disk.superblock import NAME as SUPERBLOCK_NAME
from dfs.data.disk.superblock import parse_superblock

SCRIPT: Final = "corrupt.py"
IN_PLACE_TIMEOUT_S: Final = 60.0
"""The server puts blocks in place after 5 s to 10 s without small writes, at the latest after 30 s; a busy disk may take longer."""


class NoBlock(DfsError):
    """The server holds no block of the file."""

    template = "expected a file of which this server holds a block, got one of which it holds none"


class Spot(NamedTuple):
    """One record in a strip file."""

    role: Role
    path: Path
    block_no: BlockNo
    offset: int
    """Of the record in the file."""
    data_bytes: int


def main_corrupt(argv: Sequence[str]) -> int:
    """Damage a block and return the exit status."""
    return run_program(SCRIPT, lambda: _run(argv))


def _run(argv: Sequence[str]) -> int:
    parser = make_parser(
        SCRIPT, "Change one random byte of a file's data on the disk of a running data server, for trying out repair."
    )
    parser.add_argument("port", type=parse_port, metavar="DATA_PORT", help="where the data server listens, on this machine")
    parser.add_argument("path", type=Path, metavar="PATH", help="a file below a mount")
    options = parser.parse_args(argv)
    ino = _inode_of(options.path)
    print(corrupt(find_state_folder(options.port), ino))
    return ExitCode.DONE


def _inode_of(path: Path) -> Ino:
    """Return the inode of a file below a mount. Raises: UsageError."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise UsageError(f"a file below a mount at {path}", error.strerror or str(error)) from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"a regular file at {path}", "something else")
    return Ino(found.st_ino)


def corrupt(folder: Path, ino: Ino) -> str:
    """Change one random byte of one random block of the inode in a data server's state folder; return what was done.

    Raises: NoBlock; StateError if the folder is none, or the server does not put the blocks in place.
    """
    block = parse_superblock((folder / SUPERBLOCK_NAME).read_bytes())
    geometry = Geometry(max(2, block.servers), block.block_size)
    _wait_until_in_place(folder, ino)
    spot = _choose(folder, ino, geometry)
    if spot is None:
        raise NoBlock
    at = random.randrange(spot.data_bytes)
    with spot.path.open("r+b", buffering=0) as file:
        position = spot.offset + HEADER_BYTES + at
        (old,) = os.pread(file.fileno(), 1, position)
        new = random.choice([value for value in range(256) if value != old])
        os.pwrite(file.fileno(), bytes([new]), position)
        os.fsync(file.fileno())
    return f"server {block.index} block {spot.block_no} {spot.role.name.lower()} byte {at}: {old:#04x} -> {new:#04x}"


# --- the journal ---------------------------------------------------------------------------------------------------------


def _wait_until_in_place(folder: Path, ino: Ino) -> None:
    """Return when the journal holds no block of the inode. Raises: StateError after IN_PLACE_TIMEOUT_S."""
    if not poll_until(lambda: not is_journalled(folder, ino), IN_PLACE_TIMEOUT_S):
        got = f"some still in its journal after {IN_PLACE_TIMEOUT_S:.0f} s; is the file being written, or the server stopped?"
        raise StateError("the server to put the file's blocks in place", got)


def is_journalled(folder: Path, ino: Ino) -> bool:
    """Tell whether the redo journal in a state folder holds blocks of the inode."""
    for path in sorted((folder / JOURNAL_FOLDER).glob("[0-9]*")):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue  # its blocks are in place
        if _holds_records(raw, ino):
            return True
    return False


def _holds_records(raw: bytes, ino: Ino) -> bool:
    """Tell whether a segment's entries store blocks of the inode; their table stands in dfs/data/disk/journal_entries.py."""
    at = 0
    while at + ENTRY_HEADER_BYTES <= len(raw) and LEAD.unpack_from(raw, at)[0] == MAGIC:
        _, kind, _, count, _, data_bytes, _, _, entry_ino, _ = HEADER.unpack_from(raw, at + LEAD.size)
        if kind == Kind.RECORDS and entry_ino == ino:
            return True
        at += ENTRY_HEADER_BYTES + count * (8 + HEADER_BYTES) + data_bytes
    return False


# --- the strips ------------------------------------------------------------------------------------------------------------


def _choose(folder: Path, ino: Ino, geometry: Geometry) -> Spot | None:
    """Return a random record of the inode that verifies, or None."""
    candidates: list[tuple[Role, Path, MapPage, int, int]] = []
    for role in Role:
        path = folder / strip_name(ino, role)
        if path.exists():
            with path.open("rb") as file:
                candidates += [(role, path, *place) for place in _present(file, geometry)]
    random.shuffle(candidates)
    for role, path, page, slot, at in candidates:
        block_no = geometry.block_no(page.group * RECORDS_PER_GROUP + at, page.residue)
        offset = geometry.record_offset(slot, at)
        with path.open("rb") as file:
            raw = os.pread(file.fileno(), geometry.record_bytes, offset).ljust(geometry.record_bytes, b"\0")
        record = parse_record(raw, ino, block_no, geometry.block_size)
        if record is not None:
            return Spot(role, path, block_no, offset, len(record.data))
    return None


def _present(file: BinaryIO, geometry: Geometry) -> list[tuple[MapPage, int, int]]:
    """Return map page, slot of the group and slot of the record of all records that are present."""
    if find_first_page(file) is None:
        return []
    found: list[tuple[MapPage, int, int]] = []
    for slot in range(-(-file.seek(0, 2) // geometry.group_bytes)):
        page = parse_map_page(os.pread(file.fileno(), MAP_PAGE_BYTES, slot * geometry.group_bytes))
        if page is not None:
            found += [(page, slot, at) for at in range(RECORDS_PER_GROUP) if page.present >> at & 1]
    return found


if __name__ == "__main__":
    sys.exit(main_corrupt(sys.argv[1:]))
