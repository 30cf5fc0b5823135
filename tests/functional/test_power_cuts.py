"""Goal: when one machine of a data server loses power, a user loses nothing that was acknowledged, when all do at once nothing that
fsync acknowledged, and what was truncated or removed is never seen again (I1, I3, I4).

Method: mounts on an in-process cluster of real services; disks in memory lose every write that was not synced, or by chance some.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from dfs.client.blocks import replication
from dfs.core.errors import Interrupted, Unreachable
from dfs.core.events.data_server import DATA_LOST, REBUILD_FINISHED, UNCLEAN_START
from dfs.core.ids import BlockNo, ServerIndex
from dfs.core.messages.blocks import Put
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify
from dfs.core.messages.rebuild import Pull
from dfs.core.placement import Role
from tests.harness.beside import beside
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount
from tests.harness.memory_disk import MemoryDisk
from tests.harness.waiting import wait_until

O_RDONLY, O_RDWR, O_CREAT = 0o0, 0o2, 0o100
CTX = CallerContext()
BLOCK = 512


@pytest.fixture(params=[2, 3])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, request.param, BLOCK) as cluster:
        yield cluster


def text(salt: int, blocks: float) -> bytes:
    """Return bytes that are different in every block."""
    return b"".join(bytes([salt, number % 256]) * (BLOCK // 2) for number in range(int(blocks) + 1))[: int(blocks * BLOCK)]


def write(mount: Mount, path: bytes, data: bytes, offset: int = 0, *, fsync: bool = False) -> None:
    try:
        handle = mount.fs.open(CTX, path, O_RDWR)
    except Exception:  # noqa: BLE001 (it is made then, and if that fails too the test hears of it)
        handle = mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)
    mount.fs.write(CTX, handle, data, offset)
    if fsync:
        mount.fs.fsync(CTX, handle)
    mount.fs.flush(CTX, handle)
    mount.fs.release(CTX, handle)


def whole(mount: Mount, path: bytes) -> bytes:
    handle = mount.fs.open(CTX, path, O_RDONLY)
    try:
        return mount.fs.read(CTX, handle, 1 << 20, 0)
    finally:
        mount.fs.release(CTX, handle)


def states(cluster: LocalCluster, server: ServerIndex) -> set[RoleState]:
    identity = cluster.wires[server].call(CTX, Identify())
    return {identity.primary, identity.secondary}


def is_trusted(cluster: LocalCluster, server: ServerIndex) -> bool:
    return states(cluster, server) == {RoleState.COMPLETE}


def wait_until_trusted(cluster: LocalCluster) -> None:
    for server in cluster.indexes:
        wait_until(partial(is_trusted, cluster, server), f"server {server} to trust itself")


def test_one_machine_that_stops_loses_nothing_and_brings_nothing_back(cluster: LocalCluster) -> None:
    mount = cluster.mount()
    write(mount, b"/synced", text(1, 40.5), fsync=True)
    write(mount, b"/over", text(2, 60), fsync=True)
    write(mount, b"/cut", text(3, 60), fsync=True)
    write(mount, b"/gone", text(4, 60), fsync=True)
    write(mount, b"/over", text(5, 20), 10 * BLOCK)
    write(mount, b"/new", text(6, 130.25))
    write(mount, b"/small", b"tiny")
    mount.fs.truncate(CTX, b"/cut", 5 * BLOCK + 7, None)
    mount.fs.unlink(CTX, b"/gone")
    cluster.power_cut(cluster.indexes[0])
    expected = {
        b"/synced": text(1, 40.5),
        b"/over": text(2, 60)[: 10 * BLOCK] + text(5, 20) + text(2, 60)[30 * BLOCK :],
        b"/new": text(6, 130.25),
        b"/small": b"tiny",
        b"/cut": text(3, 60)[: 5 * BLOCK + 7],
    }

    def look() -> None:
        reader = cluster.mount()
        assert {path: whole(reader, path) for path in expected} == expected

    look()  # while it is suspect, or just after
    wait_until_trusted(cluster)
    for server in cluster.indexes:
        cluster.wires[server].is_down = True
        look()  # each machine has it all by itself
        cluster.wires[server].is_down = False
    mount.fs.truncate(CTX, b"/cut", 60 * BLOCK, None)
    write(mount, b"/gone", b"x", 59 * BLOCK)
    assert whole(mount, b"/cut") == text(3, 60)[: 5 * BLOCK + 7] + bytes(55 * BLOCK - 7)
    assert whole(mount, b"/gone") == bytes(59 * BLOCK) + b"x"
    assert len(cluster.data_events.of(UNCLEAN_START)) == 1
    assert len(cluster.data_events.of(REBUILD_FINISHED)) == 2
    assert not cluster.data_events.of(DATA_LOST)


@pytest.mark.parametrize("seed", range(3))
def test_all_machines_that_stop_at_once_keep_what_was_fsynced_and_agree_on_the_rest(cluster: LocalCluster, seed: int) -> None:
    chance = random.Random(seed)
    mount = cluster.mount()
    write(mount, b"/synced", text(1, 90.5), fsync=True)
    write(mount, b"/over", text(2, 60), fsync=True)
    write(mount, b"/over", text(5, 20), 10 * BLOCK)
    write(mount, b"/new", text(6, 130))
    cluster.power_cut(*cluster.indexes, keep=lambda: chance.random() < 0.5)
    assert all(states(cluster, server) <= {RoleState.SUSPECT, RoleState.COMPLETE} for server in cluster.indexes)
    fresh = cluster.mount()
    assert whole(fresh, b"/synced") == text(1, 90.5)
    wait_until_trusted(cluster)
    over, new = whole(fresh, b"/over"), whole(fresh, b"/new")
    for at in range(0, 60 * BLOCK, BLOCK):
        written = text(5, 20)[at - 10 * BLOCK :][:BLOCK] if 10 * BLOCK <= at < 30 * BLOCK else b""
        assert over[at : at + BLOCK] in (text(2, 60)[at : at + BLOCK], written)
    assert all(new[at : at + BLOCK] in (bytes(BLOCK), text(6, 130)[at : at + BLOCK]) for at in range(0, 130 * BLOCK, BLOCK))
    for server in cluster.indexes:
        cluster.wires[server].is_down = True
        reader = cluster.mount()
        assert [whole(reader, path) for path in (b"/over", b"/new")] == [over, new]
        cluster.wires[server].is_down = False
    write(fresh, b"/after", b"goes on", fsync=True)
    assert not cluster.data_events.of(DATA_LOST)


def test_fsync_and_read_wait_for_a_suspect_server_whose_neighbour_is_away_and_can_be_ended(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, 2, BLOCK) as cluster:
        mount, reader = cluster.mount(), cluster.mount()
        write(mount, b"/file", text(1, 8), fsync=True)
        write(mount, b"/file", text(2, 8))
        handle, opened = mount.fs.open(CTX, b"/file", O_RDWR), reader.fs.open(CTX, b"/file", O_RDONLY)
        suspect, away = cluster.indexes
        cluster.wires[away].is_down = True
        cluster.power_cut(suspect)
        callers = [CallerContext(), CallerContext()]
        ended = [
            beside(lambda: mount.fs.fsync(callers[0], handle)),
            beside(lambda: reader.fs.read(callers[1], opened, 100, 0)),
        ]
        waiting = [beside(lambda: mount.fs.fsync(CTX, handle)), beside(lambda: reader.fs.read(CTX, opened, 8 * BLOCK, 0))]
        asked = reader.calls["Get"]
        wait_until(lambda: reader.calls["Get"] > asked + 3, "the suspect server to be asked again and again")
        for caller in callers:
            caller.end()
        for call in ended:
            with pytest.raises(Interrupted):
                call.result(10)
        assert not any(call.done() for call in waiting)
        assert states(cluster, suspect) == {RoleState.SUSPECT}
        cluster.wires[away].is_down = False
        waiting[0].result(30)
        assert waiting[1].result(30) == text(2, 8)  # never the older bytes that the power cut left
        wait_until_trusted(cluster)
        mount.fs.release(CTX, handle)
        reader.fs.release(CTX, opened)


def test_write_that_one_server_took_much_later_is_synced_before_it_counts(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = cluster.mount()
    write(mount, b"/file", text(1, 4))
    assert not mount.calls["Sync"]
    monkeypatch.setattr(replication, "LATE_PUT_S", 0.2)
    late = mount.fs.getattr(CTX, b"/file").content.layout.server_of(BlockNo(0), Role.SECONDARY)
    cluster.wires[late].is_down = True
    written = beside(lambda: write(mount, b"/file", text(2, 4)))
    wait_until(lambda: mount.calls["Put"] > 8, "the write to be tried again and again")
    cluster.wires[late].is_down = False
    written.result(20)
    assert mount.calls["Sync"]
    cluster.power_cut(late)
    assert whole(cluster.mount(), b"/file") == text(2, 4)


def test_write_that_waited_while_another_server_lost_its_disk_is_on_both_when_it_counts(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = cluster.mount()
    write(mount, b"/file", b"")
    monkeypatch.setattr(replication, "LATE_PUT_S", 0.2)
    layout = mount.fs.getattr(CTX, b"/file").content.layout
    early, late = (layout.server_of(BlockNo(0), role) for role in Role)
    gate = Event()

    def refuse(request: object) -> None:
        if isinstance(request, Put) and not gate.is_set():
            raise Unreachable("late", "told to be")

    cluster.wires[late].hook = refuse
    written = beside(lambda: write(mount, b"/file", text(1, 1)))
    wait_until(lambda: mount.calls["Put"] > 8, "the write to be tried again and again")
    cluster.stop_data(early)
    cluster.disks[early] = MemoryDisk()
    cluster.start_data(early)
    wait_until_trusted(cluster)
    gate.set()
    written.result(20)
    cluster.wires[late].is_down = True
    assert whole(cluster.mount(), b"/file") == text(1, 1)


def test_write_that_waited_for_a_machine_to_come_back_does_not_wait_for_its_comparison(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = cluster.mount()
    write(mount, b"/file", text(1, 4), fsync=True)
    monkeypatch.setattr(replication, "LATE_PUT_S", 0.2)
    gate = Event()

    def hold_up(request: object) -> None:
        if isinstance(request, Pull):
            gate.wait(20)

    for wire in cluster.wires.values():
        wire.hook = hold_up
    late = mount.fs.getattr(CTX, b"/file").content.layout.server_of(BlockNo(0), Role.SECONDARY)
    handle = mount.fs.open(CTX, b"/file", O_RDWR)
    cluster.wires[late].is_down = True
    written = beside(lambda: mount.fs.write(CTX, handle, text(2, 4), 0))
    wait_until(lambda: mount.calls["Put"] > 8, "the write to be tried again and again")
    cluster.power_cut(late)
    cluster.wires[late].is_down = False
    assert written.result(20) == 4 * BLOCK
    assert mount.calls["Sync"] > len(cluster.indexes)  # beside those of fsync
    assert RoleState.SUSPECT in states(cluster, late)
    gate.set()
    cluster.power_cut(late)  # before or after it has compared itself
    wait_until_trusted(cluster)
    cluster.wires[mount.fs.getattr(CTX, b"/file").content.layout.server_of(BlockNo(0), Role.PRIMARY)].is_down = True
    reader = cluster.mount()
    opened = reader.fs.open(CTX, b"/file", O_RDONLY)
    assert reader.fs.read(CTX, opened, BLOCK, 0) == text(2, 1)
    for wire in cluster.wires.values():
        wire.is_down = False
    reader.fs.release(CTX, opened)
    mount.fs.release(CTX, handle)
