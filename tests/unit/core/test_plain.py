"""Goal: what is sent is what arrives, and what is not ours is refused by name.

Method: every request and answer type of the wire, filled by Hypothesis, goes to plain values and back; then plain values are
spoilt in one place each.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs.core import plain
from dfs.core.cuts import Cut
from dfs.core.errors import BadRequest
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Copy, CopyState, Get, Put, Run
from dfs.core.messages.cluster import MetaStatus, RoleState, Shape, Space
from dfs.core.messages.content import Grant, Opened
from dfs.core.messages.inodes import AttributeChanges, Attributes, Content
from dfs.core.messages.listings import InodeCuts, Listing
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.names import Lookup
from dfs.core.messages.requests import Done, Request
from dfs.core.placement import Layout, Role
from dfs.core.plain import (
    INT_MAX,
    INT_MIN,
    answer_type,
    from_plain,
    parameters_of,
    plain_type,
    request_from_parameters,
    request_parameters,
    to_plain,
)

ALL_METHODS = [*META_METHODS.values(), *BLOCK_METHODS.values()]
PLAIN_SCALARS = (int, bool, float, str, bytes)
ATTRIBUTES = Attributes(Ino(5), 33188, 1, 0, 0, 0, 1, 2, 3, Content(Layout(1, 4, 512), 9, (Cut(5, Ticket(6)),), Ticket(9)))


def values_of(tp: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for any type that the wire carries, derived from its annotations only."""
    while isinstance(tp, typing.NewType):
        tp = tp.__supertype__
    if tp is int:
        return st.integers(INT_MIN, INT_MAX)
    if tp is float:
        return st.floats(allow_nan=False)
    if typing.get_origin(tp) is tuple:
        items = typing.get_args(tp)
        if items[-1] is Ellipsis:
            return st.lists(values_of(items[0]), max_size=3).map(tuple)
        return st.tuples(*map(values_of, items))
    if type(None) in typing.get_args(tp):
        return st.none() | values_of(typing.get_args(tp)[0])
    if isinstance(tp, type) and issubclass(tp, enum.Enum):
        return st.sampled_from(tp)
    if dataclasses.is_dataclass(tp) or hasattr(tp, "_fields"):
        return st.builds(tp, **{name: values_of(hint) for name, hint in typing.get_type_hints(tp).items()})
    return st.from_type(tp)


def is_plain(value: object) -> bool:
    if type(value) is list:
        return all(map(is_plain, value))
    if type(value) is dict:
        return all(type(name) is str and is_plain(member) for name, member in value.items())
    return type(value) in PLAIN_SCALARS


@settings(max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("cls", ALL_METHODS, ids=lambda cls: cls.__name__)
def test_request_of_every_method_comes_back_equal(cls: type[Request[Any]], data: st.DataObject) -> None:
    request = data.draw(values_of(cls))
    parameters = parameters_of(request)
    assert is_plain(parameters)
    assert request_from_parameters(cls, parameters) == request


@settings(max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("tp", {answer_type(cls): None for cls in ALL_METHODS}, ids=lambda tp: tp.__name__)
def test_answer_of_every_method_comes_back_equal(tp: type[Any], data: st.DataObject) -> None:
    answer = data.draw(values_of(tp))
    plain = to_plain(answer)
    assert is_plain(plain)
    back = from_plain(plain, tp)
    assert back == answer
    assert type(back) is type(answer)


def test_enums_and_nested_tuples_come_back_with_their_classes() -> None:
    copy = from_plain(to_plain(Copy(CopyState.CORRUPT, 0, 0, Generation(7))), Copy)
    assert type(copy) is Copy
    assert copy.state is CopyState.CORRUPT
    assert type(from_plain(to_plain(ATTRIBUTES), Attributes).content.cuts[0]) is Cut
    assert from_plain("lost", RoleState) is RoleState.LOST


def test_plain_forms_are_those_of_the_table() -> None:
    assert to_plain(Done()) == {}
    assert to_plain(Shape("c", 4, 512)) == ["c", 4, 512]
    assert to_plain(AttributeChanges(mode=1)) == {"mode": 1, "atime_now": False, "mtime_now": False}
    assert to_plain((Role.PRIMARY, b"x", RoleState.BLANK)) == [1, b"x", "blank"]
    assert type(to_plain(Role.SECONDARY)) is int
    run = Run(Role.SECONDARY, BlockNo(3), 2)
    assert parameters_of(Get(Ino(1), Ticket(2), (), (run,), ())) == [1, 2, [], [[2, 3, 2]], []]


def test_members_that_are_none_are_left_out_and_come_back_as_none() -> None:
    changes = from_plain({"uid": 3}, AttributeChanges)
    assert changes == AttributeChanges(uid=3)


@pytest.mark.parametrize("text", ["0", "-5", "18446744073709551615", "-9223372036854775808"])
def test_int_as_decimal_string_is_accepted(text: str) -> None:
    assert from_plain(text, int) == int(text)
    assert from_plain([text, 1], Cut) == Cut(int(text), Ticket(1))


@pytest.mark.parametrize(
    ("plain", "tp", "message"),
    [
        (True, int, "value: expected int, got bool True"),
        (1, bool, "value: expected boolean, got int 1"),
        ("1_0", int, "value: expected int, got string '1_0'"),
        ("٣", int, "value: expected int, got string '٣'"),
        (" 1", int, "value: expected int, got string ' 1'"),
        (INT_MAX + 1, int, "value: expected int of 64 bits, got int 18446744073709551616"),
        (str(INT_MIN - 1), int, "value: expected int of 64 bits, got string '-9223372036854775809'"),
        ("x", bytes, "value: expected base64, got string 'x'"),
        (b"x", str, "value: expected string, got base64 of 1"),
        ("1", float, "value: expected double, got string '1'"),
        (3, Role, "value: expected one of 1, 2, got int 3"),
        ("good", RoleState, "expected one of 'blank'"),
        ([1, 2, 3], Cut, "value: expected array of 2 (offset, ticket), got array of 3"),
        ({"offset": 1}, Cut, "value: expected array of 2 (offset, ticket), got struct of 1"),
        ([1, "x"], Cut, "ticket: expected int, got string 'x'"),
        ([1, INT_MAX + 1], Cut, "ticket: expected int of 64 bits"),
        ([True, 1], Cut, "offset: expected int, got bool True"),
        ({"mode": 1, "size": 2}, AttributeChanges, "size: expected no such member, got int 2"),
        ([], AttributeChanges, "expected struct (mode, uid"),
        ({"names": b"", "numbers": b"", "more": True}, Listing, "cuts: expected a value, got nothing"),
        ({"names": b"", "numbers": b"", "cuts": [[1]], "more": True}, Listing, "cuts[0]: expected array of 2"),
        ({"names": b"", "numbers": b"", "cuts": "x", "more": True}, Listing, "cuts: expected array, got string 'x'"),
    ],
)
def test_value_of_the_wrong_kind_is_refused_naming_place_expected_and_got(plain: object, tp: type[Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        from_plain(plain, tp)
    assert message in caught.value.reason


def test_mistake_deep_in_an_answer_is_named_with_its_path() -> None:
    plain: Any = to_plain(Opened(ATTRIBUTES, Grant(Ino(5), Ticket(9), ATTRIBUTES.content), is_new=False))
    plain[0][9][0][2] = 5.0
    with pytest.raises(BadRequest, match=r"attributes\.content\.layout\.block_size: expected int, got float 5\.0"):
        from_plain(plain, Opened)
    plain = to_plain(Listing(b"a", b"", (InodeCuts(Ino(5), (Cut(5, Ticket(6)), Cut(6, Ticket(7)))),), more=False))
    plain["cuts"][0][1][1][0] = 5.0
    with pytest.raises(BadRequest, match=r"cuts\[0\]\.cuts\[1\]\.offset: expected int, got float 5\.0"):
        from_plain(plain, Listing)


def test_converters_that_are_made_beforehand_are_all_that_calls_need() -> None:
    readers: Any = plain._reader
    writers: Any = plain._field_writers
    readers.cache_clear()
    writers.cache_clear()
    plain.make_converters(ALL_METHODS)
    before = readers.cache_info().misses, writers.cache_info().misses
    attributes = from_plain(to_plain(ATTRIBUTES), Attributes)
    parameters_of(Lookup(Ino(5), b"x"))
    from_plain(to_plain(Listing(b"", b"", (), more=False)), Listing)
    assert attributes == ATTRIBUTES
    assert (readers.cache_info().misses, writers.cache_info().misses) == before


def test_parameters_of_wrong_count_or_kind_are_refused_by_name() -> None:
    with pytest.raises(BadRequest, match=r"expected 2 parameters \(base, path\), got 1"):
        request_from_parameters(Lookup, [1])
    with pytest.raises(BadRequest, match="path: expected base64, got int 2"):
        request_from_parameters(Lookup, [1, 2])
    with pytest.raises(BadRequest, match=r"segments\[0\]\.role: expected one of 1, 2, got int 9"):
        request_from_parameters(Put, [1, 1, 1, [[9, 0, 1, 1]], b"", b""])


def test_parameters_carry_names_and_types_in_order() -> None:
    assert [(p.name, p.plain_type) for p in request_parameters(Lookup)] == [("base", int), ("path", bytes)]
    assert answer_type(Lookup) is Attributes
    assert plain_type(MetaStatus) is dict
    assert plain_type(tuple[int, ...]) is list
    assert plain_type(RoleState) is str


def test_float_accepts_an_int_and_stays_a_float() -> None:
    value = from_plain(3, float)
    assert type(value) is float


def test_type_without_plain_form_is_our_own_bug() -> None:
    with pytest.raises(TypeError, match="object"):
        to_plain(object())
    with pytest.raises(TypeError):
        from_plain([], list)


def test_buffers_stand_for_bytes_when_written() -> None:
    view = memoryview(b"abc")
    assert to_plain(view) is view
    assert to_plain(Space(1, 2, "d")) == [1, 2, "d"]
