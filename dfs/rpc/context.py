"""A CallContext as HTTP headers, so that XML-RPC signatures stay plain.

Owns the headers:

| header             | value                                                       | left out means        |
|--------------------|-------------------------------------------------------------|-----------------------|
| X-DFS-Request      | identifier of the user's operation, 1 .. 64 of [-A-Za-z0-9._:/] | "-"               |
| X-DFS-Session      | number of the client session                                | 0: none               |
| X-DFS-Caller       | uid:gid:g1,g2 (decimal; the groups may be empty)            | nobody                |
| X-DFS-Acknowledged | lowest operation whose answer has not arrived yet           | 0: nothing may be forgotten |
| X-DFS-Deadline     | milliseconds left                                           | no deadline           |
| X-DFS-Server       | CLUSTER/INDEX: the data server that is meant                | whoever answers       |
| X-DFS-Capability   | what the meta-server gave the client (dfs/core/capability.py) | none                |
"""

from __future__ import annotations

import functools
import re
import threading
from dataclasses import replace
from typing import Final, NamedTuple

from dfs.core.errors import BadRequest, EndReason, WrongServer
from dfs.core.ids import NO_OP, NO_SESSION, OpId, SessionId
from dfs.core.interfaces import NOBODY, CallContext, Caller, Clock
from dfs.core.peers import THIS_PROCESS, Peer

_CALLERS_KEPT_MAX: Final = 256
_REQUEST_ID: Final = re.compile(r"[-A-Za-z0-9._:/]{1,64}", re.ASCII)
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
_SERVER: Final = re.compile(rb"([-A-Za-z0-9]{0,64})/([0-9]{1,5})")
_CAPABILITY: Final = re.compile(r"[0-9a-f:]{1,200}", re.ASCII)
_CALLER: Final = re.compile(rb"([0-9]{1,10}):([0-9]{1,10}):((?:[0-9]{1,10}(?:,[0-9]{1,10})*)?)")


class ServerContext(NamedTuple):
    """The context of a call that arrived: ended by the server's stop or by the caller's deadline."""

    request_id: str
    session: SessionId
    caller: Caller
    acknowledged: OpId
    deadline_s: float | None
    clock: Clock
    stopping: threading.Event

    def cancelled(self) -> EndReason | None:
        """Tell whether the server stops or the deadline has passed."""
        if self.stopping.is_set():
            return EndReason.SHUTDOWN
        if self.deadline_s is not None and self.clock.monotonic_s() >= self.deadline_s:
            return EndReason.DEADLINE
        return None


def write_headers(ctx: CallContext, now_s: float, server: str = "") -> bytes:
    """Return the header lines of a call, each with its line end. `server`: CLUSTER/INDEX, or empty for the meta-server.

    A data server keeps no sessions and knows no users: it is not told of them.

    Raises: BadRequest if the request identifier has no header form.
    """
    if _REQUEST_ID.fullmatch(ctx.request_id) is None:
        raise BadRequest(f"request id: expected 1 to 64 of [-A-Za-z0-9._:/], got {ctx.request_id!r}"[:160])
    text = f"X-DFS-Request: {ctx.request_id}\r\n"
    if server:
        text += f"X-DFS-Server: {server}\r\n"
        if ctx.caller.capability:
            text += f"X-DFS-Capability: {_checked(ctx.caller.capability)}\r\n"
    else:
        caller = ctx.caller
        text += (
            f"X-DFS-Session: {ctx.session}\r\n"
            f"X-DFS-Caller: {caller.uid}:{caller.gid}:{','.join(map(str, caller.groups))}\r\n"
            f"X-DFS-Acknowledged: {ctx.acknowledged}\r\n"
        )
    if ctx.deadline_s is not None:
        text += f"X-DFS-Deadline: {max(0, round((ctx.deadline_s - now_s) * 1000))}\r\n"
    return text.encode("ascii")


def read_headers(headers: dict[bytes, bytes], clock: Clock, stopping: threading.Event, peer: Peer = THIS_PROCESS) -> ServerContext:
    """Return the context that a call's headers stand for; `peer`: who sent them. Raises: BadRequest naming the header."""
    remaining_ms = _number(headers, "X-DFS-Deadline")
    caller = _caller(headers.get(b"x-dfs-caller"), peer)
    if (shown := headers.get(b"x-dfs-capability")) is not None:
        caller = replace(caller, capability=_checked(shown.decode("latin-1")))
    return ServerContext(
        _request_id(headers.get(b"x-dfs-request", b"-")),
        SessionId(_number(headers, "X-DFS-Session") or NO_SESSION),
        caller,
        OpId(_number(headers, "X-DFS-Acknowledged") or NO_OP),
        None if remaining_ms is None else clock.monotonic_s() + remaining_ms / 1000,
        clock,
        stopping,
    )


def check_server(headers: dict[bytes, bytes], identity: str) -> None:
    """Refuse a call that is meant for another data server than `identity` (CLUSTER/INDEX; without cluster: blank).

    Raises: WrongServer; BadRequest if the header makes no sense.
    """
    raw = headers.get(b"x-dfs-server")
    if raw is None:
        return
    match = _SERVER.fullmatch(raw)
    if match is None:
        raise BadRequest(f"X-DFS-Server: expected CLUSTER/INDEX, got {raw!r}"[:160])
    cluster, index = match[1].decode(), match[2].decode()
    own_cluster, _, own_index = identity.rpartition("/")
    if int(index) != int(own_index) or (cluster and cluster != own_cluster):
        raise WrongServer(_shown(cluster, index), _shown(own_cluster, own_index))


def _checked(capability: str) -> str:
    if _CAPABILITY.fullmatch(capability) is None:
        raise BadRequest(f"X-DFS-Capability: expected 1 to 200 of [0-9a-f:], got {capability!r}"[:160])
    return capability


def _shown(cluster: str, index: str) -> str:
    return f"data server {index} of {f'cluster {cluster}' if cluster else 'no cluster yet'}"


def _request_id(raw: bytes) -> str:
    text = raw.decode("latin-1")
    if _REQUEST_ID.fullmatch(text) is None:
        raise BadRequest(f"X-DFS-Request: expected 1 to 64 of [-A-Za-z0-9._:/], got {text!r}"[:160])
    return text


def _number(headers: dict[bytes, bytes], name: str) -> int | None:
    raw = headers.get(name.lower().encode())
    if raw is None:
        return None
    if _NUMBER.fullmatch(raw) is None:
        raise BadRequest(f"{name}: expected a number, got {raw!r}"[:160])
    return int(raw)


@functools.lru_cache(_CALLERS_KEPT_MAX)
def _caller(raw: bytes | None, peer: Peer) -> Caller:
    if raw is None:
        return replace(NOBODY, peer=peer)
    match = _CALLER.fullmatch(raw)
    if match is None:
        raise BadRequest(f"X-DFS-Caller: expected uid:gid:g1,g2, got {raw!r}"[:160])
    uid, gid, groups = match.groups()
    return Caller(int(uid), int(gid), tuple(map(int, groups.split(b","))) if groups else (), peer)
