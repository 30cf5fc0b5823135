"""Goal: `make bench-peers` measures every file system it was asked for, says what it can't have, and leaves nothing behind.

Method: runs of next to nothing with dfs and the null file system, which every machine has; nothing is said of how fast they are.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.file_loads import Rate
from tests.bench.measuring import Cpu, Measured
from tests.bench.peers.comparison import Comparison
from tests.harness.leftovers import find_mounts
from tests.harness.program import ROOT
from tests.harness.waiting import wait_until

DFS_AND_NULL = ("--tiny", "--peers", "none", "--variants", "dfs-2-64k")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.bench.peers", *map(str, arguments)]


def run(*arguments: object, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if path is None else {"PATH": path})
    return subprocess.run(command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def processes_below(folder: Path) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if str(folder) in words:
            found.append(words)
    return found


def test_comparison_without_peers_measures_the_wanted_lines_of_both(tmp_path: Path) -> None:
    result = run(*DFS_AND_NULL, "--rounds", 1, "--lines", "appending,list", "--json", tmp_path / "all.json", "--folder", tmp_path)
    assert result.returncode == 0, result.stderr
    lines = json.loads((tmp_path / "all.json").read_text())["lines"]
    assert {line["line"] for line in lines} == {"100-byte append", "cold list with attributes"}
    assert all(len(line["values"]["dfs-2-64k"]) == len(line["values"]["null"]) == 1 for line in lines)
    assert all(line["ratios"]["dfs-2-64k"]["null"] > 0 for line in lines)
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.json"]
    assert not find_mounts(tmp_path)


def test_comparison_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    arguments = command(*DFS_AND_NULL, "--rounds", 1000, "--lines", "append", "--folder", tmp_path)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: b"round 2 " in (tmp_path / "log").read_bytes(), "the second round", 60)
        assert len(processes_below(tmp_path)) > 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
    wait_until(lambda: not processes_below(tmp_path), "all programs to be gone")
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]


def test_comparison_where_no_peer_can_be_installed_says_so_and_succeeds(tmp_path: Path) -> None:
    # A machine with what namespaces need, and neither the peers nor apt-get.
    for name in ("setpriv", "unshare", "ip", "mount", "true"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    result = run("--tiny", "--folder", tmp_path, path=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "without moosefs: no mfsmaster" in result.stdout
    assert "without glusterfs: no glusterd" in result.stdout
    assert result.stdout.endswith("nothing is measured: there is none of the peers here\n")


def test_comparison_without_namespaces_says_so_and_succeeds(tmp_path: Path) -> None:
    result = run("--tiny", path=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "nothing is measured: no setpriv, unshare, ip, mount on this machine\n"


@pytest.mark.parametrize(("option", "known"), [("--lines", "fsync"), ("--peers", "moosefs"), ("--variants", "dfs-4-64k")])
def test_comparison_of_something_unknown_names_what_is_known(option: str, known: str) -> None:
    result = run(option, "nonsense")
    assert result.returncode == 2
    assert known in result.stderr
    assert "nonsense" in result.stderr


def test_ratio_is_the_median_of_rounds_not_the_ratio_of_medians() -> None:
    comparison = Comparison(["dfs"], ["null"])
    for own, other in ((1.0, 10.0), (2.0, 4.0), (30.0, 40.0)):
        for name, value in (("dfs", own), ("null", other)):
            comparison.add(name, Measured(Rate("rename", "files/s", value, 1.0), Cpu(1.0, 2.0)))
    assert comparison.ratio("rename", "dfs", "null") == 0.5
    assert comparison.plain()[0]["ratios"] == {"dfs": {"null": 0.5}}
    assert "0.50" in comparison.tables()
