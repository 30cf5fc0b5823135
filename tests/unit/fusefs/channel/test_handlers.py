"""Goal: what the kernel asks reaches the operations as it was asked, and its answer is what the kernel takes it for.

Method: requests as bytes, the real operations, and a recording service in place of the client.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from dfs.client.metadata.attribute_cache import NOT_BELIEVED, Believed, Looked
from dfs.core import errors
from dfs.core.ids import NO_TICKET, Ino
from dfs.core.interfaces import CallContext
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner
from dfs.core.messages.inodes import AttributeChanges, Attributes, Content, Entry
from dfs.core.messages.inspection import FileSystemSpace
from dfs.core.messages.locks import LockFound
from dfs.core.meters import CallMeter
from dfs.core.placement import Layout
from dfs.fusefs.binding import RawCaller
from dfs.fusefs.channel import protocol as p
from dfs.fusefs.channel.handlers import Handlers, NoAnswer
from dfs.fusefs.channel.node_operations import NodeOperations
from dfs.fusefs.channel.request import Request
from dfs.fusefs.operation_context import OperationContexts
from dfs.fusefs.serving import Served
from tests.harness.recorded_events import RecordedEvents

IO_SIZE = 1 << 20
FILE = Attributes(Ino(7), stat.S_IFREG | 0o640, 1, 10, 20, 0, 1, 2, 3, Content(Layout(0, 2, 512), 1025, (), NO_TICKET))
FOLDER = FILE._replace(ino=Ino(5), mode=stat.S_IFDIR | 0o755)


class Client:
    """A client service that notes its calls and answers from a table, or raises."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {"getattr": FILE, "content_version": (0,), "open": 3, "create": 3}
        self.known: dict[int, Attributes] = {7: FILE}
        self.validity = (0.9, 0.5)

    def look(self, ctx: CallContext, path: bytes, handle: int | None = None) -> Looked:
        attributes = self.getattr(ctx, path, handle)
        ((believed, attributes_s, name_s),) = self.believed([(path, attributes.ino)])
        return Looked(believed or attributes, attributes_s, name_s)

    def believed(self, named: Sequence[tuple[bytes, Ino]]) -> list[Believed]:
        return [Believed(self.known[ino], *self.validity) if ino in self.known else NOT_BELIEVED for _, ino in named]

    def __getattr__(self, name: str) -> Any:
        def call(ctx: CallContext, *arguments: Any, **named: Any) -> Any:
            self.calls.append((name, *arguments, *named.values()))
            answer = self.answers.get(name)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call

    def changing(self) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] not in ("getattr", "content_version")]


class Kernel:
    """Notes what it is told unasked."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def forget_attributes(self, node: int) -> None:
        self.told.append(("attributes", node))

    def drop_pages(self, node: int) -> None:
        self.told.append(("pages", node))

    def forget_name(self, folder: int, name: bytes, *, expire_only: bool) -> None:
        self.told.append(("name", folder, name))


class NoCall:
    def caller(self) -> RawCaller:
        return RawCaller(1000, 100, 0)

    def interrupted(self) -> bool:
        return False


class NoConnection:
    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass


class Mounted:
    """The handlers, what stands behind them, and a way to ask."""

    def __init__(self) -> None:
        self.client, self.kernel = Client(), Kernel()
        contexts, meter = OperationContexts(NoCall(), "m"), CallMeter(threading.Lock())
        served = Served(self.client, contexts, RecordedEvents(), meter, NoConnection())
        self.operations = NodeOperations(served, self.kernel)
        self.handlers = Handlers(self.operations, IO_SIZE)

    def ask(self, op: int, node: int, body: bytes = b"") -> bytes:
        header = p.IN_HEADER.pack(p.IN_HEADER.size + len(body), op, 2, node, 1000, 100, 99, 0, 0)
        return b"".join(bytes(part) for part in self.handlers.answer(Request(memoryview(header + body))))


@pytest.fixture
def mounted() -> Mounted:
    return Mounted()


def entry(answer: bytes) -> tuple[int, int, int]:
    """Return node, inode and how long the name counts, in milliseconds."""
    fields = p.ENTRY.unpack_from(answer)
    (ino,) = p.ATTR.unpack_from(answer, p.ENTRY.size)[:1]
    return fields[0], ino, fields[2] * 1000 + fields[4] // 10**6


# --- names ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "path"), [(1, b"/\xff name"), (5, b"5/\xff name")])
def test_name_is_looked_up_in_its_folder_by_number(mounted: Mounted, folder: int, path: bytes) -> None:
    answer = mounted.ask(p.Op.LOOKUP, folder, b"\xff name\0")
    assert mounted.client.calls == [("getattr", path, None)]
    node, ino, name_ms = entry(answer)
    assert (node, ino) == (7, 7)
    assert 400 < name_ms < 500


def test_attributes_that_the_client_does_not_believe_are_not_kept_by_the_kernel(mounted: Mounted) -> None:
    mounted.client.known.clear()
    answer = mounted.ask(p.Op.GETATTR, 7, p.GETATTR_IN.pack(0, 0))
    assert p.ATTR_OUT.unpack_from(answer) == (0, 0)


def test_name_is_not_believed_for_longer_than_the_attributes(mounted: Mounted) -> None:
    mounted.client.validity = (0.2, 5.0)
    assert entry(mounted.ask(p.Op.LOOKUP, 5, b"n\0"))[2] < 200


def test_fstat_by_handle_asks_for_what_is_open(mounted: Mounted) -> None:
    mounted.ask(p.Op.GETATTR, 7, p.GETATTR_IN.pack(p.GETATTR_FH, 3))
    assert mounted.client.calls == [("getattr", b"7", 3)]


def test_rename_says_both_folders_and_the_flags(mounted: Mounted) -> None:
    assert mounted.ask(p.Op.RENAME, 5, p.RENAME_IN.pack(1) + b"old\0new\0") == b""
    mounted.ask(p.Op.RENAME2, 5, p.RENAME2_IN.pack(6, 1) + b"old\0new\0")
    assert mounted.client.calls == [("rename", b"5/old", b"/new", 0), ("rename", b"5/old", b"6/new", 1)]


@pytest.mark.parametrize(
    ("op", "body", "call"),
    [
        (p.Op.MKDIR, p.MKDIR_IN.pack(0o40750, 0) + b"n\0", ("mkdir", b"5/n", 0o750)),
        (p.Op.MKNOD, p.MKNOD_IN.pack(stat.S_IFIFO | 0o600, 9, 0) + b"n\0", ("mknod", b"5/n", stat.S_IFIFO | 0o600, 9)),
        (p.Op.SYMLINK, b"n\0to here\0", ("symlink", b"5/n", b"to here")),
        (p.Op.LINK, p.LINK_IN.pack(7) + b"n\0", ("link", b"7", b"5/n")),
    ],
)
def test_what_makes_a_name_answers_with_what_it_names(mounted: Mounted, op: int, body: bytes, call: tuple[Any, ...]) -> None:
    assert entry(mounted.ask(op, 5, body))[:2] == (7, 7)
    assert mounted.client.changing() == [call]


@pytest.mark.parametrize(("op", "call"), [(p.Op.UNLINK, "unlink"), (p.Op.RMDIR, "rmdir")])
def test_what_takes_a_name_away_answers_with_nothing(mounted: Mounted, op: int, call: str) -> None:
    assert mounted.ask(op, 5, b"n\0") == b""
    assert mounted.client.calls == [(call, b"5/n")]


def test_error_of_the_client_is_its_errno(mounted: Mounted) -> None:
    mounted.client.answers["getattr"] = errors.StaleFile(b"5")
    with pytest.raises(OSError, match="Stale") as caught:
        mounted.ask(p.Op.LOOKUP, 5, b"n\0")
    assert caught.value.errno == errno.ESTALE


@pytest.mark.parametrize("opcode", [34, 37, 39, 40, 46, 47, 50, 51, 52, 999])
def test_what_is_left_to_the_kernel_is_not_for_this_file_system(mounted: Mounted, opcode: int) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        mounted.ask(opcode, 7, bytes(64))
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.parametrize("op", [p.Op.FORGET, p.Op.BATCH_FORGET])
def test_nothing_has_to_be_forgotten(mounted: Mounted, op: int) -> None:
    with pytest.raises(NoAnswer):
        mounted.ask(op, 7, bytes(16))
    assert mounted.client.calls == []


# --- attributes ------------------------------------------------------------------------------------------------------------------


def setattr_body(valid: int, **fields: int) -> bytes:
    order = ("fh", "size", "owner", "atime", "mtime", "ctime", "atime_ns", "mtime_ns", "ctime_ns", "mode", "unused", "uid", "gid")
    return p.SETATTR_IN.pack(valid, *(fields.get(name, 0) for name in order))


def test_one_setattr_changes_size_mode_owner_and_times_together(mounted: Mounted) -> None:
    valid = p.Attr.SIZE | p.Attr.MODE | p.Attr.UID | p.Attr.ATIME | p.Attr.MTIME | p.Attr.MTIME_NOW
    mounted.ask(p.Op.SETATTR, 7, setattr_body(valid, size=99, mode=0o100600, uid=3, gid=4, atime=-2, atime_ns=5, mtime=1))
    changes = AttributeChanges(mode=0o600, uid=3, atime_ns=-2 * 10**9 + 5, mtime_now=True)
    assert mounted.client.changing() == [("truncate", b"7", 99, None), ("setattr", b"7", changes)]


def test_ftruncate_says_through_which_handle(mounted: Mounted) -> None:
    mounted.ask(p.Op.SETATTR, 7, setattr_body(p.Attr.SIZE | p.Attr.FH, size=0, fh=3))
    assert mounted.client.changing() == [("truncate", b"7", 0, 3)]


SET_ID = FILE._replace(mode=stat.S_IFREG | 0o6755)


@pytest.mark.parametrize(("mode", "kept"), [(0o6755, 0o755), (0o2745, 0o2745), (0o2755, 0o755), (0o4644, 0o644)])
def test_write_of_one_who_may_not_keep_them_takes_set_id_bits_away(mounted: Mounted, mode: int, kept: int) -> None:
    attributes = FILE._replace(mode=stat.S_IFREG | mode)
    mounted.client.answers |= {"getattr": attributes, "write": 3}
    mounted.client.known[7] = attributes
    mounted.ask(p.Op.LOOKUP, 5, b"n\0")
    mounted.ask(p.Op.WRITE, 7, p.WRITE_IN.pack(3, 0, 3, p.WRITE_KILL_SUIDGID, 0, 0) + b"abc")
    wanted = [("setattr", b"7", AttributeChanges(mode=kept))] if kept != mode else []
    assert mounted.client.changing()[:-1] == wanted
    assert mounted.client.calls[-1][0] == "write"


def test_write_of_one_who_may_keeps_set_id_bits_and_asks_for_nothing(mounted: Mounted) -> None:
    mounted.client.answers |= {"getattr": SET_ID, "write": 3}
    mounted.client.known[7] = SET_ID
    mounted.ask(p.Op.LOOKUP, 5, b"n\0")
    mounted.client.calls.clear()
    mounted.ask(p.Op.WRITE, 7, p.WRITE_IN.pack(3, 0, 3, 0, 0, 0) + b"abc")
    assert [call[0] for call in mounted.client.calls] == ["write"]


# --- files -----------------------------------------------------------------------------------------------------------------------


def test_write_hands_on_where_the_data_lies(mounted: Mounted) -> None:
    mounted.client.answers["write"] = 5
    answer = mounted.ask(p.Op.WRITE, 7, p.WRITE_IN.pack(3, 4096, 5, 0, 0, os.O_WRONLY) + b"hello")
    assert p.WRITE_OUT.unpack(answer) == (5,)
    ((name, handle, data, offset),) = mounted.client.calls
    assert (name, handle, bytes(data), offset) == ("write", 3, b"hello", 4096)
    assert isinstance(data, memoryview), "copied"


def test_read_answers_with_the_bytes_alone(mounted: Mounted) -> None:
    mounted.client.answers["read"] = b"content"
    assert mounted.ask(p.Op.READ, 7, p.READ_IN.pack(3, 8192, 100, 0, 0, 0)) == b"content"
    assert mounted.client.calls == [("read", 3, 100, 8192)]


def test_create_answers_with_the_inode_and_its_handle(mounted: Mounted) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    answer = mounted.ask(p.Op.CREATE, 5, p.CREATE_IN.pack(flags, 0o100644, 0o22, 0) + b"n\0")
    assert entry(answer)[:2] == (7, 7)
    assert p.OPEN_OUT.unpack_from(answer, p.ENTRY.size + p.ATTR.size) == (3, 0)
    assert mounted.client.changing() == [("create", b"5/n", 0o644, flags)]


def test_open_lets_the_kernel_ask_for_attributes_unless_it_has_these(mounted: Mounted) -> None:
    body = p.OPEN_IN.pack(os.O_RDONLY, 0)
    mounted.ask(p.Op.OPEN, 7, body)
    assert mounted.kernel.told == [("attributes", 7)]
    mounted.ask(p.Op.LOOKUP, 5, b"n\0")
    mounted.ask(p.Op.OPEN, 7, body)
    assert mounted.kernel.told == [("attributes", 7)]
    mounted.client.answers["getattr"] = FILE._replace(mtime_ns=99)
    mounted.ask(p.Op.OPEN, 7, body)
    assert mounted.kernel.told == [("attributes", 7)] * 2


def test_open_that_fails_after_all_leaves_nothing_open(mounted: Mounted) -> None:
    mounted.client.answers["truncate"] = errors.NoSpace()
    with pytest.raises(OSError, match="No space"):
        mounted.ask(p.Op.OPEN, 7, p.OPEN_IN.pack(os.O_RDONLY | os.O_TRUNC, 0))
    assert mounted.client.changing()[-1] == ("release", 3)


def test_close_flushes_and_then_unlocks_even_if_flushing_fails(mounted: Mounted) -> None:
    mounted.client.answers["flush"] = errors.NoSpace()
    with pytest.raises(OSError, match="No space"):
        mounted.ask(p.Op.FLUSH, 7, p.FLUSH_IN.pack(3, 1 << 63))
    owner = LockOwner(LockKind.RECORD, -(1 << 63))
    assert mounted.client.calls == [("flush", 3), ("unlock", 3, owner, 0, OFFSET_MAX)]


# --- locks -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "waits"), [(p.Op.SETLK, False), (p.Op.SETLKW, True)])
def test_lock_says_whether_it_waits_and_lets_the_kernel_ask_anew(mounted: Mounted, op: int, waits: bool) -> None:
    mounted.ask(p.Op.LOOKUP, 5, b"journal\0")
    mounted.ask(op, 7, p.LK_IN.pack(3, 11, 0, 9, fcntl.F_WRLCK, 99, 0))
    (call,) = (call for call in mounted.client.calls if call[0] == "lock")
    assert (call[1], call[2], call[3].first, call[3].last, call[4]) == (3, LockOwner(LockKind.RECORD, 11), 0, 9, waits)
    assert mounted.kernel.told == [("attributes", 7), ("name", 5, b"journal")]


def test_flock_is_told_from_a_lock_of_fcntl(mounted: Mounted) -> None:
    mounted.ask(p.Op.SETLK, 7, p.LK_IN.pack(3, 11, 0, OFFSET_MAX, fcntl.F_UNLCK, 0, p.LK_FLOCK))
    assert mounted.client.calls == [("unlock", 3, LockOwner(LockKind.WHOLE, 11), 0, OFFSET_MAX)]


def test_free_range_is_told_as_unlocked(mounted: Mounted) -> None:
    mounted.client.answers["find_lock"] = LockFound()
    answer = mounted.ask(p.Op.GETLK, 7, p.LK_IN.pack(3, 11, 4, 9, fcntl.F_WRLCK, 99, 0))
    assert p.LOCK.unpack(answer)[2] == fcntl.F_UNLCK


# --- extended attributes ---------------------------------------------------------------------------------------------------------


def test_value_is_measured_handed_over_or_too_long(mounted: Mounted) -> None:
    mounted.client.answers["getxattr"] = b"value"
    assert p.XATTR_OUT.unpack(mounted.ask(p.Op.GETXATTR, 7, p.GETXATTR_IN.pack(0) + b"user.a\0")) == (5,)
    assert mounted.ask(p.Op.GETXATTR, 7, p.GETXATTR_IN.pack(5) + b"user.a\0") == b"value"
    with pytest.raises(OSError, match="too long") as caught:
        mounted.ask(p.Op.GETXATTR, 7, p.GETXATTR_IN.pack(4) + b"user.a\0")
    assert caught.value.errno == errno.ERANGE


def test_value_with_zeros_in_it_is_set_whole(mounted: Mounted) -> None:
    mounted.ask(p.Op.SETXATTR, 7, p.SETXATTR_IN.pack(5, 1) + b"user.a\0" + b"a\0b\0c")
    assert mounted.client.calls == [("setxattr", b"7", b"user.a", b"a\0b\0c", 1)]


def test_capability_is_answered_at_once(mounted: Mounted) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        mounted.ask(p.Op.GETXATTR, 7, p.GETXATTR_IN.pack(20) + b"security.capability\0")
    assert (caught.value.errno, mounted.client.calls) == (errno.ENODATA, [])


# --- listings --------------------------------------------------------------------------------------------------------------------


def listing_body(number: int, offset: int, room: int) -> bytes:
    return p.READ_IN.pack(number, offset, room, 0, 0, 0)


def names_in(answer: bytes, *, plus: bool) -> list[tuple[bytes, int, int]]:
    """Return name, next offset and node of each entry, read as the kernel does."""
    found, at = [], 0
    while at < len(answer):
        node = 0
        if plus:
            node = p.ENTRY.unpack_from(answer, at)[0]
            at += p.ENTRY.size + p.ATTR.size
        _, offset, length, _ = p.DIRENT.unpack_from(answer, at)
        found.append((answer[at + 24 : at + 24 + length], offset, node))
        at += (24 + length + 7) & ~7
    return found


@pytest.mark.parametrize(("op", "plus"), [(p.Op.READDIR, False), (p.Op.READDIRPLUS, True)])
@pytest.mark.parametrize("room", [400, 4096])
def test_folder_is_listed_once_and_handed_out_in_pieces(mounted: Mounted, op: int, plus: bool, room: int) -> None:
    entries = [Entry(b"name %d" % number, FILE._replace(ino=Ino(100 + number))) for number in range(50)]
    mounted.client.answers["list_folder"] = entries
    mounted.client.known = {100 + number: FILE._replace(ino=Ino(100 + number)) for number in range(0, 50, 2)}
    (number,) = p.OPEN_OUT.unpack(mounted.ask(p.Op.OPENDIR, 5, p.OPEN_IN.pack(0, 0)))[:1]
    found: list[tuple[bytes, int, int]] = []
    offset = 0
    while answer := mounted.ask(op, 5, listing_body(number, offset, room)):
        assert len(answer) <= room
        found += names_in(answer, plus=plus)
        offset = found[-1][1]
    assert [name for name, _, _ in found] == [b".", b"..", *(entry.name for entry in entries)]
    assert [offset for _, offset, _ in found] == list(range(1, 53))
    if plus:
        assert [node for _, _, node in found[2:6]] == [100, 0, 102, 0], "the kernel may keep what the client believes, no more"
    assert mounted.client.calls == [("list_folder", b"5")]


def test_folder_read_from_its_start_again_is_listed_again(mounted: Mounted) -> None:
    mounted.client.answers["list_folder"] = []
    for _ in range(2):
        mounted.ask(p.Op.READDIR, 5, listing_body(1, 0, 4096))
    assert mounted.client.calls == [("list_folder", b"5")] * 2


def test_root_of_an_export_is_listed_under_its_own_number(mounted: Mounted) -> None:
    mounted.client.answers |= {"list_folder": [], "getattr": FOLDER._replace(ino=Ino(57))}
    mounted.ask(p.Op.GETATTR, 1, p.GETATTR_IN.pack(0, 0))
    answer = mounted.ask(p.Op.READDIR, 1, listing_body(1, 0, 4096))
    assert p.DIRENT.unpack_from(answer)[0] == 57


# --- the mount -----------------------------------------------------------------------------------------------------------------


def test_kernel_is_told_of_requests_of_1_mib_and_of_nothing_that_it_does_not_offer(mounted: Mounted) -> None:
    offered = p.Init.MAX_PAGES | p.Init.BIG_WRITES | p.Init.INIT_EXT
    body = p.INIT_IN.pack(7, 45, 1 << 17, offered) + p.FLAGS2.pack(p.HAS_EXPIRE_ONLY) + bytes(44)
    fields = p.INIT_OUT.unpack(mounted.ask(p.Op.INIT, 0, body))
    assert (fields[3], fields[6], fields[8]) == (p.Init.MAX_PAGES | p.Init.BIG_WRITES, IO_SIZE, 256)
    assert mounted.operations.can_expire


def test_kernel_of_another_age_is_refused(mounted: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OSError, match="too old") as caught:
        mounted.ask(p.Op.INIT, 0, p.INIT_IN.pack(7, 12, 0, 0))
    assert caught.value.errno == errno.EPROTO
    assert "expected a kernel that speaks FUSE 7.23 or later, got 7.12" in caplog.text


def test_space_is_that_of_the_cluster(mounted: Mounted) -> None:
    mounted.client.answers["statfs"] = FileSystemSpace(total_bytes=1 << 30, free_bytes=1 << 29, inodes=7)
    blocks, free, *_, unit = p.STATFS_OUT.unpack(mounted.ask(p.Op.STATFS, 1))
    assert (blocks * unit, free * unit) == (1 << 30, 1 << 29)
