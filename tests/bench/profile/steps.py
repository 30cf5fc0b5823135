"""The steps of an operation that are timed in each program, by the name of the function that takes each.

A span is labelled with its step's name, followed by what the step handles where it handles many kinds: the operation of the
kernel, the request's type. Sizes are those of documents on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple


class Step(NamedTuple):
    """A function that is timed."""

    name: str
    function: str
    """MODULE:NAME or MODULE:CLASS.NAME."""
    kind: Callable[[tuple[Any, ...]], str] | None = None
    """From the positional arguments to what is handled."""
    size: Callable[[tuple[Any, ...], Any], int] | None = None
    """From the positional arguments and the result to bytes on the wire."""


def _type_at(index: int) -> Callable[[tuple[Any, ...]], str]:
    return lambda arguments: type(arguments[index]).__name__


def _call_all(arguments: tuple[Any, ...]) -> str:
    return type(next(iter(arguments[2].values()), None)).__name__


def _sent(_: tuple[Any, ...], result: Any) -> int:
    return sum(map(len, result))


def _received(arguments: tuple[Any, ...], _: Any) -> int:
    return len(arguments[0])


CODEC: Final = (
    Step("write request", "dfs.rpc.codec:write_request", size=_sent),
    Step("read answer", "dfs.rpc.codec:read_answer", size=_received),
    Step("typed answer", "dfs.core.plain:from_plain"),
    Step("plain request", "dfs.core.plain:parameters_of"),
)
CALLS: Final = (
    Step("call meta", "dfs.rpc.client:MetaClient.call", kind=_type_at(2)),
    Step("call data servers", "dfs.rpc.client:DataServersClient.call_all", kind=_call_all),
)
SERVER: Final = (
    Step("answer", "dfs.rpc.dispatch:Dispatcher.answer"),
    Step("read request", "dfs.rpc.codec:read_request", size=_received),
    Step("typed request", "dfs.core.plain:request_from_parameters"),
    Step("plain answer", "dfs.core.plain:to_plain"),
    Step("write answer", "dfs.rpc.codec:write_answer", size=_sent),
)
STEPS: Final[dict[str, tuple[Step, ...]]] = {
    "dfs.cli.mount": (
        Step("fuse", "dfs.fusefs.operations:Operations.__call__", kind=lambda arguments: str(arguments[1])),
        *CALLS,
        *CODEC,
        Step("plan puts", "dfs.client.blocks.put_plan:plan_puts"),
        Step("checksums", "dfs.core.records:run_checksums"),
        Step("replicate", "dfs.client.blocks.replication:Replication.put"),
        Step("write under the grant", "dfs.client.writer:Writer.write"),
        Step("read blocks", "dfs.client.blocks.reader:Reader.read"),
        Step("read or wait for read-ahead", "dfs.client.blocks.read_ahead:ReadAhead.read"),
        Step("split answer", "dfs.client.blocks.copies:split_answer"),
        Step("verify copies", "dfs.client.blocks.copies:take_all"),
        Step("grant", "dfs.client.metadata.grant_calls:GrantCalls.ready"),
        Step("change at meta", "dfs.client.metadata.meta_link:MetaLink.change"),
    ),
    "dfs.cli.data": (
        *SERVER,
        Step("serve", "dfs.data.service:DataService.call", kind=_type_at(2)),
        Step("check put", "dfs.data.blocks.checks:check_put"),
        Step("put", "dfs.data.blocks.writing:Writing.put"),
        Step("get", "dfs.data.blocks.reading:Reading.get"),
        Step("verify records", "dfs.data.blocks.store:Store.verified"),
        Step("write journal", "dfs.data.blocks.store:Store.write_journal"),
        Step("pack records", "dfs.core.records:pack_run"),
        Step("checkpoint", "dfs.data.blocks.checkpoint:Checkpoint.run_if_due"),
    ),
    "dfs.cli.meta": (
        *SERVER,
        Step("serve", "dfs.meta.service:MetaService.call", kind=_type_at(2)),
        Step("transaction and its sync", "dfs.meta.state.store:Store.change"),
        Step("query", "dfs.meta.state.store:Store.read"),
        Step("call data servers", "dfs.rpc.client:DataServersClient.call_all", kind=_call_all),
    ),
}
"""Main module of a program -> its steps."""
