"""Goal: on a mount with writeback programs get what docs/promises.md says: fsync and close keep everything, a crash of the client
takes at most what waited, errors are told. Method: real mounts, plain system calls, kill -9 of the client, killed servers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.cli.mount_table import is_mounted, unmount
from tests.fuse.test_rules import DOWN
from tests.harness.cluster import Cluster
from tests.harness.program import Program
from tests.harness.waiting import assert_stays, wait_until

CRASHED = "is back, but its former session"
FILL = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
while True:
    os.write(fd, bytes(100_000))
"""
KEEP = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, b"x" * 50_000)
print(flush=True)
input()
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of two servers with a mount that writes back, one with a long age, and a usual one."""
    with Cluster(tmp_path_factory.mktemp("write-back"), n=2) as cluster:
        text = cluster.config_file.read_text()
        cluster.config_file.write_text(text.replace("[mount]\n", "[mount]\nwriteback_age_s = 60\n"))
        cluster.mount(0, "writeback")
        cluster.start(mounts=2)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet(DOWN, CRASHED)


@pytest.fixture
def places(shared: Cluster, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Return a new folder as the mount that writes back, and as the usual one shows it."""
    if not shared.mount(0).is_running():
        if is_mounted(shared.mount(0).path):
            unmount(shared.mount(0).path, lazy=True)
        shared.restart(shared.mount(0))
    one, other = (shared.mount(number).path / request.node.name for number in (0, 1))
    one.mkdir()
    return one, other


def test_writes_wait_for_fsync_and_close_and_are_seen_by_the_mounts_own_programs(places: tuple[Path, Path]) -> None:
    one, other = places
    with (one / "log").open("ab", buffering=0) as log:
        for number in range(1000):
            log.write(b"%099d\n" % number)
        assert (one / "log").stat().st_size == 100_000
        assert (other / "log").stat().st_size == 0
        seen = subprocess.run(["tail", "-n1", one / "log"], check=True, capture_output=True).stdout
        assert seen == b"%099d\n" % 999
        os.fsync(log)
        assert (other / "log").read_bytes() == b"".join(b"%099d\n" % number for number in range(1000))
        log.write(b"end")
    assert (other / "log").read_bytes().endswith(b"end")


def test_file_opened_with_o_sync_is_stored_at_each_write(places: tuple[Path, Path]) -> None:
    one, other = places
    fd = os.open(one / "file", os.O_WRONLY | os.O_CREAT | os.O_SYNC)
    try:
        for text in (b"first", b"second"):
            os.pwrite(fd, text, 0)
            assert (other / "file").read_bytes() == text
    finally:
        os.close(fd)


def test_mapping_and_write_show_each_other(places: tuple[Path, Path]) -> None:
    one, other = places
    program = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"a" * 10000, 0)
with mmap.mmap(fd, 10000) as pages:
    os.pwrite(fd, b"b" * 10, 5000)
    assert pages[4999:5011] == b"a" + b"b" * 10 + b"a", pages[4999:5011]
    pages[100:104] = b"page"
    pages.flush()
    assert os.pread(fd, 6, 99) == b"apagea"
os.close(fd)
"""
    subprocess.run([sys.executable, "-c", program, one / "file"], check=True, timeout=60)
    assert (other / "file").read_bytes() == b"a" * 100 + b"page" + b"a" * 4896 + b"b" * 10 + b"a" * 4990


def test_client_that_is_killed_loses_nothing_that_was_fsynced_or_closed_and_at_most_what_waited(
    shared: Cluster, places: tuple[Path, Path]
) -> None:
    one, other = places
    (one / "closed").write_bytes(b"closed" * 5000)
    fd = os.open(one / "synced", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"synced;" * 1000)
    os.fsync(fd)
    os.write(fd, b"waits;" * 1000)
    shared.mount(0).kill()
    with pytest.raises(OSError, match="not connected"):
        os.close(fd)
    assert (other / "closed").read_bytes() == b"closed" * 5000
    assert (other / "synced").read_bytes() == b"synced;" * 1000


def test_full_buffer_holds_writers_up_while_a_server_is_away_and_they_can_be_killed(
    shared: Cluster, places: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = places
    shared.data(1).kill()
    try:
        writer = subprocess.Popen([sys.executable, "-c", FILL, str(one / "file")])
        wait_until(lambda: (one / "file").exists() and (one / "file").stat().st_size > 7 << 20, "the buffer to be full", 60)
        assert_stays(lambda: (one / "file").stat().st_size <= 8 << 20, "the writer to wait", 1.0)
        assert writer.poll() is None
        began_s = time.monotonic()
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(5) == -signal.SIGKILL
        assert time.monotonic() - began_s < 3
    finally:
        shared.restart(shared.data(1))
    shown = (one / "file").stat().st_size
    wait_until(lambda: (other / "file").stat().st_size == shown, "what waited to be stored", 60)


def test_unmount_stores_what_waits(shared: Cluster, places: tuple[Path, Path]) -> None:
    one, other = places
    command = [sys.executable, "-c", KEEP, str(one / "file")]
    keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    keeper.stdout.readline()
    mount: Program = shared.mount(0)
    assert mount.stop() == 0  # the file is still open: it is unmounted under its user
    keeper.kill()
    keeper.wait(10)
    keeper.stdout.close()
    assert (other / "file").read_bytes() == b"x" * 50_000
