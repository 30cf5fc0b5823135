"""Goal: reads and writes do what the design says when servers are down, disks are full, copies rot, callers are killed.
Method: faults on the wires and disks of an in-process cluster; what users see, and what the operator is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dfs.core.errors import Interrupted, NoGoodCopy, NoSpace, ReadOnly, Unreachable
from dfs.core.events.copies import COPY_REPAIRED, NO_GOOD_COPY
from dfs.core.events.mount import READ_BOTH_COPIES, READ_ONE_COPY, WRITE_GOES_ON, WRITE_WAITS
from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.messages.blocks import Clean, Put
from dfs.core.messages.content import Close, Yield
from dfs.core.messages.names import Unlink
from dfs.core.messages.requests import Request
from dfs.core.placement import Role
from tests.harness.beside import beside
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount
from tests.harness.waiting import assert_stays, wait_until

O_RDWR, O_CREAT, O_APPEND = 0o2, 0o100, 0o2000
CTX = CallerContext()
BLOCK = 512
DATA = b"".join(b"block %06d of this file;" % number + bytes(BLOCK - 26) for number in range(12))
assert len(DATA) == 12 * BLOCK


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, 4, BLOCK) as cluster:
        yield cluster


@pytest.fixture
def mount(cluster: LocalCluster) -> Mount:
    return cluster.mount()


def new_file(mount: Mount, path: bytes = b"/file", data: bytes = DATA) -> int:
    handle = mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)
    if data:
        mount.fs.write(CTX, handle, data, 0)
    return handle


def place(mount: Mount, handle: int, block_no: int, role: Role) -> ServerIndex:
    """Return the server of one replica of a block."""
    return mount.fs.getattr(CTX, b"", handle).content.layout.server_of(BlockNo(block_no), role)


def rot(cluster: LocalCluster, server: ServerIndex, pattern: bytes) -> None:
    """Flip bits of the only copy of `pattern` on a server's disk."""
    cluster.stop_data(server)  # everything goes to its place
    disk = cluster.disks[server]
    names = [name for name in disk.names() if pattern in disk.read(name)]
    assert len(names) == 1
    disk.flip(names[0], disk.read(names[0]).index(pattern))
    cluster.start_data(server)


def read_from_each_copy(cluster: LocalCluster, mount: Mount, handle: int, block_no: int) -> list[bytes]:
    """Return a block as its primary alone, then as its secondary alone has it."""
    result = []
    for role in (Role.SECONDARY, Role.PRIMARY):
        server = place(mount, handle, block_no, role)
        cluster.wires[server].is_down = True
        result.append(mount.fs.read(CTX, handle, BLOCK, block_no * BLOCK))
        cluster.wires[server].is_down = False
        wait_until(lambda: is_healthy(mount, handle, block_no), "the server to be tried again")
    return result


def is_healthy(mount: Mount, handle: int, block_no: int) -> bool:
    mount.fs.read(CTX, handle, BLOCK, block_no * BLOCK)
    events = mount.events
    return len(events.of(READ_ONE_COPY)) == len(events.of(READ_BOTH_COPIES))


# --- writing -------------------------------------------------------------------------------------------------------------


def test_write_while_a_server_is_down_waits_and_goes_on_when_it_is_back(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, data=b"")
    server = place(mount, handle, 0, Role.SECONDARY)
    cluster.wires[server].is_down = True
    write = beside(lambda: mount.fs.write(CTX, handle, DATA, 0))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    assert_stays(lambda: not write.done(), "the write to wait", 0.3)
    cluster.wires[server].is_down = False
    assert write.result(5) == len(DATA)
    assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA
    assert [event.server for event in mount.events.of(WRITE_WAITS)] == [server]
    assert [event.server for event in mount.events.of(WRITE_GOES_ON)] == [server]


def test_write_that_waits_ends_at_once_when_its_caller_is_killed(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, data=b"kept")
    killed, waiting = CallerContext(), CallerContext()
    for wire in cluster.wires.values():
        wire.is_down = True
    first = beside(lambda: mount.fs.write(killed, handle, DATA, 4))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    second = beside(lambda: mount.fs.write(waiting, handle, DATA, 4))
    waiting.end()
    with pytest.raises(Interrupted):
        second.result(1)
    killed.end()
    with pytest.raises(Interrupted):
        first.result(1)


def test_junk_of_a_killed_append_never_becomes_visible(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, data=b"kept")
    away = place(mount, handle, 0, Role.SECONDARY)
    cluster.wires[away].is_down = True
    killed = CallerContext()
    write = beside(lambda: mount.fs.write(killed, handle, b"JUNK" * 100, 4))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    killed.end()
    with pytest.raises(Interrupted):
        write.result(1)
    cluster.wires[away].is_down = False
    assert mount.fs.getattr(CTX, b"/file").content.size_bytes == 4
    mount.fs.write(CTX, handle, b"end", 600)  # makes the junk part of the file, if it is there
    assert mount.fs.read(CTX, handle, 1000, 0) == b"kept" + bytes(596) + b"end"
    mount.fs.release(CTX, handle)
    other = cluster.mount()
    assert other.fs.read(CTX, other.fs.open(CTX, b"/file", 0), 1000, 0) == b"kept" + bytes(596) + b"end"


def test_reads_go_on_while_a_write_waits(cluster: LocalCluster, mount: Mount) -> None:
    handle, other = new_file(mount), new_file(mount, b"/other")
    server = place(mount, handle, 0, Role.PRIMARY)
    cluster.wires[server].is_down = True
    write = beside(lambda: mount.fs.write(CTX, handle, b"new", 0))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    assert mount.fs.read(CTX, other, len(DATA), 0) == DATA
    assert mount.fs.read(CTX, handle, len(DATA), BLOCK) == DATA[BLOCK:]
    assert not write.done()
    cluster.wires[server].is_down = False
    write.result(5)


def test_write_whose_answers_are_lost_has_its_effect_once(cluster: LocalCluster, mount: Mount) -> None:
    handle = mount.fs.create(CTX, b"/file", 0o644, O_RDWR | O_CREAT | O_APPEND)
    for wire in cluster.wires.values():
        wire.lose_answers(Put)
    mount.fs.write(CTX, handle, b"once ", 0)
    mount.fs.write(CTX, handle, b"twice", 0)
    assert mount.fs.read(CTX, handle, 100, 0) == b"once twice"
    assert mount.fs.getattr(CTX, b"/file").content.size_bytes == 10


def test_write_to_a_full_disk_fails_at_once_and_leaves_nothing(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, data=b"kept")
    full = cluster.disks[place(mount, handle, 2, Role.PRIMARY)]
    full.free_bytes = 0
    with pytest.raises(NoSpace):
        mount.fs.write(CTX, handle, DATA, 4)
    full.free_bytes = None
    assert mount.fs.getattr(CTX, b"/file").content.size_bytes == 4
    mount.fs.write(CTX, handle, b"!", 5000)
    assert mount.fs.read(CTX, handle, 6000, 0) == b"kept" + bytes(4996) + b"!"
    assert mount.events.of(WRITE_WAITS) == []


def test_interrupted_truncate_is_not_made_later_when_others_have_written(cluster: LocalCluster, mount: Mount) -> None:
    handle, other = new_file(mount, data=b"old"), cluster.mount()
    mount.meta.is_down = True  # so that the grant can't be given back
    killed = CallerContext()
    truncate = beside(lambda: other.fs.truncate(killed, b"/file", 0))
    wait_until(lambda: other.calls["Truncate"] > 0, "the truncate to wait for the grant")
    other.meta.is_down = True
    killed.end()
    with pytest.raises(Interrupted):
        truncate.result(2)
    mount.meta.is_down = False
    wait_until(lambda: mount.background["Yield"] > 0, "the grant to be given back")
    mount.fs.write(CTX, handle, b"new", 0)
    mount.fs.fsync(CTX, handle)
    told = other.background["Yield"] + other.background["Truncate"]
    other.meta.is_down = False
    wait_until(lambda: other.background["Yield"] + other.background["Truncate"] > told, "the other mount to tell how it ended")
    late = other.fs.open(CTX, b"/file", O_RDWR)
    other.fs.write(CTX, late, b"!", 3)  # comes after whatever was told
    assert other.fs.read(CTX, late, 10, 0) == b"new!"


def test_open_shows_what_others_wrote_since_a_grant_was_given_back_whose_answer_is_lost(
    cluster: LocalCluster, mount: Mount
) -> None:
    new_file(mount, data=b"old")
    other = cluster.mount()
    mount.meta.lose_answers(Yield, 1 << 30)
    writing = other.fs.open(CTX, b"/file", O_RDWR)
    other.fs.write(CTX, writing, b"longer", 0)
    other.fs.flush(CTX, writing)
    other.fs.release(CTX, writing)
    read = beside(lambda: mount.fs.read(CTX, mount.fs.open(CTX, b"/file", 0), 100, 0))
    assert_stays(lambda: not read.done(), "the read to wait for meta's answer", 0.3)
    mount.meta.lost.clear()
    assert read.result(5) == b"longer"


# --- reading -------------------------------------------------------------------------------------------------------------


def test_read_with_a_server_down_takes_the_other_copies_and_does_not_try_it_again_and_again(
    cluster: LocalCluster, mount: Mount
) -> None:
    handle = new_file(mount)
    server = place(mount, handle, 0, Role.PRIMARY)
    tried: list[object] = []
    cluster.wires[server].hook = tried.append
    cluster.wires[server].is_down = True
    began_s = time.monotonic()
    for _ in range(100):
        assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA
    elapsed_s = time.monotonic() - began_s
    assert len(tried) <= 3 + elapsed_s / 0.05
    assert len(tried) < 50
    cluster.wires[server].is_down = False
    wait_until(lambda: is_healthy(mount, handle, 0), "the server to be tried again")
    assert [event.server for event in mount.events.of(READ_ONE_COPY)] == [server]
    assert [event.server for event in mount.events.of(READ_BOTH_COPIES)] == [server]


def test_read_waits_while_both_servers_of_a_block_are_down_and_can_be_ended(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount)
    down = [place(mount, handle, 0, role) for role in Role]
    for server in down:
        cluster.wires[server].is_down = True
    killed = CallerContext()
    reads = [beside(lambda ctx=ctx: mount.fs.read(ctx, handle, len(DATA), 0)) for ctx in (CTX, killed)]  # type: ignore[misc]
    assert_stays(lambda: not any(read.done() for read in reads), "the reads to wait", 0.3)
    killed.end()
    with pytest.raises(Interrupted):
        reads[1].result(1)
    cluster.wires[down[0]].is_down = False
    assert reads[0].result(5) == DATA


@pytest.mark.parametrize("role", list(Role))
def test_rotten_copy_is_read_around_and_repaired(cluster: LocalCluster, mount: Mount, role: Role) -> None:
    handle = new_file(mount)
    server = place(mount, handle, 5, role)
    rot(cluster, server, b"block 000005")
    assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA
    [event] = mount.events.of(COPY_REPAIRED)
    assert (event.server, event.block, event.path) == (server, 5, b"/file")
    assert read_from_each_copy(cluster, mount, handle, 5) == [DATA[5 * BLOCK : 6 * BLOCK]] * 2
    assert len(mount.events.of(COPY_REPAIRED)) == 1


def test_block_with_both_copies_rotten_is_an_error_and_the_rest_is_read(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount)
    for role in Role:
        rot(cluster, place(mount, handle, 5, role), b"block 000005")
    for _ in range(2):
        with pytest.raises(NoGoodCopy):
            mount.fs.read(CTX, handle, len(DATA), 0)
    [event] = mount.events.of(NO_GOOD_COPY)
    assert (event.path, event.block, event.ino) == (b"/file", 5, mount.fs.getattr(CTX, b"/file").ino)
    assert mount.fs.read(CTX, handle, 5 * BLOCK, 0) == DATA[: 5 * BLOCK]
    assert mount.fs.read(CTX, handle, len(DATA), 6 * BLOCK) == DATA[6 * BLOCK :]
    mount.fs.write(CTX, handle, DATA[5 * BLOCK : 6 * BLOCK], 5 * BLOCK)
    assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA


def test_copy_left_older_by_a_killed_write_is_repaired(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount)
    away = place(mount, handle, 0, Role.PRIMARY)
    cluster.wires[away].is_down = True
    killed = CallerContext()
    write = beside(lambda: mount.fs.write(killed, handle, b"new", 0))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    killed.end()
    with pytest.raises(Interrupted):
        write.result(1)
    cluster.wires[away].is_down = False
    wait_until(lambda: bool(mount.events.of(WRITE_GOES_ON) or is_healthy(mount, handle, 0)), "the server to be tried again")
    wait_until(lambda: mount.fs.read(CTX, handle, 3, 0) == b"new" and bool(mount.events.of(COPY_REPAIRED)), "the repair")
    first, second = read_from_each_copy(cluster, mount, handle, 0)
    assert first == second == b"new" + DATA[3:BLOCK]


def test_older_copy_on_a_server_that_was_not_told_of_a_cut_yet_keeps_nobody_from_reading_and_appending(tmp_path: Path) -> None:
    """Where mounts need capabilities servers compare copies themselves; these two can't before meta has reached both."""
    with LocalCluster(tmp_path, 4, BLOCK, keys=[b"k" * 32]) as cluster:
        mount, other = cluster.mount(), cluster.mount()
        handle = mount.fs.create(CTX, b"/log", 0o644, O_RDWR | O_CREAT | O_APPEND)
        mount.fs.write(CTX, handle, DATA[: BLOCK + 100], 0)
        away, near = (place(mount, handle, 1, role) for role in Role)

        def refuse(request: Request[Any]) -> None:
            if isinstance(request, refused):
                raise Unreachable("data server", "connection refused")

        refused: tuple[type[Request[Any]], ...] = (Put, Clean)
        cluster.wires[away].hook = refuse
        killed = CallerContext()
        write = beside(lambda: mount.fs.write(killed, handle, b"junk", 0))
        wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
        killed.end()
        with pytest.raises(Interrupted):
            write.result(1)
        refused = (Clean,)
        cleaned: list[Clean] = []
        cluster.wires[near].before_answer = lambda request: cleaned.append(request) if isinstance(request, Clean) else None
        mount.fs.release(CTX, handle)
        wait_until(lambda: bool(cleaned), "the junk to be cut off where meta can reach", 10)
        handle = other.fs.open(CTX, b"/log", O_RDWR | O_APPEND)
        assert beside(lambda: other.fs.read(CTX, handle, 10 * BLOCK, 0)).result(5) == DATA[: BLOCK + 100]
        beside(lambda: other.fs.write(CTX, handle, b"more", 0)).result(5)
        assert other.fs.read(CTX, handle, 10 * BLOCK, 0) == DATA[: BLOCK + 100] + b"more"
        assert other.calls["Mend"] > 0


def test_copy_that_only_seems_older_because_a_write_is_under_way_is_not_reported(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount)
    late = cluster.wires[place(mount, handle, 0, Role.SECONDARY)]
    held_up, go_on = threading.Event(), threading.Event()

    def hold_up(request: object) -> None:
        if isinstance(request, Put):
            held_up.set()
            go_on.wait(5)

    late.hook = hold_up
    write = beside(lambda: mount.fs.write(CTX, handle, b"new", 0))
    assert held_up.wait(5)
    threading.Timer(0.02, go_on.set).start()
    assert mount.fs.read(CTX, handle, 3, 0) == b"new"
    write.result(5)
    assert mount.events.of(COPY_REPAIRED) == []


def test_read_of_a_hole_is_zeros_also_with_one_server_down(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, data=b"")
    mount.fs.write(CTX, handle, b"end", 20 * BLOCK)
    assert mount.fs.read(CTX, handle, 20 * BLOCK, 0) == bytes(20 * BLOCK)
    cluster.wires[place(mount, handle, 3, Role.PRIMARY)].is_down = True
    assert mount.fs.read(CTX, handle, 20 * BLOCK, 0) == bytes(20 * BLOCK)


def test_read_succeeds_although_the_repair_fails(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount)
    server = place(mount, handle, 5, Role.PRIMARY)
    rot(cluster, server, b"block 000005")
    cluster.disks[server].is_read_only = True
    assert mount.fs.read(CTX, handle, len(DATA), 0) == DATA
    cluster.disks[server].is_read_only = False
    assert mount.events.of(COPY_REPAIRED) == []


def test_file_closed_while_meta_is_read_only_does_not_stay_open_for_ever(cluster: LocalCluster, mount: Mount) -> None:
    before = mount.fs.statfs(CTX).inodes
    handle = new_file(mount)

    def refuse(request: Request[Any]) -> None:
        if isinstance(request, (Yield, Close)):
            raise ReadOnly(b"")

    mount.meta.hook = refuse
    with pytest.raises(ReadOnly):
        mount.fs.flush(CTX, handle)
    with pytest.raises(ReadOnly):
        mount.fs.release(CTX, handle)
    mount.meta.hook = None
    mount.fs.unlink(CTX, b"/file")
    wait_until(lambda: mount.fs.statfs(CTX).inodes == before, "meta to let the file go")


def test_removal_whose_caller_was_killed_while_meta_became_read_only_lets_the_file_go(cluster: LocalCluster, mount: Mount) -> None:
    before = mount.fs.statfs(CTX).inodes
    handle, killed, refusals = new_file(mount), CallerContext(), 0

    def lose(request: Request[Any]) -> None:
        if isinstance(request, Unlink):
            mount.meta.lose_answers(Unlink)
            killed.end()

    def refuse(request: Request[Any]) -> None:
        nonlocal refusals
        if isinstance(request, Unlink) and killed.reason is not None and refusals < 1:
            refusals += 1
            raise ReadOnly(b"")

    mount.meta.before_answer, mount.meta.hook = lose, refuse
    with pytest.raises(Interrupted):
        mount.fs.unlink_open(killed, b"/file", b"/.hidden")
    mount.meta.before_answer = None
    mount.fs.flush(CTX, handle)
    mount.fs.release(CTX, handle)
    wait_until(lambda: mount.fs.statfs(CTX).inodes == before, "meta to let the file go")
    assert refusals == 1
