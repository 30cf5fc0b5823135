"""What the file system was made as and where its data servers listen: the tables cluster and server, with a copy in memory.

Changed by dfs/meta/upkeep/formatter.py only. Promises: what `shape` and `addresses` return is on disk, and DataServers was told.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dfs.core.ids import ServerIndex
from dfs.core.interfaces import DataServers
from dfs.core.messages.cluster import ServerAddress, Shape
from dfs.core.start_errors import StateError
from dfs.meta.settings import MetaSettings
from dfs.meta.state.store import Reader, Store, Transaction


class Phase(enum.IntEnum):
    """How far formatting has come; values stand in cluster.phase."""

    PREPARING = 0
    """The servers are being told whose they will be; none of them holds anything."""
    FORMATTED = 1
    """The file system exists; not every server has confirmed that it knows."""
    CONFIRMED = 2


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What is durable."""

    shape: Shape
    addresses: tuple[str, ...]
    phase: Phase


def load_record(reader: Reader) -> ClusterRecord | None:
    """Return what is durable; None before the first attempt to format."""
    row = reader.one("SELECT uuid, servers, block_size, phase FROM cluster")
    if row is None:
        return None
    addresses = tuple(row[0] for row in reader.all("SELECT address FROM server ORDER BY server"))
    return ClusterRecord(Shape(*row[:3]), addresses, Phase(row[3]))


def save_record(tx: Transaction, record: ClusterRecord) -> None:
    """Make a record durable."""
    tx.run("INSERT OR REPLACE INTO cluster VALUES (1, ?, ?, ?, ?)", *record.shape, int(record.phase))
    tx.run("DELETE FROM server")
    tx.run_many("INSERT INTO server VALUES (?, ?)", list(enumerate(record.addresses)))


class Cluster:
    """The cluster as it is now."""

    def __init__(self, store: Store, servers: DataServers, settings: MetaSettings) -> None:
        """Load it; addresses of an existing file system follow the configuration if that names any.

        Raises: StateError if the configuration names another N or block size than the file system was made with.
        """
        self._store = store
        self._servers = servers
        self._record = store.read(load_record)
        if self.shape is not None:
            self._follow(self.shape, settings)
        self._tell()

    @property
    def record(self) -> ClusterRecord | None:
        """What is durable, formatted or not."""
        return self._record

    @property
    def shape(self) -> Shape | None:
        """What the file system was made as; None while there is none."""
        record = self._record
        return None if record is None or record.phase is Phase.PREPARING else record.shape

    @property
    def addresses(self) -> tuple[ServerAddress, ...]:
        """Where the data servers of the file system listen; () while there is none."""
        record = self._record
        if record is None or record.phase is Phase.PREPARING:
            return ()
        return tuple(ServerAddress(ServerIndex(index), address) for index, address in enumerate(record.addresses))

    def indexes(self) -> list[ServerIndex]:
        """Return the numbers of all data servers; [] while there is no file system."""
        shape = self.shape
        return [] if shape is None else [ServerIndex(index) for index in range(shape.servers)]

    def save(self, record: ClusterRecord) -> None:
        """Make a record durable and follow it."""
        self._store.change(lambda tx: save_record(tx, record))
        self._record = record
        self._tell()

    def try_addresses(self, addresses: tuple[str, ...], cluster: str) -> None:
        """Tell DataServers of addresses that are to be tried out."""
        self._servers.set_addresses({ServerIndex(i): address for i, address in enumerate(addresses)}, cluster)

    def restore_addresses(self) -> None:
        """Tell DataServers of the durable addresses again."""
        self._tell()

    def _tell(self) -> None:
        record = self._record
        if record is not None:
            # A server that has not confirmed can't yet answer in the cluster's name.
            self.try_addresses(record.addresses, record.shape.cluster if record.phase is Phase.CONFIRMED else "")

    def _follow(self, shape: Shape, settings: MetaSettings) -> None:
        record = self._record
        assert record is not None
        if settings.block_size != shape.block_size:
            raise StateError(
                f"block_size = {shape.block_size}, with which the file system was made", f"block_size = {settings.block_size}"
            )
        named = settings.data_servers
        if named and len(named) != shape.servers:
            raise StateError(f"{shape.servers} data servers, as the file system was made", f"{len(named)} in the configuration")
        if named and named != record.addresses:
            self._record = ClusterRecord(shape, named, record.phase)
            self._store.change(lambda tx: save_record(tx, ClusterRecord(shape, named, record.phase)))
