"""Where a block lives (R4): pure arithmetic over the file's placement, the number of servers and the block number.

Replica 1 of block i is on server (x + i) % N, replica 2 on (x + i + 1) % N. All blocks of an inode on one server in one
role form a strip; consecutive blocks of a strip differ by N, so block i is record i // N of its strip.
"""

from __future__ import annotations

import enum
import hashlib
from typing import NamedTuple

from dfs.core.ids import BlockNo, ServerIndex


class Role(enum.IntEnum):
    """Which replica of a block a strip holds."""

    PRIMARY = 1
    SECONDARY = 2


class Layout(NamedTuple):
    """How a file is spread over the data servers; stored in its inode and never changed."""

    start: int
    """x: the server that holds replica 1 of block 0."""
    servers: int
    """N, at least 2."""
    block_size: int
    """Bytes per block."""

    def server_of(self, block_no: BlockNo, role: Role) -> ServerIndex:
        """Return the server that holds this replica of the block."""
        return ServerIndex((self.start + block_no + role - 1) % self.servers)

    def first_block_on(self, server: ServerIndex, role: Role) -> BlockNo:
        """Return the lowest block number whose `role` replica is on `server`."""
        return BlockNo((server - self.start - role + 1) % self.servers)

    def block_of(self, offset: int) -> BlockNo:
        """Return the block that holds the byte at `offset`."""
        return BlockNo(offset // self.block_size)

    def servers_below(self, size_bytes: int) -> tuple[ServerIndex, ...]:
        """Return the servers that hold a replica of any block of a file of that size."""
        blocks = -(-size_bytes // self.block_size)
        count = min(blocks + 1, self.servers) if blocks else 0
        return tuple([ServerIndex((self.start + number) % self.servers) for number in range(count)])


def twin_of(server: ServerIndex, role: Role, servers: int) -> tuple[ServerIndex, Role]:
    """Return the server and the role that hold the other replica of all blocks that `server` holds in `role`."""
    if role is Role.PRIMARY:
        return ServerIndex((server + 1) % servers), Role.SECONDARY
    return ServerIndex((server - 1) % servers), Role.PRIMARY


def record_index(block_no: BlockNo, servers: int) -> int:
    """Return the record number of a block within its strip."""
    return block_no // servers


def start_for_path(path: bytes, servers: int) -> int:
    """Return x for a file created at `path` (bytes from the root of the file system, with a leading slash).

    The hash is the same on every machine and in every release; Python's own hash() differs from process to process.
    """
    digest = hashlib.blake2b(path, digest_size=8).digest()
    return int.from_bytes(digest, "big") % servers
