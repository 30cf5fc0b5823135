"""A server that carries out what it is asked, and then answers nonsense: what the wire lets through, and is not true.

Stands in front of a MetaApi or BlockApi. A third of its answers has one part out of range, cut off or flipped; a third is an error
of any class with fields as nobody means them; the others are honest, so that whoever talks to it gets further. The same seed makes
the same choices.
"""

from __future__ import annotations

import json
import random
import typing
from dataclasses import fields
from typing import Any, Final, TypeVar

from dfs.core.errors import BadAnswer, BadRequest, DfsError
from dfs.core.interfaces import BlockApi, CallContext, MetaApi
from dfs.core.messages.requests import Request
from dfs.core.plain import answer_type, from_plain, to_plain
from dfs.rpc.codec import Fault
from dfs.rpc.faults import CODES, error_of
from tests.harness.hostile_values import NAMES, NUMBERS, TEXTS, out_of_range

A = TypeVar("A")
_OF_TYPE: Final[dict[type, tuple[Any, ...]]] = {
    int: (*NUMBERS, 1 << 200),
    str: TEXTS,
    bytes: tuple(name.decode("latin-1") for name in NAMES),
}


class LyingService:
    """MetaApi and BlockApi."""

    def __init__(self, service: MetaApi | BlockApi, name: str, seed: int) -> None:
        self.lies = 0
        self._service = service
        self._name = name
        self._random = random.Random(seed)

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Do what is asked, and say something else. Raises: what a client makes of such a fault."""
        answer = self._service.call(ctx, request)
        kind = self._random.randrange(3)
        if kind == 0:
            return answer
        self.lies += 1
        if kind == 1:
            raise self._error()
        try:
            return from_plain(self._spoilt(to_plain(answer)), answer_type(type(request)))
        except BadRequest as error:
            raise BadAnswer(self._name, str(error)[:300]) from error

    def _error(self) -> DfsError:
        code, cls = self._random.choice(list(CODES.items()))
        hints = typing.get_type_hints(cls)
        values = {field.name: self._random.choice(_OF_TYPE[hints[field.name]]) for field in fields(cls)}
        return error_of(Fault(code, "a lie\n" + json.dumps(values)), self._name)

    def _spoilt(self, plain: Any) -> Any:
        """Return a plain value of which one part is something else."""
        if isinstance(plain, dict | list) and plain and self._random.random() < 0.9:
            keys = list(plain) if isinstance(plain, dict) else list(range(len(plain)))
            key = self._random.choice(keys)
            spoilt: Any = plain.copy()
            spoilt[key] = self._spoilt(plain[key])
            return spoilt
        if isinstance(plain, bytes) and plain and self._random.random() < 0.7:
            at = self._random.randrange(len(plain))
            return self._random.choice(
                (plain[:at], plain + plain[:at], plain[:at] + bytes([plain[at] ^ 1 << at % 8]) + plain[at + 1 :])
            )
        if isinstance(plain, bool):
            return not plain
        return self._random.choice([*out_of_range(plain), plain])
