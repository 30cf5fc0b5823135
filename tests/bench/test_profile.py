"""Goal: `make profile` shows the steps of every program for a line. Method: a run of next to nothing, and py-spy's format."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.profile.figures import figures_of
from tests.bench.profile.sampling import parse_samples
from tests.bench.profile.steps import STEPS
from tests.harness.program import ROOT


def test_profile_of_writing_shows_all_programs_steps_and_bytes(tmp_path: Path) -> None:
    words = ["--line", "write", "--tiny", "--no-samples", "--json", tmp_path / "profile.json", "--folder", tmp_path]
    command = [sys.executable, "-m", "tests.bench.profile", *map(str, words)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    programs = json.loads((tmp_path / "profile.json").read_text())["programs"]
    labels = {kind: {row["label"]: row for row in rows} for kind, rows in programs.items()}
    assert {"fuse write", "call data servers Put", "checksums", "write request"} <= labels["mount"].keys()
    assert {"answer", "serve Put", "write journal"} <= labels["data server"].keys()
    assert {"serve Create", "transaction and its sync"} <= labels["meta-server"].keys()
    sent = labels["mount"]["write request"]["size_bytes"]
    assert sent > 2 * (256 << 10)  # both copies of all bytes
    assert labels["data server"]["read request"]["size_bytes"] <= sent  # meta got the rest


def test_every_step_names_a_function_and_no_two_the_same() -> None:
    for steps in STEPS.values():
        functions = [step.function for step in steps]
        assert len(set(functions)) == len(functions)


def test_figures_leave_out_what_nested_spans_took_and_count_over_programs() -> None:
    one = {"answer": [(10.0, 4.0, 8.0, 3.0, 100)], "idle": []}
    two = {"answer": [(20.0, 6.0, 18.0, 5.0, 50), (30.0, 8.0, 28.0, 7.0, 0)]}
    [row] = figures_of([one, two])
    assert (row.label, row.spans, row.wall_us, row.own_cpu_us, row.own_cpu_us_sum, row.size_bytes) == ("answer", 3, 20, 5, 15, 150)


def test_samples_count_innermost_functions_without_waiting_threads() -> None:
    text = (
        "run (a.py:1);work (x/b.py:7) 3\nrun (a.py:1);work (x/b.py:9) 2\nrun (a.py:1);Condition.wait (lib/threading.py:5) 90\n 4\n"
    )
    assert parse_samples(text) == {"work (b.py)": 5}
