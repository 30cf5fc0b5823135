"""Goal: a repeated stat needs no call, own changes show at once, and no late answer brings an old state back. Method: a clock that
tests move, and answers that arrive in every order.
"""

from __future__ import annotations

from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.core.ids import Ino, Ticket
from dfs.core.messages.inodes import Attributes, Content, Entry
from dfs.core.placement import Layout
from tests.unit.client.parts import TASKS, ManualClock


def inode(number: int, mode: int = 0o100644) -> Attributes:
    content = Content(Layout(0, 4, 512), 0, (), Ticket(0))
    return Attributes(Ino(number), mode, 1, 0, 0, 0, 0, 0, 0, content)


def make(entries_max: int = 100, timeout_s: float = 1.0) -> tuple[AttributeCache, ManualClock]:
    clock = ManualClock()
    return AttributeCache(clock, TASKS, timeout_s, entries_max), clock


def test_what_was_seen_is_believed_for_the_timeout_and_no_longer() -> None:
    cache, clock = make()
    cache.learn(cache.moment(), inode(5), b"/a")
    clock.now_s += 0.9
    assert cache.attributes_at(b"/a") == inode(5)
    assert cache.attributes_of(Ino(5)) == inode(5)
    clock.now_s += 0.1
    assert cache.attributes_at(b"/a") is None
    assert cache.attributes_of(Ino(5)) is None


def test_timeout_of_zero_believes_nothing() -> None:
    cache, _ = make(timeout_s=0.0)
    cache.learn(cache.moment(), inode(5), b"/a")
    assert cache.attributes_at(b"/a") is None


def test_timeouts_that_change_count_for_what_is_learnt_from_then_on() -> None:
    cache, clock = make(timeout_s=1.0)
    cache.learn(cache.moment(), inode(2), b"/old")
    cache.set_timeouts(5.0, 3.0)
    cache.learn(cache.moment(), inode(3), b"/new")
    clock.now_s += 2.0
    assert (cache.attributes_of(Ino(2)), cache.ino_at(b"/old")) == (None, None)
    assert (cache.attributes_of(Ino(3)), cache.ino_at(b"/new")) == (inode(3), 3)
    clock.now_s += 2.0
    assert (cache.attributes_of(Ino(3)), cache.ino_at(b"/new")) == (inode(3), None)


def test_answer_that_took_longer_than_the_timeout_is_not_believed() -> None:
    cache, clock = make()
    asked = cache.moment()
    clock.now_s += 1.0
    cache.learn(asked, inode(5), b"/a")
    cache.changed(asked, inode(6), b"/b")
    assert cache.attributes_of(Ino(5)) is None
    assert cache.attributes_of(Ino(6)) is None


def test_own_change_through_one_name_shows_under_all() -> None:
    cache, _ = make()
    cache.learn(cache.moment(), inode(5), b"/a")
    cache.learn(cache.moment(), inode(5), b"/b")
    cache.changed(cache.moment(), inode(5, 0o100600))
    assert cache.attributes_at(b"/a") == cache.attributes_at(b"/b") == inode(5, 0o100600)


def test_touched_folder_has_the_new_times_and_no_older_answer_takes_them_back() -> None:
    cache, clock = make()
    cache.learn(cache.moment(), inode(5, 0o040755), b"/d")
    asked = cache.moment()
    clock.now_s += 0.6
    cache.touched(Ino(5), 70)
    cache.touched(Ino(5), 60)
    cache.learn(asked, inode(5, 0o040755), b"/d")
    assert cache.attributes_of(Ino(5)) == inode(5, 0o040755)._replace(mtime_ns=70, ctime_ns=70)
    clock.now_s += 0.4
    assert cache.attributes_of(Ino(5)) is None, "believed for longer than it was"


def test_touched_folder_of_which_nothing_is_known_stays_unknown() -> None:
    cache, _ = make()
    asked = cache.moment()
    cache.touched(Ino(5), 70)
    cache.learn(asked, inode(5, 0o040755))
    assert cache.attributes_of(Ino(5)) is None


def test_answer_asked_for_before_an_own_change_is_not_kept() -> None:
    cache, _ = make()
    asked = cache.moment()
    cache.changed(cache.moment(), inode(5, 0o100600))
    cache.learn(asked, inode(5, 0o100644), b"/a")
    assert cache.attributes_of(Ino(5)) == inode(5, 0o100600)


def test_answer_asked_for_before_a_name_was_removed_does_not_bring_it_back() -> None:
    cache, _ = make()
    asked = cache.moment()
    cache.forget_name(b"/a")
    cache.learn(asked, inode(5), b"/a")
    cache.learn_listing(asked, b"/", [Entry(b"a", inode(5))])
    assert cache.ino_at(b"/a") is None
    cache.learn(cache.moment(), inode(5), b"/a")
    assert cache.ino_at(b"/a") == 5


def test_two_own_changes_under_way_at_once_leave_neither_answer() -> None:
    cache, _ = make()
    first, second = cache.moment(), cache.moment()
    cache.changed(first, inode(5, 0o100600))
    cache.changed(second, inode(5, 0o100640))
    assert cache.attributes_of(Ino(5)) is None


def test_answer_from_before_a_change_is_not_kept_although_the_note_of_the_change_was_evicted() -> None:
    cache, _ = make(entries_max=3)
    asked = cache.moment()
    cache.forget_attributes(Ino(5))
    for number in range(10, 20):
        cache.learn(cache.moment(), inode(number))
    cache.learn(asked, inode(5))
    assert cache.attributes_of(Ino(5)) is None


def test_moved_folder_takes_all_paths_with_it() -> None:
    cache, _ = make()
    cache.learn(cache.moment(), inode(5), b"/folder/a")
    cache.forget_all_names()
    assert cache.ino_at(b"/folder/a") is None
    assert cache.attributes_of(Ino(5)) == inode(5)


def test_cache_is_bounded_and_drops_the_oldest() -> None:
    cache, _ = make(entries_max=10)
    for number in range(1, 30):
        cache.learn(cache.moment(), inode(number), b"/%d" % number)
    assert cache.attributes_at(b"/29") == inode(29)
    assert cache.attributes_at(b"/19") is None
    assert cache.attributes_at(b"/20") == inode(20)


def test_listing_drops_the_oldest_and_keeps_what_it_renews() -> None:
    cache, _ = make(entries_max=10)
    for number in range(1, 11):
        cache.learn(cache.moment(), inode(number), b"/%d" % number)
    cache.learn_listing(cache.moment(), b"/", [Entry(b"%d" % number, inode(number)) for number in (2, 1, 11, 12, 13)])
    believed = [number for number in range(1, 14) if cache.attributes_at(b"/%d" % number) == inode(number)]
    assert believed == [1, 2, 6, 7, 8, 9, 10, 11, 12, 13]
    assert [cache.last_name(Ino(number)) for number in (5, 1)] == [None, b"/1"]


def test_listing_asked_for_before_an_own_change_of_an_inode_leaves_that_and_brings_the_others() -> None:
    cache, _ = make(entries_max=2)
    asked = cache.moment()
    cache.changed(cache.moment(), inode(5, 0o100600))
    cache.learn_listing(asked, b"/", [Entry(b"a", inode(5)), Entry(b"b", inode(6))])
    assert [cache.attributes_of(Ino(number)) for number in (5, 6)] == [inode(5, 0o100600), inode(6)]
    assert cache.ino_at(b"/a") == 5
    cache.learn_listing(cache.moment(), b"/", [Entry(b"c", inode(7)), Entry(b"d", inode(8))])
    cache.learn_listing(asked, b"/", [Entry(b"a", inode(5))])
    assert cache.attributes_of(Ino(5)) is None, "the note of its change was evicted"


# --- for who keeps what is believed ---------------------------------------------------------------------------------------------


def test_what_is_believed_is_told_with_the_time_that_is_left() -> None:
    cache, clock = make(timeout_s=1.0)
    cache.set_timeouts(1.0, 0.5)
    cache.learn(cache.moment(), inode(5), b"1/a")
    clock.now_s += 0.25
    assert cache.believed([(b"1/a", Ino(5)), (b"1/b", Ino(5))]) == [(inode(5), 0.75, 0.25), (inode(5), 0.75, 0.0)]
    clock.now_s += 0.5
    assert cache.believed([(b"1/a", Ino(5))]) == [(inode(5), 0.25, 0.0)]
    clock.now_s += 0.25
    assert cache.believed([(b"1/a", Ino(5))]) == [(None, 0.0, 0.0)]


def test_last_name_of_an_inode_lasts_until_this_mount_takes_it_away() -> None:
    cache, clock = make()
    cache.learn(cache.moment(), inode(5), b"1/a")
    clock.now_s += 100
    assert cache.last_name(Ino(5)) == b"1/a"
    cache.renamed(Ino(5), b"2/b")
    assert cache.last_name(Ino(5)) == b"2/b"
    cache.learn(cache.moment(), inode(5), b"2/c")
    cache.forget_name(b"2/b")
    assert cache.last_name(Ino(5)) == b"2/c"
    cache.forget_name(b"2/c")
    assert cache.last_name(Ino(5)) is None


def test_path_that_begins_at_a_number_is_shown_by_its_names() -> None:
    cache, _ = make()
    cache.learn(cache.moment(), inode(5, 0o040755), b"/d")
    cache.learn(cache.moment(), inode(6, 0o040755), b"5/e")
    cache.learn(cache.moment(), inode(7), b"6/file")
    assert cache.shown_path(b"7") == b"/d/e/file"
    assert cache.shown_path(b"6/other") == b"/d/e/other"
    assert cache.shown_path(b"/plain") == b"/plain"
    assert cache.shown_path(b"99/file") == b"inode 99/file"


def test_folders_that_are_said_to_stand_in_each_other_are_shown_all_the_same() -> None:
    cache, _ = make()
    cache.learn(cache.moment(), inode(5, 0o040755), b"6/a")
    cache.learn(cache.moment(), inode(6, 0o040755), b"5/b")
    assert cache.shown_path(b"5/file").endswith(b"/a/file")


def test_number_alone_is_the_inode_whatever_is_known_of_it() -> None:
    cache, _ = make()
    assert cache.ino_at(b"57") == 57
