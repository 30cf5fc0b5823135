"""Goal: a name is called missing only while that is pledged and nothing here may have made it. Method: a clock that tests move, and
changes that begin and end around the answers.
"""

from __future__ import annotations

import pytest

from dfs.client.metadata.whole_folders import FOLDERS_MAX, NAMES_PER_MISS, WholeFolders
from dfs.core.errors import AlreadyExists, Interrupted
from dfs.core.limits import LISTING_ENTRIES_MAX, PLEDGE_S
from tests.unit.client.parts import TASKS, ManualClock


def make(*names: bytes) -> tuple[WholeFolders, ManualClock]:
    clock = ManualClock()
    folders = WholeFolders(clock, TASKS)
    folders.learn(folders.asking(), b"/d", names)
    return folders, clock


def test_name_is_missing_in_a_whole_folder_for_as_long_as_pledged() -> None:
    folders, clock = make(b"there")
    clock.now_s += PLEDGE_S * 0.9
    assert folders.lacks(b"/d", b"x")
    assert not folders.lacks(b"/d", b"there")
    assert not folders.lacks(b"/other", b"x")
    clock.now_s += PLEDGE_S * 0.1
    assert not folders.lacks(b"/d", b"x")


def test_pledge_counts_from_before_it_was_asked_for() -> None:
    folders, clock = make()
    asking = folders.asking()
    clock.now_s += PLEDGE_S
    folders.learn(asking, b"/d", ())
    assert not folders.lacks(b"/d", b"x")


def test_name_that_is_being_added_is_not_missing_and_neither_afterwards() -> None:
    folders, _ = make()
    with folders.adding(b"/d/x"):
        assert not folders.lacks(b"/d", b"x")
    assert not folders.lacks(b"/d", b"x")
    assert folders.lacks(b"/d", b"y")


def test_name_that_could_not_be_added_may_be_there() -> None:
    folders, _ = make()
    with pytest.raises(AlreadyExists), folders.adding(b"/d/x"):
        raise AlreadyExists(b"/d/x")
    assert not folders.lacks(b"/d", b"x")
    assert folders.lacks(b"/d", b"y")


def test_name_that_nobody_knows_to_be_added_or_not_ends_all_knowledge() -> None:
    folders, _ = make()
    with pytest.raises(Interrupted), folders.adding(b"/other/x"):
        raise Interrupted("signal")
    assert not folders.lacks(b"/d", b"y")


def test_names_asked_for_before_a_name_was_added_are_not_kept() -> None:
    folders, _ = make()
    folders.forget(b"/d")
    asking = folders.asking()
    with folders.adding(b"/d/x"):
        pass
    folders.learn(asking, b"/d", ())
    assert not folders.lacks(b"/d", b"y")


def test_names_asked_for_while_one_is_added_have_that_one() -> None:
    folders, _ = make()
    with folders.adding(b"/d/x"):
        folders.learn(folders.asking(), b"/d", ())
        assert not folders.lacks(b"/d", b"x")
        assert folders.lacks(b"/d", b"y")


def test_folder_that_is_gone_or_moved_is_not_known() -> None:
    folders, _ = make()
    asking = folders.asking()
    folders.forget(b"/d")
    assert not folders.lacks(b"/d", b"x")
    folders.learn(asking, b"/d", ())
    assert not folders.lacks(b"/d", b"x")
    folders.learn(folders.asking(), b"/d", ())
    folders.forget_all()
    assert not folders.lacks(b"/d", b"x")


def test_names_are_asked_for_when_missed_ones_have_cost_as_much() -> None:
    folders, _ = make()
    assert [folders.missed(b"/e") for _ in range(8)] == [0, 2 * NAMES_PER_MISS, 0, 4 * NAMES_PER_MISS, 0, 0, 0, 8 * NAMES_PER_MISS]
    assert max(folders.missed(b"/e") for _ in range(1000)) == LISTING_ENTRIES_MAX


def test_names_are_asked_for_again_where_several_were_missing() -> None:
    folders, clock = make(b"a")
    folders.lacks(b"/d", b"x")
    clock.now_s += PLEDGE_S
    assert folders.names_worth(b"/d", b"x") == 0
    folders, clock = make(b"a")
    for name in (b"x", b"y"):
        folders.lacks(b"/d", name)
    clock.now_s += PLEDGE_S
    assert folders.names_worth(b"/d", b"z") == 2 + NAMES_PER_MISS
    assert folders.names_worth(b"/d", b"a") == 0
    folders.not_pledged(b"/d")
    assert folders.names_worth(b"/d", b"z") == 0


def test_folders_that_are_known_are_bounded() -> None:
    folders, _ = make()
    for number in range(FOLDERS_MAX):
        folders.learn(folders.asking(), b"/%d" % number, ())
        folders.missed(b"/%d" % number)
    assert not folders.lacks(b"/d", b"x")
    assert folders.lacks(b"/%d" % (FOLDERS_MAX - 1), b"x")
