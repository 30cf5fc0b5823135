"""Goal: a data server whose disk was lost is rebuilt while programs go on (R7), and what is lost for good is told, never made up.

Method: real processes and a real mount; state folders are deleted, servers are killed and restarted, and every file is read back
while each neighbour in turn is dead, so that the rebuilt copy alone answers.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs.core.placement import Layout, Role
from tests.fuse.test_rules import DOWN, drop_kernel_cache, layout_of
from tests.harness.cluster import Cluster
from tests.harness.program import ROOT, module_command
from tests.harness.waiting import wait_until

REBUILT = r"are copied from server|data is lost|no good copy"
"""What a rebuilding server, and a mount that meets what is lost, are expected to say."""
REBUILD_TIMEOUT_S = 60.0


def dfsctl(cluster: Cluster, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = module_command("dfs.cli.dfsctl", *arguments, "--config", cluster.config_file)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)


def server_states(cluster: Cluster) -> list[tuple[str, str]]:
    return [(s["primary"], s["secondary"]) for s in json.loads(dfsctl(cluster, "status", "--json").stdout)["servers"]]


def lose_disk(cluster: Cluster, index: int) -> None:
    """Kill a server and delete its folder."""
    cluster.data(index).kill()
    shutil.rmtree(cluster.state_folder(index))


def wait_rebuilt(cluster: Cluster) -> None:
    wait_until(lambda: dfsctl(cluster, "status").returncode == 0, "all servers to be complete", REBUILD_TIMEOUT_S)


def make_files(root: Path, seed: int = 1) -> dict[Path, str]:
    """Make files of many sizes, some with holes, some truncated, in a tree; return path -> digest."""
    chance = random.Random(seed)
    for number in range(40):
        folder = root / f"folder{number % 4}"
        folder.mkdir(exist_ok=True)
        path = folder / f"file{number}"
        path.write_bytes(chance.randbytes(chance.choice([1, 100, 511, 512, 513, 2000, 5000, 70_000])))
        if number % 5 == 0:
            os.truncate(path, chance.randrange(3000))
        if number % 7 == 0:
            with path.open("r+b") as file:
                file.seek(chance.randrange(200_000))
                file.write(b"after a hole")
    (root / "large").write_bytes(chance.randbytes(3_000_000))
    (root / "removed").write_bytes(b"x" * 10_000)
    (root / "removed").unlink()
    return digests(root)


def digests(root: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file()}


def assert_reads_with_each_neighbour_dead(cluster: Cluster, victim: int, expected: dict[Path, str]) -> None:
    for neighbour in sorted({(victim - 1) % cluster.n, (victim + 1) % cluster.n}):
        cluster.data(neighbour).kill()
        drop_kernel_cache()
        assert digests(cluster.mount().path) == expected, f"with server {neighbour} dead"
        cluster.restart(cluster.data(neighbour))


@pytest.mark.parametrize(("n", "victim"), [(4, 1), (3, 0), (2, 1)])
def test_r7_lost_disk_is_rebuilt_and_serves_alone(make_cluster: Callable[..., Cluster], n: int, victim: int) -> None:
    cluster = make_cluster(n=n)
    cluster.start(mounts=1)
    expected = make_files(cluster.mount().path)
    lose_disk(cluster, victim)
    cluster.restart(cluster.data(victim))
    drop_kernel_cache()
    assert digests(cluster.mount().path) == expected  # while it is being rebuilt
    wait_rebuilt(cluster)
    cluster.data(victim).wait_for_log("primary strips are complete")
    cluster.data(victim).wait_for_log("secondary strips are complete")
    assert_reads_with_each_neighbour_dead(cluster, victim, expected)
    cluster.allow(DOWN, REBUILT)


class Writer:
    """Writes files all the time, and keeps what was acknowledged."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_ending = False
        self._thread = threading.Thread(target=self._run)
        self.written: dict[Path, bytes] = {}

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_ending = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        chance = random.Random(7)
        while not self._is_ending:
            path = self._root / f"busy{chance.randrange(12)}"
            choice = chance.random()
            old = self.written.get(path, b"")
            if choice < 0.15 and old:
                path.unlink()
                del self.written[path]
            elif choice < 0.3 and old:
                size = chance.randrange(len(old))
                os.truncate(path, size)
                self.written[path] = old[:size]
            elif choice < 0.6 and old:
                offset, data = chance.randrange(len(old)), chance.randbytes(700)
                with path.open("r+b") as file:
                    file.seek(offset)
                    file.write(data)
                self.written[path] = old[:offset] + data + old[offset + len(data) :]
            else:
                data = chance.randbytes(chance.randrange(1, 40_000))
                path.write_bytes(data)
                self.written[path] = data


@pytest.mark.parametrize("n", [4, 2])
def test_r7_rebuild_under_write_load_undoes_nothing(make_cluster: Callable[..., Cluster], n: int) -> None:
    cluster = make_cluster(n=n)
    cluster.start(mounts=1)
    root = cluster.mount().path
    kept = make_files(root)
    with Writer(root) as writer:
        wait_until(lambda: len(writer.written) > 5, "the writer to be under way")
        lose_disk(cluster, 1)
        cluster.restart(cluster.data(1))
        wait_rebuilt(cluster)
    expected = kept | {path: hashlib.sha256(data).hexdigest() for path, data in writer.written.items()}
    drop_kernel_cache()
    assert digests(root) == expected
    assert_reads_with_each_neighbour_dead(cluster, 1, expected)
    cluster.allow(DOWN, REBUILT)


def test_r7_neighbour_and_the_server_itself_killed_in_the_middle_of_a_rebuild(cluster: Cluster) -> None:
    root = cluster.mount().path
    expected = make_files(root)
    (root / "huge").write_bytes(os.urandom(24_000_000))
    expected = digests(root)
    lose_disk(cluster, 1)
    cluster.data(2).kill()
    cluster.restart(cluster.data(1))
    cluster.data(1).wait_for_log("copying the primary strips from server 2 waits")
    assert server_states(cluster)[1][0] == "rebuilding"
    assert dfsctl(cluster, "status").returncode == 2  # one rebuilds and its neighbour is dead
    cluster.restart(cluster.data(2))
    cluster.data(1).wait_for_log("copying the primary strips from server 2 goes on|primary strips are copied")
    cluster.data(1).kill()
    cluster.restart(cluster.data(1))
    wait_rebuilt(cluster)
    assert_reads_with_each_neighbour_dead(cluster, 1, expected)
    cluster.allow(DOWN, REBUILT)


def is_readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    return True


def touches(layout: Layout, size_bytes: int, server: int) -> bool:
    """Tell whether a file has a block whose primary copy is on a server."""
    blocks = range(-(-size_bytes // layout.block_size))
    return any(layout.server_of(block, Role.PRIMARY) == server for block in blocks[: layout.servers])  # type: ignore[arg-type]


def test_two_adjacent_lost_disks_are_told_file_by_file_and_never_read_as_zeros(cluster: Cluster) -> None:
    root = cluster.mount().path
    sizes = {root / f"file{number}": 1 + 300 * number for number in range(12)}
    for path, size in sizes.items():
        path.write_bytes(os.urandom(size))
    before = {path: path.read_bytes() for path in sizes}
    for index in (1, 2):
        lose_disk(cluster, index)
    for index in (1, 2):
        cluster.restart(cluster.data(index))
    wait_until(
        lambda: server_states(cluster)[1:3] == [("lost", "complete"), ("complete", "lost")], "both to know", REBUILD_TIMEOUT_S
    )
    drop_kernel_cache()
    expected = {path for path, size in sizes.items() if touches(layout_of(cluster, f"/{path.name}".encode()), size, 1)}
    assert expected
    assert expected != set(sizes)
    assert {path for path in sizes if not is_readable(path)} == expected
    assert all(path.read_bytes() == before[path] for path in sizes.keys() - expected)
    assert dfsctl(cluster, "status").returncode == 2
    listed = dfsctl(cluster, "lost", "--json")
    assert listed.returncode == 1
    assert {root / each["path"][1:] for each in json.loads(listed.stdout)} == expected
    assert len(dfsctl(cluster, "lost").stdout.splitlines()) == len(expected)
    rescued = min(expected)
    rescued.write_bytes(b"written anew")
    assert rescued.read_bytes() == b"written anew"
    assert {root / each["path"][1:] for each in json.loads(dfsctl(cluster, "lost", "--json").stdout)} == expected - {rescued}
    assert dfsctl(cluster, "accept-loss").returncode == 2
    assert dfsctl(cluster, "accept-loss", "--yes").returncode == 0
    wait_rebuilt(cluster)
    assert dfsctl(cluster, "lost").returncode == 0
    assert all(is_readable(path) for path in sizes)
    cluster.allow(DOWN, REBUILT)
