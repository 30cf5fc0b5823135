"""Goal: programs see on a mount what they would see on a local file system, whatever the names, flags and times.

Method: system calls on a real mount whose files are kept in memory by a process of its own (tests/harness/memory_mount.py), so that
only the FUSE boundary is under test.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.memory_mount_process import MemoryMountProcess
from tests.harness.waiting import wait_until

ODD_NAMES = {
    "plain": b"plain",
    "latin-1": "\xe9t\xe9".encode("latin-1"),
    "utf-8": "\u00e9t\u00e9 \U0001f600".encode(),
    "invalid utf-8": b"\xff\xfe\x80 \xc3",
    "blanks": b" two\twords\nand \\ a line ",
    "255 bytes": b"\xfe" * 255,
    "controls": bytes(range(1, 32)),
}


@pytest.fixture
def folder(shared_mount: MemoryMountProcess, request: pytest.FixtureRequest) -> Iterator[bytes]:
    """Return a new folder on the mount."""
    path = shared_mount.path(f"test-{request.node.name.split('[')[0]}")
    os.mkdir(path)
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


def write_file(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def read_file(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# --- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_name_of_any_bytes_is_created_listed_renamed_and_removed(folder: bytes, name: bytes) -> None:
    path = os.path.join(folder, name)
    write_file(path, b"content")
    assert os.listdir(folder) == [name]
    os.rename(path, path[:-1])
    os.rename(path[:-1], path)
    assert read_file(path) == b"content"
    os.symlink(name, os.path.join(folder, b"link"))
    assert os.readlink(os.path.join(folder, b"link")) == name
    assert os.stat(os.path.join(folder, b"link")).st_ino == os.stat(path).st_ino
    os.unlink(path)
    assert os.listdir(folder) == [b"link"]


def test_name_longer_than_255_bytes_is_refused(folder: bytes) -> None:
    with pytest.raises(OSError, match="too long") as caught:
        write_file(os.path.join(folder, b"n" * 256), b"")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_listing_of_many_entries_is_complete_with_inodes_and_types(folder: bytes) -> None:
    for number in range(500):
        os.mkdir(os.path.join(folder, b"%d" % number)) if number % 2 else os.mknod(os.path.join(folder, b"%d" % number))
    with os.scandir(folder) as entries:
        found = {entry.name: (entry.inode(), entry.is_dir(follow_symlinks=False)) for entry in entries}
    assert sorted(map(int, found)) == list(range(500))
    for name, (ino, is_folder) in list(found.items())[::50]:
        status = os.stat(os.path.join(folder, name))
        assert (status.st_ino, stat.S_ISDIR(status.st_mode)) == (ino, is_folder)


def test_open_folder_is_listed_after_it_was_renamed(folder: bytes) -> None:
    os.makedirs(os.path.join(folder, b"old/inside/deep"))
    descriptor = os.open(os.path.join(folder, b"old/inside"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.rename(os.path.join(folder, b"old"), os.path.join(folder, b"new"))
        assert os.listdir(descriptor) == ["deep"]
    finally:
        os.close(descriptor)


def test_hard_link_shares_inode_and_content(folder: bytes) -> None:
    one, two = os.path.join(folder, b"one"), os.path.join(folder, b"two")
    write_file(one, b"1")
    os.link(one, two)
    assert os.stat(one).st_ino == os.stat(two).st_ino
    assert os.stat(one).st_nlink == 2
    write_file(two, b"22")
    assert read_file(one) == b"22"


def test_fifo_and_device_keep_type_and_number(folder: bytes) -> None:
    os.mkfifo(os.path.join(folder, b"fifo"), 0o640)
    assert os.stat(os.path.join(folder, b"fifo")).st_mode == stat.S_IFIFO | 0o640
    os.mknod(os.path.join(folder, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert os.stat(os.path.join(folder, b"null")).st_rdev == os.makedev(1, 3)


# --- opening and writing ---------------------------------------------------------------------------------------------------


def test_append_of_two_descriptors_goes_to_the_end(folder: bytes) -> None:
    path = os.path.join(folder, b"log")
    first, second = (os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
    for descriptor, data in ((first, b"one,"), (second, b"two,"), (first, b"three")):
        assert os.write(descriptor, data) == len(data)
    os.close(first)
    os.close(second)
    assert read_file(path) == b"one,two,three"


def test_exclusive_open_of_an_existing_file_fails(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    with pytest.raises(FileExistsError):
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def test_truncating_open_empties_the_file(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    write_file(path, b"long content")
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    assert os.fstat(descriptor).st_size == 0
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert read_file(path) == b"new"


def test_large_file_with_a_hole_reads_back_byte_by_byte(folder: bytes) -> None:
    path = os.path.join(folder, b"large")
    data = os.urandom(1_000_003)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, data, 0)
    os.pwrite(descriptor, data[:777], 2_000_001)
    os.close(descriptor)
    assert os.stat(path).st_size == 2_000_778
    assert os.stat(path).st_blocks * 512 >= 2_000_778
    assert read_file(path) == data + bytes(2_000_001 - len(data)) + data[:777]


def test_truncate_by_name_and_by_descriptor_sets_the_size(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    write_file(path, b"0123456789")
    os.truncate(path, 4)
    assert read_file(path) == b"0123"
    with open(path, "r+b") as file:
        file.truncate(6)
        assert os.fstat(file.fileno()).st_size == 6
    assert read_file(path) == b"0123\0\0"


def test_shared_mapping_is_written_back(folder: bytes) -> None:
    path = os.path.join(folder, b"mapped")
    write_file(path, bytes(8192))
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 8192) as mapping:
        mapping[4090:4100] = b"0123456789"
        mapping.flush()
    assert read_file(path)[4090:4100] == b"0123456789"


def test_fsync_of_file_and_folder_succeeds(folder: bytes) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    with open(os.path.join(folder, b"file"), "wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())


# --- attributes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times",
    [(1_073_741_822, 1_073_741_823), (0, 1), (-1, -1_500_000_000), (4_102_444_800_123_456_789, 1)],
    ids=["the numbers of UTIME_OMIT and UTIME_NOW", "epoch", "before the epoch", "year 2100"],
)
def test_time_stamps_are_kept_to_the_nanosecond(folder: bytes, times: tuple[int, int]) -> None:
    path = os.path.join(folder, b"file")
    write_file(path, b"")
    os.utime(path, ns=times)
    status = os.stat(path)
    assert (status.st_atime_ns, status.st_mtime_ns) == times


def test_touch_of_one_time_stamp_leaves_the_other(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    write_file(path, b"")
    os.utime(path, ns=(11, 22))
    subprocess.run([b"touch", b"-m", b"-d", b"@5.25", path], check=True)
    assert (os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns) == (11, 5_250_000_000)
    subprocess.run([b"touch", b"-a", path], check=True)
    assert os.stat(path).st_mtime_ns == 5_250_000_000
    assert os.stat(path).st_atime_ns > 10**18


def test_touch_of_both_time_stamps_sets_them_to_now(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    write_file(path, b"")
    os.utime(path, ns=(11, 22))
    os.utime(path)
    assert min(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns) > 10**18


def test_mode_and_owners_change_one_by_one(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    write_file(path, b"")
    os.chown(path, 12, -1)
    os.chown(path, -1, 34)
    os.chmod(path, 0o4751)
    status = os.stat(path)
    assert (status.st_mode, status.st_uid, status.st_gid) == (stat.S_IFREG | 0o4751, 12, 34)


def test_permission_of_another_user_is_checked(folder: bytes) -> None:
    path = os.path.join(folder, b"secret")
    write_file(path, b"")
    os.chmod(path, 0o600)
    done = subprocess.run([b"cat", path], user=65534, group=65534, extra_groups=[], capture_output=True, check=False)
    assert b"Permission denied" in done.stderr


def test_file_system_shows_space_and_type(shared_mount: MemoryMountProcess) -> None:
    space = os.statvfs(shared_mount.point)
    assert space.f_blocks * space.f_frsize == 1 << 30
    assert space.f_bavail * space.f_frsize == 1 << 29
    assert space.f_namemax == 255
    done = subprocess.run(
        [b"findmnt", b"-no", b"FSTYPE,SOURCE", b"--mountpoint", shared_mount.point], capture_output=True, check=True
    )
    assert done.stdout.split(maxsplit=1) == [b"fuse.dfs", b"memory, really\n"]


def test_extended_attributes_are_not_supported(folder: bytes) -> None:
    with pytest.raises(OSError, match="not supported") as caught:
        os.setxattr(folder, "user.name", b"value")
    assert caught.value.errno == errno.EOPNOTSUPP


# --- files that are open -------------------------------------------------------------------------------------------------------


def test_file_unlinked_while_open_goes_on_working_unseen(folder: bytes) -> None:
    path = os.path.join(folder, b"file")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"0123456789")
    os.unlink(path)
    assert os.listdir(folder) == []
    assert os.fstat(descriptor).st_size == 10
    os.ftruncate(descriptor, 5)
    os.pwrite(descriptor, b"X", 7)
    os.fchmod(descriptor, 0o600)
    os.utime(descriptor, ns=(1, 2))
    assert os.pread(descriptor, 100, 0) == b"01234\0\0X"
    status = os.fstat(descriptor)
    assert (status.st_mode, status.st_nlink, status.st_mtime_ns) == (stat.S_IFREG | 0o600, 0, 2)
    write_file(path, b"another")
    assert os.pread(descriptor, 100, 0) == b"01234\0\0X"
    os.close(descriptor)
    assert read_file(path) == b"another"


def test_file_replaced_while_open_keeps_its_content(folder: bytes) -> None:
    old, new = os.path.join(folder, b"old"), os.path.join(folder, b"new")
    write_file(old, b"old content")
    write_file(new, b"new content")
    with open(old, "rb") as file:
        os.rename(new, old)
        assert os.listdir(folder) == [b"old"]
        assert file.read() == b"old content"
    assert read_file(old) == b"new content"


# --- errors --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"broken", b"wrong"])
def test_exception_without_an_errno_is_an_io_error_and_logged_as_bug(own_mount: MemoryMountProcess, name: bytes) -> None:
    path = own_mount.path(name)
    write_file(path, b"x")
    with pytest.raises(OSError, match="Input/output") as caught:
        read_file(path)
    assert caught.value.errno == errno.EIO
    wait_until(lambda: "EVENT UNEXPECTED" in own_mount.log(), "the event", 5)
    assert "Traceback" in own_mount.log()


def test_block_without_good_copy_is_an_io_error_and_no_bug(own_mount: MemoryMountProcess) -> None:
    path = own_mount.path(b"lost")
    write_file(path, b"x")
    with pytest.raises(OSError, match="Input/output"):
        read_file(path)
    assert "ERROR" not in own_mount.log()
    assert "EVENT UNEXPECTED" not in own_mount.log()


def test_missing_name_and_full_folder_have_their_own_errnos(folder: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        os.stat(os.path.join(folder, b"missing"))
    os.makedirs(os.path.join(folder, b"full/inside"))
    with pytest.raises(OSError, match="not empty") as caught:
        os.rmdir(os.path.join(folder, b"full"))
    assert caught.value.errno == errno.ENOTEMPTY
