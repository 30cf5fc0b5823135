"""Goal: locks of fcntl and flock hold between mounts, and end when their owner does.

Method: the system calls on two real mounts, from this process and from others, which can be killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.waiting import assert_stays, wait_until

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "r+b")
kind, first, length = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print("asking", flush=True)
if kind == "flock":
    fcntl.flock(file, fcntl.LOCK_EX)
elif kind == "flock-shared":
    fcntl.flock(file, fcntl.LOCK_SH)
elif kind == "shared":
    fcntl.lockf(file, fcntl.LOCK_SH, length, first)
else:
    fcntl.lockf(file, fcntl.LOCK_EX, length, first)
print("locked", flush=True)
sys.stdin.readline()
"""


class Holder:
    """A process that locks (part of) a file and holds the lock until told to end."""

    def __init__(self, file: Path, kind: str = "fcntl", first: int = 0, length: int = 0) -> None:
        command = [sys.executable, "-c", HOLDER, str(file), kind, str(first), str(length)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "asking"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def is_heard(self) -> bool:
        """Tell whether it said something more, or has ended."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def wait_locked(self) -> None:
        assert self._line() == "locked"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def held(file: Path, kind: str = "fcntl", first: int = 0, length: int = 0) -> Iterator[Holder]:
    """Have another process hold a lock."""
    holder = Holder(file, kind, first, length)
    try:
        holder.wait_locked()
        yield holder
    finally:
        holder.close()


def is_free(file: Path, first: int = 0, length: int = 0, *, shared: bool = False) -> bool:
    """Tell whether this process can lock a range, without waiting."""
    with file.open("r+b") as opened:
        try:
            fcntl.lockf(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB, length, first)
        except BlockingIOError:
            return False
        return True


def is_flock_free(file: Path, *, shared: bool = False) -> bool:
    """Tell whether this process can lock a file with flock, without waiting."""
    with file.open("r+b") as opened:
        try:
            fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


FCNTL_NUMBERS = {"x86_64": 72, "aarch64": 25}


def waits_in_fcntl(process: subprocess.Popen[str]) -> bool:
    """Tell whether a child of ours sleeps in fcntl(2), as the kernel shows it."""
    shown = Path(f"/proc/{process.pid}/syscall").read_text().split()
    return shown[0] == str(FCNTL_NUMBERS[platform.machine()])


@pytest.fixture
def file(two_mounts: tuple[Path, Path]) -> tuple[Path, Path]:
    """Return a file of 100 bytes as both mounts show it."""
    one, other = two_mounts
    (one / "file").write_bytes(bytes(100))
    return one / "file", other / "file"


def test_record_locks_of_one_mount_are_seen_by_both(file: tuple[Path, Path]) -> None:
    one, other = file
    with held(one, "fcntl", 10, 10), held(other, "shared", 50, 10):
        for root in (one, other):
            assert [is_free(root, first, 10) for first in (0, 10, 15, 20, 50, 60)] == [True, False, False, True, False, True]
            assert is_free(root, 50, 10, shared=True)
            assert is_flock_free(root)
    assert is_free(other)


def test_flock_of_one_mount_holds_in_the_other(file: tuple[Path, Path]) -> None:
    one, other = file
    with held(one, "flock"):
        assert not is_flock_free(other)
        assert not is_flock_free(one, shared=True)
        assert is_free(other)
    with held(other, "flock-shared"):
        assert is_flock_free(one, shared=True)
        assert not is_flock_free(one)
    assert is_flock_free(one)


def test_flock_is_kept_by_a_child_until_the_last_descriptor_is_closed(file: tuple[Path, Path]) -> None:
    one, other = file
    opened = one.open("r+b")
    fcntl.flock(opened, fcntl.LOCK_EX)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[opened.fileno()])
    opened.close()
    assert_stays(lambda: not is_flock_free(other), "the lock to be kept", 0.2)
    child.communicate(b"\n")
    wait_until(lambda: is_flock_free(other), "the lock to go", 5)


def test_record_locks_go_with_any_descriptor_of_the_process(file: tuple[Path, Path]) -> None:
    one, other = file
    with one.open("r+b") as opened:
        fcntl.lockf(opened, fcntl.LOCK_EX)
        assert not wait_is_free(other)
        one.open("rb").close()
        assert wait_is_free(other)


def wait_is_free(file: Path) -> bool:
    """Ask from a process of its own: this process's closes free its own locks."""
    code = f"import fcntl; fcntl.lockf(open({str(file)!r}, 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60).returncode == 0


def test_getlk_tells_range_kind_and_pid_of_the_own_mount(file: tuple[Path, Path]) -> None:
    one, other = file
    with held(one, "fcntl", 10, 20) as holder:
        for root, pid in ((one, holder.process.pid), (other, 0)):
            with root.open("r+b") as opened:
                asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, first, length, found = struct.unpack("hhqqi4x", fcntl.fcntl(opened, fcntl.F_GETLK, asked))
                assert (kind, first, length, found) == (fcntl.F_WRLCK, 10, 20, pid)
                asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 30, 0, 0)
                assert struct.unpack("hhqqi4x", fcntl.fcntl(opened, fcntl.F_GETLK, asked))[0] == fcntl.F_UNLCK


@pytest.mark.parametrize("kind", ["fcntl", "flock"])
def test_waiting_lock_is_granted_once_the_other_mount_unlocks(file: tuple[Path, Path], kind: str) -> None:
    one, other = file
    with held(one, kind) as holder:
        waiting = Holder(other, kind)
        assert_stays(lambda: not waiting.is_heard(), "the lock to be waited for", 1.5)
        holder.close()
        began_s = time.monotonic()
        waiting.wait_locked()
        assert time.monotonic() - began_s < 1
        waiting.close()
    wait_until(lambda: is_free(one) and is_flock_free(one), "the locks to go", 5)


@pytest.mark.parametrize("kind", ["fcntl", "flock"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_waiting_for_a_lock_ends_with_a_signal_and_locks_nothing(
    file: tuple[Path, Path], kind: str, number: signal.Signals
) -> None:
    one, other = file
    with held(one, kind):
        waiting = Holder(other, kind)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.process.wait(0.3)
        waiting.process.send_signal(number)
        assert waiting.process.wait(1) != 0
        waiting.close()
    wait_until(lambda: is_free(one) and is_flock_free(one), "the locks to go", 5)


def test_deadlock_between_mounts_is_refused(file: tuple[Path, Path]) -> None:
    one, other = file
    with held(one, "fcntl", 0, 10):
        code = f"""
import fcntl, sys
file = open({str(other)!r}, "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 10, 10)
print("locked", flush=True)
fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
"""
        second = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert second.stdout.readline() == "locked\n"
        with one.open("r+b") as opened:
            fcntl.lockf(opened, fcntl.LOCK_EX, 10, 20)
            third = Holder(one, "fcntl", 20, 10)
            third.close()
        second.kill()
        second.communicate()
    first = one.open("r+b")
    fcntl.lockf(first, fcntl.LOCK_EX, 10, 0)
    code = code.replace("print", "import os\nprint")
    second = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    assert second.stdout.readline() == "locked\n"
    wait_until(lambda: waits_in_fcntl(second), "the second process to wait")
    assert_stays(lambda: waits_in_fcntl(second), "the wait to be known to the meta-server", 0.3)
    with pytest.raises(OSError, match=r".*") as caught:
        fcntl.lockf(first, fcntl.LOCK_EX, 10, 10)
    assert caught.value.errno == errno.EDEADLK
    second.kill()
    second.communicate()
    first.close()


def test_reader_under_a_lock_sees_what_the_other_mount_wrote_before_unlocking(file: tuple[Path, Path]) -> None:
    """The size stays the same: without a cure the kernel would answer from its stale pages."""
    one, other = file
    with one.open("r+b", buffering=0) as writer, other.open("r+b", buffering=0) as reader:
        assert os.pread(reader.fileno(), 100, 0) == bytes(100)
        for number in range(1, 20):
            fcntl.lockf(writer, fcntl.LOCK_EX)
            os.pwrite(writer.fileno(), bytes([number]) * 100, 0)
            fcntl.lockf(writer, fcntl.LOCK_UN)
            fcntl.lockf(reader, fcntl.LOCK_SH)
            assert os.pread(reader.fileno(), 100, 0) == bytes([number]) * 100
            fcntl.lockf(reader, fcntl.LOCK_UN)


def test_file_that_grew_under_a_lock_is_seen_whole_at_once(file: tuple[Path, Path]) -> None:
    one, other = file
    with one.open("r+b", buffering=0) as writer, other.open("rb", buffering=0) as reader:
        for number in range(1, 20):
            fcntl.flock(writer, fcntl.LOCK_EX)
            os.pwrite(writer.fileno(), b"x" * 100, 100 * number)
            fcntl.flock(writer, fcntl.LOCK_UN)
            fcntl.flock(reader, fcntl.LOCK_SH)
            assert os.fstat(reader.fileno()).st_size == 100 * (number + 1)
            fcntl.flock(reader, fcntl.LOCK_UN)


INCREMENTS = 30
COUNTER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for _ in range(int(sys.argv[2])):
    fcntl.lockf(fd, fcntl.LOCK_EX)
    number = int(os.pread(fd, 100, 0))
    os.pwrite(fd, b"%099d\\n" % (number + 1), 0)
    fcntl.lockf(fd, fcntl.LOCK_UN)
"""


def test_counter_incremented_under_locks_by_processes_of_both_mounts_loses_nothing(file: tuple[Path, Path]) -> None:
    one, other = file
    one.write_bytes(b"%099d\n" % 0)
    roots = [one, one, other, other]
    counters = [subprocess.Popen([sys.executable, "-c", COUNTER, str(root), str(INCREMENTS)]) for root in roots]
    assert [counter.wait(120) for counter in counters] == [0] * 4
    assert int(one.read_bytes()) == 4 * INCREMENTS


DATABASE_WRITER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=60) as database:
    for number in range(8):
        database.execute("INSERT INTO t VALUES (?, ?)", (sys.argv[2], number))
        database.commit()
"""


def test_database_written_through_two_mounts_is_whole(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    with sqlite3.connect(one / "db") as database:
        database.execute("CREATE TABLE t (who TEXT, number INTEGER)")
    roots = [one, one, other, other]
    writers = [
        subprocess.Popen([sys.executable, "-c", DATABASE_WRITER, str(root / "db"), str(who)]) for who, root in enumerate(roots)
    ]
    assert [writer.wait(200) for writer in writers] == [0] * 4
    with sqlite3.connect(other / "db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(DISTINCT who || '-' || number) FROM t").fetchone() == (32,)


def test_locks_outlive_a_restart_of_the_meta_server(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.start(mounts=2)
    one, other = (cluster.mount(number).path / "file" for number in (0, 1))
    one.touch()
    cluster.allow("waiting for", "meta")
    with held(one, "fcntl", 0, 10), held(other, "flock"):
        cluster.meta.kill()
        cluster.restart(cluster.meta)
        began_s = time.monotonic()
        assert not is_free(other, 0, 10)
        assert not is_flock_free(one)
        assert is_free(other, 10, 10)
        assert time.monotonic() - began_s < 10
    assert is_free(other)
    assert is_flock_free(one)


def test_locks_go_at_once_with_an_unmount_and_after_30_s_with_a_killed_mount(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.start(mounts=3)
    roots = [cluster.mount(number).path / "file" for number in range(3)]
    roots[0].touch()
    cluster.allow("expired", "lease", "in use", "is left")
    with held(roots[1], "fcntl"):
        assert not is_free(roots[0])
        cluster.mount(1).stop()
        wait_until(lambda: is_free(roots[0]), "the lock to go with its mount", 15)
    with held(roots[2], "flock"):
        assert not is_flock_free(roots[0])
        cluster.mount(2).kill()
        took_s = wait_until(lambda: is_flock_free(roots[0]), "the lock to go with the session", 45)
        assert 15 < took_s < 40
