"""Goal: an operator learns with one command whether everything is as it should be, and what can be repaired is.
Method: dfsctl fsck against real servers whose disks and tables the test harms, and while programs write.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness.beside import beside
from tests.harness.cluster import Cluster
from tests.probe.test_damage_tools import corrupt
from tests.probe.test_dfsctl import dfsctl

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    made = make_cluster(n=3)
    made.start(mounts=1)
    return made


def fsck(cluster: Cluster, *options: str) -> tuple[int, Any]:
    done = dfsctl("fsck", "--json", *options, "--config", cluster.config_file)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def findings(shown: Any) -> list[tuple[str, str, int, bool]]:
    return [(found["kind"], found["path"], found["blocks"], found["repaired"]) for found in shown["findings"]]


def forget_strips(cluster: Cluster, index: int) -> None:
    """Have a server lose its strips, in a way that it does not notice."""
    assert cluster.data(index).stop() == 0
    for path in (cluster.state_folder(index) / "strips").glob("*/*"):
        path.unlink()
    cluster.restart(cluster.data(index))


def test_sound_cluster_is_clean_with_holes_links_and_empty_files(cluster: Cluster) -> None:
    folder = cluster.mount().path
    (folder / "file").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    (folder / "second name").hardlink_to(folder / "file")
    with (folder / "sparse").open("wb") as file:
        file.seek(10_000)
        file.write(b"x")
    (folder / "removed").write_bytes(CONTENT)
    (folder / "removed").unlink()
    assert cluster.mount().unmount() == 0
    assert fsck(cluster) == (0, {"result": "clean", "files": 2, "blocks": 20 + 20, "findings": []})
    human = dfsctl("fsck", "--config", cluster.config_file)
    assert human.stdout == "2 files, 40 blocks checked: clean\n"


def test_corrupt_and_missing_copies_are_named_then_repaired_and_the_next_run_is_clean(cluster: Cluster) -> None:
    cluster.allow("does not verify", "was corrupt, repaired", "was absent, repaired", "was older, repaired")
    folder = cluster.mount().path
    (folder / "a").write_bytes(CONTENT)
    (folder / "b").write_bytes(CONTENT)
    forget_strips(cluster, 1)
    (folder / "c").write_bytes(CONTENT)
    assert corrupt(cluster, 0, folder / "c").returncode == 0
    assert cluster.mount().unmount() == 0
    status, shown = fsck(cluster)
    assert status == 2
    found = findings(shown)
    assert {(kind, path) for kind, path, _, _ in found} == {("missing", "/a"), ("missing", "/b"), ("corrupt", "/c")}
    assert not any(repaired for *_, repaired in found)
    assert fsck(cluster) == (status, shown)
    status, shown = fsck(cluster, "--repair")
    assert status == 1
    assert findings(shown) == [(kind, path, blocks, True) for kind, path, blocks, _ in found]
    assert fsck(cluster)[0] == 0
    assert list((cluster.state_folder(0) / "quarantine").iterdir())
    cluster.restart(cluster.mount())
    assert all((folder / name).read_bytes() == CONTENT for name in "abc")


def test_copies_of_a_server_that_went_back_in_time_are_stale_until_repaired(cluster: Cluster) -> None:
    path, strips = cluster.mount().path / "file", cluster.state_folder(1) / "strips"
    path.write_bytes(CONTENT)
    assert cluster.data(1).stop() == 0
    shutil.copytree(strips, cluster.folder / "older")
    cluster.restart(cluster.data(1))
    with path.open("r+b") as file:
        file.write(CONTENT[::-1])
    assert cluster.mount().unmount() == 0
    assert cluster.data(1).stop() == 0
    shutil.rmtree(strips)
    shutil.move(cluster.folder / "older", strips)
    cluster.restart(cluster.data(1))
    status, shown = fsck(cluster)
    assert (status, {kind for kind, *_ in findings(shown)}) == (2, {"stale"})
    status, shown = fsck(cluster, "--repair")
    assert (status, {(kind, repaired) for kind, _, _, repaired in findings(shown)}) == (1, {("stale", True)})
    assert fsck(cluster)[0] == 0
    cluster.restart(cluster.mount())
    assert path.read_bytes() == CONTENT[::-1]


def test_lost_and_gone_blocks_are_left_and_do_not_keep_others_from_being_repaired(cluster: Cluster) -> None:
    cluster.allow("does not verify", "no good copy", "repaired from the other copy")
    folder = cluster.mount().path
    (folder / "gone").write_bytes(CONTENT)
    forget_strips(cluster, 1)
    forget_strips(cluster, 2)
    (folder / "torn").write_bytes(CONTENT)
    for server in (0, 1, 2):
        for _ in range(6):
            assert corrupt(cluster, server, folder / "torn").returncode == 0
    assert cluster.mount().unmount() == 0
    status, shown = fsck(cluster, "--repair")
    assert status == 2
    found = findings(shown)
    assert ("missing", "/gone", 13, True) in found or ("missing", "/gone", 14, True) in found
    assert any((kind, path, repaired) == ("gone", "/gone", False) for kind, path, _, repaired in found)
    assert any((kind, path, repaired) == ("corrupt", "/torn", True) for kind, path, _, repaired in found)
    assert not any(kind in ("gone", "lost") and repaired for kind, _, _, repaired in found)
    left = [one for one in found if not one[3]]
    assert findings(fsck(cluster, "--repair")[1]) == left


def test_strips_of_unknown_inodes_are_extra_until_they_are_in_quarantine_and_never_removed(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    ino = path.stat().st_ino
    assert cluster.mount().unmount() == 0
    harm_tables(
        cluster, f"DELETE FROM dentry WHERE ino = {ino}; DELETE FROM inode WHERE ino = {ino}; UPDATE counter SET inodes = 1"
    )
    extra = {"kind": "extra", "path": "", "ino": ino, "blocks": 0, "first_block": 0}
    status, shown = fsck(cluster)
    assert (status, shown["findings"][0]) == (2, extra | {"repaired": False})
    status, shown = fsck(cluster, "--repair")
    assert (status, shown["findings"][0]) == (1, extra | {"repaired": True})
    assert fsck(cluster)[0] == 0
    assert any((cluster.state_folder(index) / "strips").glob(f"*/{ino:010x}.*") for index in range(cluster.n))


def test_tables_that_contradict_each_other_are_told_and_never_repaired(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    ino = path.stat().st_ino
    assert cluster.mount().unmount() == 0
    harm_tables(cluster, f"UPDATE inode SET nlink = 5 WHERE ino = {ino}")
    for options in ((), ("--repair",)):
        status, shown = fsck(cluster, *options)
        assert status == 2
        assert findings(shown) == [("meta", f"inode {ino} has 5 links and 1 names", 0, False)]


def test_files_being_written_and_removed_are_no_damage(cluster: Cluster) -> None:
    folder = cluster.mount().path

    is_done = threading.Event()

    def write(number: int) -> None:
        with (folder / f"busy{number % 3}").open("r+b" if number >= 3 else "wb") as file:
            file.seek(number % 7 * 1000)
            file.write(CONTENT)
        (folder / f"short{number % 5}").write_bytes(CONTENT[: number % 9 * 700])
        (folder / f"short{number % 5}").unlink()

    def write_until_done() -> int:
        for number in itertools.count():
            write(number)
            if is_done.is_set():
                return number
        raise AssertionError

    writing = beside(write_until_done)
    try:
        for _ in range(4):
            status, shown = fsck(cluster)
            assert (status, shown["findings"]) == (0, [])
    finally:
        is_done.set()
    assert writing.result(30) > 10


def test_server_that_does_not_answer_ends_the_check_with_5(cluster: Cluster) -> None:
    cluster.allow("waiting for meta-server", "waits for server", "does not answer")
    for program, words in ((cluster.data(1), "data server 1"), (cluster.meta, "meta-server")):
        program.stop()
        done = dfsctl("fsck", "--repair", "--config", cluster.config_file)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)
        assert f"{words} at" in done.stderr


def harm_tables(cluster: Cluster, script: str) -> None:
    """Change the meta-server's database behind its back."""
    assert cluster.meta.stop() == 0
    with closing(sqlite3.connect(Path(cluster.folder) / "meta" / "meta.db")) as database:
        database.executescript(script)
    cluster.restart(cluster.meta)
