"""Goal: no request to the meta-server comes past the exports because somebody forgot it. Method: compare the tables with all
methods, and look into the types of every request for inode numbers.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from dfs.core.ids import NO_TICKET, Ino, OpId, Ticket
from dfs.core.messages.content import Commit
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.names import Open
from dfs.core.messages.requests import Change, Request
from dfs.core.messages.sessions import Holding
from dfs.meta.exporting.effects import EFFECTS, Effect, is_change
from dfs.meta.exporting.reach import BASES, NOT_FOR_CLIENTS, NUMBERS, OWN

REQUESTS = list(META_METHODS.values())


def names_an_inode(tp: Any) -> bool:
    """Tell whether an inode's number stands anywhere in a type."""
    if tp is Ino:
        return True
    if isinstance(tp, type) and (dataclasses.is_dataclass(tp) or hasattr(tp, "_fields")):
        return any(names_an_inode(hint) for hint in typing.get_type_hints(tp).values())
    return any(names_an_inode(part) for part in typing.get_args(tp))


def test_effect_of_every_method_is_known() -> None:
    assert set(EFFECTS) == set(REQUESTS)


def test_every_method_that_names_inodes_is_confined() -> None:
    tables: list[set[type[Request[Any]]]] = [set(BASES), set(NUMBERS), set(OWN), set(NOT_FOR_CLIENTS)]
    named = {cls for cls in REQUESTS if names_an_inode(cls)}
    assert set().union(*tables) == named
    assert sum(map(len, tables)) == len(named), "one stands in two tables"
    assert all(EFFECTS[cls] is Effect.ADMINISTERS for cls in NOT_FOR_CLIENTS)
    assert all(EFFECTS[cls] in (Effect.KEEPS, Effect.CHANGES_PERHAPS) for cls in OWN)


@pytest.mark.parametrize("cls", REQUESTS, ids=lambda cls: cls.__name__)
def test_every_inode_field_of_a_request_on_paths_is_a_base(cls: type[Request[Any]]) -> None:
    if cls not in BASES:
        return
    plain = {name for name, hint in typing.get_type_hints(cls).items() if hint is Ino}
    assert plain == set(BASES[cls])


@pytest.mark.parametrize("cls", REQUESTS, ids=lambda cls: cls.__name__)
def test_remembered_change_is_a_change_or_keeps_what_is_the_sessions_own(cls: type[Request[Any]]) -> None:
    if issubclass(cls, Change):
        assert EFFECTS[cls] in (Effect.CHANGES, Effect.CHANGES_PERHAPS, Effect.KEEPS)


def test_open_and_commit_are_changes_when_they_are_for_writing() -> None:
    assert is_change(Open(OpId(1), Ino(1), b"x", read=True, write=True))
    assert not is_change(Open(OpId(1), Ino(1), b"x", read=True, write=False))
    assert is_change(Commit(Holding(Ino(2), Ticket(3), 0, 0, dirty=False)))
    assert not is_change(Commit(Holding(Ino(2), NO_TICKET, 0, 0, dirty=False)))
