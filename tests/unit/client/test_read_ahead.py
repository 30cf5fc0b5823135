"""Goal: reading ahead saves calls and is never seen: the bytes are those of the moment, and whoever asks for good blocks gets them.

Method: a file in memory behind a fake Reader that notes what it was asked; another thread that reads while a chunk is on its way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.read_ahead import ASKED_BYTES_MAX, CHUNK_BYTES, MAX_AGE_S, NEXT_CHUNK_BYTES, STREAMS_MAX, ReadAhead
from dfs.core.contexts import PlainContext
from dfs.core.errors import EndReason, Interrupted, NoGoodCopy, StaleTicket
from dfs.core.ids import BlockNo, Ino, Ticket
from dfs.core.interfaces import CallContext
from dfs.core.messages.inodes import Content
from dfs.core.placement import Layout
from dfs.host.tasks import ThreadTasks
from tests.harness.fake_clock import FakeClock
from tests.harness.local_cluster import CallerContext
from tests.harness.waiting import wait_until

ASKED = 128 << 10
CTX = PlainContext()


class FileInMemory:
    """Stands for Reader: one file."""

    def __init__(self, size_bytes: int = 4 << 20) -> None:
        self.data = bytearray(number & 0xFF for number in range(256)) * (size_bytes // 256)
        self.asked: list[tuple[int, int]] = []
        self.lost_at: int | None = None
        self.before: Callable[[], None] = lambda: None

    def read(self, ctx: CallContext, view: FileView, size_bytes: int, offset: int) -> bytes:
        self.asked.append((offset, size_bytes))
        data = bytes(self.data[offset : offset + size_bytes])
        self.before()
        if self.lost_at is not None and offset <= self.lost_at < offset + size_bytes:
            raise NoGoodCopy(Ino(7), BlockNo(self.lost_at // 512), "corrupt", "corrupt")
        return data

    def view(self, ticket: int = 0) -> FileView:
        return FileView(Ino(7), b"/f", Content(Layout(0, 4, 512), len(self.data), (), Ticket(ticket)))


@pytest.fixture
def file() -> FileInMemory:
    return FileInMemory()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reading(file: FileInMemory, clock: FakeClock) -> ReadAhead:
    return ReadAhead(file, clock, ThreadTasks())  # type: ignore[arg-type]


def read_all(reading: ReadAhead, file: FileInMemory) -> bytes:
    return b"".join([reading.read(CTX, 1, file.view(), ASKED, offset) for offset in range(0, len(file.data), ASKED)])


def test_read_from_front_to_back_asks_for_whole_chunks(reading: ReadAhead, file: FileInMemory) -> None:
    assert read_all(reading, file) == file.data
    assert len(file.asked) == 2 + -(-(len(file.data) - ASKED - CHUNK_BYTES) // NEXT_CHUNK_BYTES)


def test_read_of_the_end_is_as_short_as_the_file(reading: ReadAhead, file: FileInMemory) -> None:
    del file.data[-1000:]
    assert read_all(reading, file) == file.data
    assert reading.read(CTX, 1, file.view(), ASKED, len(file.data)) == b""


def test_reads_at_random_places_ask_for_no_more_than_they_want(reading: ReadAhead, file: FileInMemory) -> None:
    places = [3 << 20, 0, 2 << 20, 1 << 20]
    for offset in places:
        assert reading.read(CTX, 1, file.view(), ASKED, offset) == file.data[offset : offset + ASKED]
    assert file.asked == [(offset, ASKED) for offset in places]


def test_small_reads_ask_for_no_more_than_they_want(reading: ReadAhead, file: FileInMemory) -> None:
    for offset in range(0, 5 * 4096, 4096):
        reading.read(CTX, 1, file.view(), 4096, offset)
    assert {size for _, size in file.asked} == {4096}


@pytest.mark.parametrize("what", ["drop", "age", "cut"])
def test_read_after_a_change_is_of_after_the_change(reading: ReadAhead, file: FileInMemory, clock: FakeClock, what: str) -> None:
    view = file.view()
    for offset in (0, ASKED):
        reading.read(CTX, 1, view, ASKED, offset)
    file.data[2 * ASKED : 3 * ASKED] = b"n" * ASKED
    if what == "drop":
        reading.drop(Ino(7))
    elif what == "age":
        clock.advance(MAX_AGE_S * 1.1)
    else:
        view = file.view(ticket=5)
    assert reading.read(CTX, 1, view, ASKED, 2 * ASKED) == b"n" * ASKED


def test_chunk_that_is_read_while_the_file_is_written_is_not_handed_out_later(reading: ReadAhead, file: FileInMemory) -> None:
    reading.read(CTX, 1, file.view(), ASKED, 0)

    def write() -> None:
        file.data[2 * ASKED : 3 * ASKED] = b"n" * ASKED
        reading.drop(Ino(7))

    file.before = write
    reading.read(CTX, 1, file.view(), ASKED, ASKED)
    file.before = lambda: None
    assert reading.read(CTX, 1, file.view(), ASKED, 2 * ASKED) == b"n" * ASKED


def test_lost_block_fails_only_who_asks_for_it(reading: ReadAhead, file: FileInMemory) -> None:
    file.lost_at = 5 * ASKED
    for offset in range(0, 5 * ASKED, ASKED):
        assert reading.read(CTX, 1, file.view(), ASKED, offset) == file.data[offset : offset + ASKED]
    with pytest.raises(NoGoodCopy):
        reading.read(CTX, 1, file.view(), ASKED, 5 * ASKED)


def test_second_reader_waits_for_the_chunk_that_the_first_one_reads(reading: ReadAhead, file: FileInMemory) -> None:
    reading.read(CTX, 1, file.view(), ASKED, 0)
    arrived, go_on = threading.Event(), threading.Event()

    def block() -> None:
        arrived.set()
        go_on.wait(10)

    file.before = block
    got: dict[int, bytes] = {}

    def read(offset: int) -> None:
        got[offset] = reading.read(CTX, 1, file.view(), ASKED, offset)

    threads = [threading.Thread(target=read, args=(offset,)) for offset in (ASKED, 2 * ASKED)]
    threads[0].start()
    arrived.wait(10)
    threads[1].start()
    ended = CallerContext()
    ended.end()
    with pytest.raises(Interrupted):
        reading.read(ended, 1, file.view(), ASKED, 3 * ASKED)
    go_on.set()
    wait_until(lambda: len(got) == 2, "both reads")
    for thread in threads:
        thread.join()
    assert all(data == file.data[offset : offset + ASKED] for offset, data in got.items())
    assert len(file.asked) == 2


def test_many_handles_keep_no_more_than_the_limit(reading: ReadAhead, file: FileInMemory) -> None:
    for handle in range(3 * STREAMS_MAX):
        for offset in (0, ASKED):
            reading.read(CTX, handle, file.view(), ASKED, offset)
    assert len(reading._streams) == STREAMS_MAX
    for handle in range(3 * STREAMS_MAX):
        reading.forget(handle)
    assert not reading._streams


@pytest.fixture
def running(reading: ReadAhead) -> Iterator[ReadAhead]:
    """Reading ahead with one task at work, as in a mount."""
    ctx = CallerContext()
    task = ThreadTasks().spawn("read-ahead", lambda: reading.run(ctx))
    yield reading
    ctx.end()
    reading.wake()
    assert task.join(10)


def test_next_chunk_is_read_while_the_first_is_being_taken(running: ReadAhead, file: FileInMemory) -> None:
    for offset in range(0, ASKED + CHUNK_BYTES // 2 + ASKED, ASKED):
        running.read(CTX, 1, file.view(), ASKED, offset)
    wait_until(lambda: file.asked[-1] == (ASKED + CHUNK_BYTES, NEXT_CHUNK_BYTES), "the next chunk")
    assert len(file.asked) == 3
    assert read_all(running, file)[-ASKED:] == file.data[-ASKED:]


def test_end_of_one_chunk_is_there_still_when_the_next_has_been_begun(running: ReadAhead, file: FileInMemory) -> None:
    last = ASKED + CHUNK_BYTES - ASKED
    for offset in (0, ASKED, *range(2 * ASKED, last, ASKED), last + ASKED, last):
        assert running.read(CTX, 1, file.view(), ASKED, offset) == file.data[offset : offset + ASKED]
    assert [size for _, size in file.asked[1:]] == [CHUNK_BYTES, NEXT_CHUNK_BYTES]


def test_requests_of_a_megabyte_are_read_ahead_of_too(running: ReadAhead, file: FileInMemory) -> None:
    size = ASKED_BYTES_MAX
    for offset in range(0, 3 * size, size):
        assert running.read(CTX, 1, file.view(), size, offset) == file.data[offset : offset + size]
    wait_until(lambda: file.asked[-1] == (3 * size, size), "the rest of the file")
    assert file.asked == [(0, size), (size, 2 * size), (3 * size, size)]


def test_larger_requests_are_answered_as_they_are(reading: ReadAhead, file: FileInMemory) -> None:
    size = ASKED_BYTES_MAX + 512
    for offset in range(0, 3 * size, size):
        assert reading.read(CTX, 1, file.view(), size, offset) == file.data[offset : offset + size]
    assert file.asked == [(0, size), (size, size), (2 * size, size)]


def test_failure_ahead_is_met_by_who_reads_there_and_the_task_goes_on(running: ReadAhead, file: FileInMemory) -> None:
    begun = threading.Event()

    def fail() -> None:
        if threading.current_thread().name == "read-ahead":
            begun.set()
            raise StaleTicket(Ino(7), 5)

    file.before = fail
    for offset in range(0, ASKED + CHUNK_BYTES, ASKED):
        running.read(CTX, 1, file.view(), ASKED, offset)
    assert begun.wait(10)
    file.before = lambda: None
    assert read_all(running, file) == file.data
    begun.clear()
    file.before = begun.set
    for offset in range(0, ASKED + CHUNK_BYTES, ASKED):
        running.read(CTX, 2, file.view(), ASKED, offset)
    assert begun.wait(10)


def test_what_is_due_of_a_closed_handle_is_not_read(reading: ReadAhead, file: FileInMemory) -> None:
    for offset in range(0, ASKED + CHUNK_BYTES, ASKED):
        reading.read(CTX, 1, file.view(), ASKED, offset)
    reading.forget(1)
    asked = list(file.asked)
    ctx = CallerContext()
    reads = iter((None, EndReason.SHUTDOWN))
    ctx.cancelled = lambda: next(reads)  # type: ignore[method-assign]
    reading.run(ctx)
    assert file.asked == asked
