"""Goal: the right binding is found, and its absence is said in words that help.

Method: put other modules in the place of the real ones.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType

import pytest

from dfs.core.start_errors import StartError
from dfs.fusefs.binding import MODULE_NAMES, Binding, load_binding


def importer(modules: dict[str, ModuleType | Exception]) -> Callable[[str], ModuleType]:
    """Return an import_module that knows these modules only."""

    def import_module(name: str) -> ModuleType:
        found = modules.get(name, ModuleNotFoundError(name))
        if isinstance(found, Exception):
            raise found
        return found

    return import_module


@pytest.mark.parametrize("name", MODULE_NAMES)
def test_fusepy_is_found_under_either_name(name: str) -> None:
    assert isinstance(load_binding(importer({name: load_real()})), Binding)


def test_debians_own_fuse_module_is_not_taken_for_it() -> None:
    with pytest.raises(StartError, match="no module fusepy, fuse is another binding"):
        load_binding(importer({"fuse": ModuleType("fuse")}))


def test_missing_libfuse_is_named() -> None:
    with pytest.raises(StartError, match=r"expected libfuse 2 .*, got Unable to find libfuse"):
        load_binding(importer({"fusepy": OSError("Unable to find libfuse")}))


def load_real() -> ModuleType:
    """Return the binding that this machine has, under whichever name."""
    return next(importlib.import_module(name) for name in MODULE_NAMES if importlib.util.find_spec(name))
