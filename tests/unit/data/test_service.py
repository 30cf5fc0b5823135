"""Goal: a data server is formatted once, knows who it is, notices how it ended, and says no when its disk does. Method: one server
on a disk in memory whose refusals the test commands; the background task and concurrent calls on real threads and a real folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from dfs.core.errors import (
    BadRequest,
    DfsError,
    DiskFailed,
    NoSpace,
    NotFormatted,
    NotTrusted,
    ReadOnly,
    Stopping,
    UnknownMethod,
    WrongServer,
)
from dfs.core.events.data_server import DISK_GOES_ON, DISK_TROUBLE, JOURNAL_TORN, UNCLEAN_START
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.messages.blocks import CopyState, Fence, Get, ListInodes, Sync
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import CommitFormat, Identify, NoteMark, PrepareFormat, ShowData
from dfs.core.messages.inspection import ShowMeta
from dfs.core.start_errors import StateError
from dfs.data.service import DataService
from dfs.data.settings import DataSettings
from dfs.host.clock import SystemClock
from dfs.host.disk import LocalDisk
from dfs.host.randomness import SystemRandom
from dfs.host.tasks import ThreadTasks
from tests.harness.fake_clock import FakeClock
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.memory_disk import MemoryDisk
from tests.harness.recorded_events import RecordedEvents
from tests.harness.waiting import assert_stays, wait_until
from tests.unit.data.one_server import CLUSTER, CONTEXT, IdleTasks, OneServer, P, S, generation

FULL = bytes(range(256)) * 2
SHAPE = Shape(CLUSTER, 2, 512)


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


@pytest.fixture
def server(disk: MemoryDisk) -> OneServer:
    return OneServer(disk)


def blank(disk: MemoryDisk, index: int = 0) -> DataService:
    service = DataService(
        settings=DataSettings(ServerIndex(index), "boot"),
        disk=disk,
        neighbours=FakeDataServers(0),
        clock=FakeClock(),
        random=SystemRandom(),
        tasks=IdleTasks(),
        events=RecordedEvents(),
    )
    service.start()
    return service


# --- formatting ------------------------------------------------------------------------------------------------------


def test_blank_server_answers_identify_and_refuses_blocks(disk: MemoryDisk) -> None:
    service = blank(disk)
    identity = service.call(CONTEXT, Identify())
    assert (identity.shape.cluster, identity.index, identity.primary) == ("", 0, RoleState.BLANK)
    assert identity.disk
    for request in (
        Get(Ino(7), Ticket(0), (), (), ()),
        Sync(Ino(7)),
        Fence(Ino(7), Ticket(1), ()),
        ListInodes(Ino(0), 1),
    ):
        with pytest.raises(NotFormatted):
            service.call(CONTEXT, request)
    with pytest.raises(NotFormatted):
        service.call(CONTEXT, CommitFormat(CLUSTER))


def test_formatting_in_two_phases_survives_a_kill_after_each(disk: MemoryDisk) -> None:
    first = blank(disk).call(CONTEXT, PrepareFormat(SHAPE, ServerIndex(0)))
    assert (first.shape, first.primary) == (SHAPE, RoleState.BLANK)
    again = blank(disk).call(CONTEXT, PrepareFormat(SHAPE, ServerIndex(0)))
    assert again == first
    blank(disk).call(CONTEXT, CommitFormat(CLUSTER))
    service = blank(disk)
    done = service.call(CONTEXT, CommitFormat(CLUSTER))
    assert (done.primary, done.secondary, done.disk) == (RoleState.COMPLETE, RoleState.COMPLETE, first.disk)
    assert service.call(CONTEXT, PrepareFormat(SHAPE, ServerIndex(0))) == done
    assert service.call(CONTEXT, ListInodes(Ino(0), 1)).inos == ()


@pytest.mark.parametrize(
    ("shape", "index", "words"),
    [
        (Shape("other", 2, 512), 0, ("other", CLUSTER)),
        (Shape(CLUSTER, 3, 512), 0, ("3 servers", "2 servers")),
        (Shape(CLUSTER, 2, 1024), 0, ("1024 bytes", "512 bytes")),
        (SHAPE, 1, ("server 1", "server 0")),
    ],
    ids=["cluster", "N", "block size", "index"],
)
def test_format_as_something_else_is_refused_with_both_values(
    server: OneServer, shape: Shape, index: int, words: tuple[str, str]
) -> None:
    with pytest.raises(WrongServer) as raised:
        server.service.call(CONTEXT, PrepareFormat(shape, ServerIndex(index)))
    assert words[0] in raised.value.expected
    assert words[1] in raised.value.got


def test_commit_for_another_cluster_is_refused(server: OneServer) -> None:
    with pytest.raises(WrongServer):
        server.service.call(CONTEXT, CommitFormat("other"))


@pytest.mark.parametrize("shape", [Shape("", 2, 512), Shape("c", 1, 512), Shape("c", 2, 500), Shape("c", 2, 2 << 20)])
def test_format_with_an_impossible_shape_is_refused(disk: MemoryDisk, shape: Shape) -> None:
    with pytest.raises(BadRequest):
        blank(disk).call(CONTEXT, PrepareFormat(shape, ServerIndex(0)))


def test_start_on_the_folder_of_another_server_names_both(disk: MemoryDisk) -> None:
    blank(disk, 0)
    with pytest.raises(StateError) as raised:
        blank(disk, 1)
    assert "server 1" in raised.value.expected
    assert "server 0" in raised.value.got


def test_mark_only_rises_and_survives_a_kill(server: OneServer) -> None:
    server.service.call(CONTEXT, NoteMark(500))
    server.service.call(CONTEXT, NoteMark(400))
    server.kill()
    assert server.service.call(CONTEXT, Identify()).mark == 500
    with pytest.raises(BadRequest):
        server.service.call(CONTEXT, NoteMark(1 << 40))


def test_status_shows_identity_and_space(server: OneServer) -> None:
    status = server.service.call(CONTEXT, ShowData())
    assert status.identity == server.service.call(CONTEXT, Identify())
    assert status.space.total_bytes > 0
    assert status.progress == ""


def test_request_of_another_service_is_unknown(server: OneServer) -> None:
    with pytest.raises(UnknownMethod):
        server.service.call(CONTEXT, ShowMeta())


# --- start and stop --------------------------------------------------------------------------------------------------


def test_unclean_ends_are_told_apart(server: OneServer) -> None:
    server.restart()
    assert not server.events.of(UNCLEAN_START)
    server.kill()
    server.reboot()
    assert [event.details["what"] for event in server.events.of(UNCLEAN_START)] == [
        "the process ended without stopping",
        "the machine stopped",
    ]


def test_stop_puts_everything_in_place_and_refuses_calls_afterwards(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    server.service.stop()
    assert disk.read("strips/0000000/0000000007.p").count(FULL) == 1
    with pytest.raises(Stopping):
        server.service.call(CONTEXT, Identify())
    disk.power_cut(lambda: False)
    server.kill()
    assert server.one(7, P, 0).data == FULL


class ObservedDisk(MemoryDisk):
    """A disk of which a test sees the reads of journal segments."""

    def __init__(self) -> None:
        super().__init__()
        self.on_segment: Callable[[], object] = lambda: None

    def read(self, name: str) -> bytes:
        if name.startswith("journal/"):
            self.on_segment()
        return super().read(name)


def test_status_moves_with_every_segment_of_the_journal_that_is_read_at_start() -> None:
    disk = ObservedDisk()
    server = OneServer(disk)
    blocks = server.service._blocks
    assert blocks is not None
    blocks.store.journal.roll(blocks.store.journal.prepare_segment())
    again, seen = server.unstarted(), list[str]()
    disk.on_segment = lambda: seen.append(again.status())
    again.start()
    assert seen == [f"data server 0 of 2, reading segment {segment} of 2 of the journal" for segment in (1, 2)]
    assert again.status().startswith("data server 0 of 2, ")
    assert again.status().endswith(" GiB free")


def test_status_of_a_disk_that_does_not_answer_says_so(disk: MemoryDisk, server: OneServer) -> None:
    def refuse() -> NoReturn:
        raise DiskFailed("statvfs", ".", "Input/output error")

    disk.space = refuse  # type: ignore[method-assign]
    assert server.service.status() == "data server 0 of 2, its disk can't be measured: statvfs .: Input/output error"


# --- a disk that refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free_bytes", [0, 300, 700, 1100, 6000])
@pytest.mark.parametrize("count", [1, 20], ids=["journal", "in place"])
def test_put_on_a_full_disk_is_no_space_and_nothing_is_visible(
    server: OneServer, disk: MemoryDisk, count: int, free_bytes: int
) -> None:
    server.put(7, generation(3), (P, 0, [b"old"]))
    disk.free_bytes = min(free_bytes, 300) if count == 1 else free_bytes
    with pytest.raises(NoSpace):
        server.put(7, generation(4), (P, 0, [FULL] * count), (S, 1, [FULL] * count))
    for _ in range(2):
        assert server.one(7, P, 0).data == b"old"
        assert {block.state for block in server.get(7, S, 1, count)} == {CopyState.ABSENT}
        disk.free_bytes = None
        server.kill()
    assert not server.events.of(JOURNAL_TORN)
    server.put(7, generation(5), (P, 0, [FULL] * count))
    server.kill()
    assert server.get(7, P, 0, count)[-1].data == FULL


def test_put_on_a_read_only_disk_is_read_only_and_reads_go_on(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.is_read_only = True
    for count in (1, 20):
        with pytest.raises(ReadOnly):
            server.put(8, generation(4), (P, 0, [FULL] * count))
    assert server.get(7, P, 0, 20)[19].data == FULL


def test_checkpoint_on_a_full_disk_keeps_the_blocks_and_tells_the_change_only(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL]))
    disk.free_bytes = 0
    for _ in range(3):
        server.checkpoint()
        assert server.one(7, P, 0).data == FULL
    assert len(server.events.of(DISK_TROUBLE)) == 1
    server.kill()
    assert server.one(7, P, 0).data == FULL
    disk.free_bytes = None
    server.checkpoint()
    server.put(7, generation(4), (P, 2, [FULL]))
    server.checkpoint()
    assert [block.data for block in server.get(7, P, 0, 2)] == [FULL, FULL]
    assert not server.events.of(DISK_GOES_ON)  # the new process never met the trouble


def test_checkpoint_that_failed_half_way_is_taken_up_again(server: OneServer, disk: MemoryDisk) -> None:
    for ino in (7, 8, 9):
        server.put(ino, generation(3), (P, 0, [FULL]))
    server.fence(7, 4)
    disk.fail_on.add(("write", "0000000008.p"))
    server.checkpoint()
    server.put(7, generation(4), (P, 0, [b"newer"]))
    disk.fail_on.clear()
    disk.fail_on.add(("replace", "floors"))
    server.checkpoint()
    disk.fail_on.clear()
    server.checkpoint()
    server.checkpoint()
    assert len(server.events.of(DISK_TROUBLE)) == 1
    assert len(server.events.of(DISK_GOES_ON)) == 1
    assert len(disk.names("journal/")) == 1
    server.kill()
    assert server.one(7, P, 0).data == b"newer"
    assert server.one(8, P, 0).data == FULL


def test_journal_that_can_not_be_put_in_place_ends_in_no_space_and_not_in_waiting(disk: MemoryDisk) -> None:
    server = OneServer(disk)
    blocks = server.service._blocks
    assert blocks is not None
    blocks.store.journal._segment_bytes = 2000
    disk.fail_on.add(("write", ".p"))
    server.put(7, generation(3), (P, 0, [FULL] * 4))
    server.checkpoint()
    for ticket in (4, 5):
        server.put(7, generation(ticket), (P, 0, [FULL] * 4))
    with pytest.raises(NotTrusted):
        server.put(7, generation(6), (P, 0, [FULL] * 4))
    disk.fail_on.clear()
    server.checkpoint()
    server.checkpoint()
    server.put(7, generation(20), (P, 0, [FULL] * 4))


@pytest.mark.parametrize("part", ["journal", "0000000007.p", "strips/0000000"])
def test_failed_sync_ends_the_server(server: OneServer, disk: MemoryDisk, part: str) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20), (S, 1, [b"small"]))
    assert server.service.check() >= 0
    disk.fail_on.add(("sync", part))
    with pytest.raises(NotTrusted):
        server.sync(7)
    disk.fail_on.clear()
    with pytest.raises(NotTrusted):
        server.one(7, P, 0)
    with pytest.raises(DiskFailed):
        server.service.check()


def test_sync_covers_journal_strip_and_the_folder_of_a_new_strip(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20), (S, 1, [b"small"]))
    server.sync(7)
    disk.power_cut(lambda: False)
    server.reboot()
    assert server.get(7, P, 0, 20)[19].data == FULL
    assert server.one(7, S, 1).data == b"small"
    server.sync(7)
    disk.syncs.clear()
    server.sync(7)
    assert disk.syncs == []


@pytest.mark.parametrize("part", ["7.p", "journal/0"])
def test_what_is_put_while_a_sync_runs_is_synced_by_the_next(server: OneServer, disk: MemoryDisk, part: str) -> None:
    server.put(7, generation(3), (P, 0, [FULL] * 20))
    disk.during_sync = (part, lambda: server.put(7, generation(5), (P, 40, [b"x" * 512] * 20), (S, 3, [b"more"])))
    server.sync(7)
    assert disk.during_sync is None
    server.sync(7)
    disk.power_cut(lambda: False)
    server.reboot()
    assert server.get(7, P, 0, 40)[39].data == b"x" * 512
    assert server.one(7, S, 3).data == b"more"


def test_strip_dropped_while_it_is_synced_stays_gone(server: OneServer, disk: MemoryDisk) -> None:
    server.put(7, generation(8), (P, 0, [FULL] * 20))
    disk.during_sync = ("7.p", lambda: server.drop(7))
    server.checkpoint()
    assert disk.during_sync is None
    for _ in range(2):
        assert server.one(7, P, 0).state is CopyState.ABSENT
        server.kill()


# --- threads and a real folder ---------------------------------------------------------------------------------------


class RealServer(OneServer):
    """A data server with its background task, on a real folder."""

    def _start(self) -> DataService:
        settings = DataSettings(self.index, self.boot_id, sync_interval_s=0.02, open_strips_max=3, direct_bytes_min=4096)
        service = DataService(
            settings=settings,
            disk=self.disk,
            neighbours=FakeDataServers(0),
            clock=SystemClock(),
            random=SystemRandom(),
            tasks=ThreadTasks(),
            events=self.events,
        )
        service.start()
        return service


def test_background_task_puts_blocks_in_place_and_work_goes_on(tmp_path: Path) -> None:
    server = RealServer(LocalDisk(tmp_path))
    server.put(7, generation(3), (P, 0, [FULL]))
    strip = tmp_path / "strips/0000000/0000000007.p"
    wait_until(lambda: strip.exists() and FULL in strip.read_bytes(), "the block in its strip file")
    server.service.stop()


def test_proof_of_work_is_an_answered_call_and_idleness_is_none(tmp_path: Path) -> None:
    server = RealServer(LocalDisk(tmp_path))
    first = server.service.check()
    assert_stays(lambda: "GiB free" in server.service.status(), "the server to be idle", 1.5)
    assert server.service.check() == first + 1
    server.service.stop()
    with pytest.raises(Stopping):
        server.service.check()


def test_concurrent_calls_on_a_few_inodes_lose_nothing(tmp_path: Path) -> None:
    server = RealServer(LocalDisk(tmp_path))
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for round_no in range(1, 25):
                ino = 10 + (worker + round_no) % 6
                first = 2 * 100 * worker
                blocks = [bytes([worker, round_no]) * 256] * (1 if round_no % 3 else 20)
                server.put(ino, generation(round_no), (P, first, blocks), (S, first + 1, blocks))
                assert [block.data for block in server.get(ino, P, first, len(blocks))] == blocks
                if round_no % 5 == 0:
                    server.sync(ino)
                if round_no % 8 == 0:
                    server.fence(ino, 1)
        except (AssertionError, DfsError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    expected = {(ino, worker): server.one(ino, P, 200 * worker) for ino in range(10, 16) for worker in range(4)}
    server.restart()
    assert expected == {key: server.one(key[0], P, 200 * key[1]) for key in expected}
    server.service.stop()
    assert not server.events.of(UNCLEAN_START)
