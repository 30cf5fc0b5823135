"""Goal: dump-strip tells what is in a strip file, and finds what is damaged.
Method: strip files put together from the format's own functions, whole and with bytes flipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.tools.dump_strip import dump_strip
from dfs.core.ids import BlockNo, Ino, Ticket, generation_of
from dfs.core.placement import Role
from dfs.core.records import Record, checksum, pack_record
from dfs.core.start_errors import StateError, UsageError
from dfs.data.disk.geometry import MAP_PAGE_BYTES, Geometry
from dfs.data.disk.map_page import MapPage, pack_map_page

GEOMETRY = Geometry(4, 512)
INO = Ino(77)
RESIDUE = 3
DATA = [b"first block", b"x" * 512, b"last"]


def strip_bytes(group: int = 0, synced: int = 0b011) -> bytes:
    """Return a strip of one group with three records, of which the first two are synced."""
    page = pack_map_page(MapPage(Role.SECONDARY, 4, RESIDUE, INO, group, 512, 0b111, synced))
    generation = generation_of(Ticket(9), 2)
    records = b""
    for index, data in enumerate(DATA):
        block_no = BlockNo((group * 1920 + index) * 4 + RESIDUE)
        records += pack_record(Record(generation, checksum(INO, block_no, generation, data), data), 512)
    return page + records


def flipped(raw: bytes, offset: int) -> bytes:
    return raw[:offset] + bytes([raw[offset] ^ 1]) + raw[offset + 1 :]


def dump(tmp_path: Path, raw: bytes, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    (tmp_path / "strip").write_bytes(raw)
    status = dump_strip(tmp_path / "strip")
    return status, capsys.readouterr().out.splitlines()


def test_dump_of_a_whole_strip_names_every_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = dump(tmp_path, strip_bytes(), capsys)
    assert status == 0
    assert "inode 77, secondary, blocks 3 modulo 4, 512 bytes each" in lines[0]
    assert lines[1] == "slot 0: group 0, 3 records present, 2 of them synced"
    assert [line.split(",")[0] for line in lines[2:]] == ["block 3: 11 bytes", "block 7: 512 bytes", "block 11: 4 bytes"]
    assert "(ticket 9, write 2)" in lines[2]


def test_dump_of_a_later_group_counts_its_blocks_from_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = dump(tmp_path, strip_bytes(group=2), capsys)
    assert lines[2].startswith(f"block {2 * 1920 * 4 + 3}: 11 bytes")


@pytest.mark.parametrize(("index", "state"), [(0, "CORRUPT"), (1, "CORRUPT"), (2, "TORN")])
def test_dump_of_a_flipped_bit_names_the_block_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], index: int, state: str
) -> None:
    raw = flipped(strip_bytes(), MAP_PAGE_BYTES + index * GEOMETRY.record_bytes + 17)
    status, lines = dump(tmp_path, raw, capsys)
    assert status == 1
    assert lines[2 + index] == f"block {index * 4 + 3}: {state}"
    assert len([line for line in lines if "bytes, generation" in line]) == 2


def test_dump_of_a_lost_record_says_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = dump(tmp_path, strip_bytes(synced=0b1011), capsys)
    assert status == 1
    assert lines[-1] == "block 15: UNKNOWN"


def test_dump_of_a_damaged_first_map_page_goes_on_with_the_next_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = flipped(strip_bytes(), 40).ljust(GEOMETRY.group_bytes, b"\0") + strip_bytes(group=1)
    status, lines = dump(tmp_path, raw, capsys)
    assert status == 1
    assert "does not verify" in lines[1]
    assert lines[2] == "slot 1: group 1, 3 records present, 2 of them synced"


@pytest.mark.parametrize("raw", [b"", b"hello", bytes(5000)])
def test_dump_of_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], raw: bytes) -> None:
    with pytest.raises(StateError, match="to be a strip file"):
        dump(tmp_path, raw, capsys)


def test_dump_of_no_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        dump_strip(tmp_path / "nothing")
