"""Goal: several mounts share files exactly, and a mount gets over the loss of its session, of meta, and of its callers.
Method: two FileSystems on an in-process cluster of real services, restarts, expired leases, lost answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.errors import AlreadyExists, BadHandle, Interrupted, NoSpace, NotFound, StaleFile
from dfs.core.events.meta_server import SESSION_EXPIRED
from dfs.core.events.mount import LEASE_LOST, META_GOES_ON, META_WAITS, WRITE_WAITS
from dfs.core.ids import ROOT_INO, BlockNo
from dfs.core.messages.blocks import Fence, Put
from dfs.core.messages.content import Acquire, Truncate, Yield
from dfs.core.messages.inodes import AttributeChanges
from dfs.core.messages.names import Create, Lookup, MakeFolder, Open, Rename
from dfs.core.messages.requests import Request
from dfs.core.placement import Role
from dfs.core.start_errors import PeerStartError
from tests.harness.beside import beside
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount
from tests.harness.waiting import assert_stays, wait_until

O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND = 0o0, 0o1, 0o2, 0o100, 0o200, 0o1000, 0o2000
CTX = CallerContext()
BLOCK = 512


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, 4, BLOCK) as cluster:
        yield cluster


@pytest.fixture
def mount(cluster: LocalCluster) -> Mount:
    return cluster.mount()


@pytest.fixture
def other(cluster: LocalCluster) -> Mount:
    return cluster.mount()


def new_file(mount: Mount, path: bytes, data: bytes) -> int:
    handle = mount.fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)
    mount.fs.write(CTX, handle, data, 0)
    return handle


def close(mount: Mount, handle: int) -> None:
    mount.fs.flush(CTX, handle)
    mount.fs.release(CTX, handle)


def whole(mount: Mount, path: bytes) -> bytes:
    handle = mount.fs.open(CTX, path, O_RDONLY)
    try:
        return mount.fs.read(CTX, handle, 1 << 20, 0)
    finally:
        mount.fs.release(CTX, handle)


# --- sharing -------------------------------------------------------------------------------------------------------------


def test_what_one_mount_closed_the_other_opens(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"first")
    close(mount, handle)
    assert whole(other, b"/file") == b"first"
    handle = other.fs.open(CTX, b"/file", O_WRONLY | O_TRUNC)
    other.fs.write(CTX, handle, b"second one", 0)
    close(other, handle)
    assert whole(mount, b"/file") == b"second one"


def test_appends_of_two_mounts_at_once_are_all_there_exactly_once(mount: Mount, other: Mount) -> None:
    close(mount, new_file(mount, b"/log", b""))

    def append(from_mount: Mount, letter: bytes) -> None:
        handle = from_mount.fs.open(CTX, b"/log", O_WRONLY | O_APPEND)
        for number in range(30):
            from_mount.fs.write(CTX, handle, letter * 5 + b"%04d " % number, 0)
        close(from_mount, handle)

    both = [beside(lambda: append(mount, b"a")), beside(lambda: append(other, b"b"))]
    for one in both:
        one.result(30)
    text = whole(mount, b"/log")
    assert sorted(text.split()) == sorted(letter * 5 + b"%04d" % number for letter in (b"a", b"b") for number in range(30))
    assert len(text) == 60 * 10


def test_size_of_a_file_that_another_mount_writes_is_seen_within_a_second_or_two(mount: Mount, other: Mount) -> None:
    new_file(mount, b"/growing", b"12345")
    handle = other.fs.open(CTX, b"/growing", O_RDONLY)
    wait_until(lambda: other.fs.read(CTX, handle, 10, 0) == b"12345", "the other mount to see the bytes", 3.0)


def test_truncate_of_a_file_that_another_mount_writes_keeps_nothing_of_what_was_cut(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"x" * 2000)
    other.fs.truncate(CTX, b"/file", 100)
    mount.fs.write(CTX, handle, b"end", 3000)
    assert mount.fs.read(CTX, handle, 4000, 0) == b"x" * 100 + bytes(2900) + b"end"


def test_writer_that_waits_for_a_dead_server_gives_the_grant_to_one_that_need_not_wait(
    cluster: LocalCluster, mount: Mount, other: Mount
) -> None:
    handle = new_file(mount, b"/file", b"-" * 4 * BLOCK)
    mount.fs.flush(CTX, handle)
    dead = mount.fs.getattr(CTX, b"/file").content.layout.server_of(BlockNo(0), Role.PRIMARY)
    cluster.wires[dead].is_down = True
    stuck = beside(lambda: mount.fs.write(CTX, handle, b"A" * BLOCK, 0))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    second = other.fs.open(CTX, b"/file", O_RDWR)
    began_s = time.monotonic()
    other.fs.write(CTX, second, b"B" * BLOCK, BLOCK)
    assert time.monotonic() - began_s < 4
    assert not stuck.done()
    other.fs.flush(CTX, second)
    cluster.wires[dead].is_down = False
    assert stuck.result(10) == BLOCK
    assert mount.fs.read(CTX, handle, 2 * BLOCK, 0) == b"A" * BLOCK + b"B" * BLOCK


def test_grant_that_is_asked_back_as_it_arrives_is_used_first(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"a" * 10)
    opened = other.fs.open(CTX, b"/file", O_WRONLY)
    ino = mount.fs.getattr(CTX, b"/file").ino

    def ask_back(request: Request[Any]) -> None:
        if isinstance(request, Acquire):
            other.fs._own.recalls.recall((ino,))  # a third mount waits too

    other.meta.before_answer = ask_back
    assert other.fs.write(CTX, opened, b"b" * 10, 0) == 10
    other.meta.before_answer = None
    assert other.calls["Acquire"] == 1
    mount.fs.release(CTX, handle)
    other.fs.release(CTX, opened)


def test_grant_of_a_file_that_nobody_has_open_is_given_back_by_itself(mount: Mount, other: Mount) -> None:
    close(mount, new_file(mount, b"/file", b"12345"))
    mount.fs.truncate(CTX, b"/file", 3)
    wait_until(lambda: mount.fs._grants.inodes() == [], "the grant to be given back", 5.0)
    handle = other.fs.open(CTX, b"/file", O_RDWR)
    with other.counting() as calls:
        other.fs.write(CTX, handle, b"x", 0)
    assert calls["Acquire"] == 0


def test_time_set_after_a_write_is_not_overwritten_by_its_commit(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"12345")
    mount.fs.setattr(CTX, b"/file", AttributeChanges(mtime_ns=123_000))
    assert mount.fs.getattr(CTX, b"/file").mtime_ns == 123_000
    close(mount, handle)
    assert other.fs.getattr(CTX, b"/file").mtime_ns == 123_000
    assert other.fs.getattr(CTX, b"/file").content.size_bytes == 5


# --- unlinked but open -----------------------------------------------------------------------------------------------------


def test_file_unlinked_while_open_lives_under_its_alias_in_this_mount_alone(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"still here")
    ino = mount.fs.getattr(CTX, b"/file").ino
    mount.fs.unlink_open(CTX, b"/file", b"/.fuse_hidden1")
    assert mount.fs.list_folder(CTX, b"/") == []
    with pytest.raises(NotFound):
        mount.fs.getattr(CTX, b"/file")
    with pytest.raises(NotFound):
        other.fs.getattr(CTX, b"/.fuse_hidden1")
    shown = mount.fs.getattr(CTX, b"/.fuse_hidden1")
    assert (shown.ino, shown.nlink, shown.content.size_bytes) == (ino, 0, 10)
    mount.fs.write(CTX, handle, b"STILL", 0)
    assert mount.fs.setattr(CTX, b"/.fuse_hidden1", AttributeChanges(mode=0o600)).mode & 0o777 == 0o600
    assert whole(mount, b"/.fuse_hidden1") == b"STILL here"
    assert mount.fs.getattr(CTX, b"", handle).content.size_bytes == 10


def test_unlinked_file_is_reclaimed_after_its_last_handle_and_alias_are_gone(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/file", b"x")
    mount.fs.unlink_open(CTX, b"/file", b"/.fuse_hidden1")
    mount.fs.release(CTX, handle)
    assert mount.fs.getattr(CTX, b"/.fuse_hidden1").content.size_bytes == 1
    mount.fs.unlink(CTX, b"/.fuse_hidden1")
    with pytest.raises(NotFound):
        mount.fs.getattr(CTX, b"/.fuse_hidden1")
    with pytest.raises(BadHandle):
        mount.fs.read(CTX, handle, 1, 0)
    wait_until(lambda: mount.fs.statfs(CTX).inodes == 1, "the inode to be reclaimed")


# --- meta away -------------------------------------------------------------------------------------------------------------


def test_operations_wait_for_meta_and_go_on_after_its_restart(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/file", b"before ")
    cluster.stop_meta()
    mount.fs.write(CTX, handle, b"during ", 7)  # needs no meta
    made = beside(lambda: mount.fs.mkdir(CTX, b"/folder", 0o755))
    wait_until(lambda: bool(mount.events.of(META_WAITS)), "the mount to notice")
    assert_stays(lambda: not made.done(), "the change to wait", 0.2)
    cluster.start_meta()
    made.result(10)
    mount.fs.write(CTX, handle, b"after", 14)
    close(mount, handle)
    assert whole(mount, b"/file") == b"before during after"
    wait_until(lambda: len(mount.events.of(META_GOES_ON)) == 1, "the mount to notice that meta is back")
    assert len(mount.events.of(META_WAITS)) == 1


def test_file_unlinked_while_open_survives_the_restart_of_meta(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/file", b"kept")
    mount.fs.unlink_open(CTX, b"/file", b"/.fuse_hidden1")
    cluster.stop_meta()
    cluster.start_meta()
    wait_until(lambda: mount.background["AssertOpens"] >= 1, "the opens to be asserted", 10.0)
    assert_stays(lambda: mount.fs.read(CTX, handle, 10, 0) == b"kept", "the file to be kept", 0.2)
    mount.fs.write(CTX, handle, b"!", 4)
    assert mount.fs.read(CTX, handle, 10, 0) == b"kept!"


def test_changes_whose_answers_are_lost_have_their_effect_once(cluster: LocalCluster, mount: Mount) -> None:
    for kind in (MakeFolder, Create, Open, Rename, Truncate, Yield):
        cluster.meta_wire.lose_answers(kind)
    mount.fs.mkdir(CTX, b"/folder", 0o755)
    handle = mount.fs.create(CTX, b"/folder/file", 0o644, O_RDWR | O_CREAT | O_EXCL)
    mount.fs.write(CTX, handle, b"12345", 0)
    mount.fs.truncate(CTX, b"/folder/file", 3)
    mount.fs.write(CTX, handle, b"6", 3)
    close(mount, handle)
    mount.fs.rename(CTX, b"/folder/file", b"/folder/renamed")
    assert whole(mount, b"/folder/renamed") == b"1236"
    with pytest.raises(AlreadyExists):
        mount.fs.create(CTX, b"/folder/renamed", 0o644, O_RDWR | O_CREAT | O_EXCL)


def test_caller_killed_while_meta_is_away_ends_at_once_and_what_it_wrote_is_not_lost(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/file", b"acknowledged")
    cluster.stop_meta()
    killed = CallerContext()
    flush = beside(lambda: mount.fs.flush(killed, handle))
    opening = beside(lambda: mount.fs.open(killed, b"/file", O_RDONLY))
    assert_stays(lambda: not flush.done() and not opening.done(), "the calls to wait", 0.2)
    killed.end()
    for one in (flush, opening):
        with pytest.raises(Interrupted):
            one.result(1)
    assert mount.fs.getattr(CTX, b"", handle).content.size_bytes == 12
    cluster.start_meta()
    wait_until(lambda: whole(mount, b"/file") == b"acknowledged", "the size to be committed")
    mount.fs.write(CTX, handle, b"!", 12)
    close(mount, handle)
    assert whole(mount, b"/file") == b"acknowledged!"


def test_truncate_of_a_killed_caller_is_settled_before_the_next_write(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/file", b"x" * 3000)
    killed = CallerContext()

    def kill(request: object) -> None:
        if isinstance(request, Truncate):
            cluster.meta_wire.hook = None
            cluster.meta_wire.lose_answers(Truncate)
            killed.end()

    cluster.meta_wire.hook = kill
    with pytest.raises(Interrupted):
        mount.fs.truncate(killed, b"/file", 100, handle)
    cluster.meta_wire.lost.clear()
    mount.fs.write(CTX, handle, b"end", 2000)
    assert mount.fs.read(CTX, handle, 4000, 0) == b"x" * 100 + bytes(1900) + b"end"
    close(mount, handle)
    assert whole(cluster.mount(), b"/file") == b"x" * 100 + bytes(1900) + b"end"


# --- the session lost --------------------------------------------------------------------------------------------------------


def test_mount_whose_session_expired_goes_on_in_a_new_one(cluster: LocalCluster, mount: Mount) -> None:
    handle = new_file(mount, b"/file", b"one ")
    old = cluster.expire(mount)
    assert mount.fs.write(CTX, handle, b"two", 4) == 3
    wait_until(lambda: mount.fs.session != old, "a new session")
    assert mount.fs.read(CTX, handle, 10, 0) == b"one two"
    close(mount, handle)
    assert whole(cluster.mount(), b"/file") == b"one two"
    assert len(mount.events.of(LEASE_LOST)) == 1
    assert len(cluster.meta_events.of(SESSION_EXPIRED)) == 1


@pytest.mark.parametrize("attr_timeout_s", [0.0, 60.0])
def test_what_a_lost_session_wrote_is_not_out_of_sight_for_a_moment(cluster: LocalCluster, attr_timeout_s: float) -> None:
    mount, other = cluster.mount(attr_timeout_s=attr_timeout_s), cluster.mount(attr_timeout_s=0.0)
    new_file(mount, b"/file", b"acknowledged")
    gate = Event()

    def hold_back(request: object) -> None:
        if isinstance(request, Fence):
            gate.wait(10)

    for wire in cluster.wires.values():
        wire.hook = hold_back
    old = cluster.expire(mount)
    wait_until(lambda: mount.fs.session != old, "a new session")
    caller = CallerContext()
    killed = beside(lambda: mount.fs.getattr(caller, b"/file"))
    lookers = [beside(partial(each.fs.getattr, CTX, b"/file")) for each in (mount, other)]
    readers = [beside(partial(whole, each, b"/file")) for each in (mount, other)]
    listed = {entry.name: entry.attributes.is_settling for entry in other.fs.list_folder(CTX, b"/")}
    assert listed == {b"file": True}
    caller.end()
    with pytest.raises(Interrupted):
        killed.result(10)
    assert not any(waiting.done() for waiting in (*lookers, *readers))
    gate.set()
    assert [looker.result(10).content.size_bytes for looker in lookers] == [len(b"acknowledged")] * 2
    assert [reader.result(10) for reader in readers] == [b"acknowledged"] * 2


def test_truncating_open_of_a_file_that_another_mount_holds_does_not_believe_its_committed_size(mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/held", b"never committed")
    close(other, other.fs.open(CTX, b"/held", O_WRONLY | O_TRUNC))
    assert whole(other, b"/held") == b""
    mount.fs.release(CTX, handle)
    assert whole(other, b"/held") == b""


def test_truncating_open_of_a_file_that_is_settled_does_not_believe_its_committed_size(
    cluster: LocalCluster, mount: Mount, other: Mount
) -> None:
    new_file(mount, b"/file", b"never committed")
    gate = Event()

    def hold_back(request: object) -> None:
        if isinstance(request, Fence):
            gate.wait(10)

    for wire in cluster.wires.values():
        wire.hook = hold_back
    mount.meta.is_down = True
    cluster.expire(mount)
    opened = beside(lambda: other.fs.open(CTX, b"/file", O_WRONLY | O_TRUNC))
    gate.set()
    close(other, opened.result(10))
    assert whole(other, b"/file") == b""
    mount.meta.is_down = False


def test_handle_of_a_file_that_went_while_the_session_was_lost_is_stale(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    kept, gone = new_file(mount, b"/kept", b"x"), new_file(mount, b"/gone", b"x")
    old = mount.fs.session
    mount.meta.is_down = True
    cluster.expire(mount)
    other.fs.unlink(CTX, b"/gone")
    wait_until(lambda: other.fs.statfs(CTX).inodes == 2, "the file to be reclaimed")
    mount.meta.is_down = False
    wait_until(lambda: mount.fs.session != old, "a new session")
    with pytest.raises(StaleFile):
        mount.fs.write(CTX, gone, b"y", 0)
    assert mount.fs.write(CTX, kept, b"y", 0) == 1
    mount.fs.release(CTX, gone)


def test_junk_of_a_mount_that_lost_its_session_in_a_write_is_not_seen(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"kept")
    dead = mount.fs.getattr(CTX, b"/file").content.layout.server_of(BlockNo(0), Role.SECONDARY)
    cluster.wires[dead].is_down = True
    stuck = beside(lambda: mount.fs.write(CTX, handle, b"JUNK", 4))
    wait_until(lambda: bool(mount.events.of(WRITE_WAITS)), "the write to wait")
    mount.meta.is_down = True
    cluster.expire(mount)
    cluster.wires[dead].is_down = False
    second = other.fs.open(CTX, b"/file", O_RDWR | O_APPEND)
    other.fs.write(CTX, second, b" and more", 0)
    close(other, second)
    text = whole(other, b"/file")
    mount.meta.is_down = False
    stuck.result(10)
    assert text in (b"kept and more", b"keptJUNK and more")
    assert whole(other, b"/file") == b"keptJUNK" + text[8:]


@pytest.mark.parametrize(("stored", "is_made_anew"), [(0, True), (1, False)])
def test_append_whose_session_is_lost_on_the_way_is_there_once(
    cluster: LocalCluster, mount: Mount, other: Mount, stored: int, is_made_anew: bool
) -> None:
    close(mount, new_file(mount, b"/log", b"first "))
    handle = mount.fs.open(CTX, b"/log", O_WRONLY | O_APPEND)
    before = cluster.meta.call(CTX, Lookup(ROOT_INO, b"log"))
    puts: list[object] = []

    def is_settled() -> bool:
        shown = cluster.meta.call(CTX, Lookup(before.ino, b""))
        return shown.content.newest_cut > before.content.newest_cut and not shown.is_settling

    def lose_session(request: object) -> None:
        if isinstance(request, Put):
            puts.append(request)
            if len(puts) == stored + 1:
                cluster.expire(mount)
                wait_until(is_settled, "the file to be settled")

    for wire in cluster.wires.values():
        wire.hook = lose_session
    if is_made_anew:
        assert mount.fs.write(CTX, handle, b"second ", 0) == len(b"second ")
    else:  # one server had it before the fence, so it is there already; a second try would make it twice
        with pytest.raises(Interrupted, match="lease lost"):
            mount.fs.write(CTX, handle, b"second ", 0)
    mount.fs.write(CTX, handle, b"third", 0)
    close(mount, handle)
    assert whole(other, b"/log") == b"first second third"


def test_junk_is_cut_although_its_grant_was_forgotten(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    handle = new_file(mount, b"/file", b"kept")
    ino = mount.fs.getattr(CTX, b"/file").ino
    full = cluster.disks[mount.fs.getattr(CTX, b"/file").content.layout.server_of(BlockNo(2), Role.PRIMARY)]
    full.free_bytes = 0
    with pytest.raises(NoSpace):
        mount.fs.write(CTX, handle, b"J" * 4000, 4)
    full.free_bytes = None
    mount.fs.fsync(CTX, handle)
    mount.fs._grants.forget(ino)  # as when meta answers a commit with GrantLost
    mount.fs.release(CTX, handle)
    second = other.fs.open(CTX, b"/file", O_RDWR)
    other.fs.write(CTX, second, b"end", 3000)
    assert other.fs.read(CTX, second, 4000, 0) == b"kept" + bytes(2996) + b"end"


# --- start and stop ----------------------------------------------------------------------------------------------------------


def test_start_without_meta_fails_after_the_time_given(cluster: LocalCluster) -> None:
    cluster.stop_meta()
    unstarted = cluster.unstarted_mount(start_timeout_s=0.3)
    began_s = time.monotonic()
    with pytest.raises(PeerStartError, match=r"within 0\.3 s, got .*connection refused"):
        unstarted.fs.start(PlainContext())
    assert time.monotonic() - began_s < 2
    cluster.start_meta()


def test_start_waits_for_a_meta_server_that_comes_later(cluster: LocalCluster) -> None:
    cluster.stop_meta()
    late = beside(cluster.mount)
    assert_stays(lambda: not late.done(), "the mount to wait", 0.2)
    cluster.start_meta()
    assert late.result(10).fs.list_folder(CTX, b"/") == []


def test_stop_tells_meta_the_last_word_on_open_files(cluster: LocalCluster, mount: Mount, other: Mount) -> None:
    new_file(mount, b"/file", b"12345")
    mount.fs.stop(PlainContext())
    cluster.mounts.remove(mount)
    assert other.fs.getattr(CTX, b"/file").content.size_bytes == 5
    handle = other.fs.open(CTX, b"/file", O_RDWR)
    with other.counting() as calls:
        other.fs.write(CTX, handle, b"6", 5)
    assert calls["Acquire"] == 0


def test_grant_whose_acquire_was_interrupted_is_given_back_when_asked_for(
    cluster: LocalCluster, mount: Mount, other: Mount
) -> None:
    close(mount, new_file(mount, b"/file", b"x"))
    handle = mount.fs.open(CTX, b"/file", O_RDWR)
    mount.fs.write(CTX, handle, b"y", 0)
    mount.fs.flush(CTX, handle)
    killed = CallerContext()

    def kill(request: object) -> None:
        if isinstance(request, Acquire):
            cluster.meta_wire.hook = None
            threading.Timer(0.0, killed.end).start()
            cluster.meta_wire.lose_answers(Acquire)

    cluster.meta_wire.hook = kill
    with pytest.raises(Interrupted):
        mount.fs.write(killed, handle, b"z", 0)
    cluster.meta_wire.lost.clear()
    second = other.fs.open(CTX, b"/file", O_RDWR)
    assert other.fs.write(CTX, second, b"z", 0) == 1


@pytest.mark.parametrize("by_name", [True, False])
def test_stat_that_meets_a_commit_on_the_way_shows_what_was_committed(cluster: LocalCluster, by_name: bool) -> None:
    mount = cluster.mount(attr_timeout_s=0.0)
    handle = mount.fs.create(CTX, b"/committed", 0o644, O_RDWR | O_CREAT)
    mount.fs.write(CTX, handle, b"first", 0)
    mount.fs.setattr(CTX, b"/committed", AttributeChanges(mtime_ns=5))
    mount.fs.write(CTX, handle, b"second and longer", 0)

    def commit_once(request: Request[Any]) -> None:
        if isinstance(request, Lookup):
            mount.meta.before_answer = None
            mount.fs.fsync(CTX, handle)

    mount.meta.before_answer = commit_once
    shown = mount.fs.getattr(CTX, b"/committed", None if by_name else handle)
    assert mount.meta.before_answer is None, "no Lookup was made"
    assert shown.mtime_ns > 5
    assert shown.content.size_bytes == 17


def test_proof_that_the_client_works_asks_no_server(cluster: LocalCluster) -> None:
    mount = cluster.mount()
    cluster.meta_wire.is_down = True
    with mount.counting() as calls:
        assert mount.fs.check() == 0
    assert not calls
    cluster.meta_wire.is_down = False
