"""The user's operation that the present thread works on, by its request identifier, so that each of its log lines can name it.

Set where an operation arrives, dfs/fusefs/operations.py and dfs/rpc/dispatch.py, for as long as it is carried out; read by
dfs/host/journal.py alone. Nothing is ever decided by it: what a call needs to know stands in its CallContext.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final

NO_REQUEST: Final = "-"
"""The request identifier of what a program does by itself."""
_CURRENT: Final = ContextVar("dfs_request", default=NO_REQUEST)


class WorkingOn:
    """`with WorkingOn(ID):` what this thread logs within belongs to the request. A class, for it costs half of a generator."""

    __slots__ = ("_request_id", "_token")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._token: Token[str] | None = None

    def __enter__(self) -> None:
        self._token = _CURRENT.set(self._request_id)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._token is not None
        _CURRENT.reset(self._token)


def current_request() -> str:
    """Return the request that this thread works on, or NO_REQUEST."""
    return _CURRENT.get()
