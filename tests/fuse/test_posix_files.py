"""Goal: files of every type, holes, times, space, mappings and names behave as programs expect.

Method: system calls on a real mount, looked at through a second one.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.fallocate import COLLAPSE_RANGE, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate


def fails_with(number: int, call: Callable[..., object], *arguments: object) -> None:
    """Check that a system call ends with this errno."""
    with pytest.raises(OSError, match=r".*") as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


# --- fallocate ------------------------------------------------------------------------------------------------------


def test_fallocate_grows_a_file_or_keeps_its_size(folder: Path) -> None:
    with (folder / "file").open("w+b", buffering=0) as file:
        file.write(b"x" * 1000)
        fallocate(file.fileno(), 0, 500, 5000)
        assert os.fstat(file.fileno()).st_size == 5500
        fallocate(file.fileno(), KEEP_SIZE, 0, 100_000)
        assert os.fstat(file.fileno()).st_size == 5500
        fallocate(file.fileno(), 0, 0, 10)
        assert os.pread(file.fileno(), 6000, 0) == b"x" * 1000 + bytes(4500)


def test_fallocate_of_more_than_there_is_fails_at_once(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        for mode in (0, KEEP_SIZE):
            fails_with(errno.ENOSPC, fallocate, file.fileno(), mode, 0, 1 << 49)
        assert os.fstat(file.fileno()).st_size == 0


@pytest.mark.parametrize("mode", [PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE, ZERO_RANGE])
def test_punched_and_zeroed_ranges_read_as_zeros(two_mounts: tuple[Path, Path], mode: int) -> None:
    one, other = two_mounts
    content = os.urandom(10_000)
    (one / "file").write_bytes(content)
    with (one / "file").open("r+b", buffering=0) as file:
        assert os.pread(file.fileno(), 10_000, 0) == content
        fallocate(file.fileno(), mode, 700, 3000)
        expected = content[:700] + bytes(3000) + content[3700:]
        assert os.pread(file.fileno(), 20_000, 0) == expected
        fallocate(file.fileno(), mode, 9_000, 3000)
        expected = expected[:9000] + bytes(1000 if mode & KEEP_SIZE else 3000)
        assert os.pread(file.fileno(), 20_000, 0) == expected
    assert (other / "file").read_bytes() == expected


def test_other_modes_of_fallocate_are_not_supported(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        fails_with(errno.EOPNOTSUPP, fallocate, file.fileno(), COLLAPSE_RANGE, 0, 4096)


def test_punching_a_hole_into_a_hole_writes_nothing(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        os.truncate(file.fileno(), 4 << 20)
        fallocate(file.fileno(), PUNCH_HOLE | KEEP_SIZE, 0, 4 << 20)
        assert os.fstat(file.fileno()).st_blocks == 0


@pytest.mark.parametrize(
    ("mode", "offset", "length"),
    [(0, 10, 100), (0, 10, 9000), (KEEP_SIZE, 0, 9000), (PUNCH_HOLE | KEEP_SIZE, 9000, 100), (ZERO_RANGE, 0, 100)],
)
def test_fallocate_changes_the_time_even_if_it_changes_no_byte(folder: Path, mode: int, offset: int, length: int) -> None:
    with (folder / "file").open("wb") as file:
        file.write(bytes(5000))
        file.flush()
        os.utime(file.fileno(), ns=(1, 1))
        fallocate(file.fileno(), mode, offset, length)
        changed_ns = os.fstat(file.fileno()).st_mtime_ns
        assert changed_ns > 1
    assert (folder / "file").stat().st_mtime_ns == changed_ns


# --- size and space ---------------------------------------------------------------------------------------------------


def test_blocks_of_a_file_are_those_that_were_written(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "full").write_bytes(b"x" * 10_000)
    assert (other / "full").stat().st_blocks == 20
    with (one / "sparse").open("wb", buffering=0) as file:
        os.pwrite(file.fileno(), b"x" * 2048, 0)
        os.pwrite(file.fileno(), b"x" * 1024, 10 << 20)
        assert os.fstat(file.fileno()).st_blocks == 6
    assert (other / "sparse").stat().st_size == (10 << 20) + 1024
    assert (other / "sparse").stat().st_blocks == 6
    assert subprocess.check_output(["du", "-k", other / "sparse"], text=True).split()[0] == "3"
    os.truncate(other / "full", 1 << 20)
    assert (other / "full").stat().st_blocks == 20
    os.truncate(other / "full", 0)
    assert (other / "full").stat().st_blocks == 0


def test_blocks_of_a_sparse_file_are_known_with_a_server_down(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=3)
    cluster.start(mounts=1)
    file = cluster.mount().path / "file"
    with file.open("wb", buffering=0) as opened:
        os.pwrite(opened.fileno(), b"x" * 5120, 1 << 20)
    cluster.allow("data server 1")
    cluster.data(1).kill()
    assert file.stat().st_blocks == 10


def test_file_above_4_gib_keeps_its_bytes_where_they_were_written(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    places = [0, (1 << 32) - 300, 5 << 32, (1 << 40) + 17]
    with (one / "file").open("wb", buffering=0) as file:
        for place in places:
            assert os.pwrite(file.fileno(), b"%d" % place * 20, place) == len(b"%d" % place * 20)
    assert (other / "file").stat().st_size == places[-1] + 20 * len(str(places[-1]))
    with (other / "file").open("rb", buffering=0) as file:
        for place in places:
            assert os.pread(file.fileno(), 20 * len(str(place)), place) == b"%d" % place * 20
        assert os.pread(file.fileno(), 1000, 3 << 32) == bytes(1000)


def test_size_is_seen_at_once_after_the_writer_has_ended(folder: Path) -> None:
    """While the mount gives its grant back, what it has cached of before the write must not come to light."""
    program = "import os, sys; os.pwrite(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'a', int(sys.argv[2]))"
    for number in range(20):
        path, offset = folder / f"file{number}", (2 << 30) + number
        subprocess.run([sys.executable, "-S", "-E", "-c", program, path, str(offset)], check=True)
        assert path.stat().st_size == offset + 1


def test_space_counts_each_disk_once_and_is_half_of_what_is_there(folder: Path, posix_cluster: Cluster) -> None:
    """All servers stand on one disk here."""
    disk, shown = os.statvfs(posix_cluster.folder), os.statvfs(folder)
    total, free = disk.f_blocks * disk.f_frsize / 2, disk.f_bavail * disk.f_frsize / 2
    assert abs(shown.f_blocks * shown.f_frsize - total) < 0.05 * total
    assert abs(shown.f_bavail * shown.f_frsize - free) < 0.05 * total
    assert shown.f_namemax == 255


# --- types and names --------------------------------------------------------------------------------------------------


def test_fifo_socket_and_device_are_made_and_work(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    os.mkfifo(one / "fifo", 0o640)
    assert stat.S_ISFIFO((other / "fifo").stat().st_mode)
    reader = os.open(one / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(one / "fifo", os.O_WRONLY)
    os.write(writer, b"through a fifo")
    assert os.read(reader, 100) == b"through a fifo"
    os.close(reader)
    os.close(writer)
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        try:
            os.chdir(one)  # the whole path is longer than a socket's address may be
            server.bind("socket")
            server.listen()
            client.connect("socket")
        finally:
            os.chdir(here)
        assert stat.S_ISSOCK((other / "socket").stat().st_mode)
    os.mknod(one / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    found = (other / "null").stat()
    assert (stat.S_ISCHR(found.st_mode), found.st_rdev) == (True, os.makedev(1, 3))


def test_names_of_255_arbitrary_bytes_are_kept_and_longer_ones_refused(two_mounts: tuple[Path, Path]) -> None:
    one, other = (os.fsencode(root) for root in two_mounts)
    every_byte = bytes(set(range(1, 256)) - {ord("/")})
    names = [every_byte, b"\xff" * 255, b"a\nb", b" ", b"\xf0\x9f\x90\x8d"]
    for name in names:
        os.close(os.open(one + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert sorted(os.listdir(other)) == sorted(names)
    for name in names:
        os.unlink(other + b"/" + name)
    fails_with(errno.ENAMETOOLONG, os.mkdir, one + b"/" + b"n" * 256)


def test_folder_of_100_000_names_is_listed_whole(make_cluster: Callable[..., Cluster]) -> None:
    """The names are put straight into the stopped meta-server's tables: the listing is what is tested."""
    cluster, count = make_cluster(n=2), 100_000
    cluster.start()
    cluster.meta.stop()
    with sqlite3.connect(cluster.folder / "meta" / "meta.db") as tables:
        (ino,) = tables.execute("SELECT mark FROM counter").fetchone()
        tables.execute("UPDATE counter SET mark = mark + 1, inodes = inodes + 1")
        row = (ino, stat.S_IFIFO | 0o644, count, *(0,) * 12)
        tables.execute(f"INSERT INTO inode VALUES ({', '.join('?' * len(row))})", row)
        tables.executemany("INSERT INTO dentry VALUES (1, ?, ?)", [(b"n%06d" % number, ino) for number in range(count)])
    tables.close()
    cluster.restart(cluster.meta)
    cluster.mount().start()
    cluster.mount().wait_ready()
    assert sorted(os.listdir(cluster.mount().path)) == [f"n{number:06d}" for number in range(count)]


def test_path_may_lead_deeper_than_a_program_can_say_at_once(folder: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        Path("file").write_text("deep")
        assert Path("file").read_text() == "deep"
    finally:
        os.fchdir(here)
        os.close(here)
        subprocess.run(["rm", "-rf", folder / ("d" * 200)], check=True, timeout=60)
    assert os.listdir(folder) == []


# --- attributes -------------------------------------------------------------------------------------------------------


def test_times_are_kept_to_the_nanosecond_and_before_1970(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    for number, (atime_ns, mtime_ns) in enumerate(TIMES_NS):
        (one / f"{number}").touch()
        os.utime(one / f"{number}", ns=(atime_ns, mtime_ns))
        found = (other / f"{number}").stat()
        assert (found.st_atime_ns, found.st_mtime_ns) == (atime_ns, mtime_ns)


TIMES_NS = ((1_234_567_890_123_456_789, 987_654_321_987_654_321), (-1, -1_500_000_001), (0, 1 << 62))


def test_touch_of_one_time_leaves_the_other(folder: Path) -> None:
    file = folder / "file"
    file.touch()
    os.utime(file, ns=(1, 2))
    subprocess.run(["touch", "-m", file], check=True, timeout=60)  # UTIME_OMIT and UTIME_NOW
    assert file.stat().st_atime_ns == 1
    assert file.stat().st_mtime_ns > 2
    os.utime(file, ns=(1, 2))
    subprocess.run(["touch", "-a", "-d", "2020-02-02 02:02:02.123456789 UTC", file], check=True, timeout=60)
    assert (file.stat().st_atime_ns, file.stat().st_mtime_ns) == (1_580_608_922_123_456_789, 2)


def test_reading_does_not_change_atime(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 1000)
    os.utime(folder / "file", ns=(1, 2))
    assert len((folder / "file").read_bytes()) == 1000
    assert (folder / "file").stat().st_atime_ns == 1


def test_access_tells_what_the_caller_may(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "file").chmod(0o640)
    code = "print([os.access('file', mode) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)], os.access('none', os.F_OK))"
    prologue = "import os; os.setgroups([4242]); os.setgid(65534); os.setuid(65534)\n"
    command = [sys.executable, "-c", prologue + code]
    found = subprocess.check_output(command, cwd=folder, text=True, timeout=60)
    assert found == "[True, False, False, False] False\n"
    os.chown(folder / "file", 0, 4242)
    found = subprocess.check_output(command, cwd=folder, text=True, timeout=60)
    assert found == "[True, True, False, False] False\n"


def test_write_by_another_takes_the_set_id_bits_away(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "file").chmod(0o6777)
    code = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.write(os.open('file', os.O_WRONLY), b'x')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=60)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o777


def test_folder_is_synced_with_fsync(folder: Path) -> None:
    (folder / "file").touch()
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


# --- mappings -----------------------------------------------------------------------------------------------------------


def test_shared_mapping_is_read_and_written(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    content = bytearray(os.urandom(300_000))
    (one / "file").write_bytes(content)
    with (one / "file").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert mapped[:] == content
        for at in (0, 4095, 100_000, 299_990):
            mapped[at : at + 10] = content[at : at + 10] = os.urandom(10)
        mapped.flush()
        assert os.pread(file.fileno(), 300_000, 0) == content
    assert (other / "file").read_bytes() == content


def test_private_mapping_leaves_the_file_alone(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 5000)
    with (folder / "file").open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[0:4] = b"mine"
        assert mapped[0:5] == b"minex"
    assert (folder / "file").read_bytes() == b"x" * 5000
