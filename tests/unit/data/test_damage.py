"""Goal: no damage on the disk is ever taken for data or for a hole (I2, I4). Method: flip bits, cut files and lose pages in every
kind of file that a data server has, then look at what it answers and what it tells.
"""

from __future__ import annotations

import zlib
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs.core.errors import NotTrusted
from dfs.core.events.data_server import FLOORS_LOST, JOURNAL_DAMAGED, JOURNAL_TORN, MAP_PAGE_LOST
from dfs.core.ids import Ino
from dfs.core.messages.blocks import CopyState, Sync
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify
from dfs.core.placement import Role
from dfs.core.start_errors import StateError
from dfs.data.disk.geometry import Geometry
from dfs.data.disk.journal_entries import ENTRY_HEADER_BYTES, LEAD, Entry, Kind, pack_entry, parse_entry, position
from dfs.data.disk.map_page import MapPage, pack_map_page, parse_map_page
from dfs.data.disk.superblock import Superblock, pack_superblock, parse_superblock
from tests.harness.memory_disk import Killed, MemoryDisk
from tests.unit.data.one_server import CONTEXT, OneServer, P, S, generation

FULL = bytes(range(256)) * 2
STRIP = "strips/0000000/0000000007.p"
GROUP_BYTES = 512 + 1920 * 528


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


@pytest.fixture
def server(disk: MemoryDisk) -> OneServer:
    return OneServer(disk)


def states(server: OneServer, first: int, count: int) -> list[CopyState]:
    return [block.state for block in server.get(7, P, first, count)]


# --- map pages -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 511), st.integers(0, 7))
def test_map_page_with_any_bit_flipped_does_not_verify(offset: int, bit: int) -> None:
    page = MapPage(Role.SECONDARY, 4, 3, Ino(7), 5, 512, (1 << 1919) | 1, 1)
    raw = bytearray(pack_map_page(page))
    assert len(raw) == 512
    assert parse_map_page(raw) == page
    raw[offset] ^= 1 << bit
    assert parse_map_page(raw) is None


@settings(max_examples=30)
@given(st.integers(0, 511), st.integers(1, 255))
def test_strip_with_a_bad_map_page_keeps_its_blocks_and_has_no_holes(offset: int, bits: int) -> None:
    disk = MemoryDisk()
    server = OneServer(disk)
    server.put(7, generation(3), (P, 0, [FULL] * 10))
    server.restart()
    disk.flip(STRIP, offset, bits)
    server.kill()
    for _ in range(2):
        assert states(server, 0, 12) == [CopyState.PRESENT] * 10 + [CopyState.UNKNOWN] * 2
        server.kill()
    assert len(server.events.of(MAP_PAGE_LOST)) == 1
    assert len(disk.names("quarantine/")) == 1


def test_lost_map_page_of_a_group_out_of_order_is_placed_by_its_records(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 2 * 1920 * 5, [FULL] * 10))
    server.put(7, generation(3), (P, 0, [b"x" * 512] * 10))
    server.restart()
    disk.open(STRIP).pwrite([bytes(512)], 0)
    server.kill()
    assert server.one(7, P, 2 * 1920 * 5).data == FULL
    assert server.one(7, P, 0).data == b"x" * 512
    assert states(server, 20, 1) == [CopyState.ABSENT]
    assert states(server, 2 * 1920 * 5 + 20, 1) == [CopyState.UNKNOWN]
    assert states(server, 2 * 1920 * 3, 1) == [CopyState.ABSENT]


def test_strip_with_a_group_that_is_wholly_lost_says_unknown_of_all_it_does_not_have(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 10))
    server.put(7, generation(3), (P, 2 * 1920, [FULL] * 10))
    server.restart()
    disk.open(STRIP).pwrite([bytes(512 + 10 * 528)], GROUP_BYTES)
    server.kill()
    assert states(server, 0, 12) == [CopyState.PRESENT] * 10 + [CopyState.ABSENT] * 2
    assert set(states(server, 2 * 1920, 12)) == {CopyState.UNKNOWN}
    server.put(7, generation(4), (P, 2 * 1920, [b"again"]))
    server.restart()
    assert server.one(7, P, 2 * 1920).data == b"again"
    assert set(states(server, 2 * 1920 + 2, 12)) == {CopyState.UNKNOWN}


def test_strip_with_a_bad_map_page_on_a_read_only_disk_is_still_read(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 10))
    server.restart()
    disk.flip(STRIP, 40)
    server.kill()
    disk.is_read_only = True
    assert states(server, 0, 11) == [CopyState.PRESENT] * 10 + [CopyState.UNKNOWN]


def test_strip_of_another_inode_under_this_name_is_not_believed(server: OneServer, disk: MemoryDisk) -> None:
    server.put(8, generation(3), (P, 0, [FULL] * 10))
    server.put(7, generation(3), (P, 0, [b"x" * 512] * 10))
    server.restart()
    other = disk.read("strips/0000000/0000000008.p")
    disk.replace(STRIP, other)
    server.kill()
    assert set(states(server, 0, 10)) == {CopyState.UNKNOWN}


def test_torn_record_after_a_power_cut_is_unknown_and_a_synced_one_corrupt(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 10))
    server.sync(7)
    server.put(7, generation(4), (P, 20, [FULL] * 10))
    server.boot_id = "another"
    disk.open(STRIP).pwrite([bytes(100)], 512 + 12 * 528 + 16)
    disk.open(STRIP).pwrite([bytes(100)], 512 + 3 * 528 + 16)
    server.reboot()
    expected = [CopyState.PRESENT] * 20
    expected[3], expected[12] = CopyState.CORRUPT, CopyState.UNKNOWN
    assert states(server, 0, 20) == expected
    server.sync(7)
    server.kill()
    assert states(server, 0, 20) == expected


# --- the journal -----------------------------------------------------------------------------------------------------


@given(st.data())
def test_journal_entry_with_any_byte_changed_does_not_verify(data: st.DataObject) -> None:
    server = OneServer(MemoryDisk())
    server.put(7, generation(3), (P, 4, [FULL, b"abc"]))
    pending = server.service._blocks.store.overlay.merged(Ino(7), P)  # type: ignore[union-attr]
    assert pending is not None
    entry = Entry(Kind.RECORDS, Ino(7), role=P, residue=0, records=pending.records)
    parts, size_bytes = pack_entry(entry, position(3, 10), position(3, 0))
    raw = bytearray(10) + bytearray(b"".join(parts))
    assert len(raw) == 10 + size_bytes
    geometry = Geometry(2, 512)
    parsed = parse_entry(memoryview(raw), 10, 3, geometry)
    assert parsed is not None
    assert parsed.entry == entry
    assert parse_entry(memoryview(raw), 10, 4, geometry) is None
    raw[data.draw(st.integers(10, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert parse_entry(memoryview(raw), 10, 3, geometry) is None


@given(st.data())
def test_entry_that_voids_is_read_back_and_a_changed_one_is_not(data: st.DataObject) -> None:
    entry = Entry(Kind.VOIDED, Ino(7), role=S, residue=1, voided=(0, 5, 1 << 40))
    parts, size_bytes = pack_entry(entry, position(3, 0), 0)
    raw = bytearray(b"".join(parts))
    assert len(raw) == size_bytes
    parsed = parse_entry(memoryview(raw), 0, 3, Geometry(2, 512))
    assert parsed is not None
    assert parsed.entry == entry
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert parse_entry(memoryview(raw), 0, 3, Geometry(2, 512)) is None


def test_journal_of_another_release_is_refused_and_a_rotten_version_is_damage(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    (segment,) = disk.names("journal/")
    disk.flip(segment, LEAD.size, 1)
    rotten = OneServer(disk.twin())
    assert len(rotten.events.of(JOURNAL_DAMAGED)) == 1
    raw = bytearray(disk.read(segment))
    raw[4:8] = zlib.crc32(raw[LEAD.size : ENTRY_HEADER_BYTES + 24]).to_bytes(4, "little")
    disk.open(segment).pwrite([raw], 0)
    with pytest.raises(StateError, match=r"a journal in format 2, got journal/.* in another"):
        server.kill()
    assert disk.read(segment) == raw


@settings(max_examples=30)
@given(st.integers(0, 700))
def test_journal_with_a_torn_end_keeps_what_is_whole_and_says_so_once(left_bytes: int) -> None:
    disk = MemoryDisk()
    server = OneServer(disk)
    server.put(7, generation(3), (P, 0, [FULL]))
    (segment,) = disk.names("journal/")
    whole = len(disk.read(segment))
    server.put(7, generation(4), (P, 2, [FULL, FULL]))
    total = len(disk.read(segment))
    disk.cut_off(segment, min(whole + left_bytes, total - 1))
    server.reboot()
    assert states(server, 0, 3) == [CopyState.PRESENT, CopyState.ABSENT, CopyState.ABSENT]
    assert len(server.events.of(JOURNAL_TORN)) == (1 if left_bytes else 0)
    server.kill()
    server.put(7, generation(5), (P, 2, [b"new"]))
    server.kill()
    assert server.one(7, P, 2).data == b"new"
    assert len(server.events.of(JOURNAL_TORN)) == (1 if left_bytes else 0)
    assert not server.events.of(JOURNAL_DAMAGED)


def test_journal_with_a_bad_entry_that_was_synced_is_told_and_the_rest_is_kept(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    server.sync(7)
    server.put(8, generation(4), (P, 0, [FULL]))
    (segment,) = disk.names("journal/")
    disk.flip(segment, 100)
    server.kill()
    assert server.one(8, P, 0).data == FULL
    # What was lost is not known: nothing that is not there counts as a hole any more, until compared with the neighbours.
    assert states(server, 0, 2) == [CopyState.UNDECIDED] * 2
    assert len(server.events.of(JOURNAL_DAMAGED)) == 1
    assert len(disk.names("quarantine/")) == 1
    identity = server.service.call(CONTEXT, Identify())
    assert (identity.primary, identity.secondary) == (RoleState.SUSPECT, RoleState.SUSPECT)
    with pytest.raises(NotTrusted):
        server.service.call(CONTEXT, Sync(Ino(8)))
    assert "suspect" in server.service.status()


@settings(max_examples=60)
@given(st.data())
def test_journal_that_rots_before_its_process_is_killed_hides_nothing_and_makes_no_holes(data: st.DataObject) -> None:
    disk = MemoryDisk()
    server = OneServer(disk)
    for number in range(3):
        server.put(7 + number, generation(3 + number), (P, 0, [FULL, b"abc"]))
    (segment,) = disk.names("journal/")
    offset = data.draw(st.integers(0, len(disk.read(segment)) - 1))
    disk.flip(segment, offset, data.draw(st.integers(1, 255)))
    hit = offset * 3 // len(disk.read(segment))
    server.kill()
    for number in range(3):  # what stands before the rot may have been taken back by what rotted
        is_left = number > hit
        found = [block.state for block in server.get(7 + number, P, 0, 3)]
        assert found == [CopyState.DOUBTED if is_left else CopyState.UNDECIDED] * 2 + [CopyState.UNDECIDED]
    assert len(server.events.of(JOURNAL_DAMAGED)) == 1
    assert not server.events.of(JOURNAL_TORN)
    assert server.service.call(CONTEXT, Identify()).primary is RoleState.SUSPECT


@pytest.mark.parametrize("left_bytes", [1, 59, 60, 61, 107, 108, 600, 1131])
@pytest.mark.parametrize("has_next", [False, True])
def test_journal_whose_process_was_killed_in_the_middle_of_a_write_has_a_torn_end(
    server: OneServer, disk: MemoryDisk, left_bytes: int, has_next: bool
) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    (segment,) = disk.names("journal/")
    whole = len(disk.read(segment))
    server.put(7, generation(4), (P, 2, [FULL, FULL]))
    disk.cut_off(segment, whole + left_bytes)
    if has_next:  # a checkpoint had just made it
        blocks = server.service._blocks
        assert blocks is not None
        blocks.store.journal.prepare_segment()
    server.kill()
    assert len(server.events.of(JOURNAL_TORN)) == 1
    assert not server.events.of(JOURNAL_DAMAGED)
    assert states(server, 0, 2) == [CopyState.PRESENT, CopyState.ABSENT]
    server.put(7, generation(5), (P, 2, [b"new"]))
    server.kill()
    assert server.one(7, P, 2).data == b"new"
    assert len(server.events.of(JOURNAL_TORN)) == 1


@pytest.mark.parametrize("left_bytes", [60, 100, 108, 600])
def test_journal_whose_last_entry_was_cut_and_has_a_rotten_head_is_damage(
    server: OneServer, disk: MemoryDisk, left_bytes: int
) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    (segment,) = disk.names("journal/")
    whole = len(disk.read(segment))
    server.put(7, generation(4), (P, 2, [FULL, FULL]))
    disk.cut_off(segment, whole + left_bytes)
    disk.flip(segment, whole + 12, 4)  # the count of records: it may as well have been all there
    server.kill()
    assert len(server.events.of(JOURNAL_DAMAGED)) == 1
    assert not server.events.of(JOURNAL_TORN)
    assert states(server, 0, 2) == [CopyState.UNDECIDED, CopyState.UNDECIDED]


def test_journal_torn_by_a_power_cut_is_so_for_later_starts_until_one_has_cut_it() -> None:
    for operations in count():
        disk = MemoryDisk()
        server = OneServer(disk)
        server.put(7, generation(3), (P, 0, [FULL]))
        server.put(8, generation(4), (P, 0, [FULL]))
        server.put(9, generation(5), (P, 0, [FULL]))
        (segment,) = disk.names("journal/")
        disk.flip(segment, 800)  # as if this sector had not been written, and the next one had
        disk.operations_left = operations
        try:
            server.reboot()
        except Killed:
            disk.operations_left = None
            server.kill()
        else:
            break
        assert len(server.events.of(JOURNAL_TORN)) <= 1
        assert not server.events.of(JOURNAL_DAMAGED)
        states_found = [server.one(ino, P, 0).state for ino in (7, 8, 9)]
        assert states_found == [CopyState.PRESENT, CopyState.ABSENT, CopyState.ABSENT]
    assert operations > 5


def test_journal_torn_before_its_last_segment_leaves_out_what_was_never_synced(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    blocks = server.service._blocks
    assert blocks is not None
    blocks.store.journal.roll(blocks.store.journal.prepare_segment())
    server.put(7, generation(4), (P, 2, [FULL]))
    first, _ = disk.names("journal/")
    disk.cut_off(first, 30)
    server.reboot()
    assert states(server, 0, 2) == [CopyState.ABSENT] * 2
    assert not server.events.of(JOURNAL_DAMAGED)
    assert len(server.events.of(JOURNAL_TORN)) == 1


# --- floors and superblock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 4, 8, 12, 16, 25])
def test_table_of_floors_that_does_not_verify_makes_the_server_suspect(server: OneServer, disk: MemoryDisk, offset: int) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    server.fence(7, 5)
    server.restart()
    disk.flip("floors/0000000", offset)
    server.kill()
    assert states(server, 0, 2) == [CopyState.DOUBTED, CopyState.UNDECIDED]
    assert len(server.events.of(FLOORS_LOST)) == 1
    assert server.service.call(CONTEXT, Identify()).primary is RoleState.SUSPECT


SUPERBLOCK = Superblock("0b6f", 1, 4, 512, "d15c", RoleState.COMPLETE, RoleState.SUSPECT, 77)


@given(
    st.sampled_from([at for at, byte in enumerate(pack_superblock(SUPERBLOCK)) if chr(byte).isalnum()]), st.sampled_from(b"019afx")
)
def test_superblock_with_any_character_changed_is_refused(offset: int, replacement: int) -> None:
    raw = bytearray(pack_superblock(SUPERBLOCK))
    assert parse_superblock(bytes(raw)) == SUPERBLOCK
    if raw[offset] != replacement:
        raw[offset] = replacement
        with pytest.raises(StateError):
            parse_superblock(bytes(raw))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"null", b"\xff\x00"])
def test_superblock_that_is_no_superblock_is_refused_at_start(server: OneServer, disk: MemoryDisk, raw: bytes) -> None:
    disk.replace("superblock", raw)
    with pytest.raises(StateError):
        server.kill()


def test_unknown_of_one_role_says_nothing_of_the_other(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 10), (S, 1, [FULL] * 10))
    server.restart()
    disk.flip(STRIP, 100)
    server.kill()
    assert states(server, 20, 1) == [CopyState.UNKNOWN]
    assert server.one(7, S, 21).state is CopyState.ABSENT
