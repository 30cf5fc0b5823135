"""Goal: a mount that writes back answers at once and still keeps what docs/promises.md says: coherent within the mount, exact
between mounts, nothing lost without a word, few calls. Method: FileSystems on an in-process cluster of real services, with faults;
what waits does so until it is asked for, because the age is a minute unless a test says otherwise.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dfs.client.settings import WriteBackSettings
from dfs.core.contexts import PlainContext
from dfs.core.errors import BadHandle, FileTooLarge, GrantLost, Interrupted, NoSpace, ReadOnly
from dfs.core.events.mount import LEASE_LOST, WRITE_GOES_ON, WRITE_WAITS, WRITES_LOST
from dfs.core.ids import ServerIndex
from dfs.core.limits import FILE_BYTES_MAX
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.blocks import Put
from dfs.core.messages.content import Yield
from dfs.core.messages.inodes import AttributeChanges
from dfs.core.messages.requests import Request
from tests.harness.beside import beside
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount
from tests.harness.waiting import assert_stays, wait_until

O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND = 0o0, 0o2, 0o100, 0o1000, 0o2000
CTX = CallerContext()
BLOCK = 512
LONG = WriteBackSettings(age_s=60.0)
OWNER = LockOwner(LockKind.RECORD, 1)
ALL = LockRange(0, OFFSET_MAX, is_exclusive=True, pid=7)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, 4, BLOCK) as cluster:
        yield cluster


@pytest.fixture
def mount(cluster: LocalCluster) -> Mount:
    return cluster.mount(write_back=LONG)


@pytest.fixture
def other(cluster: LocalCluster) -> Mount:
    return cluster.mount(write_back=LONG)


def new_file(mount: Mount, data: bytes = b"", flags: int = 0, path: bytes = b"/file") -> int:
    handle = mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT | flags)
    if data:
        mount.fs.write(CTX, handle, data, 0)
    return handle


def close(mount: Mount, handle: int) -> None:
    mount.fs.flush(CTX, handle)
    mount.fs.release(CTX, handle)


def whole(mount: Mount, path: bytes = b"/file") -> bytes:
    handle = mount.fs.open(CTX, path, O_RDONLY)
    try:
        return mount.fs.read(CTX, handle, 1 << 21, 0)
    finally:
        mount.fs.release(CTX, handle)


def size(mount: Mount, path: bytes = b"/file") -> int:
    return mount.fs.getattr(CTX, path).content.size_bytes


def puts(mount: Mount) -> int:
    return mount.calls["Put"]


def waiting(mount: Mount) -> int:
    return mount.fs._back.total_bytes


def stop_all(cluster: LocalCluster, *, down: bool) -> None:
    for wire in cluster.wires.values():
        wire.is_down = down


def fill_disks(cluster: LocalCluster, free_bytes: int | None) -> None:
    for disk in cluster.disks.values():
        disk.free_bytes = free_bytes


# --- what it costs -----------------------------------------------------------------------------------------------------------


def test_ten_thousand_appends_are_stored_with_few_puts(mount: Mount) -> None:
    handle = new_file(mount, flags=O_APPEND)
    for number in range(10_000):
        mount.fs.write(CTX, handle, b"%099d\n" % number, 0)
    assert puts(mount) == 0
    mount.fs.fsync(CTX, handle)
    assert puts(mount) == 4
    assert mount.fs.read(CTX, handle, 100, 999_900) == b"%099d\n" % 9_999
    close(mount, handle)
    assert whole(mount) == b"".join(b"%099d\n" % number for number in range(10_000))


def test_writes_all_over_a_file_are_stored_with_few_puts(mount: Mount, other: Mount) -> None:
    chance = random.Random(1)
    model = bytearray(chance.randbytes(1 << 20))
    handle = new_file(mount, bytes(model))
    mount.fs.fsync(CTX, handle)
    before = puts(mount)
    for _ in range(200):
        data, offset = chance.randbytes(4096), chance.randrange((1 << 20) - 4096)
        mount.fs.write(CTX, handle, data, offset)
        model[offset : offset + 4096] = data
    assert puts(mount) == before
    close(mount, handle)
    assert puts(mount) == before + 4
    assert whole(other) == model


def test_small_file_costs_the_calls_that_it_costs_without(cluster: LocalCluster, mount: Mount) -> None:
    plain = cluster.mount()
    for number, each in enumerate((plain, mount)):
        with each.counting() as calls:
            close(each, new_file(each, b"x" * 4096, path=b"/small%d" % number))
        assert calls == {"Create": 1, "Put": 4, "Yield": 1}


def test_what_has_waited_for_its_age_is_stored_and_seen_by_others(cluster: LocalCluster, other: Mount) -> None:
    mount = cluster.mount(write_back=WriteBackSettings(age_s=0.1))
    handle = new_file(mount, b"soon")
    wait_until(lambda: whole(other) == b"soon", "the bytes to be stored and the size to be known")
    assert waiting(mount) == 0
    close(mount, handle)


def test_writer_that_is_ahead_by_the_limit_waits_until_there_is_room(cluster: LocalCluster) -> None:
    mount = cluster.mount(write_back=WriteBackSettings(file_bytes=100_000, total_bytes=150_000, age_s=60.0))
    first, second = new_file(mount, path=b"/first"), new_file(mount, path=b"/second")
    stop_all(cluster, down=True)
    for number in range(9):
        mount.fs.write(CTX, first, bytes(10_000), number * 10_000)
    impatient = CallerContext()
    held_up = beside(lambda: mount.fs.write(impatient, first, bytes(20_000), 90_000))
    assert_stays(lambda: not held_up.done(), "the writer of a file to wait", 0.3)
    impatient.end()
    with pytest.raises(Interrupted):
        held_up.result(5)
    mount.fs.write(CTX, second, bytes(40_000), 0)
    late = beside(lambda: mount.fs.write(CTX, second, bytes(20_000), 40_000))
    assert_stays(lambda: not late.done(), "the writer of another file to wait", 0.3)
    assert waiting(mount) <= 150_000
    stop_all(cluster, down=False)
    assert late.result(20) == 20_000
    for handle in (first, second):
        close(mount, handle)
    assert (size(mount, b"/first"), size(mount, b"/second")) == (90_000, 60_000)


# --- coherence ---------------------------------------------------------------------------------------------------------------


def test_all_handles_of_the_mount_see_what_waits(mount: Mount) -> None:
    handle = new_file(mount, b"a" * 1000)
    second = mount.fs.open(CTX, b"/file", O_RDWR | O_APPEND)
    mount.fs.write(CTX, second, b"end", 0)
    mount.fs.write(CTX, handle, b"B" * 10, 500)
    assert mount.fs.read(CTX, second, 2000, 490) == b"a" * 10 + b"B" * 10 + b"a" * 490 + b"end"
    assert size(mount) == mount.fs.getattr(CTX, b"", second).content.size_bytes == 1003
    mount.fs.write(CTX, handle, b"far", 2000)
    assert mount.fs.read(CTX, second, 5000, 1000) == b"end" + bytes(997) + b"far"
    assert puts(mount) == 0
    assert mount.fs.read(CTX, second, 10, 5000) == b""


def test_reader_sees_what_waits_over_what_is_stored_while_it_is_being_stored(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"old" * 1000)
    mount.fs.fsync(CTX, handle)
    mount.fs.write(CTX, handle, b"NEW" * 100, 300)
    seen: list[bytes] = []
    is_busy = threading.Event()

    def look(request: Request[Any]) -> None:
        if isinstance(request, Put) and not is_busy.is_set():
            is_busy.set()
            mount.fs.write(CTX, handle, b"later", 303)
            seen.append(mount.fs.read(CTX, handle, 309, 297))

    cluster.wires[ServerIndex(1)].hook = look
    mount.fs.fsync(CTX, handle)
    expected = b"old" + b"NEW" + b"later" + (b"NEW" * 100)[8:] + b"old" * 2
    assert seen == [expected[:309]]
    assert mount.fs.read(CTX, handle, 309, 297) == expected[:309]
    close(mount, handle)
    assert whole(mount)[297:606] == expected[:309]


def test_time_of_a_write_stays_that_of_the_write_when_it_is_stored(mount: Mount) -> None:
    handle = new_file(mount, b"x")
    shown = mount.fs.getattr(CTX, b"/file").mtime_ns
    mount.fs.fsync(CTX, handle)
    assert mount.fs.getattr(CTX, b"/file").mtime_ns == shown
    mount.fs.write(CTX, handle, b"y", 0)
    mount.fs.setattr(CTX, b"/file", AttributeChanges(mtime_ns=12345))
    close(mount, handle)
    assert mount.fs.getattr(CTX, b"/file").mtime_ns == 12345


def test_truncate_in_between_cuts_what_waited_and_nothing_comes_back(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"a" * 3000)
    mount.fs.truncate(CTX, b"/file", 700, handle)
    mount.fs.write(CTX, handle, b"b", 1400)
    assert mount.fs.read(CTX, handle, 5000, 0) == b"a" * 700 + bytes(700) + b"b"
    mount.fs.truncate(CTX, b"/file", 0, None)
    assert size(mount) == 0
    mount.fs.write(CTX, handle, b"c" * 100, 50)
    again = mount.fs.open(CTX, b"/file", O_RDWR | O_TRUNC)
    assert size(mount) == 0
    close(mount, again)
    mount.fs.truncate(CTX, b"/file", 800, handle)
    close(mount, handle)
    assert whole(other) == bytes(800)


def test_fallocate_zeros_what_waited(mount: Mount) -> None:
    handle = new_file(mount, b"a" * 2000)
    mount.fs.fallocate(CTX, handle, 0x03, 500, 1000)
    mount.fs.fallocate(CTX, handle, 0, 1000, 3000)
    assert mount.fs.read(CTX, handle, 5000, 0) == b"a" * 500 + bytes(1000) + b"a" * 500 + bytes(2000)
    append = mount.fs.open(CTX, b"/file", O_RDWR | O_APPEND)
    mount.fs.write(CTX, append, b"end", 0)
    assert size(mount) == 4003


def test_file_is_stored_before_it_gets_another_name(mount: Mount, other: Mount) -> None:
    new_file(mount, b"whole", path=b"/new")
    mount.fs.rename(CTX, b"/new", b"/file")
    assert puts(mount) > 0
    assert waiting(mount) == 0


def test_what_can_be_checked_is_checked_at_once(mount: Mount) -> None:
    handle = new_file(mount, b"x")
    with pytest.raises(FileTooLarge):
        mount.fs.write(CTX, handle, b"xx", FILE_BYTES_MAX - 1)
    reading = mount.fs.open(CTX, b"/file", O_RDONLY)
    with pytest.raises(BadHandle):
        mount.fs.write(CTX, reading, b"x", 0)
    assert size(mount) == 1


# --- several mounts ----------------------------------------------------------------------------------------------------------


def test_another_mount_that_writes_gets_what_waited_first(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"mine;" * 1000, O_APPEND)
    second = other.fs.open(CTX, b"/file", O_RDWR | O_APPEND)
    other.fs.write(CTX, second, b"theirs;", 0)
    mount.fs.write(CTX, handle, b"mine again;", 0)
    close(other, second)
    close(mount, handle)
    assert whole(other) == whole(mount) == b"mine;" * 1000 + b"theirs;" + b"mine again;"


def test_appends_of_two_mounts_that_write_back_are_there_exactly_once(mount: Mount, other: Mount) -> None:
    handles = [(mount, new_file(mount, flags=O_APPEND)), (other, other.fs.open(CTX, b"/file", O_RDWR | O_APPEND))]

    def append(number: int) -> None:
        each, handle = handles[number]
        for count in range(30):
            each.fs.write(CTX, handle, b"%d %06d;" % (number, count), 0)

    work = [beside(lambda number=number: append(number)) for number in range(2)]  # type: ignore[misc]
    for done in work:
        done.result(60)
    for each, handle in handles:
        close(each, handle)
    words = whole(mount).split(b";")
    for number in range(2):
        assert [word for word in words if word.startswith(b"%d " % number)] == [b"%d %06d" % (number, count) for count in range(30)]


def test_grant_is_not_given_back_before_a_dead_server_has_what_waits(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"mine", O_APPEND)
    second = other.fs.open(CTX, b"/file", O_RDWR | O_APPEND)
    stop_all(cluster, down=True)
    theirs = beside(lambda: other.fs.write(CTX, second, b"theirs", 0))
    assert_stays(lambda: not theirs.done(), "the other mount to wait", 1.0)
    stop_all(cluster, down=False)
    assert theirs.result(30) == 6
    close(other, second)
    close(mount, handle)
    assert whole(mount) == b"minetheirs"


def test_grants_of_other_files_are_given_back_while_one_waits_for_a_dead_server(
    cluster: LocalCluster, mount: Mount, other: Mount
) -> None:
    handles = [new_file(mount, b"x" * 100, path=b"/stuck%d" % number) for number in range(3)]
    stop_all(cluster, down=True)
    others = [other.fs.open(CTX, b"/stuck%d" % number, O_RDWR) for number in range(3)]
    ends = CallerContext()
    blocked = [beside(lambda handle=handle: other.fs.write(ends, handle, b"y", 0)) for handle in others]  # type: ignore[misc]
    assert_stays(lambda: not any(each.done() for each in blocked), "the writers of the other mount to wait", 0.5)
    clean = new_file(mount, path=b"/clean")
    other_clean = other.fs.open(CTX, b"/clean", O_RDWR)
    other.fs.truncate(CTX, b"/clean", 5, other_clean)
    assert size(mount, b"/clean") == 5
    ends.end()
    stop_all(cluster, down=False)
    for each in blocked:
        with pytest.raises(Interrupted):
            each.result(20)
    for handle in (*handles, clean):
        close(mount, handle)


def test_who_locks_after_an_unlock_reads_what_was_written_under_the_lock(mount: Mount, other: Mount) -> None:
    handle, second = new_file(mount), other.fs.open(CTX, b"/file", O_RDWR)
    for number in range(3):
        mount.fs.lock(CTX, handle, OWNER, ALL, wait=True)
        mount.fs.write(CTX, handle, b"from one %d" % number, 0)
        mount.fs.unlock(CTX, handle, OWNER, 0, OFFSET_MAX)
        other.fs.lock(CTX, second, OWNER, ALL, wait=True)
        assert other.fs.read(CTX, second, 100, 0) == b"from one %d" % number
        other.fs.write(CTX, second, b"from two %d" % number, 0)
        other.fs.unlock(CTX, second, OWNER, 0, OFFSET_MAX)
        mount.fs.lock(CTX, handle, OWNER, ALL, wait=True)
        assert mount.fs.read(CTX, handle, 100, 0) == b"from two %d" % number
        mount.fs.unlock(CTX, handle, OWNER, 0, OFFSET_MAX)


# --- trouble -----------------------------------------------------------------------------------------------------------------


def test_full_disk_is_reported_once_to_each_open_handle_and_then_at_each_write(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"kept")
    mount.fs.fsync(CTX, handle)
    second, reading = mount.fs.open(CTX, b"/file", O_RDWR), mount.fs.open(CTX, b"/file", O_RDONLY)
    fill_disks(cluster, 0)
    mount.fs.write(CTX, handle, b"x" * 5000, 4)
    with pytest.raises(NoSpace):
        mount.fs.fsync(CTX, handle)
    late = mount.fs.open(CTX, b"/file", O_RDWR)
    mount.fs.fsync(CTX, late)
    mount.fs.fsync(CTX, handle)
    with pytest.raises(NoSpace):
        mount.fs.flush(CTX, second)
    mount.fs.flush(CTX, second)
    with pytest.raises(NoSpace):
        mount.fs.fsync(CTX, reading)
    with pytest.raises(NoSpace):
        mount.fs.write(CTX, handle, b"x" * 5000, 4)
    assert [event.path for event in mount.events.of(WRITES_LOST)] == [b"/file"]
    assert size(mount) == 4
    fill_disks(cluster, None)
    mount.fs.write(CTX, handle, b" and new", 4)
    before = puts(mount)
    mount.fs.write(CTX, handle, b"!", 12)
    assert puts(mount) == before
    for each in (handle, second, late, reading):
        close(mount, each)
    assert whole(mount) == b"kept and new!"


def test_read_only_disk_found_by_a_task_is_reported_at_close(cluster: LocalCluster) -> None:
    mount = cluster.mount(write_back=WriteBackSettings(age_s=0.05))
    handle = new_file(mount)
    for disk in cluster.disks.values():
        disk.is_read_only = True
    mount.fs.write(CTX, handle, b"x", 0)
    wait_until(lambda: bool(mount.events.of(WRITES_LOST)), "the loss to be told")
    for disk in cluster.disks.values():
        disk.is_read_only = False
    with pytest.raises(ReadOnly):
        mount.fs.flush(CTX, handle)
    mount.fs.release(CTX, handle)
    assert whole(mount) == b""


def test_server_that_is_away_holds_up_fsync_and_close_not_writes_and_nothing_is_lost(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"before;", O_APPEND)
    cluster.wires[ServerIndex(2)].is_down = True
    cluster.wires[ServerIndex(3)].is_down = True
    for _ in range(1000):
        mount.fs.write(CTX, handle, b"during;", 0)
    killed = CallerContext()
    fsync = beside(lambda: mount.fs.fsync(killed, handle))
    assert_stays(lambda: not fsync.done(), "fsync to wait", 0.3)
    mount.fs.write(CTX, handle, b"meanwhile;", 0)
    killed.end()
    with pytest.raises(Interrupted):
        fsync.result(5)
    assert mount.fs.read(CTX, handle, 10_000, 0) == b"before;" + b"during;" * 1000 + b"meanwhile;"
    cluster.wires[ServerIndex(2)].is_down = False
    cluster.wires[ServerIndex(3)].is_down = False
    close(mount, handle)
    assert whole(mount) == b"before;" + b"during;" * 1000 + b"meanwhile;"
    assert mount.events.of(WRITES_LOST) == []
    assert {event.kind for event in mount.events.events} <= {WRITE_WAITS, WRITE_GOES_ON}


def test_close_that_is_interrupted_leaves_the_rest_to_the_mount(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"late")
    stop_all(cluster, down=True)
    killed = CallerContext()
    closing = beside(lambda: mount.fs.flush(killed, handle))
    assert_stays(lambda: not closing.done(), "close to wait", 0.2)
    killed.end()
    with pytest.raises(Interrupted):
        closing.result(5)
    mount.fs.release(CTX, handle)
    stop_all(cluster, down=False)
    mount.fs._back._buffers._limits = WriteBackSettings(age_s=0.05)
    mount.fs._back.wake()
    wait_until(lambda: waiting(mount) == 0, "the mount to store it")
    other = cluster.mount()
    wait_until(lambda: whole(other) == b"late", "the size to be told")
    wait_until(lambda: mount.fs.check() == 0, "the grant to be given back")


def test_what_waited_when_the_session_was_lost_is_never_stored_over_what_others_wrote(
    cluster: LocalCluster, mount: Mount, other: Mount
) -> None:
    handle = new_file(mount, b"old")
    mount.fs.fsync(CTX, handle)
    mount.fs.write(CTX, handle, b"STALE", 0)
    mount.meta.is_down = True
    cluster.expire(mount)
    second = other.fs.open(CTX, b"/file", O_RDWR)
    other.fs.write(CTX, second, b"new and longer", 0)
    close(other, second)
    mount.meta.is_down = False
    wait_until(lambda: bool(mount.events.of(LEASE_LOST)), "the mount to hear of it")
    assert mount.fs.read(CTX, handle, 100, 0) == b"new and longer"
    mount.fs.write(CTX, handle, b"NEW", 0)
    with pytest.raises(GrantLost):
        mount.fs.fsync(CTX, handle)
    mount.fs.fsync(CTX, handle)
    assert whole(other) == b"NEW and longer"
    assert len(mount.events.of(WRITES_LOST)) == 1
    close(mount, handle)


def test_meta_that_is_away_for_long_stops_writes_and_loses_nothing(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"one;", O_APPEND)
    cluster.stop_meta()
    mount.fs.write(CTX, handle, b"two;", 0)  # the lease is still valid
    mount.fs._meta.lease.lose()
    killed = CallerContext()
    held_up = beside(lambda: mount.fs.write(killed, handle, b"three;", 0))
    assert_stays(lambda: not held_up.done(), "a write without a lease to wait", 0.3)
    cluster.start_meta()
    assert held_up.result(20) == 6
    close(mount, handle)
    assert whole(mount) == b"one;two;three;"


def test_file_removed_while_open_is_thrown_away_at_its_last_close(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"temporary")
    mount.fs.unlink_open(CTX, b"/file", b"/.hidden")
    mount.fs.write(CTX, handle, b"more", 100)
    assert mount.fs.read(CTX, handle, 9, 0) == b"temporary"
    mount.fs.release(CTX, handle)
    mount.fs._back._buffers._limits = WriteBackSettings(age_s=0.05)
    mount.fs.unlink(CTX, b"/.hidden")
    mount.fs._back.wake()
    wait_until(lambda: waiting(mount) == 0, "what waited to be thrown away")
    assert mount.events.of(WRITES_LOST) == []


def test_answer_to_a_yield_that_is_lost_does_not_store_anything_twice(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"once", O_APPEND)
    mount.meta.lose_answers(Yield)
    close(mount, handle)
    second = other.fs.open(CTX, b"/file", O_RDWR | O_APPEND)
    other.fs.write(CTX, second, b" twice", 0)
    close(other, second)
    assert whole(mount) == b"once twice"


def test_stop_of_the_mount_stores_what_waits(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    new_file(mount, b"x" * 100_000)
    mount.fs.stop(PlainContext())
    assert whole(other) == b"x" * 100_000
    assert mount.events.of(WRITES_LOST) == []


def test_stop_with_a_server_away_ends_in_time_and_tells_what_is_lost(
    cluster: LocalCluster, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfs.client.filesystem.STOP_TIMEOUT_S", 0.5)
    new_file(mount, b"x" * 100_000)
    stop_all(cluster, down=True)
    mount.fs.stop(PlainContext())
    assert [event.path for event in mount.events.of(WRITES_LOST)] == [b"/file"]
    stop_all(cluster, down=False)
