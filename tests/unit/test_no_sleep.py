"""Goal: nothing waits by sleeping for a while and hoping. Method: look for calls named sleep in every module of dfs and tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {"dfs/host/clock.py", "tests/harness/waiting.py", "tests/packaging/verifying_load.py"}
"""The services' Clock, the one place in which tests wait, and a load that runs where neither is."""
MODULES = sorted(str(path.relative_to(ROOT)) for folder in ("dfs", "tests", "scripts") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_module_sleeps_only_where_it_may(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    sleeps = [
        call.lineno
        for call in calls
        if (
            isinstance(call, ast.Attribute)
            and call.attr == "sleep"
            and isinstance(call.value, ast.Name)
            and call.value.id == "time"
        )
        or (isinstance(call, ast.Name) and call.id == "sleep")
    ]
    assert bool(sleeps) == (module in ALLOWED), f"lines {sleeps}"
