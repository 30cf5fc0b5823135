"""From the document of a call to the document of its answer: reads, checks, calls the service, writes.

Owns the counters and times of calls per method and the rule what a caller learns of an error: an expected one travels as its
fault, anything else is a bug of this server, logged once with its traceback and answered as ServerFailed. Called by server.py on
the thread of the connection; knows no sockets.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from dfs.core.current_request import WorkingOn
from dfs.core.errors import BadRequest, CallerRefused, DfsError, DiskError, RequestTooLarge, ServerFailed, UnknownMethod
from dfs.core.interfaces import CallContext, raise_if_cancelled
from dfs.core.limits import BODY_BYTES_MAX
from dfs.core.messages.callers import CALLERS
from dfs.core.messages.requests import Request
from dfs.core.meters import OK, CallMeter
from dfs.core.plain import Plain, request_from_parameters, to_plain
from dfs.core.records import Buffer
from dfs.core.start_errors import StartError
from dfs.rpc import codec, introspection
from dfs.rpc.codec import Malformed, Parts
from dfs.rpc.faults import fault_of

logger = logging.getLogger(__name__)

MULTICALL_CALLS_MAX: Final = 64
"""Calls of one system.multicall."""
UNKNOWN: Final = ("unknown",)
"""Counts, as a method, what is no call of a known one."""

A = TypeVar("A")


class Api(Protocol):
    """A service: MetaApi or BlockApi."""

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request."""


class Dispatcher:
    """Answers the calls of one service. Used by all connections at once."""

    def __init__(self, *, name: str, methods: Mapping[str, type[Request[Any]]], api: Api) -> None:
        self._name = name
        self._methods = dict(methods)
        self._api = api
        self._mutex = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._keys = {method: (method,) for method in (*self._methods, *introspection.SYSTEM_METHODS)}
        self.meter = CallMeter(threading.Lock())
        """Of the requests that were answered, by method."""

    @property
    def calls(self) -> dict[str, int]:
        """How often each method was called."""
        with self._mutex:
            return dict(self._calls)

    def answer(self, document: Buffer, ctx: CallContext, on_error: Callable[[Exception], None] = lambda error: None) -> Parts:
        """Carry out the call in `document` and return the document that answers it; `on_error` hears why it failed, if it did.

        Never raises.
        """
        began_s, name, result = time.perf_counter(), "", OK
        with WorkingOn(ctx.request_id):
            try:
                name, parameters = codec.read_request(document)
                logger.debug("%s", name)
                answer = codec.write_answer(self._carry_out(name, parameters, ctx))
                size_bytes = sum(map(len, answer))
                if size_bytes > BODY_BYTES_MAX:
                    raise RequestTooLarge("bytes of the answer", size_bytes, BODY_BYTES_MAX)
            except Exception as error:  # noqa: BLE001 (the one place where a bug of a service ends)
                on_error(error)
                expected = self._expected(error)
                result, answer = type(expected).__name__, codec.write_fault(fault_of(expected, self._name))
                size_bytes = sum(map(len, answer))
            self.meter.note(self._keys.get(name, UNKNOWN), result, time.perf_counter() - began_s, len(document), size_bytes)
            return answer

    def fault(self, error: Exception) -> Parts:
        """Return the document that reports an error; logs it if it is a bug or a failure of this machine."""
        expected = self._expected(error)
        self.meter.note(UNKNOWN, type(expected).__name__, 0.0)
        return codec.write_fault(fault_of(expected, self._name))

    def _expected(self, error: Exception) -> DfsError:
        """Return the error that is told to the caller."""
        if isinstance(error, Malformed):
            return BadRequest(str(error))
        if isinstance(error, DiskError | StartError):
            logger.error("a request failed: %s", error)
        elif not isinstance(error, DfsError):
            logger.error("a request failed, a bug: %r", error, exc_info=error)
            return ServerFailed(self._name, f"a bug, see its log: {type(error).__name__}")
        return error

    def _carry_out(self, name: str, parameters: Sequence[Any], ctx: CallContext) -> Plain:
        with self._mutex:
            self._calls[name if name in self._methods or name in introspection.SYSTEM_METHODS else "unknown"] += 1
        cls = self._methods.get(name)
        if cls is not None:
            kind = ctx.caller.peer.kind
            if kind is not None and kind not in CALLERS[cls]:
                raise CallerRefused(name, kind.value)
            raise_if_cancelled(ctx)
            return to_plain(self._api.call(ctx, request_from_parameters(cls, parameters)))
        match name, parameters:
            case "system.listMethods", []:
                return introspection.list_methods(self._methods)
            case "system.methodHelp", [str(method)]:
                return introspection.help_text(self._methods, method)
            case "system.methodSignature", [str(method)]:
                return introspection.signatures(self._methods, method)
            case "system.multicall", [list(calls)]:
                return self._multicall(calls, ctx)
        if name in introspection.SYSTEM_METHODS:
            raise BadRequest(f"{name}: expected parameters {introspection.SYSTEM_METHODS[name][1][1:]}, got others")
        raise UnknownMethod(name[:100])

    def _multicall(self, calls: list[Any], ctx: CallContext) -> list[Any]:
        if len(calls) > MULTICALL_CALLS_MAX:
            raise RequestTooLarge("calls of a multicall", len(calls), MULTICALL_CALLS_MAX)
        return [self._one_of_many(call, ctx) for call in calls]

    def _one_of_many(self, call: Any, ctx: CallContext) -> Plain:
        try:
            match call:
                case {"methodName": "system.multicall"}:
                    raise BadRequest("expected a call inside system.multicall, got another system.multicall")
                case {"methodName": str(name), "params": list(parameters)}:
                    return [self._carry_out(name, parameters, ctx)]
            raise BadRequest("expected a struct of methodName and params, got something else")
        except Exception as error:  # noqa: BLE001 (one call's failure is a value among the others')
            fault = fault_of(self._expected(error), self._name)
            return {"faultCode": fault.code, "faultString": codec.carryable(fault.text)}
