"""Goal: what docs/security.md claims is shown by tests that exist. Method: look for each test that it names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    files = set(re.findall(r"tests/[a-z_/]+\.py", PAGE))
    missing = [file for file in files if not (ROOT / file).exists()]
    assert not missing
    code = "\n".join((ROOT / file).read_text() for file in files)
    names = set(re.findall(r"`(test_[a-z_0-9]+)(?:\.\.\.)?`", PAGE))
    assert names
    assert not [name for name in names if f"def {name}" not in code]
