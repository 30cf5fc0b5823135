"""Goal: who uses which session, and what a client may do, holds over restarts and upgrades, and refusals do not flood the log.
Method: a meta-server with a clock that the test moves, called by peers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from dfs.core.config import ExportConfig
from dfs.core.errors import ClientRefused, ReadOnly, SessionExpired, StaleFile
from dfs.core.exports import Access
from dfs.core.ids import NO_OP, NO_TICKET, ROOT_INO, Ino, OpId, SessionId, generation_of
from dfs.core.interfaces import Caller
from dfs.core.messages.content import Acquire
from dfs.core.messages.names import MakeFolder, Rename, Unlink
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, OpenFile, OpenSession
from dfs.core.peers import Peer, PeerKind
from dfs.meta.exporting.gate import TOLD_AGAIN_S
from dfs.meta.settings import MetaSettings
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, Mount

ALICE = Peer("10.0.0.1", PeerKind.CLIENT, name="alice")
BOB = Peer("10.0.0.1", PeerKind.CLIENT, name="bob")
STRANGER = Peer("10.9.0.1")
EVERYTHING = ExportConfig("everything", networks=(IPv4Network("10.0.0.0/16"),))


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[MetaUnderTest]:
    """A meta-server with an export for some."""
    servers = FakeDataServers()
    settings = MetaSettings(data_servers=servers.names, exports=(EVERYTHING,))
    running = MetaUnderTest(tmp_path / "meta.db", settings, servers=servers)
    running.start()
    wait_until(lambda: servers.cluster != "")
    yield running
    running.stop()


def mount(meta: MetaUnderTest, peer: Peer, nonce: bytes | None = None) -> Mount:
    """Open a session as a peer."""
    meta.nonces += 1
    caller = Caller(0, 0, (), peer)
    chosen = nonce or meta.nonces.to_bytes(16, "big")
    opened = meta.service.call(FakeContext(caller=caller), OpenSession(chosen, "host", b"/mnt", ()))
    return Mount(meta, opened.session, caller)


def as_peer(mount: Mount, peer: Peer) -> Mount:
    """Return somebody else who uses a mount's session."""
    return replace(mount, caller=Caller(0, 0, (), peer))


def test_refusal_of_a_client_is_told_once_a_minute(meta: MetaUnderTest) -> None:
    def refused() -> int:
        for _ in range(3):
            with pytest.raises(ClientRefused):
                mount(meta, STRANGER)
        return sum(event.kind.name == "CLIENT_REFUSED" for event in meta.events.events)

    assert refused() == 1
    assert refused() == 1
    meta.clock.advance(TOLD_AGAIN_S + 1)
    assert refused() == 2
    with pytest.raises(ClientRefused):
        mount(meta, Peer("10.9.0.2"))
    assert refused() == 3


def test_memory_of_refused_clients_is_bounded(meta: MetaUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta.running().gate._told, "most", 5)
    monkeypatch.setattr("dfs.meta.exporting.export_table.PEERS_KEPT_MAX", 5)
    for number in range(20):
        with pytest.raises(ClientRefused):
            mount(meta, Peer(f"10.9.1.{number}"))
    assert meta.running().gate._told.count == 5
    assert len(meta.service._exports._known) == 5


def test_session_is_opened_once_more_with_its_nonce_by_its_own_client_alone(meta: MetaUnderTest) -> None:
    first = mount(meta, ALICE, b"n" * 16)
    assert mount(meta, ALICE, b"n" * 16).session == first.session
    with pytest.raises(SessionExpired):
        mount(meta, BOB, b"n" * 16)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_session_is_used_by_its_own_client_alone(meta: MetaUnderTest, *, is_restarted: bool) -> None:
    alice = mount(meta, ALICE)
    made = alice.create(b"file")
    if is_restarted:
        meta.crash()
    for other in (BOB, STRANGER, Peer("10.0.0.1"), Peer("10.0.0.1", PeerKind.ADMIN)):
        for request in (EndSession(), Heartbeat((), ()), Acquire(OpId(99), made.attributes.ino, generation_of(NO_TICKET, 0))):
            with pytest.raises(SessionExpired):
                as_peer(alice, other).call(request)
    elsewhere = replace(ALICE, host="10.0.0.77")  # a name that was proved counts, wherever its owner is
    as_peer(alice, elsewhere).create(b"other")


def test_session_of_before_an_upgrade_goes_on(tmp_path: Path) -> None:
    servers = FakeDataServers()
    settings = MetaSettings(data_servers=servers.names)
    running = MetaUnderTest(tmp_path / "meta.db", settings, servers=servers)
    running.start()
    wait_until(lambda: servers.cluster != "")
    old = mount(running, ALICE)
    old.create(b"file")
    running.service.stop()
    with closing(sqlite3.connect(tmp_path / "meta.db")) as file:
        file.executescript(
            "DROP INDEX dentry_of_inode; DROP TABLE last_name; ALTER TABLE session DROP COLUMN owner;"
            "ALTER TABLE session DROP COLUMN terms; PRAGMA user_version = 3;"
        )
    again = MetaUnderTest(tmp_path / "meta.db", settings, servers=servers)
    again.start()
    try:
        there = Mount(again, old.session, old.caller, ops=[100])
        there.create(b"other")
        as_peer(there, BOB).call(Heartbeat((), ()))
        assert mount(again, ALICE).look(b"file").ino
    finally:
        again.stop()


def test_client_that_may_do_less_after_a_restart_loses_its_session_and_what_it_holds(meta: MetaUnderTest) -> None:
    alice = mount(meta, ALICE)
    made = alice.create(b"file")
    meta.settings = replace(meta.settings, exports=(replace(EVERYTHING, access=Access.READ_ONLY),))
    meta.crash()
    with pytest.raises(SessionExpired):
        alice.call(Heartbeat((), ()))
    reader = mount(meta, ALICE)
    with pytest.raises(ReadOnly):
        reader.create(b"other")
    meta.until(lambda: meta.content(made.attributes.ino).newest_cut > made.grant.ticket)


def test_wider_terms_are_remembered_over_a_restart(meta: MetaUnderTest) -> None:
    meta.service.set_exports((replace(EVERYTHING, access=Access.READ_ONLY),))
    alice = mount(meta, ALICE)
    meta.service.set_exports((EVERYTHING,))
    alice.create(b"file")
    meta.crash()
    alice.call(AssertOpens(()))
    meta.service.set_exports((replace(EVERYTHING, access=Access.READ_ONLY),))
    with pytest.raises(SessionExpired):
        alice.call(Heartbeat((), ()))


def test_refused_session_is_ended_at_once(meta: MetaUnderTest) -> None:
    alice = mount(meta, ALICE)
    meta.service.set_exports((replace(EVERYTHING, networks=(IPv4Network("10.5.0.0/16"),)),))
    with pytest.raises(ClientRefused):
        alice.call(Heartbeat((), ()))
    assert not meta.running().sessions.is_live(alice.session)


def test_orphans_last_place_is_forgotten_with_it(meta: MetaUnderTest) -> None:
    alice = mount(meta, ALICE)
    alice.call(MakeFolder(alice.op(), ROOT_INO, b"folder", 0o755))
    for name in (b"folder/removed", b"folder/replaced", b"new"):
        alice.create(name)
    removed = alice.look(b"folder/removed").ino
    replaced = alice.look(b"folder/replaced").ino
    alice.call(Unlink(alice.op(), ROOT_INO, b"folder/removed", keep_open=True))
    alice.call(Rename(alice.op(), ROOT_INO, b"new", ROOT_INO, b"folder/replaced", 0))
    folder = alice.look(b"folder").ino
    assert places(meta) == {removed: folder, replaced: folder}
    alice.call(EndSession())
    wait_until(lambda: places(meta) == {})


def places(meta: MetaUnderTest) -> dict[Ino, Ino]:
    return dict(meta.running().store.read(lambda reader: reader.all("SELECT ino, parent FROM last_name")))


def test_orphan_without_a_known_place_is_outside(meta: MetaUnderTest) -> None:
    alice = mount(meta, ALICE)
    alice.call(MakeFolder(alice.op(), ROOT_INO, b"folder", 0o755))
    ino = alice.create(b"folder/file").attributes.ino
    alice.call(Unlink(alice.op(), ROOT_INO, b"folder/file", keep_open=True))
    meta.running().store.change(lambda tx: tx.run("DELETE FROM last_name"))
    meta.service.set_exports((replace(EVERYTHING, folder="/folder"),))
    guest = mount(meta, BOB)
    with pytest.raises(StaleFile):
        guest.call(AssertOpens((OpenFile(ino, OpId(1)),)))


def test_call_without_a_session_is_judged_by_its_peer(meta: MetaUnderTest) -> None:
    meta.service.set_exports((replace(EVERYTHING, access=Access.READ_ONLY),))
    context = FakeContext(SessionId(0), Caller(0, 0, (), ALICE), NO_OP)
    with pytest.raises(ReadOnly):
        meta.service.call(context, MakeFolder(OpId(1), ROOT_INO, b"x", 0o755))
