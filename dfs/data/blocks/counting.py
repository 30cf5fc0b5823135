"""CountBlocks: how many blocks of an inode are stored here, from the maps alone (stat's st_blocks of a file with holes).

Called by the service. Reads no records: a block that a cut has voided counts until Clean has removed it.
"""

from __future__ import annotations

from dfs.core.ids import Ino
from dfs.core.messages.blocks import BlockCounts, CountBlocks
from dfs.core.placement import Role
from dfs.data.blocks.checks import check_ino, check_number
from dfs.data.blocks.store import Store
from dfs.data.disk.geometry import RECORDS_PER_GROUP


class Counting:
    """Carries out CountBlocks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def count(self, request: CountBlocks) -> BlockCounts:
        """Return how many blocks below a number are stored, per role. Raises: BadRequest, DiskError leaves."""
        check_ino(request.ino)
        check_number("below", request.below, 0)
        with self._store.hold(request.ino):
            primary, secondary = (self._count(request.ino, role, request.below) for role in Role)
        return BlockCounts(primary, secondary)

    def _count(self, ino: Ino, role: Role, below: int) -> int | None:
        store = self._store
        if not store.is_complete(role):
            return None
        pending = store.overlay.merged(ino, role)
        with store.strip(ino, role) as strip:
            residue = strip.residue if strip is not None else pending.residue if pending is not None else 0
            records = max(0, -(-(below - residue) // store.geometry.servers))
            present = {} if strip is None else {number: group.present for number, group in strip.groups.items()}
        for index in () if pending is None else pending.records:
            number, at = divmod(index, RECORDS_PER_GROUP)
            present[number] = present.get(number, 0) | 1 << at
        return sum((bits & _lowest(records - number * RECORDS_PER_GROUP)).bit_count() for number, bits in present.items())


def _lowest(count: int) -> int:
    """Return a bitmap of the lowest `count` records of a group."""
    return (1 << min(max(count, 0), RECORDS_PER_GROUP)) - 1
