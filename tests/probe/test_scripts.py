"""Goal: the original commands start from a bare checkout in all three ways (R12).
Method: the scripts as processes. `python -S` sees no installed packages and stands for a Python that lacks them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT

SCRIPTS = ["metaserver.py", "dataserver.py", "distributedFS.py"]
PLAIN_PYTHON = f"{sys.base_prefix}/bin/python3"


def run(command: list[str], cwd: Path, environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with `environment` as the checkout's virtual environment."""
    variables = marked_environment() | {"VENV": environment}
    return subprocess.run(command, check=False, cwd=cwd, env=variables, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "python", [[], ["python3"], [PLAIN_PYTHON, "-S"], [sys.executable]], ids=["alone", "python3", "bare", "venv"]
)
def test_script_started_in_any_way_from_any_folder_runs(tmp_path: Path, python: list[str], script: str) -> None:
    done = run([*python, str(ROOT / "scripts" / script), "--version"], tmp_path, sys.prefix)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{script} (dfs) ")


def test_mount_script_without_its_package_says_what_to_do_in_one_line(tmp_path: Path) -> None:
    command = [PLAIN_PYTHON, "-S", str(ROOT / "scripts" / "distributedFS.py"), "mnt", "9000", "9100", "9101"]
    done = run(command, tmp_path, str(tmp_path / "no environment"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("distributedFS.py: expected the Python package fuse or fusepy, got Python ")
    assert "make up" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_with_wrong_arguments_ends_with_2_and_one_line(tmp_path: Path, script: str) -> None:
    done = run([sys.executable, str(ROOT / "scripts" / script), "nonsense"], tmp_path, sys.prefix)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{script}: expected ")
