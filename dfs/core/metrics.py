"""What dfs can be measured by: the catalogue of all metrics, and the form in which services tell their values (pure).

A service knows what it counts, not who reads it: it yields Samples when it is asked, and dfs/host/prometheus_page.py writes
them down. A name is never reused for something else; docs/monitoring.md explains each, and a test compares the two. Labels have
few values, whatever is stored and whoever calls: methods, leaf classes of errors, states, server numbers; never a file or a peer.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

LATENCY_BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of every histogram, but for the last, which has none."""


class MetricKind(enum.Enum):
    """How the values of a metric go on."""

    COUNTER = "counter"
    """Only rises while the program runs."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    """Durations in seconds, counted by LATENCY_BOUNDS_S."""


ON_META: Final = ("meta",)
"""Which kinds of programs tell a metric."""
ON_DATA: Final = ("data",)
ON_MOUNT: Final = ("mount",)
ON_SERVERS: Final = (*ON_META, *ON_DATA)
EVERYWHERE: Final = (*ON_SERVERS, *ON_MOUNT)


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured."""

    name: str
    """As Prometheus shows it, with the unit last; that of a counter ends in _total."""
    kind: MetricKind
    help: str
    """One sentence."""
    labels: tuple[str, ...] = ()
    programs: tuple[str, ...] = EVERYWHERE
    """Which programs tell it."""


class Distribution(NamedTuple):
    """The value of a histogram."""

    counts: tuple[int, ...]
    """Per bucket of LATENCY_BOUNDS_S, and the last one without a bound; not summed up."""
    sum_s: float


class Sample(NamedTuple):
    """One value at this moment."""

    metric: Metric
    labels: tuple[str, ...]
    """In the order of the metric's."""
    value: float | Distribution


class MetricsDocument(NamedTuple):
    """All values, written down for whoever reads them."""

    content_type: bytes
    body: bytes


class Measured(Protocol):
    """Whoever can tell how it is doing."""

    def measures(self) -> Iterable[Sample]:
        """Yield all values. Called on any thread, at any time between start and stop; bounded in time. Raises: DfsError leaves."""


def _counter(name: str, text: str, *labels: str, programs: tuple[str, ...] = EVERYWHERE) -> Metric:
    return Metric(name, MetricKind.COUNTER, text, labels, programs)


def _gauge(name: str, text: str, *labels: str, programs: tuple[str, ...] = EVERYWHERE) -> Metric:
    return Metric(name, MetricKind.GAUGE, text, labels, programs)


def _histogram(name: str, text: str, *labels: str, programs: tuple[str, ...] = EVERYWHERE) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, text, labels, programs)


# --- every program ----------------------------------------------------------------------------------------------------------

BUILD_INFO = _gauge("dfs_build_info", "Always 1; the labels tell the release and the program.", "version", "program")
SOURCES_FAILED = _gauge("dfs_metrics_sources_failed", "Parts of the program that could not tell their values this time.")
EVENTS = _counter("dfs_events_total", "Events told in the journal, by name.", "event")
CORRUPTION_FOUND = _counter("dfs_corruption_found_total", "Damage met on disks, by what was damaged.", "what")
COPIES_REPAIRED = _counter("dfs_copies_repaired_total", "Bad or older copies of blocks replaced by the other copy.", "by")
CALLS = _counter("dfs_calls_total", "Calls made to servers, by method and result.", "server", "method", "result")
CALL_SECONDS = _histogram("dfs_call_seconds", "Time from sending a call to having its answer.", "server", "method")
CALL_SENT_BYTES = _counter("dfs_call_sent_bytes_total", "Bytes of calls, heads included.", "server", "method")
CALL_RECEIVED_BYTES = _counter("dfs_call_received_bytes_total", "Bytes of answers, heads left out.", "server", "method")

# --- both kinds of servers --------------------------------------------------------------------------------------------------

REQUESTS = _counter("dfs_requests_total", "Requests answered, by method and result.", "method", "result", programs=ON_SERVERS)
REQUEST_SECONDS = _histogram(
    "dfs_request_seconds", "Time from a request's last byte to its answer being ready.", "method", programs=ON_SERVERS
)
REQUEST_RECEIVED_BYTES = _counter(
    "dfs_request_received_bytes_total", "Bytes of requests, heads left out.", "method", programs=ON_SERVERS
)
REQUEST_SENT_BYTES = _counter("dfs_request_sent_bytes_total", "Bytes of answers, heads left out.", "method", programs=ON_SERVERS)
CONNECTIONS = _gauge("dfs_connections", "Connections that are open now.", programs=ON_SERVERS)
CONNECTIONS_LIMIT = _gauge("dfs_connections_limit", "Connections that may be open at most.", programs=ON_SERVERS)
DISK_SECONDS = _histogram(
    "dfs_disk_seconds", "Time of one operation on the state folder's files, by area.", "area", "operation", programs=ON_DATA
)
DISK_BYTES = _counter("dfs_disk_bytes_total", "Bytes read from and written to them.", "area", "operation", programs=ON_DATA)
DISK_ERRORS = _counter("dfs_disk_errors_total", "Operations on them that failed.", "area", "operation", programs=ON_DATA)

# --- meta-server ------------------------------------------------------------------------------------------------------------

META_STATE = _gauge("dfs_meta_state", "1 for the state that the meta-server is in, 0 for the others.", "state", programs=ON_META)
META_SESSIONS = _gauge("dfs_meta_sessions", "Client sessions that are alive.", programs=ON_META)
META_SILENCE = _gauge(
    "dfs_meta_session_silence_seconds", "Since the last heartbeat of the session that is silent for longest.", programs=ON_META
)
META_INODES = _gauge("dfs_meta_inodes", "Inodes of the file system.", programs=ON_META)
META_RECLAIMING = _gauge(
    "dfs_meta_reclaiming_inodes", "Removed inodes whose blocks are not yet dropped everywhere.", programs=ON_META
)
META_DATABASE_SECONDS = _histogram(
    "dfs_meta_database_seconds",
    "Time of reads, of changes with their wait for others, and of commits with their fsync.",
    "operation",
    programs=ON_META,
)
META_DISK_SIZE = _gauge("dfs_meta_disk_size_bytes", "Size of the disk under the meta-server's state.", programs=ON_META)
META_DISK_FREE = _gauge("dfs_meta_disk_free_bytes", "What is free there.", programs=ON_META)

# --- data server ------------------------------------------------------------------------------------------------------------

DATA_ROLE = _gauge(
    "dfs_data_role_state", "1 for the state that each of the server's two roles is in.", "role", "state", programs=ON_DATA
)
DATA_BLOCKS = _gauge("dfs_data_blocks", "Blocks in a state that does not last, or should not.", "state", programs=ON_DATA)
DATA_COPIES_REPLACED = _counter(
    "dfs_data_copies_replaced_total",
    "Copies on this server replaced by the other one, by what they were.",
    "was",
    programs=ON_DATA,
)
DATA_JOURNAL_BYTES = _gauge("dfs_data_journal_bytes", "Size of the journal's segments.", programs=ON_DATA)
DATA_DISK_SIZE = _gauge("dfs_data_disk_size_bytes", "Size of the data server's disk.", programs=ON_DATA)
DATA_DISK_FREE = _gauge("dfs_data_disk_free_bytes", "What is left on it for new blocks.", programs=ON_DATA)
REBUILD_RATIO = _gauge("dfs_data_rebuild_ratio", "How much of a role is copied; 1: all of it.", "role", programs=ON_DATA)
REBUILD_BYTES = _counter("dfs_data_rebuild_copied_bytes_total", "Bytes of blocks copied from neighbours.", "role", programs=ON_DATA)
SCRUB_RUNNING = _gauge("dfs_data_scrub_running", "1 while a scrub is under way.", programs=ON_DATA)
SCRUB_RATIO = _gauge("dfs_data_scrub_ratio", "How much of the running pass is done; 0 while there is none.", programs=ON_DATA)
SCRUB_LAST_PASS = _gauge(
    "dfs_data_scrub_last_pass_timestamp_seconds", "When the last full pass ended, since 1970; 0: never.", programs=ON_DATA
)
SCRUB_BLOCKS = _gauge("dfs_data_scrub_blocks", "Blocks of the running pass, else of the last one.", "outcome", programs=ON_DATA)

# --- mount ------------------------------------------------------------------------------------------------------------------

OPERATIONS = _counter(
    "dfs_operations_total", "Operations of programs on the mount, by result.", "operation", "result", programs=ON_MOUNT
)
OPERATION_SECONDS = _histogram("dfs_operation_seconds", "Time of those operations.", "operation", programs=ON_MOUNT)
OPERATION_BYTES = _counter("dfs_operation_bytes_total", "Bytes that programs read and wrote.", "operation", programs=ON_MOUNT)
OPERATIONS_UNDER_WAY = _gauge("dfs_operations_under_way", "Operations that are not answered yet.", programs=ON_MOUNT)
WRITES_WAITING = _gauge("dfs_client_writes_waiting", "Writes that wait for a data server now.", programs=ON_MOUNT)
WRITE_WAIT_SECONDS = _gauge("dfs_client_write_wait_seconds", "How long the longest of them has waited.", programs=ON_MOUNT)
WRITE_WAITS = _counter("dfs_client_write_waits_total", "Writes that had to wait for a data server.", programs=ON_MOUNT)
SERVERS_DOWN = _gauge("dfs_client_data_servers_down", "Data servers that did not answer their last call.", programs=ON_MOUNT)
META_DOWN_SECONDS = _gauge(
    "dfs_client_meta_down_seconds", "For how long the meta-server has not answered; 0: it does.", programs=ON_MOUNT
)
LEASE_VALID = _gauge("dfs_client_lease_valid", "1 while the mount's lease lets it write.", programs=ON_MOUNT)
GRANTS = _gauge("dfs_client_grants", "Inodes that the mount has the write grant of.", programs=ON_MOUNT)
BUFFERED_BYTES = _gauge(
    "dfs_client_buffered_bytes", "What programs wrote on a mount with writeback and servers do not have yet.", programs=ON_MOUNT
)

ALL_METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
