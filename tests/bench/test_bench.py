"""The bench itself: a run of next to nothing, with real processes, measures every line. Not how fast: that is `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.file_loads import Rate
from tests.bench.report import MARKS, Report
from tests.harness.program import ROOT


def run_bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", "--tiny", "--rounds", "1", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_bench_of_all_lines_measures_each_beside_its_ceiling(tmp_path: Path) -> None:
    result = run_bench("--json", tmp_path / "bench.json", "--folder", tmp_path)
    assert result.returncode == 0, result.stderr
    lines = {line["line"]: line for line in json.loads((tmp_path / "bench.json").read_text())["lines"]}
    assert lines.keys() >= MARKS.keys()
    assert all(line["dfs"] for line in lines.values())
    without_ceiling = {name for name, line in lines.items() if line["ratio"] is None}
    direct = {f"direct {word}, {size} KiB" for word in ("write", "read") for size in (128, 1024)}
    assert without_ceiling == {"write, one call per block", *direct}
    assert all(name in result.stdout for name in lines)
    assert "left behind" not in result.stderr


def test_bench_of_one_line_measures_no_other(tmp_path: Path) -> None:
    result = run_bench("--lines", "appending", "--json", tmp_path / "bench.json", "--folder", tmp_path)
    assert result.returncode == 0, result.stderr
    assert [line["line"] for line in json.loads((tmp_path / "bench.json").read_text())["lines"]] == ["100-byte append"]


def test_bench_with_a_key_measures_each_line_beside_the_one_without(tmp_path: Path) -> None:
    arguments = ("--lines", "appending,wire", "--with", "key", "--json", tmp_path / "bench.json", "--folder", tmp_path)
    result = run_bench(*arguments)
    assert result.returncode == 0, result.stderr
    lines = {line["line"]: line for line in json.loads((tmp_path / "bench.json").read_text())["lines"]}
    assert {"100-byte append", "100-byte append, with key", "put 64 KiB, with key"} <= lines.keys()
    assert all(line["mark"] == 0.9 and line["ratio"] for name, line in lines.items() if name.endswith("with key"))


def test_bench_of_an_unknown_line_names_the_known_ones() -> None:
    result = run_bench("--lines", "nonsense")
    assert result.returncode == 2
    assert "sequential" in result.stderr
    assert "nonsense" in result.stderr


@pytest.mark.parametrize(("rate", "verdict"), [(10.0, "missed by 33%"), (30.0, "met")])
def test_report_of_a_line_with_a_mark_says_by_how_much_it_is_missed(rate: float, verdict: str) -> None:
    report = Report()
    report.add(Rate("sequential write", "MiB/s", rate, 1.0), beside="null", is_ceiling=False)
    report.add(Rate("sequential write", "MiB/s", 100.0, 1.0), beside="null", is_ceiling=True)
    assert verdict in report.table()
