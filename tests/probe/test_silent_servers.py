"""Goal: a data server that is dead or hangs holds reads up once and shortly, never once per call; and both are told in one line.
Method: a real mount; servers are killed and paused (SIGSTOP). Bounds are best of three, against the same read before the fault.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.program import Program
from tests.harness.waiting import wait_until

CONTENT = os.urandom(128 << 10)
DEAD_EXTRA_S_MAX = 0.1
SILENT_S_MAX = 2.0


def read_s(path: Path) -> float:
    """Return how long a read of all of the file takes, past the kernel's pages."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began_s = time.monotonic()
        assert file.read() == CONTENT
        return time.monotonic() - began_s


def count(program: Program, pattern: str) -> int:
    return len(re.findall(pattern, program.log_text()))


def test_reads_with_a_dead_server_take_hardly_longer_and_are_told_of_once(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("reading from the other copies", "the last stop was not clean")
    before_s = min(read_s(path) for _ in range(3))
    cluster.data(1).kill()
    reads_s = [read_s(path) for _ in range(12)]  # the first ones, and those after backoffs, are among them
    assert min(max(reads_s[start::3]) for start in range(3)) < before_s + DEAD_EXTRA_S_MAX
    assert count(cluster.mount(), "server 1 does not answer, reading from the other copies") == 1
    cluster.restart(cluster.data(1))
    wait_until(lambda: read_s(path) > 0 and count(cluster.mount(), "server 1 answers again") == 1, "the outage to end")
    assert count(cluster.mount(), "server 1 does not answer, reading from the other copies") == 1


def test_server_that_hangs_holds_up_one_read_once_for_at_most_two_seconds(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("reading from the other copies")
    before_s = min(read_s(path) for _ in range(3))
    cluster.data(2).pause()
    assert read_s(path) < SILENT_S_MAX + before_s
    until_s = time.monotonic() + 6  # longer than every backoff: the tries in between must not be felt
    reads_s = []
    while time.monotonic() < until_s:
        reads_s.append(read_s(path))
    assert sorted(reads_s)[-3] < before_s + DEAD_EXTRA_S_MAX
    assert max(reads_s) < SILENT_S_MAX / 2
    cluster.data(2).resume()
    wait_until(lambda: read_s(path) > 0 and count(cluster.mount(), "server 2 answers again") == 1, "the outage to end")
    assert count(cluster.mount(), "server 2 does not answer, reading from the other copies") == 1


def test_read_while_both_servers_of_a_block_hang_waits_and_goes_on(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("reading from the other copies")
    cluster.data(1).pause()
    cluster.data(2).pause()
    reader = read_command(path)
    cluster.mount().wait_for_log("server 2 does not answer")
    cluster.data(1).resume()
    cluster.data(2).resume()
    assert reader.communicate(timeout=30)[0] == CONTENT


def test_meta_server_down_makes_operations_wait_and_is_told_once_at_start_and_end(cluster: Cluster) -> None:
    mount = cluster.mount()
    # Folders of their own: the kernel makes whoever makes a name in a folder wait for the one before him, and no signal ends that.
    for name in ("first", "second"):
        (mount.path / name).mkdir()
    cluster.allow("waiting for meta-server", "the last stop was not clean")
    cluster.meta.kill()
    commands = [["mkdir", f"{mount.path}/first/a"], ["mkdir", f"{mount.path}/second/b"], ["ls", f"{mount.path}"]]
    waiting = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    mount.wait_for_log("waiting for meta-server")
    waiting[1].terminate()
    assert waiting[1].wait(5) != 0
    assert [process.poll() for process in (waiting[0], waiting[2])] == [None, None]
    cluster.restart(cluster.meta)
    assert [waiting[0].wait(30), waiting[2].wait(30)] == [0, 0]
    assert (mount.path / "first/a").is_dir()
    mount.wait_for_log("answers again after")
    assert count(mount, "waiting for meta-server") == 1
    assert count(mount, "answers again after") == 1


def read_command(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["dd", f"if={path}", "iflag=direct", "bs=1M", "status=none"], stdout=subprocess.PIPE)
