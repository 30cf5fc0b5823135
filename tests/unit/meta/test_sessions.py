"""Goal: sessions live as long as they are heard, and what they have open lives with them. Method: a clock that tests move."""

from __future__ import annotations

import pytest

from dfs.core.errors import BadRequest, DuplicateRefused, NotFound, SessionExpired, StaleFile
from dfs.core.events.meta_server import SESSION_EXPIRED
from dfs.core.ids import ROOT_INO, Ino, OpId, SessionId
from dfs.core.interfaces import Caller
from dfs.core.limits import ENDED_SESSIONS_MAX, HEARTBEAT_PARK_S, LEASE_META_S
from dfs.core.messages.blocks import Drop
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import Create, Lookup, Open, Rename, Unlink
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, OpenFile, OpenSession
from dfs.core.peers import THIS_PROCESS, Peer, PeerKind
from dfs.meta.state.store import StoreFailure
from tests.harness.beside import beside
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount, heartbeat_of


def exists(meta: MetaUnderTest, ino: Ino) -> bool:
    try:
        meta.service.call(FakeContext(), Lookup(ino, b""))
    except StaleFile:
        return False
    return True


# --- the session itself ----------------------------------------------------------------------------------------------------


def test_open_session_repeated_with_its_nonce_is_the_same_session(meta: MetaUnderTest) -> None:
    first = meta.mount(nonce=b"n" * 16)
    assert meta.mount(nonce=b"n" * 16).session == first.session
    meta.crash()
    assert meta.mount(nonce=b"n" * 16).session == first.session
    assert meta.mount(nonce=b"m" * 16).session != first.session


def test_open_session_tells_shape_servers_and_epoch(meta: MetaUnderTest) -> None:
    opened = meta.service.call(FakeContext(), OpenSession(b"n" * 16, "h", b"/m", ()))
    assert opened.shape[1:] == (4, 512)
    assert [address.address for address in opened.data_servers] == list(meta.servers.names)
    meta.crash()
    again = meta.service.call(FakeContext(), OpenSession(b"n" * 16, "h", b"/m", ()))
    assert again.epoch == opened.epoch + 1


def test_session_without_heartbeat_expires_after_its_lease_and_no_sooner(meta: MetaUnderTest) -> None:
    silent, heard = meta.mount(), meta.mount()
    silent.create(b"f")
    meta.age(LEASE_META_S, heard)
    silent.create(b"g")
    meta.age(2, heard)
    with pytest.raises(SessionExpired):
        silent.create(b"h")
    with pytest.raises(SessionExpired):
        heartbeat_of(silent)
    heartbeat_of(heard)
    (event,) = meta.events.of(SESSION_EXPIRED)
    assert event.details["session"] == silent.session
    assert event.details["path"] == "/mnt"


def test_session_known_from_before_a_start_has_a_lease_to_come_back(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    meta.age(LEASE_META_S - 2)
    meta.crash()
    assert meta.service.call(FakeContext(), ShowMeta()).state == "waiting for sessions"
    meta.age(LEASE_META_S - 2)
    heartbeat_of(mount)
    meta.age(5)
    heartbeat_of(mount)


def test_stopped_process_does_not_count_its_own_sleep_as_the_sessions_silence(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    meta.clock.advance(100)
    meta.age(3)
    heartbeat_of(mount)


def test_end_session_frees_it_at_once_and_repeats(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    for _ in range(2):
        meta.service.call(mount.context(), EndSession())
    with pytest.raises(SessionExpired):
        mount.create(b"f")
    assert meta.service.call(FakeContext(), ShowMeta()).mounts == ()
    assert not meta.events.of(SESSION_EXPIRED)


def test_heartbeat_parks_until_its_time_is_over_its_sender_gone_or_meta_stops(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    begin_s = meta.clock.monotonic_s()
    parked = beside(lambda: mount.call(Heartbeat((), ())))
    meta.until(parked.done)
    assert meta.clock.monotonic_s() >= begin_s + HEARTBEAT_PARK_S
    assert parked.result(10).recalls == ()
    heartbeat_of(mount)
    parked = beside(lambda: mount.call(Heartbeat((), ())))
    parked_too = beside(lambda: mount.call(Heartbeat((), ())))
    meta.running().recalls.close()
    parked.result(10)
    parked_too.result(10)


def test_first_heartbeat_after_a_start_is_answered_at_once_and_the_next_one_parks(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    meta.crash()
    begin_s = meta.clock.monotonic_s()
    beside(lambda: mount.call(Heartbeat((), ()))).result(10)
    assert meta.clock.monotonic_s() == begin_s
    parked = beside(lambda: mount.call(Heartbeat((), ())))
    meta.until(parked.done)
    assert meta.clock.monotonic_s() >= begin_s + HEARTBEAT_PARK_S


def test_heartbeat_after_a_long_silence_is_answered_at_once(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    meta.clock.advance(HEARTBEAT_PARK_S + 1)
    beside(lambda: mount.call(Heartbeat((), ()))).result(10)


def test_heartbeat_whose_answer_nobody_waited_for_does_not_end_the_silence(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    meta.crash()
    heartbeat_of(mount)
    beside(lambda: mount.call(Heartbeat((), ()))).result(10)


def test_heartbeat_parked_when_the_session_ends_says_so(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    parked = beside(lambda: mount.call(Heartbeat((), ())))
    mount.call(EndSession())
    with pytest.raises(SessionExpired):
        parked.result(10)


# --- the session of a dead mount ---------------------------------------------------------------------------------------------


def back(meta: MetaUnderTest, *ended: bytes, nonce: bytes = b"b" * 16, peer: Peer = THIS_PROCESS) -> SessionId:
    """Mount again where mounts have died."""
    caller = Caller(0, 0, (), peer=peer)
    return meta.service.call(FakeContext(caller=caller), OpenSession(nonce, "host", b"/mnt", (), ended)).session


def test_session_of_a_dead_mount_ends_when_the_next_one_tells_of_it(meta: MetaUnderTest) -> None:
    dead, other = meta.mount(nonce=b"d" * 16), meta.mount(nonce=b"o" * 16)
    session = back(meta, b"d" * 16, b"u" * 16)
    with pytest.raises(SessionExpired):
        dead.create(b"f")
    heartbeat_of(other)
    assert {mount.session for mount in meta.service.call(FakeContext(), ShowMeta()).mounts} == {other.session, session}
    assert not meta.events.of(SESSION_EXPIRED)
    assert back(meta, b"d" * 16) == session


def test_what_a_dead_mount_wrote_is_settled_before_the_next_one_sees_it(meta: MetaUnderTest) -> None:
    dead = meta.mount(nonce=b"d" * 16)
    ino = dead.create(b"f").attributes.ino
    for index in range(4):
        meta.servers.server(index).ends[ino] = 1234
    session = back(meta, b"d" * 16)
    context = FakeContext(session)
    assert meta.service.call(context, Lookup(ino, b"")).content.size_bytes == 1234


def test_removed_file_of_a_dead_mount_waits_for_what_it_may_have_sent(meta: MetaUnderTest) -> None:
    dead, other = meta.mount(nonce=b"d" * 16), meta.mount(nonce=b"o" * 16)
    ino = dead.create(b"f").attributes.ino
    living = Mount(meta, back(meta, b"d" * 16))
    meta.until(lambda: meta.content(ino).newest_cut > 0)
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    meta.age(LEASE_META_S - 5, living, other)
    assert exists(meta, ino)
    meta.age(10, living, other)
    wait_until(lambda: not exists(meta, ino))


def test_session_of_another_client_is_not_ended_by_its_nonce(meta: MetaUnderTest) -> None:
    bob, mallory = (Peer("192.0.2.7", PeerKind.CLIENT, name=name) for name in ("bob", "mallory"))
    living = Mount(meta, back(meta, nonce=b"l" * 16, peer=bob), Caller(0, 0, (), peer=bob))
    back(meta, b"l" * 16, nonce=b"m" * 16, peer=mallory)
    heartbeat_of(living)
    back(meta, b"l" * 16, nonce=b"b" * 16, peer=bob)
    with pytest.raises(SessionExpired):
        heartbeat_of(living)


@pytest.mark.parametrize("ended", [(b"short",), (b"d" * 16,) * (ENDED_SESSIONS_MAX + 1)], ids=["no nonce", "too many"])
def test_what_is_told_of_dead_mounts_is_checked(meta: MetaUnderTest, ended: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequest, match="ended: expected at most"):
        back(meta, *ended)


# --- what it has open ------------------------------------------------------------------------------------------------------


def test_session_that_ends_while_nothing_can_be_written_is_settled_afterwards(meta: MetaUnderTest) -> None:
    silent, heard = meta.mount(), meta.mount()
    ino = silent.create(b"f").attributes.ino
    parts = meta.running()
    parts.store._failure = StoreFailure("told to be", is_full=False)
    meta.age(LEASE_META_S + 2, heard)
    wait_until(lambda: not parts.sessions.is_live(silent.session))
    parts.store._failure = None

    meta.until(lambda: bool(heard.call(Open(heard.op(), ino, b"", True, True)).grant.ticket))


def test_orphan_closed_while_nothing_can_be_written_is_removed_when_changes_are_served_again(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    ino = mount.create(b"f").attributes.ino
    opened_by = OpId(mount.ops[0])
    mount.call(Unlink(mount.op(), ROOT_INO, b"f", False))
    parts = meta.running()
    parts.store._failure = StoreFailure("told to be full", is_full=True)
    heartbeat_of(mount, OpenFile(ino, opened_by))
    parts.workers.room.wake()
    meta.until(lambda: parts.store.failure is None)
    meta.until(lambda: not exists(meta, ino))


def test_file_unlinked_while_open_lives_until_the_last_close(meta: MetaUnderTest) -> None:
    first, second = meta.mount(), meta.mount()
    ino = first.create(b"f").attributes.ino
    opened_by = first.ops[0]
    second.call(Open(OpId(9), ROOT_INO, b"f", True, False))
    assert first.call(Unlink(first.op(), ROOT_INO, b"f", False)).nlink == 0
    heartbeat_of(first, OpenFile(ino, OpId(opened_by)))
    assert first.look(b"", base=ino).nlink == 0
    heartbeat_of(second, OpenFile(ino, OpId(9)))
    assert not exists(meta, ino)
    meta.clock.advance(1)
    wait_until(lambda: all(ino in meta.servers.server(i).dropped for i in range(4)))


def test_file_renamed_over_while_open_lives_until_its_session_ends(meta: MetaUnderTest) -> None:
    mount, other = meta.mount(), meta.mount()
    ino = mount.create(b"f").attributes.ino
    other.create(b"g")
    other.call(Rename(other.op(), ROOT_INO, b"g", ROOT_INO, b"f", 0))
    assert exists(meta, ino)
    mount.call(EndSession())
    assert not exists(meta, ino)


def test_unlink_keep_open_counts_as_an_open(meta: MetaUnderTest) -> None:
    maker, mount = meta.mount(), meta.mount()
    ino = maker.create(b"f").attributes.ino
    maker.call(EndSession())
    mount.call(Unlink(OpId(5), ROOT_INO, b"f", True))
    assert exists(meta, ino)
    heartbeat_of(mount, OpenFile(ino, OpId(4)))  # an older open's close
    assert exists(meta, ino)
    heartbeat_of(mount, OpenFile(ino, OpId(5)))
    assert not exists(meta, ino)


def test_unlink_of_a_file_nobody_has_open_removes_it(meta: MetaUnderTest) -> None:
    maker, mount = meta.mount(), meta.mount()
    ino = maker.create(b"f").attributes.ino
    heartbeat_of(maker, OpenFile(ino, OpId(maker.ops[0])))
    mount.call(Unlink(mount.op(), ROOT_INO, b"f", False))
    assert not exists(meta, ino)
    with pytest.raises(NotFound):
        mount.call(Open(mount.op(), ROOT_INO, b"f", True, False))


def test_late_duplicate_of_an_open_that_was_closed_does_not_open_it_again(meta: MetaUnderTest) -> None:
    mount, other = meta.mount(), meta.mount()
    request = Create(mount.op(), ROOT_INO, b"f", 0o644, False)
    ino = mount.call(request).attributes.ino
    heartbeat_of(mount, OpenFile(ino, request.op))
    mount.call(request)
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    assert not exists(meta, ino)


def test_late_duplicate_of_an_open_is_refused_once_its_answer_is_acknowledged(meta: MetaUnderTest) -> None:
    mount, other = meta.mount(), meta.mount()
    request = Create(mount.op(), ROOT_INO, b"f", 0o644, False)
    ino = mount.call(request).attributes.ino
    mount.acknowledged = request.op + 1
    heartbeat_of(mount, OpenFile(ino, request.op))
    with pytest.raises(DuplicateRefused):
        mount.call(request)
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    assert not exists(meta, ino)


@pytest.mark.parametrize("goes_on", [False, True], ids=["idle", "with other calls since"])
def test_late_duplicate_of_an_assertion_does_not_open_what_was_closed_since(meta: MetaUnderTest, goes_on: bool) -> None:
    mount, other = meta.mount(), meta.mount()
    ino = mount.create(b"f").attributes.ino
    opened_by = OpId(mount.ops[0])
    mount.acknowledged = then = opened_by + 1
    assertion = AssertOpens((OpenFile(ino, opened_by),))
    mount.call(assertion)
    heartbeat_of(mount, OpenFile(ino, opened_by))
    if goes_on:
        mount.create(b"g")
        mount.acknowledged = mount.ops[0] + 1
        mount.create(b"h")
        mount.acknowledged = then
        with pytest.raises(DuplicateRefused):
            mount.call(assertion)
    else:
        mount.call(assertion)
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    assert not exists(meta, ino)


def test_close_that_a_later_open_overtook_does_not_undo_it(meta: MetaUnderTest) -> None:
    mount, other = meta.mount(), meta.mount()
    ino = mount.create(b"f").attributes.ino
    first = mount.ops[0]
    mount.call(Open(mount.op(), ROOT_INO, b"f", True, False))
    heartbeat_of(mount, OpenFile(ino, OpId(first)))
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    assert exists(meta, ino)


def test_open_while_the_removal_is_under_way_fails_or_keeps_the_file(meta: MetaUnderTest) -> None:
    mount, other = meta.mount(), meta.mount()
    ino = mount.create(b"f").attributes.ino
    heartbeat_of(mount, OpenFile(ino, OpId(mount.ops[0])))
    parts = meta.running()
    seen: list[bool] = []

    def during(tx: object) -> None:
        removals = parts.opens.removals()
        assert parts.opens.condemn(tx, ino)  # type: ignore[arg-type]
        seen.append(parts.opens.register(other.session, OpenFile(ino, OpId(1)), removals))

    parts.store.change(during)
    removals = parts.opens.removals()
    seen.append(parts.opens.register(other.session, OpenFile(ino, OpId(1)), removals - 1))
    assert seen == [False, False]
    assert parts.opens.register(other.session, OpenFile(ino, OpId(1)), removals)


def test_open_for_reading_costs_no_transaction(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    mount.create(b"f")
    before = meta.running().store.counts.commits
    mount.call(Open(mount.op(), ROOT_INO, b"f", True, False))
    assert meta.running().store.counts.commits == before


def test_orphan_after_a_start_is_kept_until_every_session_said_what_it_has_open(meta: MetaUnderTest) -> None:
    keeper, other = meta.mount(), meta.mount()
    kept, gone = keeper.create(b"kept").attributes.ino, keeper.create(b"gone").attributes.ino
    for name in (b"kept", b"gone"):
        other.call(Unlink(other.op(), ROOT_INO, name, False))
    meta.crash()
    other.call(AssertOpens(()))
    assert exists(meta, gone)
    keeper.call(AssertOpens((OpenFile(kept, OpId(1)),)))
    assert exists(meta, kept)
    assert not exists(meta, gone)
    keeper.call(EndSession())
    assert not exists(meta, kept)


def test_unlink_after_a_start_keeps_what_a_session_may_have_open(meta: MetaUnderTest) -> None:
    keeper, other = meta.mount(), meta.mount()
    ino = keeper.create(b"f").attributes.ino
    meta.crash()
    other.call(AssertOpens(()))
    other.call(Unlink(other.op(), ROOT_INO, b"f", False))
    assert exists(meta, ino)
    meta.age(LEASE_META_S + 2, other)
    wait_until(lambda: not exists(meta, ino))


def test_orphans_without_any_session_are_removed_at_the_start(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    ino = mount.create(b"f").attributes.ino
    mount.call(Unlink(mount.op(), ROOT_INO, b"f", False))
    meta.running().store.change(lambda tx: tx.run("DELETE FROM session"))
    meta.crash()
    assert not exists(meta, ino)
    meta.clock.advance(1)
    wait_until(lambda: bool(meta.servers.asked(Drop)))
