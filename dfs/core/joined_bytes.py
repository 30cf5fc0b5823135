"""Bytes in parts that travel more than once: both copies of a block carry the same ones, each to another server.

Owns the parts, and beside each what it was turned into on the way, so that this is done once. Stands for bytes wherever a request
is written; what is read from a wire is bytes. Made by dfs/client, written by dfs/rpc. Pure; used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from dfs.core.records import Buffer


class SharedPart:
    """One part, of any number of joined bytes."""

    __slots__ = ("data", "forms")

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.forms: dict[int, tuple[bytes, bytes]] = {}
        """What dfs/rpc/base64_data.py made of it, by how many bytes go with the part before."""


class JoinedBytes:
    """Parts, one after the other."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[SharedPart]) -> None:
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return sum([len(part.data) for part in self.parts])

    def __bytes__(self) -> bytes:
        return b"".join([part.data for part in self.parts])
