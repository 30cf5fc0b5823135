"""Goal: an operator can damage a copy to try repair out, and see where a file's blocks are and how they are.
Method: scripts/corrupt.py and dfsctl ls-blocks against a running cluster with a mount.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.cluster import Cluster
from tests.harness.program import script_command
from tests.probe.test_bad_input import assert_refused, run
from tests.probe.test_dfsctl import dfsctl

LINE = re.compile(r"server (\d+) block (\d+) (primary|secondary) byte (\d+): 0x([0-9a-f]{2}) -> 0x([0-9a-f]{2})\n")
CONTENT = bytes(range(256)) * 40


def corrupt(cluster: Cluster, server: int, path: Path) -> subprocess.CompletedProcess[str]:
    return run(script_command("corrupt.py", cluster.data_ports[server], path), cluster.folder)


def ls_blocks(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
    done = dfsctl("ls-blocks", "--json", *arguments)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def remounted(cluster: Cluster, name: str) -> Path:
    """Return a file's path in a mount that has nothing of it in memory."""
    assert cluster.mount().unmount() == 0
    cluster.restart(cluster.mount())
    return cluster.mount().path / name


def test_corrupt_damages_what_it_says_right_after_a_write_and_a_read_repairs_it(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("does not verify", "was corrupt, repaired")
    done = corrupt(cluster, 1, path)  # at once: the blocks are still in the server's journal
    assert (done.returncode, done.stderr) == (0, "")
    match = LINE.fullmatch(done.stdout)
    assert match is not None, done.stdout
    server, block, role, at = int(match[1]), int(match[2]), match[3], int(match[4])
    assert server == 1
    assert CONTENT[block * 512 + at] == int(match[5], 16) != int(match[6], 16)
    status, ranges = ls_blocks(path)
    assert status == 1
    (bad,) = [found for found in ranges if "corrupt" in (found["primary_state"], found["secondary_state"])]
    assert (bad["first"], bad["last"], bad[role], bad[f"{role}_state"]) == (block, block, 1, "corrupt")
    assert remounted(cluster, "file").read_bytes() == CONTENT
    cluster.mount().wait_for_log(f"block {block}: the {role} copy on server 1 was corrupt, repaired")
    assert ls_blocks(path)[0] == 0


def test_corrupt_of_a_file_of_which_the_server_has_no_block_ends_with_1(cluster: Cluster) -> None:
    path = cluster.mount().path / "small"
    path.write_bytes(b"one block")
    (found,) = ls_blocks(path)[1]
    others = {0, 1, 2, 3} - {found["primary"], found["secondary"]}
    assert_refused(corrupt(cluster, others.pop(), path), 1, "no")
    assert_refused(corrupt(cluster, 0, cluster.mount().path / "none"), 2, "No such file")
    assert_refused(corrupt(cluster, 0, cluster.mount().path), 2, "regular file")
    nobody = run(script_command("corrupt.py", 1, path), cluster.folder)
    assert_refused(nobody, 5, "nobody listening")
    meta = run(script_command("corrupt.py", cluster.meta_port, path), cluster.folder)
    assert_refused(meta, 4, "no data server")
    assert path.read_bytes() == b"one block"


def test_ls_blocks_names_servers_and_generations_by_either_name_of_the_file(cluster: Cluster) -> None:
    folder = cluster.mount().path / "a"
    folder.mkdir()
    path = folder / "b"
    path.write_bytes(CONTENT)
    status, ranges = ls_blocks(path)
    assert status == 0
    assert ls_blocks("dfs:/a/b", "--config", cluster.config_file) == (0, ranges)
    assert ls_blocks("dfs:/a/b", "--meta", cluster.meta_address) == (0, ranges)
    blocks = sorted(number for found in ranges for number in range(found["first"], found["last"] + 1, found["step"]))
    assert blocks == list(range(len(CONTENT) // 512))
    for found in ranges:
        assert found["step"] == 4
        assert found["secondary"] == (found["primary"] + 1) % 4
        assert found["generation"] > 0
    human = dfsctl("ls-blocks", path)
    assert human.returncode == 0
    first = ranges[0]
    assert human.stdout.splitlines()[0] == (
        f"blocks 0-{first['last']} step 4: primary server {first['primary']} ok, "
        f"secondary server {first['secondary']} ok, generation {first['generation']}"
    )


def test_ls_blocks_shows_holes_and_servers_that_are_down(cluster: Cluster) -> None:
    path = cluster.mount().path / "sparse"
    with path.open("wb") as file:
        file.seek(4 * 512)
        file.write(b"x" * 512)
    ranges = ls_blocks(path)[1]
    assert [found["primary_state"] for found in ranges if found["first"] < 4] == ["absent"] * 4
    cluster.data(2).stop()
    status, ranges = ls_blocks(path)
    assert status == 1
    for found in ranges:
        for role in ("primary", "secondary"):
            assert (found[f"{role}_state"] == "unreachable") == (found[role] == 2)


def test_ls_blocks_of_what_is_no_file_of_dfs_ends_with_2(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    for path in (tmp_path / "other", tmp_path / "none", cluster.mount().path):
        assert_refused(dfsctl("ls-blocks", path), 2, "expected")
    gone = dfsctl("ls-blocks", "dfs:/none", "--config", cluster.config_file)
    assert (gone.returncode, gone.stdout, gone.stderr.count("\n")) == (1, "", 1)
    assert "none" in gone.stderr
