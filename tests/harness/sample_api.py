"""A service that answers every method with the smallest value of its answer's type, and remembers what it was asked.

Replaces MetaApi and BlockApi where only the wire is tested. A test may set `on_call` to answer, wait or raise otherwise.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import typing
from collections.abc import Callable
from typing import Any, TypeVar, cast

from dfs.core.interfaces import CallContext
from dfs.core.messages.requests import Request
from dfs.core.plain import answer_type

A = TypeVar("A")


def sample(tp: Any) -> Any:
    """Return the smallest value of a type that dfs/core/plain.py can carry: zeros, empty texts, first members."""
    while isinstance(tp, typing.NewType):
        tp = tp.__supertype__
    if typing.get_origin(tp) is tuple:
        items = typing.get_args(tp)
        return () if items[-1] is Ellipsis else tuple(sample(item) for item in items)
    if type(None) in typing.get_args(tp):
        return None
    if issubclass(tp, enum.Enum):
        return next(iter(tp))
    if dataclasses.is_dataclass(tp) or hasattr(tp, "_fields"):
        hints = typing.get_type_hints(tp)
        names = getattr(tp, "_fields", None) or [field.name for field in dataclasses.fields(tp)]
        return tp(**{name: sample(hints[name]) for name in names})
    return tp()


class SampleApi:
    """MetaApi and BlockApi."""

    def __init__(self) -> None:
        self.on_call: Callable[[CallContext, Request[Any]], Any] | None = None
        self._mutex = threading.Lock()
        self._seen: list[tuple[CallContext, Request[Any]]] = []

    @property
    def seen(self) -> list[tuple[CallContext, Request[Any]]]:
        """All calls so far."""
        with self._mutex:
            return list(self._seen)

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Answer as `on_call` says, else with the smallest answer."""
        with self._mutex:
            self._seen.append((ctx, request))
        if self.on_call is not None:
            return cast(A, self.on_call(ctx, request))
        return cast(A, sample(answer_type(type(request))))
