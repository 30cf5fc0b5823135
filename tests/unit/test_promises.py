"""Goal: every promise to the user is held by tests that exist. Method: names in docs/promises.md against the tests' own."""

from __future__ import annotations

import ast
import re

import pytest

from tests.harness.program import ROOT

ROWS = [
    line
    for line in (ROOT / "docs" / "promises.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| call |", "| event |"))
]
TESTS = {
    node.name
    for file in (ROOT / "tests").rglob("test_*.py")
    for node in ast.walk(ast.parse(file.read_text()))
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row[2:40]))
def test_promise_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(\w+)`", row.split("|")[3])
    assert named
    assert set(named) <= TESTS
