"""Goal: what the kernel asks reaches the client service as it was asked, and nothing but an errno comes back.

Method: call the operations as the binding does, with a recording service in place of the client.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from dfs.core import errors
from dfs.core.events.event import Event
from dfs.core.ids import NO_TICKET, Ino
from dfs.core.interfaces import CallContext
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.inodes import AttributeChanges, Attributes, Content, Entry
from dfs.core.messages.inspection import FileSystemSpace
from dfs.core.messages.locks import LockFound
from dfs.core.meters import CallMeter
from dfs.core.placement import Layout
from dfs.fusefs.binding import UTIME_NOW, UTIME_OMIT, RawCaller, SetTime, Stat
from dfs.fusefs.flock_struct import LockCall
from dfs.fusefs.operation_context import OperationContexts
from dfs.fusefs.operations import Operations, is_hiding, to_changes
from dfs.fusefs.page_cache import PageCache

ATTRIBUTES = Attributes(Ino(7), stat.S_IFREG | 0o640, 1, 10, 20, 0, 1, 2, 3, Content(Layout(0, 2, 512), 1025, (), NO_TICKET))


@dataclass
class Info:
    """A struct fuse_file_info."""

    flags: int = 0
    fh: int = 0
    keep_cache: int = 0
    lock_owner: int = 0
    flock_release: int = 0


class RecordingFileSystem:
    """A client service that notes its calls and answers from a table, or raises."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {"getattr": ATTRIBUTES}

    def __getattr__(self, name: str) -> Any:
        def call(ctx: CallContext, *arguments: Any, **named: Any) -> Any:
            self.calls.append((name, *arguments, *named.values()))
            answer = self.answers.get(name)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call


class Kernel:
    """The binding, the connection and the event sink, as far as operations need them."""

    begun = False
    ended = False

    def caller(self) -> RawCaller:
        return RawCaller(0, 0, os.getpid())

    def interrupted(self) -> bool:
        return False

    def begin(self) -> None:
        self.begun = True

    def end(self) -> None:
        self.ended = True

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        return


@pytest.fixture
def service() -> RecordingFileSystem:
    """Return the service behind `operations`."""
    return RecordingFileSystem()


@pytest.fixture
def operations(service: RecordingFileSystem) -> Operations:
    """Return operations over a recording service."""
    kernel = Kernel()
    pages = PageCache(lambda path, ino: service.calls.append(("drop pages", path, ino)))
    return Operations(
        filesystem=service,
        contexts=OperationContexts(kernel, "t"),
        events=kernel,
        connection=kernel,
        pages=pages,
        meter=CallMeter(threading.Lock()),
    )


def test_names_are_the_bytes_that_the_kernel_sent(operations: Operations, service: RecordingFileSystem) -> None:
    name = bytes(range(1, 256)).replace(b"/", b"")
    text = "/" + name.decode("latin-1")
    operations("mkdir", text, 0o755)
    operations("symlink", "/link", text)
    operations("link", "/new", "/old")
    assert service.calls == [("mkdir", b"/" + name, 0o755), ("symlink", b"/link", b"/" + name), ("link", b"/old", b"/new")]


def test_flags_reach_create_and_open_and_their_handle_the_kernel(operations: Operations, service: RecordingFileSystem) -> None:
    service.answers |= {"create": 5, "open": 6}
    created, opened = Info(os.O_WRONLY | os.O_CREAT | os.O_EXCL), Info(os.O_RDWR | os.O_APPEND)
    operations("create", "/f", stat.S_IFREG | 0o600, created)
    operations("open", "/f", opened)
    assert (created.fh, opened.fh) == (5, 6)
    assert service.calls[0] == ("create", b"/f", 0o600, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    assert ("open", b"/f", os.O_RDWR | os.O_APPEND) in service.calls


def test_stat_shows_every_attribute(operations: Operations) -> None:
    assert operations("getattr", "/f", None) == Stat(7, stat.S_IFREG | 0o640, 1, 10, 20, 0, 1025, 131072, 3, 1, 2, 3)


def test_operation_on_a_nameless_file_uses_its_handle(operations: Operations, service: RecordingFileSystem) -> None:
    operations("getattr", None, Info(fh=9))
    operations("truncate", None, 10, Info(fh=9))
    operations("truncate", "/f", 11)
    assert service.calls == [("getattr", b"", 9), ("truncate", b"", 10, 9), ("truncate", b"/f", 11, None)]


def test_rename_to_a_hidden_name_is_an_unlink_that_keeps_open(operations: Operations, service: RecordingFileSystem) -> None:
    operations("rename", "/d/file", "/d/.fuse_hidden0000000300000001")
    operations("rename", "/d/file", "/d/other")
    assert service.calls == [
        ("unlink_open", b"/d/file", b"/d/.fuse_hidden0000000300000001"),
        ("rename", b"/d/file", b"/d/other"),
    ]


@pytest.mark.parametrize(
    "new",
    [
        b"/e/.fuse_hidden0000000300000001",
        b"/d/.fuse_hidden",
        b"/d/.fuse_hidden000000030000000g",
        b"/d/x.fuse_hidden0000000300000001",
    ],
)
def test_rename_that_is_not_libfuses_is_a_rename(new: bytes) -> None:
    assert not is_hiding(b"/d/file", new)


@pytest.mark.parametrize(
    ("atime", "mtime", "changes"),
    [
        (SetTime(1, 2), SetTime(-1, 999_999_999), AttributeChanges(atime_ns=1_000_000_002, mtime_ns=-1)),
        (SetTime(0, UTIME_OMIT), SetTime(5, 0), AttributeChanges(mtime_ns=5_000_000_000)),
        (SetTime(0, UTIME_NOW), SetTime(0, UTIME_OMIT), AttributeChanges(atime_now=True)),
        (SetTime(1, UTIME_OMIT - 10**9), SetTime(0, UTIME_NOW), AttributeChanges(atime_ns=UTIME_OMIT, mtime_now=True)),
    ],
)
def test_time_stamps_keep_their_meaning(atime: SetTime, mtime: SetTime, changes: AttributeChanges) -> None:
    assert to_changes(atime, mtime) == changes


def test_owner_of_minus_one_is_left_alone(operations: Operations, service: RecordingFileSystem) -> None:
    operations("chown", "/f", -1, 4)
    assert service.calls == [("setattr", b"/f", AttributeChanges(gid=4))]


def test_listing_has_dots_first_and_stops_when_the_kernel_is_full(operations: Operations, service: RecordingFileSystem) -> None:
    service.answers["list_folder"] = iter([Entry(b"%d" % number, ATTRIBUTES) for number in range(10)])
    number = operations("opendir", "/d")
    names: list[bytes] = []

    def add_entry(name: bytes, stat: Stat) -> bool:
        names.append(name)
        return len(names) < 5

    operations("readdir", number, add_entry)
    assert names == [b".", b"..", b"0", b"1", b"2"]
    operations("releasedir", None, number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        operations("readdir", number, add_entry)


def test_error_in_the_middle_of_a_listing_is_an_errno(operations: Operations, service: RecordingFileSystem) -> None:
    def entries() -> Any:
        yield Entry(b"one", ATTRIBUTES)
        raise errors.AccessDenied(b"/d")

    service.answers["list_folder"] = entries()
    number = operations("opendir", "/d")
    with pytest.raises(PermissionError):
        operations("readdir", number, lambda name, stat: True)


@pytest.mark.parametrize(
    ("raised", "number"),
    [
        (errors.NotFound(b"/f"), errno.ENOENT),
        (errors.Interrupted("signal"), errno.EINTR),
        (RuntimeError("bug"), errno.EIO),
        (SystemExit(3), errno.EIO),
        (TimeoutError("no errno"), errno.EIO),
    ],
)
def test_only_an_errno_leaves(operations: Operations, service: RecordingFileSystem, raised: BaseException, number: int) -> None:
    service.answers["mkdir"] = raised
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        operations("mkdir", "/f", 0o755)
    assert caught.value.errno == number


def test_open_beside_a_write_keeps_pages_and_drops_them_afterwards(
    operations: Operations, service: RecordingFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answers |= {"open": 5}
    operations("open", "/f", Info())
    during = Info()

    def write(ctx: CallContext, handle: int, data: bytes, offset: int) -> int:
        service.answers["open"] = 6
        operations("open", "/f", during)
        return len(data)

    monkeypatch.setattr(service, "write", write, raising=False)
    assert operations("write", None, b"abc", 0, Info(fh=5)) == 3
    after = Info()
    operations("open", "/f", after)
    assert (during.keep_cache, after.keep_cache) == (1, 0)


def test_space_is_told_in_whole_units(operations: Operations, service: RecordingFileSystem) -> None:
    service.answers["statfs"] = FileSystemSpace(total_bytes=10 << 20, free_bytes=(1 << 20) + 1, inodes=3)
    space = operations("statfs", "/")
    assert (space.blocks * space.frsize, space.bavail * space.frsize) == (10 << 20, 1 << 20)
    assert space.files - space.ffree == 3


def test_locks_reach_the_service_with_owner_range_and_whether_to_wait(operations: Operations, service: RecordingFileSystem) -> None:
    service.answers["content_version"] = (1,)
    info = Info(fh=3, lock_owner=(1 << 64) - 5)
    operations("lock", info, fcntl.F_SETLKW, LockCall(fcntl.F_WRLCK, 10, 19, 42))
    operations("lock", info, fcntl.F_SETLK, LockCall(fcntl.F_UNLCK, 0, OFFSET_MAX, 0))
    operations("flock", info, fcntl.LOCK_SH | fcntl.LOCK_NB)
    record, whole = LockOwner(LockKind.RECORD, -5), LockOwner(LockKind.WHOLE, -5)
    assert [call for call in service.calls if "lock" in call[0]] == [
        ("lock", 3, record, LockRange(10, 19, True, 42), True),
        ("unlock", 3, record, 0, OFFSET_MAX),
        ("lock", 3, whole, LockRange(0, OFFSET_MAX, False, os.getpid()), False),
    ]


def test_release_frees_the_flock_of_its_file_first(operations: Operations, service: RecordingFileSystem) -> None:
    operations("release", None, Info(fh=3, lock_owner=9, flock_release=1))
    assert service.calls == [("unlock", 3, LockOwner(LockKind.WHOLE, 9), 0, OFFSET_MAX), ("release", 3)]


def test_getlk_hides_the_pid_of_another_mount(operations: Operations, service: RecordingFileSystem) -> None:
    asked = LockCall(fcntl.F_RDLCK, 0, OFFSET_MAX, 1)
    for is_own_mount, pid in ((True, 42), (False, 0)):
        service.answers["find_lock"] = LockFound(LockRange(5, 6, True, 42), is_own_mount)
        assert operations("lock", Info(fh=3), fcntl.F_GETLK, asked) == LockCall(fcntl.F_WRLCK, 5, 6, pid)
    service.answers["find_lock"] = LockFound()
    assert operations("lock", Info(fh=3), fcntl.F_GETLK, asked).kind == fcntl.F_UNLCK


def test_lock_on_content_that_another_mount_changed_drops_the_pages(operations: Operations, service: RecordingFileSystem) -> None:
    service.answers |= {"open": 3, "content_version": (1,)}
    operations("open", "/file", Info())
    for version, drops in (((1,), 0), ((2,), 1), ((2,), 1)):
        service.answers["content_version"] = version
        operations("flock", Info(fh=3), fcntl.LOCK_EX)
        assert [call for call in service.calls if call[0] == "drop pages"] == [("drop pages", b"/file", 7)] * drops


def test_sparse_file_shows_the_blocks_that_were_written(operations: Operations, service: RecordingFileSystem) -> None:
    service.answers |= {"getattr": ATTRIBUTES._replace(is_sparse=True), "written_bytes": 513}
    assert operations("getattr", "/file", None).blocks == 2
