"""`dfsctl dump-strip FILE`: what a strip file says, record by record, for people.

Reads the file as it stands on disk (format: dfs/data/disk/map_page.py and dfs/core/records.py) and changes nothing; on a running
server newer contents may still stand in its redo journal. Exit status: 0 if everything verifies, 1 if something does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dfs.core.errors import ExitCode
from dfs.core.ids import COUNTER_MAX, ticket_of
from dfs.core.limits import BLOCK_SIZES
from dfs.core.records import Record, parse_record
from dfs.core.start_errors import StateError, UsageError
from dfs.data.disk.geometry import MAP_PAGE_BYTES, RECORDS_PER_GROUP, Geometry
from dfs.data.disk.map_page import MapPage, parse_map_page


class Line(NamedTuple):
    """What is said of one record, or of a map page that does not verify."""

    text: str
    is_bad: bool


def dump_strip(path: Path) -> int:
    """Print what the strip file at `path` says and return the exit status.

    Raises: UsageError if it cannot be read, StateError if it is not a strip file.
    """
    try:
        with path.open("rb") as file:
            return _dump(file, path)
    except OSError as error:
        raise UsageError(expected=f"a readable strip file {path}", got=error.strerror or str(error)) from error


def _dump(file: BinaryIO, path: Path) -> int:
    first = find_first_page(file)
    if first is None:
        raise StateError(expected=f"{path} to be a strip file", got="no map page in it that verifies")
    print(
        f"{path}: inode {first.ino}, {first.role.name.lower()}, blocks {first.residue} modulo {first.servers}, "
        f"{first.block_size} bytes each"
    )
    bad = 0
    for line in describe_strip(file, first):
        print(line.text)
        bad += line.is_bad
    return ExitCode.FAILED if bad else ExitCode.DONE


def find_first_page(file: BinaryIO) -> MapPage | None:
    """Return the first map page that verifies. If the one at the start does not, its place depends on an unknown block size."""
    low, high = BLOCK_SIZES
    sizes = [low << shift for shift in range((high // low).bit_length())]
    file_bytes = file.seek(0, 2)
    for block_size in sizes:
        step = Geometry(2, block_size).group_bytes
        for offset in range(0, file_bytes, step):
            page = parse_map_page(_read(file, offset, MAP_PAGE_BYTES))
            if page is not None and (offset == 0 or page.block_size == block_size):
                return page
    return None


def describe_strip(file: BinaryIO, first: MapPage) -> Iterator[Line]:
    """Yield a line for each map page and each record that is not absent, in the order of the file."""
    geometry = Geometry(first.servers, first.block_size)
    for slot in range(-(-file.seek(0, 2) // geometry.group_bytes)):
        page = parse_map_page(_read(file, slot * geometry.group_bytes, MAP_PAGE_BYTES))
        if page is None or page[:4] != first[:4] or page.block_size != first.block_size:
            yield Line(f"slot {slot}: the map page does not verify as one of this strip", is_bad=True)
            continue
        present, synced = page.present.bit_count(), (page.present & page.synced).bit_count()
        yield Line(f"slot {slot}: group {page.group}, {present} records present, {synced} of them synced", is_bad=False)
        for at in range(RECORDS_PER_GROUP):
            if (page.present | page.synced) >> at & 1:
                yield _describe_record(file, geometry, page, slot, at)


def _describe_record(file: BinaryIO, geometry: Geometry, page: MapPage, slot: int, at: int) -> Line:
    block_no = geometry.block_no(page.group * RECORDS_PER_GROUP + at, page.residue)
    is_present, is_synced = page.present >> at & 1, page.synced >> at & 1
    record = None
    if is_present:
        raw = _read(file, geometry.record_offset(slot, at), geometry.record_bytes)
        # A file that ends within the record's padding was cut by a crash, or never filled: zeros are what a reader sees.
        record = parse_record(raw.ljust(geometry.record_bytes, b"\0"), page.ino, block_no, geometry.block_size)
    if record is not None:
        return Line(f"block {block_no}: {_describe_content(record)}", is_bad=False)
    # A record that was never synced may be torn by an unclean stop, which is no one's fault.
    state = "UNKNOWN" if not is_present else "CORRUPT" if is_synced else "TORN"
    return Line(f"block {block_no}: {state}", is_bad=True)


def _describe_content(record: Record) -> str:
    ticket, counter = ticket_of(record.generation), record.generation & COUNTER_MAX
    return (
        f"{len(record.data)} bytes, generation {record.generation} (ticket {ticket}, write {counter}), "
        f"checksum {record.checksum:08x}"
    )


def _read(file: BinaryIO, offset: int, size_bytes: int) -> bytes:
    file.seek(offset)
    return file.read(size_bytes)
