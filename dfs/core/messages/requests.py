"""What a request is: a frozen data class whose fields are the parameters of one XML-RPC method, in order.

The class's docstring is the method's help text; the type named in `Request[...]` is its result. Field types are those
that dfs/core/plain.py can carry: int, bool, str, bytes, enums, NewTypes of these, tuples, NamedTuples and data classes.
dfs/core/messages/meta_methods.py and dfs/core/messages/block_methods.py list all methods of the two services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from dfs.core.ids import OpId

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Request(Generic[Answer_co]):
    """A call to another process, answered with an `Answer_co`."""


@dataclass(frozen=True, slots=True)
class Change(Request[Answer_co]):
    """A changing call to the meta-server: repeating it with the same `op` in the same session has no second effect (I6)."""

    op: OpId


@dataclass(frozen=True, slots=True)
class Done:
    """The answer that carries nothing."""
