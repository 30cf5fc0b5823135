"""Goal: `make bench-growth` compares work beside little and beside much. Method: runs of next to nothing with real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.growth.outcome import Finding
from tests.harness.program import ROOT


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench.growth", "--extent", "tiny", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_growth_of_inodes_and_strips_shows_memory_and_start(tmp_path: Path) -> None:
    result = run("--experiments", "inodes,strips", "--json", tmp_path / "growth.json", "--folder", tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "growth.json").read_text())
    assert {row["what"] for row in found["inodes"]} >= {"meta-server's start", "meta-server's memory, after making them"}
    assert {row["what"] for row in found["strips"]} >= {"data server's start", "data server's memory, after storing them"}
    assert all(row["ratio"] > 0 for rows in found.values() for row in rows)
    assert [entry.name for entry in tmp_path.iterdir()] == ["growth.json"]


def test_growth_of_a_folder_compares_every_call_in_both(tmp_path: Path) -> None:
    result = run("--experiments", "folder", "--json", tmp_path / "growth.json", "--folder", tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "growth.json").read_text())["folder"]
    assert {"create empty file", "stat", "rename", "unlink", "cold list with attributes"} <= {row["what"] for row in rows}


def test_growth_shows_what_mounts_do_together_and_what_a_rebuild_leaves_of_reads(tmp_path: Path) -> None:
    result = run("--experiments", "crowd,rebuild", "--json", tmp_path / "growth.json", "--folder", tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "growth.json").read_text())
    assert {(row["what"], row["much"]) for row in found["crowd"]} >= {("sequential write, all together", "2 mounts")}
    assert [row["what"] for row in found["rebuild"]] == ["sequential write; rebuild", "rebuild", "sequential read"]
    assert all(row["ratio"] > 0 for rows in found.values() for row in rows)


def test_what_prepares_the_namespaces_touches_nothing_outside_of_them(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    result = run("--experiments", "folder", "--inside", tmp_path)
    assert result.returncode == 1
    assert "expected --inside in namespaces of our own" in result.stderr
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_growth_of_something_unknown_names_what_is_known() -> None:
    result = run("--experiments", "nonsense")
    assert result.returncode == 2
    assert "tree" in result.stderr


def test_finding_compares_round_by_round() -> None:
    assert Finding("rename", "files/s", "1 mount", [10.0, 100.0, 10.0], "8 mounts", [5.0, 10.0, 30.0]).ratio() == 0.5
