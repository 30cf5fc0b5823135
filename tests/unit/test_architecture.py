"""Goal: a reader of ARCHITECTURE.md finds every module, and every link leads somewhere. Method: compare both ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {str(path.relative_to(ROOT / "dfs")) for path in ROOT.glob("dfs/*/**/*.py") if path.name != "__init__.py"}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ROW = re.compile(r"^\| `(\w+/[\w/]+\.py)` \| .+ \|$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


def test_architecture_names_every_module_once_and_no_other() -> None:
    named = ROW.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert sorted(named) == sorted(MODULES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
