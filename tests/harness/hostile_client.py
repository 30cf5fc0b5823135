"""A client that lies: it names any user, session, inode, path, ticket, generation and capability, whatever it was told."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dfs.core.contexts import PlainContext
from dfs.core.ids import NO_SESSION, BlockNo, Generation, Ino, OpId, ServerIndex, SessionId, Ticket, generation_of
from dfs.core.interfaces import Caller, DataServers, MetaApi
from dfs.core.messages.blocks import Blocks, Get, Put, Run, Segment
from dfs.core.messages.requests import Done, Request
from dfs.core.messages.sessions import OpenSession
from dfs.core.placement import Layout, Role
from dfs.core.records import checksum

A = TypeVar("A")
_nonces = itertools.count(1)


@dataclass
class HostileClient:
    """Calls what it likes."""

    meta: MetaApi
    servers: DataServers
    session: SessionId = NO_SESSION
    ops: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def op(self) -> OpId:
        """Return a number of its own."""
        return OpId(next(self.ops))

    def open_session(self, data_servers: Sequence[str] = ()) -> SessionId:
        """Open a session and use it from now on."""
        nonce = next(_nonces).to_bytes(16, "big")
        self.session = self.meta.call(PlainContext(), OpenSession(nonce, "liar", b"/lies", tuple(data_servers))).session
        return self.session

    def ask(self, request: Request[A], *, session: SessionId | None = None, uid: int = 0, gid: int = 0) -> A:
        """Make any request of the meta-server, in any session, as any user."""
        told = self.session if session is None else session
        return self.meta.call(PlainContext(session=told, caller=Caller(uid, gid)), request)

    def to_data(self, server: ServerIndex, request: Request[A], capability: str = "") -> A:
        """Make any request of a data server, showing any text as a capability."""
        return self.servers.call(PlainContext(caller=Caller(0, 0, capability=capability)), server, request)

    def read_block(self, layout: Layout, ino: Ino, capability: str) -> bytes:
        """Return block 0 of an inode."""
        run = Run(Role.PRIMARY, BlockNo(0), 1)
        answer: Blocks = self.to_data(
            layout.server_of(BlockNo(0), Role.PRIMARY), Get(ino, Ticket((1 << 40) - 1), (), (run,), ()), capability
        )
        return bytes(answer.data)

    def write_block(
        self, layout: Layout, ino: Ino, ticket: Ticket, data: bytes, capability: str, *, generation: Generation | None = None
    ) -> Done:
        """Put block 0 of an inode at its primary."""
        put = put_of(ino, ticket, data, generation)
        return self.to_data(layout.server_of(BlockNo(0), Role.PRIMARY), put, capability)


def put_of(ino: Ino, ticket: Ticket, data: bytes, generation: Generation | None = None) -> Put:
    """Return a Put of block 0 that a data server finds in order."""
    written = generation_of(ticket, 1) if generation is None else generation
    sums = checksum(ino, BlockNo(0), written, data).to_bytes(4, "little")
    return Put(ino, ticket, written, (Segment(Role.PRIMARY, BlockNo(0), 1, len(data)),), sums, data)


def forged(capability: str, **words: Any) -> str:
    """Return a capability with some of its words replaced: ino, rights, ticket, issued, mac."""
    names = ("version", "ino", "rights", "ticket", "issued", "mac")
    return ":".join(str(words.get(name, word)) for name, word in zip(names, capability.split(":"), strict=True))
