"""The one conversion between typed values and plain ones: what XML-RPC can carry and what a remembered answer is stored as.

Owns the rule below and nothing else. dfs/rpc uses it for parameters and answers, dfs/meta for the answers that it
remembers. It never touches bytes on a wire: dfs/rpc/codec.py writes plain values as XML.

| typed                                      | plain                                                      |
|--------------------------------------------|------------------------------------------------------------|
| int, NewType of it, IntEnum                | int; read back also from a decimal string (design 9)       |
| bool, float, str, bytes, StrEnum           | the same                                                   |
| tuple, NamedTuple                          | list                                                       |
| data class                                 | dict, without the members that are None                    |

Reading is strict: a wrong type, a missing or unknown member, a wrong count or an int outside i64 .. u64 is a BadRequest
that names the place, what was expected and what was got. Converters are made once per type.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar, Union, cast

from dfs.core.errors import BadRequest
from dfs.core.joined_bytes import JoinedBytes
from dfs.core.messages.requests import Request

Plain = int | bool | float | str | bytes | bytearray | memoryview | JoinedBytes | list[Any] | dict[str, Any]
"""What XML-RPC can carry. The three further kinds of buffer stand for bytes: they are written, never read."""

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 64) - 1
"""Ints reach from the lowest i64 to the highest u64."""

A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Any])
Writer = Callable[[Any], Any]
Reader = Callable[[Any], Any]

_SCALARS: Final = (int, bool, float, str, bytes)
_ONLY_INT: Final = {int}
_BUFFERS: Final = (bytes, bytearray, memoryview, JoinedBytes)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NAMES: Final[dict[type, str]] = {
    list: "array",
    tuple: "array",
    dict: "struct",
    bytes: "base64",
    str: "string",
    type(None): "nothing",
}


def _once_per_type(function: F) -> F:
    """Return `function` with its results kept: converters are made once per type."""
    return cast(F, functools.cache(function))


class Parameter(NamedTuple):
    """One field of a request: one positional parameter on the wire."""

    name: str
    plain_type: type
    """int, bool, float, str, bytes, list or dict."""


def to_plain(value: object) -> Plain:
    """Return `value` as plain values.

    Raises: TypeError if a type that the table above does not name is in it (our own bug).
    """
    return cast(Plain, _writer(type(value))(value))


def from_plain(plain: object, tp: type[A]) -> A:
    """Return the value of type `tp` that `plain` stands for.

    Raises: BadRequest if it does not stand for one.
    """
    try:
        return cast(A, _reader(tp)(plain))
    except _Mismatch as mismatch:
        raise mismatch.bad_request("value") from None


def request_parameters(cls: type[Request[Any]]) -> tuple[Parameter, ...]:
    """Return the parameters of a method in their order."""
    return tuple(Parameter(name, plain_type(tp)) for name, tp in _members(cls))


def parameters_of(request: Request[Any]) -> list[Plain]:
    """Return the fields of a request as the positional parameters of its call."""
    return [writer(getattr(request, name)) for name, writer in _field_writers(type(request))]


def request_from_parameters(cls: type[Request[A]], parameters: Sequence[object]) -> Request[A]:
    """Return the request that positional parameters stand for.

    Raises: BadRequest naming the parameter.
    """
    readers = _field_readers(cls)
    if len(parameters) != len(readers):
        names = ", ".join(name for name, _ in readers)
        raise BadRequest(f"expected {len(readers)} parameters ({names}), got {len(parameters)}")
    try:
        return cls(*[reader(value) for (_, reader), value in zip(readers, parameters, strict=True)])
    except _Mismatch:
        raise _first_mismatch(readers, parameters).bad_request("parameters") from None


def make_converters(methods: Iterable[type[Request[Any]]]) -> None:
    """Make what converts these requests and their answers now, so that the first call of each takes no longer than any other."""
    for cls in methods:
        _field_writers(cls)
        _reader(answer_type(cls))


@_once_per_type
def answer_type(cls: type[Request[A]]) -> type[A]:
    """Return the A of a class derived from Request[A] or Change[A]."""
    for base in types.get_original_bases(cls) if hasattr(types, "get_original_bases") else cls.__dict__["__orig_bases__"]:
        origin = typing.get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Request):
            return cast("type[A]", typing.get_args(base)[0])
    raise TypeError(f"{cls.__name__} does not say what it is answered with")


def plain_type(tp: Any) -> type:
    """Return the plain type that stands for `tp`: int, bool, float, str, bytes, list or dict."""
    tp = _without_newtype(tp)
    if typing.get_origin(tp) is tuple:
        return list
    if not isinstance(tp, type):
        raise TypeError(f"{tp!r} has no plain form")
    if issubclass(tp, enum.Enum):
        return type(next(iter(tp)).value)
    if issubclass(tp, tuple):
        return list
    if dataclasses.is_dataclass(tp):
        return dict
    if tp in _SCALARS:
        return tp
    raise TypeError(f"{tp.__name__} has no plain form")


class _Mismatch(Exception):
    """What stood there is not what was expected; the place is added on the way out."""

    def __init__(self, expected: str, got: object) -> None:
        super().__init__()
        self.expected = expected
        self.got = got
        self.place = ""

    def within(self, place: str) -> _Mismatch:
        """Return this, found inside `place`."""
        dot = "." if self.place and not self.place.startswith("[") else ""
        self.place = f"{place}{dot}{self.place}"
        return self

    def bad_request(self, whole: str) -> BadRequest:
        """Return the error; `whole` names the place if it is not inside anything."""
        return BadRequest(f"{self.place or whole}: expected {self.expected}, got {_shown(self.got)}")


def _shown(got: object) -> str:
    """Return a short description of a plain value."""
    kind = _NAMES.get(type(got), type(got).__name__)
    if isinstance(got, str | int | float):
        return f"{kind} {got!r}"[:80]
    if isinstance(got, bytes | list | dict):
        return f"{kind} of {len(got)}"
    return kind


def _without_newtype(tp: Any) -> Any:
    while isinstance(tp, typing.NewType):
        tp = tp.__supertype__
    return tp


@_once_per_type
def _members(cls: type) -> tuple[tuple[str, Any], ...]:
    """Return names and types of the fields of a data class or NamedTuple, in order."""
    hints = typing.get_type_hints(cls)
    fields = getattr(cls, "_fields", None) or tuple(field.name for field in dataclasses.fields(cls))
    return tuple((name, hints[name]) for name in fields)


# --- writing -----------------------------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


@_once_per_type
def _writer(tp: Any) -> Writer:
    """Return what turns a value of type `tp` into plain values."""
    tp = _without_newtype(tp)
    if tp in _SCALARS or tp in _BUFFERS:
        return _same
    if typing.get_origin(tp) is tuple:
        return _tuple_writer(typing.get_args(tp))
    if not isinstance(tp, type):
        raise TypeError(f"{tp!r} has no plain form")
    if tp in (tuple, list):
        return lambda value: [to_plain(item) for item in value]
    if issubclass(tp, enum.Enum):
        return lambda value: value.value
    if issubclass(tp, tuple):
        return _positions_writer([member for _, member in _members(tp)])
    if dataclasses.is_dataclass(tp):
        return _members_writer(tp)
    raise TypeError(f"{tp.__name__} has no plain form")


def _tuple_writer(items: tuple[Any, ...]) -> Writer:
    if len(items) != 2 or items[1] is not Ellipsis:
        return _positions_writer(items)
    writer = _writer(items[0])
    if writer is _same:
        return list
    return lambda value: [writer(item) for item in value]


def _positions_writer(items: Sequence[Any]) -> Writer:
    """Return a writer for a tuple of fixed length: a copy in one step, then only the positions that need converting."""
    writers = [(position, _writer(item)) for position, item in enumerate(items)]
    changed = tuple((position, writer) for position, writer in writers if writer is not _same)
    if not changed:
        return list

    def write(value: Any) -> Any:
        plain = list(value)
        for position, writer in changed:
            plain[position] = writer(plain[position])
        return plain

    return write


@_once_per_type
def _field_writers(cls: type) -> tuple[tuple[str, Writer], ...]:
    return tuple((name, _writer(_optional(tp)[0])) for name, tp in _members(cls))


def _members_writer(cls: type) -> Writer:
    writers = _field_writers(cls)

    def write(value: Any) -> Any:
        return {name: writer(member) for name, writer in writers if (member := getattr(value, name)) is not None}

    return write


def _optional(tp: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None was allowed."""
    if typing.get_origin(tp) in (Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(tp) if kind is not type(None)]
        if len(kinds) == 1:
            return kinds[0], True
    return tp, False


# --- reading -----------------------------------------------------------------------------------------------------------


@_once_per_type
def _reader(tp: Any) -> Reader:
    """Return what checks plain values and turns them into a value of type `tp`."""
    tp = _without_newtype(tp)
    if tp in _SCALAR_READERS:
        return _SCALAR_READERS[tp]
    if typing.get_origin(tp) is tuple:
        items = typing.get_args(tp)
        if len(items) == 2 and items[1] is Ellipsis:
            return _sequence_reader(items[0])
        return _positions_reader([(f"[{number}]", item) for number, item in enumerate(items)], tuple)
    if not isinstance(tp, type):
        raise TypeError(f"{tp!r} has no plain form")
    if issubclass(tp, enum.Enum):
        return _enum_reader(tp)
    if issubclass(tp, tuple):
        return _positions_reader(_members(tp), cast(Any, tp)._make)
    if dataclasses.is_dataclass(tp):
        return _members_reader(tp)
    raise TypeError(f"{tp.__name__} has no plain form")


def _read_int(plain: Any) -> int:
    value: int = plain
    if type(value) is not int:
        if type(plain) is not str or _DECIMAL.fullmatch(plain) is None:
            raise _Mismatch("int", plain)
        value = int(plain)
    if INT_MIN <= value <= INT_MAX:
        return value
    raise _Mismatch("int of 64 bits", plain)


def _read_float(plain: Any) -> float:
    if type(plain) is float:
        return plain
    if type(plain) is int and INT_MIN <= plain <= INT_MAX:
        return float(plain)
    raise _Mismatch("double", plain)


def _exact_reader(tp: type, name: str) -> Reader:
    def read(plain: Any) -> Any:
        if type(plain) is tp:
            return plain
        raise _Mismatch(name, plain)

    return read


_SCALAR_READERS: Final[dict[Any, Reader]] = {
    int: _read_int,
    float: _read_float,
    bool: _exact_reader(bool, "boolean"),
    str: _exact_reader(str, "string"),
    bytes: _exact_reader(bytes, "base64"),
}


def _enum_reader(tp: type[enum.Enum]) -> Reader:
    members: dict[object, enum.Enum] = {member.value: member for member in tp}
    read_value = _SCALAR_READERS[plain_type(tp)]
    expected = "one of " + ", ".join(repr(value) for value in members)

    def read(plain: Any) -> Any:
        member = members.get(read_value(plain))
        if member is None:
            raise _Mismatch(expected, plain)
        return member

    return read


def _sequence_reader(item: Any) -> Reader:
    reader = _reader(item)

    def read(plain: Any) -> Any:
        if type(plain) is not list:
            raise _Mismatch("array", plain)
        try:
            return tuple([reader(value) for value in plain])
        except _Mismatch:
            raise _first_mismatch([(f"[{number}]", reader) for number in range(len(plain))], plain) from None

    return read


def _positions_reader(members: Sequence[tuple[str, Any]], make: Callable[[Any], Any]) -> Reader:
    """Return a reader for a tuple of fixed length.

    Its ints are checked together: most of a listing of 4096 entries is ints, and a call for each would be most of the cost.
    """
    readers = tuple((name, _reader(tp)) for name, tp in members)
    count = len(readers)
    expected = f"array of {count} ({', '.join(name for name, _ in readers)})"
    ints = tuple(position for position, (_, reader) in enumerate(readers) if reader is _read_int)
    others = tuple((position, reader) for position, (_, reader) in enumerate(readers) if reader is not _read_int)
    pick_ints = operator.itemgetter(*ints) if len(ints) > 1 else None

    def read(plain: Any) -> Any:
        if type(plain) is not list or len(plain) != count:
            raise _Mismatch(expected, plain)
        try:
            if pick_ints is None or not _are_ints(pick_ints(plain)):
                return make([reader(value) for (_, reader), value in zip(readers, plain, strict=True)])
            values = list(plain)
            for position, reader in others:
                values[position] = reader(values[position])
            return make(values)
        except _Mismatch:
            raise _first_mismatch(readers, plain) from None

    return read


def _are_ints(values: tuple[Any, ...]) -> bool:
    """Tell whether all are ints within range, so that none needs a reader of its own."""
    return set(map(type, values)) == _ONLY_INT and min(values) >= INT_MIN and max(values) <= INT_MAX


@_once_per_type
def _field_readers(cls: type) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _reader(_optional(tp)[0])) for name, tp in _members(cls))


def _members_reader(cls: type) -> Reader:
    readers = dict(_field_readers(cls))
    fields = dataclasses.fields(cast(Any, cls))
    required = frozenset(field.name for field in fields if field.default is dataclasses.MISSING)

    def read(plain: Any) -> Any:
        if type(plain) is not dict:
            raise _Mismatch(f"struct ({', '.join(readers)})", plain)
        for name in plain.keys() - readers.keys():
            raise _Mismatch("no such member", plain[name]).within(str(name)[:80])
        for name in required - plain.keys():
            raise _Mismatch("a value", None).within(name)
        try:
            return cls(**{name: readers[name](value) for name, value in plain.items()})
        except _Mismatch:
            raise _first_mismatch([(name, readers[name]) for name in plain], list(plain.values())) from None

    return read


def _first_mismatch(readers: Sequence[tuple[str, Reader]], values: Sequence[object]) -> _Mismatch:
    """Return the first mismatch with its place: found again, so that reading what is right costs nothing for it."""
    for (name, reader), value in zip(readers, values, strict=True):
        try:
            reader(value)
        except _Mismatch as mismatch:
            return mismatch.within(name)
    raise AssertionError("a value that did not read now does")
