"""Parameters of a call as nobody means them: of wrong types, out of range, over-long, made from the message classes themselves.

A plain value is a tree; `spoilt` yields copies of it in each of which one leaf, or one branch, is something else.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

from dfs.core.messages.requests import Request

WRONG_TYPES: Final[tuple[Any, ...]] = (
    7,
    True,
    0.5,
    "text",
    "9" * 30,
    b"bytes",
    [],
    [[[[]]]],
    [7, 7],
    {},
    {"unknown": 1},
    1 << 70,
    -(1 << 70),
)
"""One of each type, and numbers that no type of ours holds."""
NUMBERS: Final = (-1, 0, 2, (1 << 31) - 1, 1 << 31, (1 << 40) - 1, 1 << 40, (1 << 50) + 1, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1)
"""Inodes, blocks, servers, tickets, generations, sizes and times at and past every limit."""
NAMES: Final = (
    b"",
    b".",
    b"..",
    b"/",
    b"a/",
    b"/a",
    b"a//b",
    b"a/../b",
    b"a\0b",
    b"\xff\xfe\n",
    b"n" * 256,
    b"d/" * 40_000,
    bytes(70_000),
)
"""Also what stands for packed numbers and block data."""
TEXTS: Final = ("", "..", "x" * 5000, "127.0.0.1:99999", "\N{SNOWMAN}")


def filled(tp: Any, number: int, word: bytes) -> Any:
    """Return a value of a type that dfs/core/plain.py can carry: sequences have one element, numbers and words are as given."""
    while isinstance(tp, typing.NewType):
        tp = tp.__supertype__
    arguments = typing.get_args(tp)
    if typing.get_origin(tp) is tuple:
        if arguments[-1] is Ellipsis:
            return (filled(arguments[0], number, word),)
        return tuple(filled(item, number, word) for item in arguments)
    if type(None) in arguments:
        return filled(next(each for each in arguments if each is not type(None)), number, word)
    if issubclass(tp, enum.Enum):
        return next(iter(tp))
    if dataclasses.is_dataclass(tp) or hasattr(tp, "_fields"):
        return filled_class(tp, number, word)
    return tp(number) if issubclass(tp, int | float) else word if tp is bytes else "text"


def filled_class(tp: Any, number: int, word: bytes) -> Any:
    """Return a data class or NamedTuple with all its fields filled."""
    hints = typing.get_type_hints(tp)
    names = getattr(tp, "_fields", None) or [field.name for field in dataclasses.fields(tp)]
    return tp(**{name: filled(hints[name], number, word) for name in names})


def filled_request(cls: type[Request[Any]], number: int, word: bytes) -> Request[Any]:
    """Return a request of which nothing is empty."""
    request: Request[Any] = filled_class(cls, number, word)
    return request


def spoilt(plain: Any, others: Callable[[Any], Iterator[Any]]) -> Iterator[Any]:
    """Yield copies of a tree of plain values, in each of which one part is one of what `others` has for it."""
    yield from others(plain)
    if isinstance(plain, list):
        for position, item in enumerate(plain):
            for other in spoilt(item, others):
                yield [*plain[:position], other, *plain[position + 1 :]]
    elif isinstance(plain, dict):
        for name, item in plain.items():
            for other in spoilt(item, others):
                yield {**plain, name: other}
            yield {key: value for key, value in plain.items() if key != name}


def of_wrong_type(plain: Any) -> Iterator[Any]:
    """Yield what is of another type than a value, or no value at all."""
    for wrong in WRONG_TYPES:
        if type(wrong) is not type(plain) or wrong in (1 << 70, -(1 << 70)):
            yield wrong


def out_of_range(plain: Any) -> Iterator[Any]:
    """Yield values of the same type that are at or past a limit."""
    if type(plain) is int:
        yield from NUMBERS
    elif type(plain) is bytes:
        yield from NAMES
    elif type(plain) is str:
        yield from TEXTS
    elif type(plain) is list:
        yield []
        if plain:
            yield plain[:1] * 5000
            yield plain[:1] * 2
