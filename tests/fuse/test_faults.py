"""Goal: programs on the mount notice no more of a fault than that they wait, and nothing acknowledged is lost or changed.

Method: real programs (cp, tar, diff) work on a real mount while servers are killed with SIGKILL and bytes on disk are flipped.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs.core.ids import BlockNo
from dfs.core.placement import Role
from tests.fuse.test_rules import DOWN, drop_kernel_cache, layout_of, settle_in_place, strip
from tests.harness.cluster import Cluster
from tests.harness.program import ROOT, Program
from tests.harness.waiting import wait_until

START_ROUNDS = 50
TREE = ("dfs", "tests", "docs", "README.md", "Makefile")
"""Parts of this repository that serve as the source tree to copy."""


def make_tree(folder: Path) -> Path:
    """Make a source tree with text, a large binary file, links, empty files and odd names."""
    tree = folder / "tree"
    tree.mkdir()
    for part in TREE:
        subprocess.run(["cp", "-a", str(ROOT / part), str(tree)], check=True)
    (tree / "large").write_bytes(os.urandom(3_000_000))
    (tree / "empty").touch()
    (tree / "name with spaces and \u00e4").write_text("x")
    (tree / "symlink").symlink_to("large")
    (tree / "script").write_text("#!/bin/sh\n")
    (tree / "script").chmod(0o755)
    return tree


def entries_of(folder: Path) -> int:
    """Return how many names are below a folder."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def same(one: Path, other: Path) -> bool:
    """Tell whether two trees hold the same names and bytes."""
    compared = subprocess.run(["diff", "-r", "--no-dereference", str(one), str(other)], check=False, capture_output=True)
    return compared.returncode == 0


def test_source_tree_copied_in_and_out_is_the_same_also_after_a_full_restart(cluster: Cluster, tmp_path: Path) -> None:
    tree, root = make_tree(tmp_path), cluster.mount().path
    subprocess.run(["cp", "-a", str(tree), str(root / "copy")], check=True)
    assert same(tree, root / "copy")
    cluster.stop()
    cluster.start(mounts=1)
    assert same(tree, root / "copy")
    subprocess.run(["cp", "-a", str(root / "copy"), str(tmp_path / "back")], check=True)
    assert same(tree, tmp_path / "back")
    assert (root / "copy" / "script").stat().st_mode & 0o777 == 0o755
    assert (root / "copy" / "large").stat().st_mtime_ns == (tree / "large").stat().st_mtime_ns
    subprocess.run(["rm", "-r", str(root / "copy")], check=True)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("victim", range(4))
def test_copy_goes_on_after_each_data_server_in_turn_is_killed_and_restarted(cluster: Cluster, tmp_path: Path, victim: int) -> None:
    source, target = tmp_path / "source", cluster.mount().path / "target"
    source.write_bytes(os.urandom(24_000_000))
    copy = subprocess.Popen(["cp", str(source), str(target)])
    try:
        wait_until(lambda: target.exists() and target.stat().st_size > 1_000_000, "the copy to be under way")
        cluster.data(victim).kill()
        cluster.mount().wait_for_log(f"writing waits for server {victim}")
        assert copy.poll() is None
        cluster.restart(cluster.data(victim))
        assert copy.wait(60) == 0
    finally:
        copy.kill()
        copy.wait()
    drop_kernel_cache()
    assert same(source, target)
    cluster.allow(DOWN)


def test_both_copies_of_a_block_flipped_is_eio_and_one_log_line_and_the_rest_reads(cluster: Cluster) -> None:
    path = cluster.mount().path / "doubly-damaged"
    content = os.urandom(512 * 300)
    path.write_bytes(content)
    settle_in_place(cluster)
    layout, ino, bad = layout_of(cluster, b"/doubly-damaged"), path.stat().st_ino, BlockNo(290)
    for role in Role:
        strip(cluster, layout.server_of(bad, role), ino, role).flip(bad)
    drop_kernel_cache()
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.pread(fd, 512, bad * 512)
        assert os.pread(fd, 512 * 200, 0) == content[: 512 * 200]
        assert os.pread(fd, 100, 299 * 512) == content[299 * 512 : 299 * 512 + 100]
    finally:
        os.close(fd)
    lines = [line for line in cluster.mount().log_text().splitlines() if "no good copy" in line]
    assert lines
    assert all("/doubly-damaged" in line and f"inode {ino}" in line and f"block {bad}" in line for line in lines)
    cluster.allow(DOWN, "no good copy", "does not verify")


def test_meta_server_killed_during_a_tar_extraction_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    tree, root, archive = make_tree(tmp_path), cluster.mount().path, tmp_path / "tree.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tree, "tree")
    extraction = subprocess.Popen(["tar", "-xf", str(archive), "-C", str(root)])
    try:
        for count in (10, 40):
            wait_until(lambda count=count: entries_of(root) > count, f"{count} files to be extracted")  # type: ignore[misc]
            cluster.meta.kill()
            cluster.restart(cluster.meta)
        assert extraction.wait(120) == 0
    finally:
        extraction.kill()
        extraction.wait()
    assert same(tree, root / "tree")
    cluster.allow(DOWN)


def test_mount_waits_while_the_meta_server_is_down_and_says_so_once(cluster: Cluster) -> None:
    root = cluster.mount().path
    cluster.meta.kill()
    touch = subprocess.Popen(["touch", str(root / "later")])
    try:
        cluster.mount().wait_for_log("waiting for meta")
        assert touch.poll() is None
        cluster.restart(cluster.meta)
        assert touch.wait(20) == 0
    finally:
        touch.kill()
        touch.wait()
    assert (root / "later").exists()
    cluster.mount().wait_for_log("answers again")
    assert cluster.mount().log_text().count("waiting for meta") == 1
    cluster.allow(DOWN)


def test_blocked_writer_idles_lets_others_read_and_dies_at_once(cluster: Cluster) -> None:
    root = cluster.mount().path
    other = os.urandom(100_000)
    (root / "other").write_bytes(other)
    (root / "blocked").touch()
    cluster.data(1).kill()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root / "blocked")])
    try:
        cluster.mount().wait_for_log("writing waits for server 1")
        drop_kernel_cache()
        assert (root / "other").read_bytes() == other  # one reader meets the dead server; afterwards it is known
        mount_before, began = cluster.mount().cpu_s(), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 4, "four seconds of waiting")
        assert cluster.mount().cpu_s() - mount_before < 0.4, "a blocked writer must wait, not spin"
        drop_kernel_cache()
        assert (root / "other").read_bytes() == other
        assert writer.poll() is None
        killed = time.monotonic()
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(5) == -signal.SIGKILL
        assert time.monotonic() - killed < 1.0
    finally:
        writer.kill()
        writer.wait()
    cluster.restart(cluster.data(1))
    (root / "blocked").write_bytes(b"afterwards")
    assert (root / "blocked").read_bytes() == b"afterwards"
    cluster.allow(DOWN)


WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.write(fd, os.urandom(128 * 1024))
"""


@pytest.mark.timeout(900)
def test_all_servers_started_at_once_fifty_times(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    root = cluster.mount().path
    for number in range(START_ROUNDS):
        programs: list[Program] = [*(cluster.data(index) for index in range(cluster.n)), cluster.meta, cluster.mount()]
        turn = number % len(programs)
        for program in programs[turn:] + programs[:turn]:
            program.start()
        cluster.mount().wait_ready()
        (root / f"round{number}").write_text(str(number))
        assert [int((root / f"round{earlier}").read_text()) for earlier in range(number + 1)] == list(range(number + 1))
        cluster.stop()
    cluster.allow(DOWN, "waiting for the meta-server")  # while some are up and others not yet
