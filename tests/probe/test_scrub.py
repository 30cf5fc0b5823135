"""Goal: an operator has a cluster scrubbed, learns what came of it, and can rely on every copy afterwards.
Method: `dfsctl scrub` against real servers whose files are damaged; then one server after the other is killed and the rest read.
"""

from __future__ import annotations

import re

from dfs.core.ids import BlockNo, Ino
from dfs.core.placement import Role
from tests.harness.cluster import Cluster
from tests.harness.strip_files import StripFile
from tests.probe.test_bad_input import assert_refused
from tests.probe.test_damage_tools import CONTENT, corrupt, ls_blocks, remounted
from tests.probe.test_dfsctl import dfsctl, json_status


def test_scrub_repairs_what_rotted_so_that_every_copy_alone_reads_right(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("does not verify", "repaired by a scrub", "does not answer", "was not clean", "writing waits", "waiting for")
    damaged = {re.sub(" byte .*", "", corrupt(cluster, 1, path).stdout) for _ in range(6)}
    assert ls_blocks(path)[0] == 1
    done = dfsctl("scrub", "--wait", "--config", cluster.config_file)
    assert (done.returncode, done.stderr) == (0, "")
    repaired = [int(count) for count in re.findall(r", (\d+) copies repaired, 0 blocks damaged, 0 not compared", done.stdout)]
    assert len(repaired) == 4
    assert sum(repaired) == len(damaged)
    assert ls_blocks(path)[0] == 0
    for index in (0, 2):  # both neighbours of the one that was damaged
        cluster.data(index).kill()
        assert remounted(cluster, "file").read_bytes() == CONTENT
        cluster.restart(cluster.data(index))
    shown = json_status(cluster)[1]["servers"][1]["scrub"]
    assert shown["on"]
    assert shown["last_pass_ns"] > 0
    assert shown["damaged"] == 0


def test_scrub_of_one_file_with_two_bad_copies_ends_with_1_and_status_says_so(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    ino = Ino(path.stat().st_ino)
    assert dfsctl("scrub", "--path", path, "--wait").returncode == 0
    (one,) = [found for found in ls_blocks(path)[1] if found["first"] == 2]
    cluster.allow("does not verify", "no good copy", "was not clean")
    for role, server in ((Role.PRIMARY, one["primary"]), (Role.SECONDARY, one["secondary"])):
        strip = StripFile(cluster.state_folder(server), ino, role, servers=4, block_size=512)
        cluster.data(server).stop()  # which puts everything in place
        strip.flip(BlockNo(2))
        cluster.restart(cluster.data(server))
    done = dfsctl("scrub", "--path", path, "--wait", "--server", one["primary"])
    assert done.returncode == 1
    assert "1 blocks damaged" in done.stdout
    assert done.stdout.count("\n") == 1
    status, shown = json_status(cluster)
    assert status == 1
    assert f"block 2 of inode {ino}" in shown["servers"][one["primary"]]["state"]
    cluster.data(one["primary"]).wait_for_log(f"inode {ino}.* block 2: no good copy")


def test_scrub_of_what_is_not_there_is_refused(cluster: Cluster) -> None:
    assert_refused(dfsctl("scrub", "--config", cluster.config_file, "--server", "9"), 2, "from 0 to 3")
    assert_refused(dfsctl("scrub", "--config", cluster.config_file, "--path", "dfs:/"), 2, "regular file")
    assert dfsctl("scrub", "--config", cluster.config_file, "--path", "dfs:/none").returncode == 1


def test_scrub_without_waiting_returns_at_once_and_a_dead_server_is_5(cluster: Cluster) -> None:
    done = dfsctl("scrub", "--config", cluster.config_file)
    assert (done.returncode, done.stdout[:20]) == (0, "asked 4 data servers")
    cluster.data(3).stop()
    assert dfsctl("scrub", "--wait", "--config", cluster.config_file).returncode == 5
