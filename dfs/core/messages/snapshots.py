"""Snapshots of the meta-server that data servers keep for it, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dfs.core.messages.requests import Done, Request


class Snapshot(NamedTuple):
    """Names a snapshot of the meta-server that a data server keeps."""

    taken_ns: int
    """When, since 1970; a newer one has a higher time whatever the clock said."""
    size_bytes: int
    """As kept: compressed."""
    checksum: int
    """CRC-32 of those bytes."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The whole snapshots that a server keeps, oldest first."""

    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Some bytes of a snapshot."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StoreSnapshot(Request[Done]):
    """Keep a part of a snapshot of the meta-server. The part that ends it makes it count, if the whole verifies, durably.

    Parts come in order; one at offset 0 begins anew. Only the newest few are kept. Faults: BadRequest, NoSpace, ReadOnly.
    """

    snapshot: Snapshot
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ListSnapshots(Request[Snapshots]):
    """Return the whole snapshots that this server keeps."""


@dataclass(frozen=True, slots=True)
class FetchSnapshot(Request[SnapshotPart]):
    """Return up to `limit` bytes of a snapshot from `offset`. Faults: BadRequest if it is not kept here."""

    snapshot: Snapshot
    offset: int
    limit: int
