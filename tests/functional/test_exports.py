"""Goal: a client gets what its export says and no byte more, whatever it says itself. Method: a cluster with keys in this process,
real RPC through one door per client, mounts that behave and a client that lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

import pytest

from dfs.client.filesystem import FileSystem
from dfs.core.capability import LIFETIME_S, SLACK_S, Capability, Right, capability_key, read, sign
from dfs.core.config import ExportConfig
from dfs.core.errors import (
    AccessDenied,
    BadRequest,
    CapabilityRefused,
    ClientRefused,
    DfsError,
    InvalidArgument,
    NotFound,
    NotPermitted,
    ReadOnly,
    SessionExpired,
    StaleFile,
)
from dfs.core.exports import Access, Squash
from dfs.core.ids import NO_TICKET, ROOT_INO, BlockNo, Ino, OpId, SessionId, Ticket, generation_of
from dfs.core.interfaces import BlockApi, CallContext, Caller
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Copy, CopyState, CountBlocks, Get, Put, Repair, Run, Sync
from dfs.core.messages.content import Acquire, Certify, Close, Commit, Opened, Truncate, Yield
from dfs.core.messages.data_server import Identify, ShowData
from dfs.core.messages.inodes import AttributeChanges, Attributes
from dfs.core.messages.inspection import (
    AcceptRollback,
    CheckTables,
    FindStrays,
    ListFiles,
    ShowMeta,
    StatFileSystem,
    TakeBackup,
)
from dfs.core.messages.locks import AssertLocks, FindLock, Lock
from dfs.core.messages.names import (
    Create,
    Link,
    ListFolder,
    Lookup,
    MakeFolder,
    MakeNode,
    MakeSymlink,
    Open,
    ReadLink,
    RemoveFolder,
    Rename,
    SetAttributes,
    Unlink,
)
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import Mend
from dfs.core.messages.sessions import AssertOpens, EndSession, Heartbeat, Holding, OpenFile
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from dfs.core.peers import Peer, PeerKind
from dfs.core.placement import Role
from dfs.data.capabilities import NEEDS, OPEN
from dfs.host.clock import SystemClock
from tests.harness.doors import Door
from tests.harness.hostile_client import HostileClient, forged, put_of
from tests.harness.local_cluster import CallerContext, LocalCluster
from tests.harness.waiting import wait_until

A = TypeVar("A")
O_RDONLY, O_WRONLY, O_RDWR, O_CREAT = 0o0, 0o1, 0o2, 0o100
KEY, OLD_KEY = capability_key(b"k" * 32), capability_key(b"o" * 32)
ROOT = CallerContext()
USER = CallerContext(Caller(1000, 1000))
SECRET, PUBLIC = b"what only the owner may see", b"what everybody may see"
EXPORTS = (
    ExportConfig("full", clients=("alice", "bob")),
    ExportConfig("readers", clients=("reader",), access=Access.READ_ONLY),
    ExportConfig("guests", clients=("guest",), folder="/pub/guests"),
    ExportConfig("squashed", clients=("squashed",), squash=Squash.ROOT, anonymous_uid=70, anonymous_gid=71),
    ExportConfig("anonymous", clients=("anonymous",), squash=Squash.ALL, anonymous_uid=70, anonymous_gid=71),
    ExportConfig("nowhere", clients=("nowhere",), folder="/gone"),
    ExportConfig("net", networks=(IPv4Network("10.7.0.0/16"),), access=Access.READ_ONLY),
)


def client(name: str, host: str = "10.0.0.1") -> Peer:
    return Peer(host, PeerKind.CLIENT, name=name)


def write_file(fs: FileSystem, path: bytes, data: bytes, ctx: CallerContext = ROOT, mode: int = 0o644) -> Ino:
    handle = fs.create(ctx, path, mode, O_RDWR | O_CREAT)
    fs.write(ctx, handle, data, 0)
    fs.flush(ctx, handle)
    fs.release(ctx, handle)
    return fs.getattr(ROOT, path).ino


def read_file(fs: FileSystem, path: bytes, ctx: CallerContext = ROOT) -> bytes:
    handle = fs.open(ctx, path, O_RDONLY)
    try:
        return fs.read(ctx, handle, 1 << 16, 0)
    finally:
        fs.release(ctx, handle)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), servers=2, keys=(KEY,), exports=EXPORTS) as cluster:
        fs = cluster.mount().fs
        for folder in (b"/pub", b"/pub/guests", b"/pub/guests/deep", b"/private", b"/open"):
            fs.mkdir(ROOT, folder, 0o777)
        fs.setattr(ROOT, b"/open", AttributeChanges(mode=0o777))
        fs.setattr(ROOT, b"/pub/guests", AttributeChanges(mode=0o777))
        write_file(fs, b"/private/secret", SECRET, mode=0o600)
        write_file(fs, b"/pub/guests/file", PUBLIC)
        write_file(fs, b"/pub/other", SECRET)
        yield cluster


@pytest.fixture(autouse=True)
def same_exports(cluster: LocalCluster) -> Iterator[None]:
    yield
    cluster.meta.set_exports(EXPORTS)


@pytest.fixture
def alice(cluster: LocalCluster) -> FileSystem:
    """The mount of a client that may do everything."""
    return cluster.mounts[0].fs


def liar(door: Door) -> HostileClient:
    """Return a liar who has opened a session."""
    found = HostileClient(door.meta, door.servers)
    found.open_session()
    return found


def attributes(fs: FileSystem, path: bytes) -> Attributes:
    return fs.getattr(ROOT, path)


# --- who may come in -------------------------------------------------------------------------------------------------------


def test_client_without_an_export_gets_nothing_and_the_operator_is_told_once(cluster: LocalCluster) -> None:
    with Door(cluster, client("mallory", "10.6.6.6")) as door:
        with pytest.raises(ClientRefused, match=r"client mallory at 10\.6\.6\.6 is refused: no export is for it"):
            door.mount()
        stranger = HostileClient(door.meta, door.servers)
        for request in (Lookup(ROOT_INO, b""), ShowMeta(), StatFileSystem(), ListFiles(Ino(0), b"", 10), EndSession()):
            with pytest.raises(ClientRefused):
                stranger.ask(request)
    told = [event for event in cluster.meta_events.events if event.kind.name == "CLIENT_REFUSED"]
    assert [event.peer for event in told if "mallory" in str(event.peer)] == ["mallory at 10.6.6.6"]


def test_client_is_known_by_its_network_where_it_has_no_name(cluster: LocalCluster) -> None:
    with Door(cluster, Peer("10.7.3.3")) as door:
        fs = door.mount()
        assert fs.getattr(ROOT, b"/pub/guests/file").content.size_bytes == len(PUBLIC)
        with pytest.raises(ReadOnly):
            fs.mkdir(ROOT, b"/mine", 0o755)
    with Door(cluster, Peer("10.8.3.3")) as door, pytest.raises(ClientRefused):
        door.mount()


def test_export_whose_folder_does_not_exist_refuses(cluster: LocalCluster) -> None:
    with Door(cluster, client("nowhere")) as door, pytest.raises(ClientRefused, match="the folder /gone, which does not exist"):
        door.mount()


@pytest.mark.parametrize("kind", [PeerKind.ADMIN, PeerKind.META, PeerKind.DATA])
def test_administrators_and_servers_are_subject_to_no_export(cluster: LocalCluster, kind: PeerKind) -> None:
    with Door(cluster, Peer("10.6.6.6", kind)) as door:
        server = HostileClient(door.meta, door.servers)
        assert server.ask(ListFiles(Ino(0), b"", 100)).files
        assert server.ask(CheckTables()) == ()
        ino = server.ask(Lookup(ROOT_INO, b"private/secret")).ino
        assert server.read_block(server.ask(Lookup(ino, b"")).content.layout, ino, "") == SECRET


# --- sessions ----------------------------------------------------------------------------------------------------------------


def test_session_of_another_client_is_of_no_use(cluster: LocalCluster, alice: FileSystem) -> None:
    handle = alice.create(ROOT, b"/held", 0o644, O_RDWR | O_CREAT)
    alice.write(ROOT, handle, PUBLIC, 0)
    held = attributes(alice, b"/held")
    with Door(cluster, client("bob")) as door:
        bob = HostileClient(door.meta, door.servers)
        last_word = Holding(held.ino, Ticket(1 << 39), 0, 0, dirty=True)
        requests: list[Request[object]] = [
            Yield(OpId(1 << 50), last_word),
            Close(OpId(1 << 50), OpenFile(held.ino, OpId(1 << 50)), last_word),
            Commit(last_word),
            Acquire(OpId(1 << 50), held.ino, generation_of(NO_TICKET, 0)),
            Heartbeat((OpenFile(held.ino, OpId(1 << 50)),), ()),
            AssertOpens((OpenFile(held.ino, OpId(1)),)),
            EndSession(),
            Certify(held.ino),
        ]
        for request in requests:
            with pytest.raises(SessionExpired):
                bob.ask(request, session=alice.session)
    alice.write(ROOT, handle, b"more", len(PUBLIC))
    alice.fsync(ROOT, handle)
    assert alice.read(ROOT, handle, 100, 0) == PUBLIC + b"more"
    alice.release(ROOT, handle)


def test_session_is_bound_to_its_client_across_a_restart_of_the_meta_server(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2, keys=(KEY,), exports=EXPORTS) as cluster:
        alice = cluster.mount().fs
        number = alice.session
        cluster.stop_meta()
        cluster.start_meta()
        with Door(cluster, client("bob")) as door:
            bob = HostileClient(door.meta, door.servers)
            with pytest.raises(SessionExpired):
                bob.ask(EndSession(), session=number)
        write_file(alice, b"/file", PUBLIC)
        assert alice.session == number


def test_session_of_a_client_without_a_name_is_bound_to_its_address(cluster: LocalCluster) -> None:
    with Door(cluster, Peer("10.7.3.3")) as door, Door(cluster, Peer("10.7.3.4")) as other_door:
        number = liar(door).session
        with pytest.raises(SessionExpired):
            HostileClient(other_door.meta, other_door.servers).ask(Heartbeat((), ()), session=number)


# --- read-only ---------------------------------------------------------------------------------------------------------------


def test_reader_reads_everything_and_changes_nothing(cluster: LocalCluster, alice: FileSystem) -> None:
    before = attributes(alice, b"/pub/guests/file")
    with Door(cluster, client("reader")) as door:
        fs = door.mount()
        assert read_file(fs, b"/pub/guests/file") == PUBLIC
        handle = fs.open(ROOT, b"/pub/guests/file", O_RDONLY)
        fs.fsync(ROOT, handle)
        fs.lock(ROOT, handle, LockOwner(LockKind.RECORD, 1), LockRange(0, OFFSET_MAX, is_exclusive=False, pid=1), wait=False)
        fs.release(ROOT, handle)
        assert fs.statfs(ROOT).total_bytes
        for flags in (O_WRONLY, O_RDWR):
            with pytest.raises(ReadOnly):
                fs.open(ROOT, b"/pub/guests/file", flags)
        for change in (
            lambda: fs.create(ROOT, b"/new", 0o644, O_RDWR | O_CREAT),
            lambda: fs.truncate(ROOT, b"/pub/guests/file", 0),
            lambda: fs.setattr(ROOT, b"/pub/guests/file", AttributeChanges(atime_now=True)),
            lambda: fs.setattr(ROOT, b"/pub/guests/file", AttributeChanges(mode=0o600)),
            lambda: fs.setxattr(ROOT, b"/pub/guests/file", b"user.x", b"y", 0),
            lambda: fs.unlink(ROOT, b"/pub/guests/file"),
            lambda: fs.rename(ROOT, b"/pub/guests/file", b"/pub/guests/moved"),
            lambda: fs.rmdir(ROOT, b"/pub/guests/deep"),
            lambda: fs.link(ROOT, b"/pub/guests/file", b"/pub/guests/again"),
        ):
            with pytest.raises(ReadOnly):
                change()
    assert attributes(alice, b"/pub/guests/file") == before


def test_lying_reader_is_refused_every_change_by_meta(cluster: LocalCluster, alice: FileSystem) -> None:
    ino = attributes(alice, b"/pub/guests/file").ino
    with Door(cluster, client("reader")) as door:
        reader = liar(door)
        op = OpId(1)
        changes: list[Request[object]] = [
            Create(op, ROOT_INO, b"new", 0o644, exclusive=False),
            MakeFolder(op, ROOT_INO, b"new", 0o755),
            MakeNode(op, ROOT_INO, b"new", 0o100644, 0),
            MakeSymlink(op, ROOT_INO, b"new", b"x"),
            Link(op, ino, b"", ROOT_INO, b"new"),
            Unlink(op, ROOT_INO, b"pub/guests/file", keep_open=False),
            RemoveFolder(op, ROOT_INO, b"pub/guests/deep"),
            Rename(op, ROOT_INO, b"pub", ROOT_INO, b"bup", 0),
            SetAttributes(op, ino, b"", AttributeChanges(uid=0)),
            SetXattr(op, ino, b"", b"user.x", b"y", 0),
            RemoveXattr(op, ino, b"", b"user.x"),
            Acquire(op, ino, generation_of(NO_TICKET, 0)),
            Truncate(op, ino, b"", 0, handle=True, held=Holding(ino, NO_TICKET, 0, 0, dirty=False)),
            Open(op, ino, b"", read=True, write=True),
            Commit(Holding(ino, Ticket(1), 0, 1, dirty=False)),
        ]
        for request in changes:
            with pytest.raises(ReadOnly):
                reader.ask(request)
            with pytest.raises(ReadOnly):
                reader.ask(request, session=SessionId(0))
        for forbidden in (
            ListFiles(Ino(0), b"", 10),
            TakeBackup(),
            CheckTables(),
            FindStrays((), quarantine=True),
            AcceptRollback(),
        ):
            with pytest.raises(NotPermitted):
                reader.ask(forbidden)
    assert read_file(alice, b"/pub/guests/file") == PUBLIC


def test_reader_cannot_write_blocks(cluster: LocalCluster, alice: FileSystem) -> None:
    shown = attributes(alice, b"/pub/guests/file")
    with Door(cluster, client("reader")) as door:
        reader = liar(door)
        opened: Opened = reader.ask(Open(reader.op(), shown.ino, b"", read=True, write=False))
        own = opened.grant.capability
        layout, high = shown.content.layout, Ticket(1 << 39)
        assert reader.read_block(layout, shown.ino, own) == PUBLIC
        says = read(own)
        assert says is not None
        for text in (
            "",
            own,
            forged(own, rights=3, ticket=high),
            forged(own, rights=3),
            sign(Capability(shown.ino, Right.WRITE, high, says.issued_s), "reader", b"no key"),
            reader.ask(Certify(shown.ino)),
            "1:2:3:4:5:6",
        ):
            with pytest.raises(CapabilityRefused):
                reader.write_block(layout, shown.ino, high, b"overwritten", text)
            bad = Copy(CopyState.PRESENT, len(PUBLIC), 0, generation_of(high, 1))
            put = put_of(shown.ino, high, b"repaired")
            repair = Repair(shown.ino, high, Role.PRIMARY, BlockNo(0), bad, put.generation, 0, bytes(put.data))
            with pytest.raises(CapabilityRefused):
                reader.to_data(layout.server_of(BlockNo(0), Role.PRIMARY), repair, text)
    assert read_file(alice, b"/pub/guests/file") == PUBLIC


def test_repair_by_a_reader_is_done_by_the_data_servers(cluster: LocalCluster, alice: FileSystem) -> None:
    write_file(alice, b"/open/rotten", SECRET)
    shown = attributes(alice, b"/open/rotten")
    server = shown.content.layout.server_of(BlockNo(0), Role.SECONDARY)
    admin = Peer("10.0.0.9", PeerKind.ADMIN)
    with Door(cluster, admin) as door:
        # An older copy on one server: what it has is taken away under its feet, as a disk that lost it would.
        higher = put_of(shown.ino, Ticket(1 << 19), SECRET)
        primary = shown.content.layout.server_of(BlockNo(0), Role.PRIMARY)
        HostileClient(door.meta, door.servers).to_data(primary, higher)
    with Door(cluster, client("reader")) as door:
        fs = door.mount()
        assert read_file(fs, b"/open/rotten") == SECRET
        assert [event.kind.name for event in door.events.events] == ["COPY_REPAIRED"]
    with Door(cluster, admin) as door:
        run = Run(Role.SECONDARY, BlockNo(0), 1)
        found = HostileClient(door.meta, door.servers).to_data(server, Get(shown.ino, Ticket(1 << 20), (), (run,), ()))
        assert found.data == SECRET
        assert found.copies[12:20] == higher.generation.to_bytes(8, "little")


# --- a folder as the root ----------------------------------------------------------------------------------------------------


def test_guest_sees_its_folder_as_the_root(cluster: LocalCluster, alice: FileSystem) -> None:
    with Door(cluster, client("guest")) as door:
        fs = door.mount()
        assert fs.getattr(ROOT, b"/").ino == attributes(alice, b"/pub/guests").ino
        assert {entry.name for entry in fs.list_folder(ROOT, b"/")} == {b"file", b"deep"}
        assert read_file(fs, b"/file") == PUBLIC
        write_file(fs, b"/deep/new", b"guest's")
        fs.rename(ROOT, b"/deep/new", b"/new")
        fs.setxattr(ROOT, b"/new", b"user.x", b"y", 0)
        fs.symlink(ROOT, b"/way-out", b"../../private/secret")
        fs.link(ROOT, b"/new", b"/deep/again")
        assert fs.readlink(ROOT, b"/way-out") == b"../../private/secret"
        with pytest.raises(NotFound):
            fs.getattr(ROOT, b"/pub/guests/file")
        with pytest.raises(NotFound):
            fs.getattr(ROOT, b"/private/secret")
        assert read_file(alice, b"/pub/guests/new") == b"guest's"
        for name in (b"/way-out", b"/new", b"/deep/again"):
            fs.unlink(ROOT, name)


def test_new_file_of_a_guest_lies_where_its_path_from_the_real_root_puts_it(cluster: LocalCluster, alice: FileSystem) -> None:
    with Door(cluster, client("guest")) as door:
        fs = door.mount()
        write_file(fs, b"/placed", b"x")
        placed = fs.getattr(ROOT, b"/placed").content.layout
        fs.unlink(ROOT, b"/placed")
    write_file(alice, b"/pub/guests/placed", b"x")
    assert attributes(alice, b"/pub/guests/placed").content.layout == placed
    alice.unlink(ROOT, b"/pub/guests/placed")


def test_lying_guest_reaches_no_inode_outside(cluster: LocalCluster, alice: FileSystem) -> None:
    secret, folder = attributes(alice, b"/private/secret").ino, attributes(alice, b"/private").ino
    inside = attributes(alice, b"/pub/guests/file").ino
    deep = attributes(alice, b"/pub/guests/deep").ino
    with Door(cluster, client("guest")) as door:
        guest = liar(door)
        owner, whole = LockOwner(LockKind.RECORD, 1), LockRange(0, OFFSET_MAX, is_exclusive=True, pid=1)
        outside: list[Request[object]] = []
        for ino in (secret, folder, attributes(alice, b"/pub").ino):
            op = OpId(77)
            outside += [
                Lookup(ino, b""),
                Lookup(ino, b"secret"),
                ReadLink(ino, b""),
                ListFolder(ino, b"", b"", 10),
                Open(op, ino, b"", read=True, write=False),
                Open(op, ino, b"", read=True, write=True),
                Create(op, ino, b"new", 0o644, exclusive=False),
                MakeFolder(op, ino, b"new", 0o755),
                MakeNode(op, ino, b"new", 0o100644, 0),
                MakeSymlink(op, ino, b"new", b"x"),
                Link(op, ino, b"", ROOT_INO, b"stolen"),
                Link(op, inside, b"", ino, b"left"),
                Unlink(op, ino, b"secret", keep_open=True),
                RemoveFolder(op, ino, b"x"),
                Rename(op, ino, b"secret", ROOT_INO, b"stolen", 0),
                Rename(op, ROOT_INO, b"file", ino, b"left", 0),
                SetAttributes(op, ino, b"", AttributeChanges(mode=0o777)),
                SetXattr(op, ino, b"", b"user.x", b"y", 0),
                GetXattr(ino, b"", b"user.x"),
                ListXattrs(ino, b""),
                RemoveXattr(op, ino, b"", b"user.x"),
                Acquire(op, ino, generation_of(NO_TICKET, 0)),
                Truncate(op, ino, b"", 0, handle=True, held=Holding(ino, NO_TICKET, 0, 0, dirty=False)),
                Lock(op, ino, owner, whole, wait=False),
                FindLock(ino, owner, whole),
                AssertLocks(op, ino, owner, (whole,)),
                AssertOpens((OpenFile(inside, OpId(1)), OpenFile(ino, OpId(1)))),
                Certify(ino),
            ]
        for request in outside:
            with pytest.raises(StaleFile):
                guest.ask(request)
        for path in (b"..", b"deep/..", b"deep/../..", b"/etc", b"deep//x", b".", b"\0"):
            with pytest.raises(InvalidArgument):
                guest.ask(Lookup(ROOT_INO, path))
            with pytest.raises(InvalidArgument):
                guest.ask(Lookup(deep, path))
        for number in (-1, 1 << 40, (1 << 63) - 1, 1 << 63, 0):
            with pytest.raises(DfsError):
                guest.ask(Lookup(Ino(number), b""))
        for forbidden in (ShowMeta(), ListFiles(Ino(0), b"", 10), CheckTables()):
            with pytest.raises(NotPermitted):
                guest.ask(forbidden)
        assert guest.ask(Lookup(inside, b"")).ino == inside
    assert attributes(alice, b"/private/secret").mode & 0o777 == 0o600
    assert read_file(alice, b"/private/secret") == SECRET


def test_lying_guest_reads_no_block_outside(cluster: LocalCluster, alice: FileSystem) -> None:
    secret, inside = attributes(alice, b"/private/secret"), attributes(alice, b"/pub/guests/file")
    layout = secret.content.layout
    with Door(cluster, client("guest")) as door:
        guest = liar(door)
        own = guest.ask(Open(guest.op(), inside.ino, b"", read=True, write=True)).grant.capability
        assert guest.read_block(inside.content.layout, inside.ino, own) == PUBLIC
        for text in ("", own, forged(own, ino=secret.ino), forged(own, ino=secret.ino, mac="0" * 64), "x" * 200):
            with pytest.raises((CapabilityRefused, BadRequest)):
                guest.read_block(layout, secret.ino, text)
            with pytest.raises((CapabilityRefused, BadRequest)):
                guest.write_block(layout, secret.ino, Ticket(1 << 39), b"overwritten", text)
        for request in (
            CountBlocks(secret.ino, BlockNo(1)),
            Sync(secret.ino),
            Mend(secret.ino, Ticket(9), Role.PRIMARY, BlockNo(0), 1, b""),
        ):
            with pytest.raises(CapabilityRefused):
                guest.to_data(cluster.indexes[0], request, own)
    assert read_file(alice, b"/private/secret") == SECRET


def test_file_with_a_name_inside_and_one_outside_is_inside(cluster: LocalCluster, alice: FileSystem) -> None:
    write_file(alice, b"/private/shared", PUBLIC)
    ino = attributes(alice, b"/private/shared").ino
    with Door(cluster, client("guest")) as door:
        guest = liar(door)
        with pytest.raises(StaleFile):
            guest.ask(Lookup(ino, b""))
        alice.link(ROOT, b"/private/shared", b"/pub/guests/deep/shared")
        assert guest.ask(Lookup(ino, b"")).ino == ino
        alice.unlink(ROOT, b"/pub/guests/deep/shared")
        with pytest.raises(StaleFile):
            guest.ask(Lookup(ino, b""))


def test_what_is_moved_out_is_out_of_reach_and_what_is_moved_in_is_in(cluster: LocalCluster, alice: FileSystem) -> None:
    alice.mkdir(ROOT, b"/pub/guests/box", 0o777)
    write_file(alice, b"/pub/guests/box/thing", PUBLIC)
    ino = attributes(alice, b"/pub/guests/box/thing").ino
    with Door(cluster, client("guest")) as door:
        fs = door.mount()
        handle = fs.open(ROOT, b"/box/thing", O_RDONLY)
        guest = liar(door)
        guest.ask(Lookup(ino, b""))
        alice.rename(ROOT, b"/pub/guests/box", b"/private/box")
        with pytest.raises(StaleFile):
            guest.ask(Lookup(ino, b""))
        with pytest.raises(NotFound):
            fs.getattr(ROOT, b"/box/thing")
        with pytest.raises(StaleFile):
            fs.getattr(ROOT, b"/box/thing", handle)
        fs.release(ROOT, handle)
        alice.rename(ROOT, b"/private/box", b"/pub/guests/box")
        assert read_file(fs, b"/box/thing") == PUBLIC


def test_file_that_was_removed_while_a_guest_has_it_open_stays_open_also_across_a_restart(
    cluster: LocalCluster, alice: FileSystem
) -> None:
    with Door(cluster, client("guest")) as door:
        fs = door.mount()
        write_file(fs, b"/unlinked", b"first")
        handle = fs.open(ROOT, b"/unlinked", O_RDWR)
        alice_handle = alice.create(ROOT, b"/private/unlinked", 0o600, O_RDWR | O_CREAT)
        alice.write(ROOT, alice_handle, SECRET, 0)
        orphan = attributes(alice, b"/private/unlinked").ino
        fs.unlink_open(ROOT, b"/unlinked", b"/.fuse_hidden1")
        alice.unlink_open(ROOT, b"/private/unlinked", b"/.fuse_hidden1")
        cluster.stop_meta()
        cluster.start_meta()
        fs.write(ROOT, handle, b"second", 0)
        fs.flush(ROOT, handle)
        assert fs.getattr(ROOT, b"/.fuse_hidden1", handle).content.size_bytes == 6
        assert fs.read(ROOT, handle, 10, 0) == b"second"
        guest = liar(door)
        for request in (Lookup(orphan, b""), Certify(orphan), AssertOpens((OpenFile(orphan, OpId(1)),))):
            with pytest.raises(StaleFile):
                guest.ask(request)
        assert alice.read(ROOT, alice_handle, 100, 0) == SECRET
        fs.unlink(ROOT, b"/.fuse_hidden1")
        fs.release(ROOT, handle)
        alice.unlink(ROOT, b"/.fuse_hidden1")
        alice.release(ROOT, alice_handle)


def test_export_follows_its_path_when_the_folder_is_replaced(cluster: LocalCluster, alice: FileSystem) -> None:
    with Door(cluster, client("guest")) as door:
        fs = door.mount()
        alice.rename(ROOT, b"/pub/guests", b"/pub/former")
        try:
            with pytest.raises(StaleFile):
                fs.getattr(ROOT, b"/file")
        finally:
            alice.rename(ROOT, b"/pub/former", b"/pub/guests")
        assert read_file(fs, b"/file") == PUBLIC


def test_guest_has_no_say_in_where_the_data_servers_are(cluster: LocalCluster) -> None:
    with Door(cluster, client("guest")) as door:
        guest = HostileClient(door.meta, door.servers)
        guest.open_session(("10.6.6.6:1", "10.6.6.6:2"))
        assert cluster.meta._parts is not None
        assert tuple(address for _, address in cluster.meta._parts.cluster.addresses) == cluster.addresses


# --- squashed users ----------------------------------------------------------------------------------------------------------


def test_squashed_root_owns_what_it_makes_as_the_anonymous_user(cluster: LocalCluster, alice: FileSystem) -> None:
    with Door(cluster, client("squashed")) as door:
        fs = door.mount()
        write_file(fs, b"/open/by-root", b"x")
        write_file(fs, b"/open/by-user", b"x", USER)
        assert (fs.getattr(ROOT, b"/open/by-root").uid, fs.getattr(ROOT, b"/open/by-root").gid) == (70, 71)
        assert (fs.getattr(ROOT, b"/open/by-user").uid, fs.getattr(ROOT, b"/open/by-user").gid) == (1000, 1000)
        with pytest.raises(NotPermitted):
            fs.setattr(ROOT, b"/open/by-user", AttributeChanges(uid=0))
        with pytest.raises(AccessDenied):
            fs.open(ROOT, b"/private/secret", O_RDONLY)
        with pytest.raises(AccessDenied):
            fs.mkdir(ROOT, b"/mine", 0o755)


def test_all_squashed_users_are_one(cluster: LocalCluster) -> None:
    with Door(cluster, client("anonymous")) as door:
        fs = door.mount()
        write_file(fs, b"/open/anonymous", b"x", USER)
        assert (fs.getattr(USER, b"/open/anonymous").uid, fs.getattr(USER, b"/open/anonymous").gid) == (70, 71)
        with pytest.raises(AccessDenied):
            fs.open(ROOT, b"/private/secret", O_RDONLY)
        with pytest.raises(AccessDenied):
            fs.open(USER, b"/open/by-user", O_WRONLY)


@pytest.mark.parametrize("name", ["squashed", "anonymous"])
@pytest.mark.parametrize("uid", [0, 70])
def test_lying_squashed_client_gets_no_byte_of_roots_files(cluster: LocalCluster, alice: FileSystem, name: str, uid: int) -> None:
    secret, readable = attributes(alice, b"/private/secret"), attributes(alice, b"/pub/guests/file")
    with Door(cluster, client(name)) as door:
        squashed = liar(door)

        def ask(request: Request[object]) -> object:
            return squashed.ask(request, uid=uid)

        def op() -> OpId:
            return squashed.op()

        nothing = Holding(readable.ino, NO_TICKET, 0, 0, dirty=False)
        for request in (
            Open(op(), secret.ino, b"", read=True, write=False),
            Acquire(op(), secret.ino, generation_of(NO_TICKET, 0)),
            Acquire(op(), readable.ino, generation_of(NO_TICKET, 0)),
            Truncate(op(), secret.ino, b"", 0, handle=True, held=replace(nothing, ino=secret.ino)),
            Truncate(op(), readable.ino, b"", 0, handle=True, held=nothing),
            SetAttributes(op(), readable.ino, b"", AttributeChanges(mode=0o666)),
        ):
            with pytest.raises((AccessDenied, NotPermitted)):
                ask(request)
        squashed.ask(AssertOpens((OpenFile(secret.ino, OpId(1)),)), uid=uid)
        text = squashed.ask(Certify(secret.ino), uid=uid)
        says = read(text)
        assert says is not None
        assert says.rights is Right.NONE
        with pytest.raises(CapabilityRefused):
            squashed.read_block(secret.content.layout, secret.ino, text)
        text = squashed.ask(Certify(readable.ino), uid=uid)
        assert squashed.read_block(readable.content.layout, readable.ino, text) == PUBLIC
        with pytest.raises(CapabilityRefused):
            squashed.write_block(readable.content.layout, readable.ino, Ticket(1 << 39), b"overwritten", text)
    assert read_file(alice, b"/private/secret") == SECRET
    assert read_file(alice, b"/pub/guests/file") == PUBLIC


def test_squashed_user_goes_on_writing_what_he_has_opened_whatever_becomes_of_its_bits(
    cluster: LocalCluster, alice: FileSystem
) -> None:
    write_file(alice, b"/open/shared", b"0000")
    alice.setattr(ROOT, b"/open/shared", AttributeChanges(mode=0o666))
    with Door(cluster, client("anonymous")) as door:
        fs = door.mount()
        handle = fs.open(USER, b"/open/shared", O_RDWR)
        alice.setattr(ROOT, b"/open/shared", AttributeChanges(mode=0o600))
        own = alice.open(ROOT, b"/open/shared", O_RDWR)
        alice.write(ROOT, own, b"1", 0)  # takes the grant away
        fs.write(USER, handle, b"2", 1)
        assert fs.read(USER, handle, 10, 0) == b"1200"
        fs.release(USER, handle)
        alice.release(ROOT, own)
        with pytest.raises(AccessDenied):
            fs.open(USER, b"/open/shared", O_RDWR)


# --- changed exports -----------------------------------------------------------------------------------------------------------


def test_client_that_may_only_read_from_now_on_writes_no_more(cluster: LocalCluster, alice: FileSystem) -> None:
    with Door(cluster, client("bob")) as door:
        fs = door.mount()
        handle = fs.create(ROOT, b"/open/narrowed", 0o644, O_RDWR | O_CREAT)
        fs.write(ROOT, handle, b"allowed", 0)
        bob = HostileClient(door.meta, door.servers)
        ino = fs.getattr(ROOT, b"/open/narrowed").ino
        liar_bob = liar(door)
        held = liar_bob.ask(Create(liar_bob.op(), ROOT_INO, b"open/held", 0o644, exclusive=False))
        layout, grant = held.attributes.content.layout, held.grant
        bob.write_block(layout, grant.ino, grant.ticket, b"allowed", grant.capability)
        readers = replace(EXPORTS[0], access=Access.READ_ONLY, clients=("bob",))
        cluster.meta.set_exports((readers, *EXPORTS))
        wait_until(lambda: refuses_to_write(fs, handle, ReadOnly), "the next heartbeat")
        assert fs.read(ROOT, handle, 100, 0) == b"allowed"
        with pytest.raises(SessionExpired):
            liar_bob.ask(Heartbeat((), ()))
        wait_until(lambda: not attributes(alice, b"/open/held").is_settling, "what was held to be settled")
        with pytest.raises(DfsError, match="older than the floor"):
            bob.write_block(
                layout, grant.ino, grant.ticket, b"too late", grant.capability, generation=generation_of(grant.ticket, 2)
            )
        fs.release(ROOT, handle)
        cluster.meta.set_exports(EXPORTS)
        handle = fs.open(ROOT, b"/open/narrowed", O_RDWR)
        fs.write(ROOT, handle, b"again", 0)
        fs.release(ROOT, handle)
    assert read_file(alice, b"/open/narrowed") == b"agained"
    assert attributes(alice, b"/open/narrowed").ino == ino


def test_client_without_an_export_from_now_on_is_refused_at_once_and_comes_back_with_one(cluster: LocalCluster) -> None:
    with Door(cluster, client("bob")) as door:
        fs = door.mount()
        handle = fs.create(ROOT, b"/open/refused", 0o644, O_RDWR | O_CREAT)
        fs.write(ROOT, handle, b"allowed", 0)
        number = fs.session
        cluster.meta.set_exports(EXPORTS[1:])
        with pytest.raises(ClientRefused):
            fs.getattr(ROOT, b"/pub")
        wait_until(lambda: not fs._meta.lease.is_valid(), "the next heartbeat, which ends the lease")
        assert refuses_to_write(fs, handle, ClientRefused)
        cluster.meta.set_exports(EXPORTS)
        wait_until(lambda: fs.session != number, "another session")
        fs.write(ROOT, handle, b"again", 0)
        fs.release(ROOT, handle)
        assert read_file(fs, b"/open/refused") == b"agained"


def refuses_to_write(fs: FileSystem, handle: int, error: type[DfsError]) -> bool:
    """Tell whether a write of what is there already ends with an error."""
    try:
        fs.write(ROOT, handle, b"allowed", 0)
    except error:
        return True
    return False


def test_client_that_may_do_more_keeps_its_session(cluster: LocalCluster) -> None:
    with Door(cluster, client("reader")) as door:
        fs = door.mount()
        number = fs.session
        cluster.meta.set_exports((replace(EXPORTS[1], access=Access.READ_WRITE), *EXPORTS))
        write_file(fs, b"/open/widened", b"x")
        assert fs.session == number
        cluster.meta.set_exports(EXPORTS)
        with pytest.raises(ReadOnly):
            fs.unlink(ROOT, b"/open/widened")
        assert fs.session != number


# --- capabilities ------------------------------------------------------------------------------------------------------------


def test_every_method_of_a_data_server_is_none_of_a_clients_or_has_its_need() -> None:
    known = set(NEEDS) | OPEN
    assert known <= set(BLOCK_METHODS.values())
    # Whoever adds a method decides here; what is in neither table no client may call.
    assert {cls.__name__ for cls in set(BLOCK_METHODS.values()) - known} == {
        "Repair",
        "Fence",
        "Clean",
        "Drop",
        "ListInodes",
        "Pull",
        "ListFloors",
        "AskMoment",
        "AcceptLoss",
        "Scrub",
        "ShowScrub",
        "PrepareFormat",
        "CommitFormat",
        "NoteMark",
        "StoreSnapshot",
        "ListSnapshots",
        "FetchSnapshot",
    }


def test_client_without_a_capability_is_told_who_servers_are_and_nothing_else(cluster: LocalCluster, alice: FileSystem) -> None:
    shown = attributes(alice, b"/pub/guests/file")
    with Door(cluster, client("alice")) as door:
        bare = HostileClient(door.meta, door.servers)
        server = cluster.indexes[0]
        assert bare.to_data(server, Identify()).index == server
        bare.to_data(server, ShowData())
        run = Run(Role.PRIMARY, BlockNo(0), 1)
        for request in (
            Get(shown.ino, NO_TICKET, (), (run,), ()),
            put_of(shown.ino, Ticket(1 << 39), b"x"),
            Sync(shown.ino),
            CountBlocks(shown.ino, BlockNo(1)),
            Mend(shown.ino, NO_TICKET, Role.PRIMARY, BlockNo(0), 1, b""),
        ):
            with pytest.raises(CapabilityRefused, match="none was shown"):
                bare.to_data(server, request)


def test_capability_of_another_client_is_of_no_use(cluster: LocalCluster, alice: FileSystem) -> None:
    shown = attributes(alice, b"/pub/guests/file")
    layout = shown.content.layout
    with Door(cluster, client("alice")) as door:
        stolen = liar(door).ask(Open(OpId(1), shown.ino, b"", read=True, write=False)).grant.capability
    with Door(cluster, client("guest")) as door:
        guest = liar(door)
        with pytest.raises(CapabilityRefused):
            guest.read_block(layout, shown.ino, stolen)


def test_put_under_another_ticket_than_the_grants_is_refused(cluster: LocalCluster, alice: FileSystem) -> None:
    with Door(cluster, client("bob")) as door:
        bob = liar(door)
        opened = bob.ask(Create(bob.op(), ROOT_INO, b"open/ticket", 0o644, exclusive=False))
        layout, grant = opened.attributes.content.layout, opened.grant
        bob.write_block(layout, grant.ino, grant.ticket, b"first", grant.capability)
        for ticket in (Ticket(grant.ticket + 1), Ticket(grant.ticket - 1), Ticket(1 << 39)):
            with pytest.raises(CapabilityRefused):
                bob.write_block(layout, grant.ino, ticket, b"x", grant.capability)
        with pytest.raises(BadRequest):  # a generation of another ticket than the Put's
            bob.write_block(layout, grant.ino, grant.ticket, b"x", grant.capability, generation=generation_of(Ticket(1 << 39), 1))
        assert bob.read_block(layout, grant.ino, grant.capability) == b"first"


def test_expired_capability_is_renewed_without_the_user_noticing(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2, keys=(KEY,)) as cluster:
        mount = cluster.mount(attr_timeout_s=60.0)
        fs = mount.fs
        handle = fs.create(ROOT, b"/file", 0o644, O_RDWR | O_CREAT)
        fs.write(ROOT, handle, PUBLIC, 0)
        cluster.clock = later = LaterClock(LIFETIME_S + SLACK_S + 5)
        for server in cluster.indexes:
            cluster.stop_data(server)
            cluster.start_data(server)
        cluster._meta._host.clock.wall_ns = later.wall_ns  # type: ignore[union-attr, method-assign]
        with mount.counting() as calls:
            fs.write(ROOT, handle, b"W", 0)
            assert fs.read(ROOT, handle, 100, 0) == b"W" + PUBLIC[1:]
            fs.fsync(ROOT, handle)
        assert calls["Certify"] == 1
        with mount.counting() as calls:
            fs.write(ROOT, handle, b"X", 0)
            assert fs.read(ROOT, handle, 100, 0) == b"X" + PUBLIC[1:]
        assert calls["Certify"] == 0
        fs.release(ROOT, handle)


class LaterClock(SystemClock):
    """A clock that is ahead of this machine's."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_ns = round(ahead_s * 1e9)

    def wall_ns(self) -> int:
        return super().wall_ns() + self._ahead_ns


def test_capability_counts_while_the_meta_server_is_away(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2, keys=(KEY,)) as cluster:
        fs = cluster.mount(attr_timeout_s=60.0).fs
        handle = fs.create(ROOT, b"/file", 0o644, O_RDWR | O_CREAT)
        cluster.stop_meta()
        fs.write(ROOT, handle, PUBLIC, 0)
        assert fs.read(ROOT, handle, 100, 0) == PUBLIC
        cluster.start_meta()
        fs.release(ROOT, handle)


def test_two_keys_count_while_the_key_is_changed(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2, keys=(OLD_KEY,)) as cluster:
        mount = cluster.mount(attr_timeout_s=60.0)
        fs = mount.fs
        handle = fs.create(ROOT, b"/file", 0o644, O_RDWR | O_CREAT)
        fs.write(ROOT, handle, PUBLIC, 0)
        cluster.keys[:] = [KEY, OLD_KEY]
        with mount.counting() as calls:
            fs.write(ROOT, handle, b"A", 0)
        assert calls["Certify"] == 0
        cluster.keys[:] = [KEY]
        with mount.counting() as calls:
            fs.write(ROOT, handle, b"B", 0)
            assert fs.read(ROOT, handle, 100, 0) == b"B" + PUBLIC[1:]
        assert calls["Certify"] == 1
        fs.release(ROOT, handle)


def test_stat_of_a_file_with_holes_that_is_not_open_asks_for_a_capability_once(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2, keys=(KEY,)) as cluster:
        maker = cluster.mount().fs
        handle = maker.create(ROOT, b"/sparse", 0o644, O_RDWR | O_CREAT)
        maker.write(ROOT, handle, b"x", 100_000)
        maker.release(ROOT, handle)
        other = cluster.mount(attr_timeout_s=0.0)
        with other.counting() as calls:
            assert other.fs.written_bytes(ROOT, other.fs.getattr(ROOT, b"/sparse")) == 512
            assert other.fs.written_bytes(ROOT, other.fs.getattr(ROOT, b"/sparse")) == 512
        assert calls == {"Lookup": 2, "Certify": 1, "CountBlocks": 6}


def test_mount_waits_out_a_server_that_refuses_good_capabilities(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2, keys=(KEY,)) as cluster:
        mount = cluster.mount(attr_timeout_s=60.0)
        handle = mount.fs.create(ROOT, b"/file", 0o644, O_RDWR | O_CREAT)
        mount.fs.write(ROOT, handle, PUBLIC, 0)
        guard = cluster._data[cluster.indexes[1]]._guard
        right = guard._verifier
        guard._verifier = type(right)(lambda: [OLD_KEY])  # type: ignore[misc]
        assert mount.fs.read(ROOT, handle, 100, 0) == PUBLIC  # the other copy
        writing = cluster.tasks.spawn("writer", lambda: write_again(mount.fs, handle))
        wait_until(lambda: any(event.kind.name == "WRITE_WAITS" for event in mount.events.events), "the write to wait")
        guard._verifier = right
        assert writing.join(10.0)
        assert mount.fs.read(ROOT, handle, 100, 0) == b"W" + PUBLIC[1:]
        mount.fs.release(ROOT, handle)


def write_again(fs: FileSystem, handle: int) -> None:
    """Replace the first byte of an open file."""
    fs.write(ROOT, handle, b"W", 0)


def test_without_a_key_nobody_shows_or_wants_a_capability(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, servers=2) as cluster:
        seen: list[str] = []
        for server, wire in cluster.wires.items():
            wire.service = Overhearing(cluster._data[server], seen)
        write_file(cluster.mount().fs, b"/file", PUBLIC)
        assert seen
        assert set(seen) == {""}


@dataclass
class Overhearing:
    """A data server whose callers' capabilities are noted."""

    service: BlockApi
    seen: list[str]

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        self.seen.append(ctx.caller.capability)
        return self.service.call(ctx, request)


def test_put_is_the_only_way_to_write() -> None:
    assert [cls for cls, need in NEEDS.items() if need.right is Right.WRITE] == [Put]
