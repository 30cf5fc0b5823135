"""Goal: operators find every kind of event by an id that no other kind has, and its line always renders. Method: look at all."""

from __future__ import annotations

import pkgutil
import re
import string
from importlib import import_module

import pytest

from dfs.core import events
from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.events.copies import NO_GOOD_COPY
from dfs.core.events.event import Event, EventKind
from dfs.core.events.mount import WRITE_WAITS
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex

OWN_FIELDS = {"server", "ino", "path", "block", "generation", "peer"}


def test_ids_and_names_are_unique_and_ids_are_well_formed() -> None:
    assert len({kind.message_id for kind in ALL_KINDS}) == len(ALL_KINDS)
    assert len({kind.name for kind in ALL_KINDS}) == len(ALL_KINDS)
    assert all(re.fullmatch(r"[0-9a-f]{32}", kind.message_id) for kind in ALL_KINDS)


def test_kinds_of_every_module_are_in_the_catalogue_and_named_as_there() -> None:
    modules = [import_module(f"{events.__name__}.{found.name}") for found in pkgutil.iter_modules(events.__path__)]
    kinds = {name: value for module in modules for name, value in vars(module).items() if isinstance(value, EventKind)}
    assert {name: kind.name for name, kind in kinds.items()} == {kind.name: kind.name for kind in ALL_KINDS}


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
def test_line_of_every_kind_renders_with_the_details_that_it_names(kind: EventKind) -> None:
    wanted = {name for _, name, _, _ in string.Formatter().parse(kind.template) if name} - OWN_FIELDS
    event = Event(
        kind,
        server=ServerIndex(3),
        ino=Ino(42),
        path=b"/odd\xff name",
        block=BlockNo(7),
        generation=Generation(9),
        peer="meta",
        details={name: 1.5 if name.endswith("_s") else name for name in wanted},
    )
    assert "{" not in event.message()
    assert set(kind.fields()) <= set(event.fields())


def test_journal_fields_are_those_that_apply_and_odd_names_are_readable() -> None:
    event = Event(ALL_KINDS[0], ino=Ino(42), path=b"/odd\xff", details={"what": "x"})
    assert event.fields() == {"DFS_INO": "42", "DFS_PATH": "/odd\\xff", "DFS_WHAT": "x"}


def test_path_that_is_not_known_is_shown_as_such_where_the_line_names_it() -> None:
    assert Event(NO_GOOD_COPY, ino=Ino(42)).fields()["DFS_PATH"] == "?"
    assert "DFS_PATH" not in Event(WRITE_WAITS, server=ServerIndex(1)).fields()
