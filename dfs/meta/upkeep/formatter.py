"""Making a new file system, and recognising the servers of an old one (design section 8).

| step | durable before it                      | a crash after it: what the next attempt finds and does               |
|------|----------------------------------------|----------------------------------------------------------------------|
| 1    | -                                      | all servers answered and are blank: begin anew                       |
| 2    | uuid, N, block size, addresses         | phase PREPARING: the same uuid again                                 |
| 3    | all servers prepared (on their disks)  | blank servers that know our uuid: prepare again, harmless            |
| 4    | phase FORMATTED                        | the file system exists; the commit is sent until all confirmed       |
| 5    | every server committed                 | the commit is sent again, harmless                                   |
| 6    | phase CONFIRMED                        | -                                                                    |

One attempt runs at a time, under a keyed lock. Called by OpenSession, and by a background task while there is work left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from dfs.core.errors import BadRequest, DfsError, NotFormatted, PeerError, Stopping, WrongServer
from dfs.core.events.event import Event
from dfs.core.events.meta_server import CLUSTER_FORMATTED
from dfs.core.events.wire import SERVER_REFUSED
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers, EventSink, Random, Tasks
from dfs.core.limits import SERVERS_MAX, SERVERS_MIN
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import CommitFormat, Identify, Identity, PrepareFormat
from dfs.meta.settings import MetaSettings
from dfs.meta.state.cluster import Cluster, ClusterRecord, Phase

_KEY: Final = "format"
_ADDRESS_BYTES_MAX: Final = 255


class Formatter:
    """Formats, and checks servers that a mount names."""

    def __init__(
        self,
        cluster: Cluster,
        servers: DataServers,
        settings: MetaSettings,
        tasks: Tasks,
        random: Random,
        events: EventSink,
        on_formatted: Callable[[], None],
    ) -> None:
        """`on_formatted` is called when a file system was made: there is background work for it."""
        self._on_formatted = on_formatted
        self._cluster = cluster
        self._servers = servers
        self._settings = settings
        self._lock = tasks.keyed_lock()
        self._random = random
        self._events = events
        self._refusal = ""

    def ensure(self, ctx: CallContext, named: tuple[str, ...]) -> None:
        """Return when there is a file system whose servers are those that are named.

        Arguments: `named`: host:port of all data servers in order of index, or empty.
        Raises: NotFormatted (servers are missing: ask again); WrongServer; BadRequest.
        """
        if named:
            check_addresses(named)
        with self._lock.hold(_KEY):
            if self._cluster.shape is not None:
                if named:
                    self._recognise(ctx, self._cluster.shape, named)
                return
            configured = self._settings.data_servers
            if named and configured and named != configured:
                raise WrongServer(f"the data servers of the configuration ({', '.join(configured)})", ", ".join(named))
            self._format(ctx, named or configured)

    def step(self, ctx: CallContext) -> bool:
        """Do what is left of formatting, in the background; tell whether nothing is."""
        if self._cluster.shape is None:
            if not self._settings.data_servers:
                return True
            try:
                self.ensure(ctx, ())
            except WrongServer as error:
                self._tell_refusal(ctx, error)
                raise
        with self._lock.hold(_KEY):
            return self._confirm(ctx)

    def _tell_refusal(self, ctx: CallContext, error: WrongServer) -> None:
        """Report what an operator must put right, once and not at every try."""
        if str(error) != self._refusal:
            self._refusal = str(error)
            self._events.emit(Event(SERVER_REFUSED, peer=error.got, details={"reason": f"expected {error.expected}"}), ctx)

    # --- a new file system ---------------------------------------------------------------------------------------------

    def _format(self, ctx: CallContext, addresses: tuple[str, ...]) -> None:
        if not addresses:
            raise NotFormatted("there is no file system yet, and no data servers have been named to make it on")
        check_addresses(addresses)
        record = self._cluster.record
        uuid = self._random.uuid() if record is None else record.shape.cluster
        shape = Shape(uuid, len(addresses), self._settings.block_size)
        self._cluster.try_addresses(addresses, "")
        found = self._call_all(ctx, addresses, {i: Identify() for i in _indexes(addresses)})
        for index, identity in found.items():
            _require_blank(index, addresses[index], identity, uuid)
        prepared = ClusterRecord(shape, addresses, Phase.PREPARING)
        if record != prepared:
            self._cluster.save(prepared)
        self._call_all(ctx, addresses, {i: PrepareFormat(shape, i) for i in _indexes(addresses)})
        self._cluster.save(ClusterRecord(shape, addresses, Phase.FORMATTED))
        details = {"cluster": uuid, "servers": shape.servers, "block_size": shape.block_size}
        self._events.emit(Event(CLUSTER_FORMATTED, details=details), ctx)
        self._on_formatted()
        self._confirm(ctx)

    def _call_all(
        self, ctx: CallContext, addresses: Sequence[str], calls: dict[ServerIndex, Identify | PrepareFormat]
    ) -> dict[ServerIndex, Identity]:
        """Return the answers of all servers. Raises: WrongServer of one; NotFormatted naming those that fail."""
        answers = self._servers.call_all(ctx, calls)
        missing: list[str] = []
        found: dict[ServerIndex, Identity] = {}
        for index, answer in sorted(answers.items()):
            if isinstance(answer, WrongServer):
                raise answer
            if isinstance(answer, DfsError):
                reason = answer.reason if isinstance(answer, PeerError) else str(answer)
                missing.append(f"data server {index} at {addresses[index]}: {reason}")
            else:
                found[index] = answer
        if missing:
            raise NotFormatted(f"a new file system needs all its data servers; {'; '.join(missing)}")
        return found

    def _confirm(self, ctx: CallContext) -> bool:
        """Tell all servers that the file system exists; tell whether all confirmed, now or before."""
        record = self._cluster.record
        if record is None or record.phase is not Phase.FORMATTED:
            return True
        answers = self._servers.call_all(ctx, {i: CommitFormat(record.shape.cluster) for i in _indexes(record.addresses)})
        if any(isinstance(answer, DfsError) for answer in answers.values()):
            return False
        self._cluster.save(ClusterRecord(record.shape, record.addresses, Phase.CONFIRMED))
        return True

    # --- an old one ------------------------------------------------------------------------------------------------------

    def _recognise(self, ctx: CallContext, shape: Shape, named: tuple[str, ...]) -> None:
        """Take new addresses over for servers that prove to be the same; others that do not answer keep the old ones."""
        record = self._cluster.record
        assert record is not None
        if len(named) != shape.servers:
            raise WrongServer(f"the {shape.servers} data servers of cluster {shape.cluster}", f"{len(named)} data servers")
        changed = [i for i in _indexes(named) if named[i] != record.addresses[i]]
        if not changed:
            return
        # Others go on calling meanwhile: a server that is not ours must refuse them.
        self._cluster.try_addresses(named, shape.cluster if record.phase is Phase.CONFIRMED else "")
        try:
            answers = self._servers.call_all(ctx, {i: Identify() for i in changed})
            proven = [i for i in changed if _is_proven(i, named[i], answers[i], shape)]
        finally:
            self._cluster.restore_addresses()
        addresses = tuple(named[i] if i in proven else record.addresses[i] for i in _indexes(named))
        if len(set(addresses)) != len(addresses):  # servers changed places, and not all answer
            addresses = named
        if addresses != record.addresses:
            self._cluster.save(ClusterRecord(shape, addresses, record.phase))


def check_addresses(addresses: Sequence[str]) -> None:
    """Raise BadRequest unless these can be the addresses of all data servers of a cluster (R3)."""
    if not SERVERS_MIN <= len(addresses) <= SERVERS_MAX:
        raise BadRequest(f"expected {SERVERS_MIN} to {SERVERS_MAX} data servers, got {len(addresses)}")
    if len(set(addresses)) != len(addresses):
        raise BadRequest(f"expected different data servers, got {', '.join(addresses)}")
    for address in addresses:
        host, colon, port = address.rpartition(":")
        if not host or not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise BadRequest(f"expected host:port of a data server, got {address[:_ADDRESS_BYTES_MAX]!r}")
        if len(address) > _ADDRESS_BYTES_MAX:
            raise BadRequest(f"expected host:port of at most {_ADDRESS_BYTES_MAX} characters, got {len(address)}")


def _indexes(addresses: Sequence[str]) -> list[ServerIndex]:
    return [ServerIndex(index) for index in range(len(addresses))]


def _require_blank(index: ServerIndex, address: str, identity: Identity, uuid: str) -> None:
    """Raise WrongServer unless the server is this index and holds nothing of another cluster."""
    if identity.index != index:
        raise WrongServer(f"data server {index} at {address}", f"data server {identity.index}")
    is_blank = identity.primary is RoleState.BLANK and identity.secondary is RoleState.BLANK
    if not is_blank or identity.shape.cluster not in ("", uuid):
        raise WrongServer(
            f"data server {index} at {address} to be blank, as the meta-server is",
            f"one of cluster {identity.shape.cluster}, {identity.primary}",
        )


def _is_proven(index: ServerIndex, address: str, answer: Identity | DfsError, shape: Shape) -> bool:
    """Tell whether the server at a new address is the one meant; False if it can't be reached. Raises: WrongServer."""
    expected = f"data server {index} of cluster {shape.cluster} at {address}"
    if isinstance(answer, (PeerError, Stopping)):
        return False
    if isinstance(answer, DfsError):
        raise WrongServer(expected, answer.got if isinstance(answer, WrongServer) else str(answer)) from answer
    if answer.index != index or answer.shape.cluster != shape.cluster:
        raise WrongServer(expected, f"data server {answer.index} of cluster {answer.shape.cluster or '(none yet)'}")
    return True
