"""Goal: nothing that a program can see tells a mount, or two mounts of one file system, from a local folder.

Method: a Hypothesis state machine makes the same system calls in a folder on real mounts and in a local folder, and compares what
each call returns (bytes, offsets, attributes, names, or the errno) and, now and then and at the end, all that is in both folders.
Times are compared where they were set; sizes and times of folders, atime and st_blocks are a file system's own business.

The runs are always the same. DFS_MACHINE_EXAMPLES=500 makes that many runs of each machine, and different ones each time. When a
run fails, Hypothesis looks for the shortest that does: that can take minutes.

With two mounts the rule is close-to-open: names may change under an open file, but before one mount reads or changes what is in
files, the files that the other has open are closed. Attributes of an open file whose name another mount changed are not compared:
FUSE asks for them by the name that the kernel knows, without the handle (docs/posix.md).
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.harness.cluster import Cluster
from tests.harness.fallocate import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate

EXAMPLES: Final = int(os.environ.get("DFS_MACHINE_EXAMPLES", "0"))
STEPS: Final = 40
OPEN_FILES_MAX: Final = 4
LONG_AGO_NS: Final = 10**18
"""Times that the tests set are before this (2001), those that a file system sets by itself are after it."""


def known_paths(machine: ComparedFolders) -> st.SearchStrategy[str]:
    """Choose among the paths that there are, else among all."""
    return st.sampled_from(machine.known_paths() or ALL_PATHS)


def open_slots(machine: ComparedFolders) -> st.SearchStrategy[int]:
    """Choose among the open files; where there is none, the rule's precondition has said so."""
    return st.sampled_from(machine.open_slots())


ALL_PATHS: Final = ["a", "b", "c", "d", "e", "d/a", "d/b", "d/e", "e/a", "d/e/a"]
NEW_PATHS: Final = st.sampled_from(ALL_PATHS)
KNOWN_PATHS: Final = st.runner().flatmap(known_paths)
PATHS: Final = KNOWN_PATHS | KNOWN_PATHS | KNOWN_PATHS | NEW_PATHS
TARGETS: Final = st.sampled_from(["a", "d", "d/a", "../in/b", "e", "nowhere", "x" * 200])
EDGES: Final = [0, 1, 511, 512, 513, 1024, 4095, 4096, 4097, 65_536, 131_071, 131_072, 131_073, 300_000]
OFFSETS: Final = st.sampled_from(EDGES) | st.integers(0, 5000)
LENGTHS: Final = st.sampled_from(EDGES[:9]) | st.integers(0, 5000) | st.just(140_000)
MODES: Final = st.sampled_from([0o600, 0o644, 0o755, 0o000, 0o6777, 0o1777, 0o2775])
TIMES_NS: Final = st.sampled_from([0, 1, 999_999_999, 1_000_000_000, 987_654_321_987_654_321])
OPEN_FLAGS: Final = st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND]).flatmap(
    lambda access: st.sampled_from([0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_CREAT | os.O_TRUNC, os.O_NOFOLLOW]).map(
        lambda more: access | more
    )
)
XATTR_NAMES: Final = st.sampled_from(["user.a", "user.b", os.fsdecode(b"user.\xff\xfe")])
XATTR_FLAGS: Final = st.sampled_from([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])
MOUNTS: Final = st.integers(0, 1)
SLOTS: Final = st.integers(0, OPEN_FILES_MAX - 1)
OPEN_SLOTS: Final = st.runner().flatmap(open_slots)
UNALIGNED: Final = st.sampled_from([1, 510, 511, 512, 513, 1023, 1025, 1535]) | st.integers(1, 1600)
FALLOCATE_MODES: Final = st.sampled_from([0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE])


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One file opened on both sides: the mount it was opened on, and the two descriptors."""

    mount: int
    fd: int
    local_fd: int
    names_changed: int
    """How often another mount had changed names when it was opened."""


def outcome(call: Callable[..., object], *arguments: object) -> object:
    """Return what a system call returns, or the name of its errno."""
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def shown(found: os.stat_result) -> tuple[object, ...]:
    """Return what must be the same of an inode wherever it is."""
    is_folder = stat.S_ISDIR(found.st_mode)
    mtime = found.st_mtime_ns if found.st_mtime_ns <= LONG_AGO_NS else "later"
    size_bytes = None if is_folder else found.st_size
    return (oct(found.st_mode), found.st_uid, found.st_gid, f"{found.st_nlink} names", size_bytes, mtime)


def read_all(path: Path) -> bytes:
    """Return a file's content, by calls of one size for all file systems."""
    with path.open("rb", buffering=0) as file:
        return b"".join(iter(lambda: file.read(100_000), b""))


def xattrs(path: Path) -> list[tuple[str, bytes]]:
    """Return a path's extended attributes for users; security modules may add theirs."""
    names = os.listxattr(path, follow_symlinks=False)
    return sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names if name.startswith("user."))


def describe(path: Path, name: str = "") -> Iterator[tuple[object, ...]]:
    """Return everything visible of a path and what is below it."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        yield name, shown(found), os.readlink(path)
    elif stat.S_ISREG(found.st_mode):
        yield name, shown(found), xattrs(path), read_all(path)
    else:
        names = sorted(os.listdir(path))
        yield name, shown(found), xattrs(path), names
        for below in names:
            yield from describe(path / below, f"{name}/{below}")


def content(number: int, length: int) -> bytes:
    """Return bytes like no others, the same in every run."""
    return random.Random(number).randbytes(length)


class ComparedFolders(RuleBasedStateMachine):
    """The same calls in a new folder on one or two mounts and in a new local folder."""

    def __init__(self, mounts: tuple[Path, ...], local: Path, name: str) -> None:
        super().__init__()
        self._views = [mount / name for mount in mounts]
        self._local = local / name
        self._open: dict[int, OpenFile] = {}
        self._writes = itertools.count()
        self._names_changed = [0 for _ in mounts]
        """Per mount: how often another one changed names."""
        for top in (self._views[0], self._local):
            (top / "in" / "d" / "e").mkdir(parents=True)  # one level deeper, as links may lead up
        for mount, path in enumerate(("a", "d/b", "d/e/a")):
            self.write_file(mount, path, 5000 * mount)
        self.open(0, 0, "a", os.O_RDWR, 0)
        self.open(0, 1, "d/b", os.O_RDWR | os.O_APPEND, 0)

    def teardown(self) -> None:
        try:
            for mount in range(len(self._views)):
                self.look(mount)
        finally:
            self._close(self._open)

    def known_paths(self) -> list[str]:
        """Return the paths that there are."""
        top = self._local / "in"
        found = ((folder, name) for folder, folders, files in os.walk(top) for name in (*folders, *files))
        return sorted(str((Path(folder) / name).relative_to(top)) for folder, name in found)

    def open_slots(self) -> list[int]:
        """Return the numbers of the open files."""
        return sorted(self._open)

    # --- both sides at once -------------------------------------------------------------------------------------------------

    def _same(self, mount: int, call: Callable[..., object], *paths: str) -> object:
        """Make a call with paths on both sides and compare."""
        top = self._views[mount % len(self._views)]
        found, expected = (outcome(call, *(side / "in" / path for path in paths)) for side in (top, self._local))
        assert found == expected, paths
        return found

    def _same_open(self, slot: int, call: Callable[[int], object]) -> None:
        """Make a call with an open file on both sides and compare."""
        file = self._open[slot]
        found, expected = outcome(call, file.fd), outcome(call, file.local_fd)
        assert found == expected

    def _same_names(self, mount: int, call: Callable[..., object], *paths: str) -> None:
        """Make a call that may change names on both sides and compare."""
        self._same(mount, call, *paths)
        view = mount % len(self._views)
        self._names_changed = [count + (other != view) for other, count in enumerate(self._names_changed)]

    def _same_by_name(self, slot: int, call: Callable[[int], object]) -> None:
        """Make a call with an open file that FUSE makes by its name; left out if another mount may have changed that."""
        file = self._open[slot]
        if file.names_changed == self._names_changed[file.mount]:
            self._same_open(slot, call)

    def _settle(self, mount: int) -> None:
        """Close what other mounts have open: from here on, this one sees what they wrote."""
        view = mount % len(self._views)
        self._close([slot for slot, file in self._open.items() if file.mount != view])

    def _close(self, slots: list[int] | dict[int, OpenFile]) -> None:
        for slot in list(slots):
            file = self._open.pop(slot)
            os.close(file.fd)
            os.close(file.local_fd)

    # --- open files ---------------------------------------------------------------------------------------------------------

    @rule(mount=MOUNTS, slot=SLOTS, path=PATHS, flags=OPEN_FLAGS, mode=MODES)
    def open(self, mount: int, slot: int, path: str, flags: int, mode: int) -> None:
        self._settle(mount)
        self._close([slot] if slot in self._open else [])
        fds: list[int] = []

        def open_one(path: Path) -> str:
            fds.append(os.open(path, flags, mode))
            return "folder" if stat.S_ISDIR(os.fstat(fds[-1]).st_mode) else "file"

        if self._same(mount, open_one, path) == "file":
            view = mount % len(self._views)
            fd, local_fd = fds
            self._open[slot] = OpenFile(view, fd, local_fd, self._names_changed[view])
            return
        for fd in fds:
            os.close(fd)

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS)
    def close(self, slot: int) -> None:
        self._close([slot])

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, offset=OFFSETS, length=LENGTHS)
    def pread(self, slot: int, offset: int, length: int) -> None:
        self._same_open(slot, lambda fd: os.pread(fd, length, offset))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, offset=OFFSETS, length=LENGTHS)
    def pwrite(self, slot: int, offset: int, length: int) -> None:
        data = content(next(self._writes), length)
        self._same_open(slot, lambda fd: os.pwrite(fd, data, offset))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, length=LENGTHS)
    def write_on(self, slot: int, length: int) -> None:
        """Write where the file stands: at the end, if it was opened with O_APPEND."""
        data = content(next(self._writes), length)
        self._same_open(slot, lambda fd: (os.write(fd, data), os.lseek(fd, 0, os.SEEK_CUR)))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, length=LENGTHS)
    def read_on(self, slot: int, length: int) -> None:
        self._same_open(slot, lambda fd: (os.read(fd, length), os.lseek(fd, 0, os.SEEK_CUR)))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, size_bytes=OFFSETS)
    def ftruncate(self, slot: int, size_bytes: int) -> None:
        self._same_open(slot, lambda fd: os.ftruncate(fd, size_bytes))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS)
    def fsync(self, slot: int) -> None:
        self._same_open(slot, os.fsync)

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, mode=FALLOCATE_MODES, offset=OFFSETS, length=LENGTHS)
    def fallocate(self, slot: int, mode: int, offset: int, length: int) -> None:
        self._same_open(slot, lambda fd: fallocate(fd, mode, offset, length))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, mode=FALLOCATE_MODES, start=UNALIGNED, length=UNALIGNED)
    def fallocate_in_the_middle_of_data(self, slot: int, mode: int, start: int, length: int) -> None:
        """Both edges of the range lie inside written blocks: a byte too few or too many of it shows."""
        data = content(next(self._writes), 4000)

        def call(fd: int) -> tuple[bytes, int]:
            os.pwrite(fd, data, 0)
            fallocate(fd, mode, start, length)
            return os.pread(fd, 5000, 0), os.lseek(fd, 0, os.SEEK_END)

        self._same_open(slot, call)

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS)
    def fstat(self, slot: int) -> None:
        self._same_by_name(slot, lambda fd: shown(os.fstat(fd)))

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, mode=MODES)
    def fchmod(self, slot: int, mode: int) -> None:
        self._same_by_name(slot, lambda fd: os.fchmod(fd, mode))
        self.fstat(slot)

    @precondition(lambda self: self._open)
    @rule(slot=OPEN_SLOTS, time_ns=TIMES_NS)
    def futimens(self, slot: int, time_ns: int) -> None:
        self._same_by_name(slot, lambda fd: os.utime(fd, ns=(time_ns, time_ns)))
        self.fstat(slot)

    @rule(mount=MOUNTS, slot=SLOTS, path=PATHS, length=LENGTHS)
    def unlink_while_open(self, mount: int, slot: int, path: str, length: int) -> None:
        """The file goes on without a name: it is written, read, changed, and shows no names."""
        self.open(mount, slot, path, os.O_RDWR, 0)
        self._same_names(mount, os.unlink, path)
        if slot in self._open:
            self.pwrite(slot, 100, length)
            self.fchmod(slot, 0o640)
            self.pread(slot, 0, 6000)

    @rule(mount=MOUNTS, slot=SLOTS, path=PATHS, new_path=KNOWN_PATHS, length=LENGTHS)
    def rename_over_an_open_file(self, mount: int, slot: int, path: str, new_path: str, length: int) -> None:
        """The file that was there goes on without a name."""
        self.open(mount, slot, new_path, os.O_RDWR, 0)
        self._same_names(mount, os.rename, path, new_path)
        if slot in self._open:
            self.pwrite(slot, 50, length)
            self.futimens(slot, 1_000_000_001)
            self.pread(slot, 0, 6000)
        self.read_file(mount, new_path)

    # --- files by name ------------------------------------------------------------------------------------------------------

    @rule(mount=MOUNTS, path=PATHS, length=LENGTHS)
    def write_file(self, mount: int, path: str, length: int) -> None:
        self._settle(mount)
        data = content(next(self._writes), length)
        self._same(mount, lambda path: path.write_bytes(data), path)

    @rule(mount=MOUNTS, path=PATHS)
    def read_file(self, mount: int, path: str) -> None:
        self._settle(mount)
        self._same(mount, read_all, path)

    @rule(mount=MOUNTS, path=PATHS, size_bytes=OFFSETS)
    def truncate(self, mount: int, path: str, size_bytes: int) -> None:
        self._settle(mount)
        self._same(mount, lambda path: os.truncate(path, size_bytes), path)

    @rule(mount=MOUNTS, path=PATHS)
    def stat(self, mount: int, path: str) -> None:
        self._settle(mount)
        self._same(mount, lambda path: shown(path.stat()), path)

    @rule(mount=MOUNTS, path=PATHS, mode=MODES)
    def chmod(self, mount: int, path: str, mode: int) -> None:
        self._settle(mount)
        self._same(mount, lambda path: path.chmod(mode), path)

    @rule(mount=MOUNTS, path=PATHS, uid=st.sampled_from([-1, 0, 7]), gid=st.sampled_from([-1, 0, 8]))
    def lchown(self, mount: int, path: str, uid: int, gid: int) -> None:
        self._settle(mount)
        self._same(mount, lambda path: os.lchown(path, uid, gid), path)

    @rule(mount=MOUNTS, path=PATHS, time_ns=TIMES_NS, follow=st.booleans())
    def utime(self, mount: int, path: str, time_ns: int, follow: bool) -> None:
        self._settle(mount)
        self._same(mount, lambda path: os.utime(path, ns=(time_ns, time_ns), follow_symlinks=follow), path)

    # --- names: also under files that the other mount has open ---------------------------------------------------------------

    @rule(mount=MOUNTS, path=NEW_PATHS, mode=MODES)
    def mkdir(self, mount: int, path: str, mode: int) -> None:
        self._same_names(mount, lambda path: path.mkdir(mode), path)

    @rule(mount=MOUNTS, path=PATHS)
    def rmdir(self, mount: int, path: str) -> None:
        self._same_names(mount, os.rmdir, path)

    @rule(mount=MOUNTS, path=PATHS)
    def unlink(self, mount: int, path: str) -> None:
        self._same_names(mount, os.unlink, path)

    @rule(mount=MOUNTS, path=PATHS, new_path=NEW_PATHS | PATHS)
    def rename(self, mount: int, path: str, new_path: str) -> None:
        self._same_names(mount, os.rename, path, new_path)

    @rule(mount=MOUNTS, path=PATHS, new_path=NEW_PATHS | PATHS)
    def link(self, mount: int, path: str, new_path: str) -> None:
        self._same_names(mount, lambda path, new_path: os.link(path, new_path, follow_symlinks=False), path, new_path)

    @rule(mount=MOUNTS, path=NEW_PATHS, leads_to=TARGETS)
    def symlink(self, mount: int, path: str, leads_to: str) -> None:
        self._same_names(mount, lambda path: os.symlink(leads_to, path), path)

    @rule(mount=MOUNTS, path=PATHS)
    def readlink(self, mount: int, path: str) -> None:
        self._same(mount, os.readlink, path)

    @rule(mount=MOUNTS, path=PATHS)
    def listdir(self, mount: int, path: str) -> None:
        self._same(mount, lambda path: sorted(os.listdir(path)), path)

    # --- extended attributes ------------------------------------------------------------------------------------------------

    @rule(mount=MOUNTS, path=PATHS, name=XATTR_NAMES, length=st.integers(0, 300), flags=XATTR_FLAGS)
    def setxattr(self, mount: int, path: str, name: str, length: int, flags: int) -> None:
        value = content(next(self._writes), length)
        self._same(mount, lambda path: os.setxattr(path, name, value, flags), path)

    @rule(mount=MOUNTS, path=PATHS, name=XATTR_NAMES)
    def getxattr(self, mount: int, path: str, name: str) -> None:
        self._same(mount, lambda path: os.getxattr(path, name), path)

    @rule(mount=MOUNTS, path=PATHS, name=XATTR_NAMES)
    def removexattr(self, mount: int, path: str, name: str) -> None:
        self._same(mount, lambda path: os.removexattr(path, name), path)

    # --- everything -----------------------------------------------------------------------------------------------------------

    @rule(mount=MOUNTS)
    def look(self, mount: int) -> None:
        self._settle(mount)
        found, expected = (list(describe(top)) for top in (self._views[mount % len(self._views)], self._local))
        assert found == expected


def run(mounts: tuple[Path, ...], local: Path, examples: int = 20) -> None:
    """Run the machine, each example in a new folder."""
    numbers = itertools.count()

    class Machine(ComparedFolders):
        def __init__(self) -> None:
            super().__init__(mounts, local, f"{mounts[0].name}-{len(mounts)}-{next(numbers)}")

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES or examples,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(scope="module")
def machine_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with two mounts that believe no attributes they saw before."""
    with Cluster(tmp_path_factory.mktemp("machine"), attr_timeout_s=0) as cluster:
        cluster.start(mounts=2)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()


@pytest.mark.timeout(1200)
def test_mount_and_local_folder_cannot_be_told_apart(machine_cluster: Cluster, tmp_path: Path) -> None:
    run((machine_cluster.mount(0).path,), tmp_path)


@pytest.mark.timeout(1200)
def test_two_mounts_and_local_folder_cannot_be_told_apart(machine_cluster: Cluster, tmp_path: Path) -> None:
    run((machine_cluster.mount(0).path, machine_cluster.mount(1).path), tmp_path)


@pytest.mark.timeout(1200)
def test_mount_that_writes_back_a_usual_one_and_a_local_folder_cannot_be_told_apart(
    machine_cluster: Cluster, tmp_path: Path
) -> None:
    mount = machine_cluster.mount(2, "writeback")
    mount.start()
    mount.wait_ready()
    run((mount.path, machine_cluster.mount(1).path), tmp_path, examples=8)
