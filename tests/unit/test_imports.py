"""Goal: the layers of the house hold. Method: read every import and call of dfs/ with ast and compare with the rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "core": {"core"},
    "host": {"host", "core"},
    "rpc": {"rpc", "core"},
    "meta": {"meta", "core"},
    "data": {"data", "core"},
    "client": {"client", "core"},
    "fusefs": {"fusefs", "client", "core"},
    "cli": {"cli", "fusefs", "client", "meta", "data", "host", "rpc", "core"},
}
ROOMS = {
    "meta": {"state": set(), "upkeep": {"state"}, "requests": {"state", "upkeep"}, "exporting": {"state"}},
    "data": {"disk": set(), "blocks": {"disk"}, "rebuild": {"disk", "blocks"}, "scrub": {"disk", "blocks"}},
    "client": {"blocks": set(), "metadata": {"blocks"}, "write_back": {"blocks", "metadata"}},
}
"""Which rooms of its layer a room may look into, besides itself and the layer's settings; what stands before the rooms sees all."""
PURE = {"core", "meta", "data", "client"}
BANNED_MODULES = {
    "threading",
    "time",
    "random",
    "secrets",
    "socket",
    "uuid",
    "subprocess",
    "os",
    "io",
    "pathlib",
    "tempfile",
}
BANNED_MODULES |= {
    "shutil",
    "select",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "queue",
    "datetime",
    "http",
    "pickle",
    "shelve",
}
BANNED_CALLS = {"open", "eval", "exec", "hash", "print", "input"}
SQLITE_HOME = {"dfs/meta/state/database.py", "dfs/meta/state/store.py"}
FUSE_HOME = {"dfs/fusefs/binding.py"}
MODULES = sorted(ROOT.glob("dfs/*/**/*.py"))


def imported(tree: ast.Module) -> list[str]:
    """Return the full names of all modules that a module imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
            if node.module == "dfs":
                names += [f"dfs.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("layer", ROOMS)
def test_rooms_of_a_layer_look_one_way_only(layer: str) -> None:
    rooms: dict[str, set[str]] = ROOMS[layer]
    assert {path.name for path in (ROOT / "dfs" / layer).iterdir() if (path / "__init__.py").exists()} == set(rooms)
    for room, seen in rooms.items():
        for path in (ROOT / "dfs" / layer / room).glob("*.py"):
            for module in imported(ast.parse(path.read_text())):
                parts = module.split(".")
                if parts[:2] == ["dfs", layer]:
                    assert parts[2] in seen | {room, "settings"}, f"{layer}/{room}/{path.name} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_imports_only_what_its_layer_allows(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    layer = name.split("/")[1]
    tree = ast.parse(path.read_text())
    for module in imported(tree):
        parts = module.split(".")
        if parts[0] == "dfs" and len(parts) > 1:
            assert parts[1] in ALLOWED[layer], f"{name} imports {module}"
        if layer in PURE:
            assert parts[0] not in BANNED_MODULES, f"{name} imports {module}"
        assert parts[0] != "sqlite3" or name in SQLITE_HOME, f"{name} imports sqlite3"
        assert parts[0] not in ("fuse", "fusepy") or name in FUSE_HOME, f"{name} imports the FUSE binding"
        assert layer != "core" or parts[0] != "logging", f"{name} logs"
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    if layer in PURE:
        assert not calls & BANNED_CALLS, f"{name} calls {calls & BANNED_CALLS}"


def test_every_layer_has_modules_and_none_is_unknown() -> None:
    assert {path.relative_to(ROOT).parts[1] for path in MODULES} == set(ALLOWED)
