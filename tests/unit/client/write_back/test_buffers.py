"""Goal: what waits is bounded, and what is due has waited longest, or is asked for. Method: the table alone, time by hand."""

from __future__ import annotations

from dfs.client.settings import WriteBackSettings
from dfs.client.write_back.buffers import RIPE_BYTES, Buffers, FileBuffer
from dfs.core.ids import Ino, Ticket

LIMITS = WriteBackSettings(file_bytes=10_000, total_bytes=20_000, age_s=1.0)
WIDE = WriteBackSettings(file_bytes=1 << 30, total_bytes=1 << 30, age_s=1.0)


def made(limits: WriteBackSettings, *inos: int) -> tuple[Buffers, list[FileBuffer]]:
    buffers = Buffers(limits)
    found = [FileBuffer(Ino(ino), b"/file", Ticket(1), 0) for ino in inos]
    for buffer in found:
        buffers.begin(buffer)
    return buffers, found


def test_room_of_a_file_and_of_all_files_is_bounded_and_one_write_always_fits() -> None:
    buffers, (one, two) = made(LIMITS, 1, 2)
    assert buffers.has_room(Ino(1), 100_000)
    buffers.add(one, 0, bytes(9000), 0.0, 0)
    assert not buffers.has_room(Ino(1), 1000)
    assert buffers.has_room(Ino(2), 5000)
    buffers.add(two, 0, bytes(9000), 0.0, 0)
    assert not buffers.has_room(Ino(3), 5000)
    assert buffers.total_bytes == one.cost_bytes + two.cost_bytes


def test_total_is_what_is_there_however_it_came_and_went() -> None:
    buffers, (one, two) = made(WIDE, 1, 2)
    for number in range(50):
        buffers.add(one, number * 700 % 9000, bytes(500), 0.0, 0)
        buffers.add(two, number * 900, bytes(500), 0.0, 0)
        if number % 10 == 5:
            buffers.begin_leaving(one, 0.0)
            buffers.stored(one, 1)
            buffers.add(one, 123, bytes(2000), 0.0, 0)
            buffers.keep(one, 0.0)
        assert buffers.total_bytes == one.cost_bytes + two.cost_bytes
    buffers.begin_leaving(two, 0.0)
    buffers.stored(two, len(two.leaving))
    assert (two.is_dirty, two.size_bytes) == (False, 0)
    buffers.end(one)
    buffers.end(one)
    assert buffers.total_bytes == 0


def test_readers_see_what_waits_above_what_leaves() -> None:
    buffers, (one,) = made(WIDE, 1)
    buffers.add(one, 10, b"old" * 4, 0.0, 0)
    buffers.begin_leaving(one, 0.0)
    buffers.add(one, 13, b"NEW", 0.0, 0)
    patch = buffers.patch(one, 15, 0, 100)
    assert patch.over(b"stored stored s", 0, 100) == b"stored sto" + b"oldNEWoldold"
    assert buffers.patch(one, 15, 13, 16).whole(13, 16) == b"NEW"
    assert buffers.patch(one, 15, 12, 16).whole(12, 16) is None
    assert buffers.patch(one, 15, 30, 40).pieces == ()


def test_due_is_what_is_asked_for_then_what_is_oldest_and_old_enough() -> None:
    buffers, (one, two, three) = made(WIDE, 1, 2, 3)
    for buffer, at_s in ((one, 10.0), (two, 10.5), (three, 10.2)):
        buffers.add(buffer, 0, b"x", at_s, 0)
    found, wait_s = buffers.due(10.6, (), ())
    assert found is None
    assert 0.35 < wait_s < 0.45
    assert buffers.due(11.3, (), ())[0] is one
    assert buffers.due(11.3, {Ino(1)}, ())[0] is three
    assert buffers.due(10.6, (), {Ino(2)})[0] is two
    one.not_before_s = 12.0
    assert buffers.due(11.3, (), ())[0] is three


def test_much_of_one_file_or_half_of_the_room_does_not_wait_for_its_age() -> None:
    buffers, (one,) = made(WIDE, 1)
    assert not buffers.add(one, 0, bytes(RIPE_BYTES // 2), 0.0, 0)
    assert buffers.due(0.0, (), ())[0] is None
    assert buffers.add(one, RIPE_BYTES, bytes(RIPE_BYTES // 2), 0.0, 0)
    assert not buffers.add(one, 3 * RIPE_BYTES, bytes(10), 0.0, 0)
    assert buffers.due(0.0, (), ())[0] is one
    tight, (two,) = made(LIMITS, 2)
    tight.add(two, 0, bytes(9900), 0.0, 0)
    assert tight.due(0.0, (), ())[0] is two
