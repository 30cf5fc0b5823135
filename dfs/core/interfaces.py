"""What the services are given: small Protocols, so that meta, data and client never know sockets, threads, files or time.

dfs/host and dfs/rpc implement them for real machines, tests/harness for tests. dfs/cli puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dfs.core.errors import DfsError, EndReason, Interrupted
from dfs.core.events.event import Event
from dfs.core.ids import OpId, ServerIndex, SessionId
from dfs.core.messages.cluster import Space
from dfs.core.messages.requests import Request
from dfs.core.peers import THIS_PROCESS, Peer
from dfs.core.records import Buffer

A = TypeVar("A")

POLL_S = 0.1
"""Longest slice of a wait between two looks at CallContext.cancelled()."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    peer: Peer = THIS_PROCESS
    """Which machine and program says so."""
    capability: str = ""
    """What the meta-server gave a client to show to data servers (dfs/core/capability.py)."""


ROOT_CALLER = Caller(0, 0)
NOBODY = Caller(65534, 65534)
"""Who calls when a request does not say: a stock XML-RPC client without our headers."""


class CallContext(Protocol):
    """First argument of every call: who asks, for how long, and whether the answer is still wanted.

    It travels as HTTP headers, so that XML-RPC signatures stay plain.
    """

    @property
    def request_id(self) -> str:
        """Identifier of the user's operation, the same on all hosts."""

    @property
    def session(self) -> SessionId:
        """The client session; 0 for servers and tools."""

    @property
    def caller(self) -> Caller:
        """Whose permissions count."""

    @property
    def acknowledged(self) -> OpId:
        """All answers to operations of this session below this one have arrived: meta may forget them."""

    @property
    def deadline_s(self) -> float | None:
        """When the operation must end, on Clock.monotonic_s(); None: never by itself."""

    def cancelled(self) -> EndReason | None:
        """Tell whether, and why, the operation should end. Asked in every wait on the thread that owns the operation,
        at least every POLL_S seconds.
        """


class Clock(Protocol):
    """Time."""

    def monotonic_s(self) -> float:
        """Return seconds that count suspend and never jump."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, for time stamps only."""

    def sleep(self, duration_s: float) -> None:
        """Do nothing for a while."""


class Random(Protocol):
    """Chance."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between low and high."""

    def token_bytes(self, count: int) -> bytes:
        """Return unpredictable bytes."""

    def uuid(self) -> str:
        """Return a new random UUID."""


class SessionDiary(Protocol):
    """What a mount leaves behind of its sessions for whoever mounts at the same place after its death.

    A session is called by the nonce with which it was opened: whoever knows that was told by its mount.
    """

    def left_behind(self) -> Sequence[bytes]:
        """Return the nonces of sessions whose mount is certainly dead and never said that it ended them."""

    def begin(self, nonce: bytes) -> None:
        """Note a session before it is asked for."""

    def keep_only(self, nonce: bytes) -> None:
        """Note that this session is open, and that all others are over."""

    def clear(self) -> None:
        """Note that all sessions are over."""


class Signal(Protocol):
    """A condition that tasks wait for. Waking may be spurious: look again at what was waited for."""

    def notify_all(self) -> None:
        """Wake every task that waits now. Called with or without the mutex held."""

    def wait(self, timeout_s: float) -> None:
        """Give the signal's mutex up, wait, take it again."""


class KeyedLock(Protocol):
    """One lock per key, made when needed and gone when unused. The only kind that may span I/O."""

    def hold(self, key: object) -> AbstractContextManager[None]:
        """Hold the lock of `key`."""


class Task(Protocol):
    """A running task."""

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; tell whether it has ended."""


class Tasks(Protocol):
    """Concurrency."""

    def spawn(self, name: str, function: Callable[[], None]) -> Task:
        """Run `function` beside the caller. An exception that leaves it is a bug: it ends the process after logging."""

    def mutex(self) -> AbstractContextManager[Any]:
        """Return a new lock for memory only: nothing slow happens while it is held."""

    def signal(self, mutex: AbstractContextManager[Any]) -> Signal:
        """Return a new condition that belongs to `mutex`."""

    def keyed_lock(self) -> KeyedLock:
        """Return a new family of locks."""


class File(Protocol):
    """An open file of the state folder. Errors are DiskError leaves."""

    def pread(self, size_bytes: int, offset: int) -> bytes:
        """Read up to size_bytes; fewer only at the end of the file."""

    def pwrite(self, parts: Sequence[Buffer], offset: int) -> None:
        """Write the parts one after the other, all of them."""

    def sync(self) -> None:
        """Make data and size survive a power cut (fdatasync)."""

    def size_bytes(self) -> int:
        """Return the file's size."""

    def truncate(self, size_bytes: int) -> None:
        """Set the file's size."""

    def close(self) -> None:
        """Close; the object is not used again."""


class Disk(Protocol):
    """One state folder. Names are relative to it, with '/' between folders. Errors are DiskError leaves."""

    def open(self, name: str, *, create: bool = False) -> File:
        """Open for reading and writing; with `create`, make it if missing. Raises DiskMissing."""

    def read(self, name: str) -> bytes:
        """Return a small file's bytes. Raises DiskMissing."""

    def replace(self, name: str, data: bytes) -> None:
        """Put `data` there atomically and durably: write a temporary file, sync it, rename it, sync the folder."""

    def rename(self, old: str, new: str) -> None:
        """Rename within the state folder."""

    def remove(self, name: str) -> None:
        """Remove a file. Raises DiskMissing."""

    def make_folder(self, name: str) -> None:
        """Make a folder and its parents, if missing."""

    def list_folder(self, name: str) -> list[str]:
        """Return the names in a folder, sorted; [] if it is missing."""

    def sync_folder(self, name: str) -> None:
        """Make creations, renames and removals in a folder survive a power cut."""

    def space(self) -> Space:
        """Return total and free bytes of the disk."""


class EventSink(Protocol):
    """Where facts that an operator should act on go."""

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Report an event, with the request identifier of `ctx` if there is one."""


class MetaApi(Protocol):
    """The meta-server, near or far. Raises DfsError leaves; over the wire also PeerError leaves."""

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request of dfs/core/messages/meta_methods.py."""


class BlockApi(Protocol):
    """One data server, near or far. Raises DfsError leaves; over the wire also PeerError leaves."""

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Carry out one request of dfs/core/messages/block_methods.py."""


class DataServers(Protocol):
    """All data servers, as meta, data servers and client see them."""

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[A]], patience_s: float | None = None
    ) -> dict[ServerIndex, A | DfsError]:
        """Send one request to each server; all are written before any answer is read. Errors come back as values.

        Arguments: `patience_s`: a server that is silent for so long is Unreachable, sooner than by the method's own time limit.
        Raises: Interrupted when ctx.cancelled() says so while waiting.
        """

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[A]) -> A:
        """Send one request to one server and return its answer, or raise its error."""

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        """Say where the servers listen (host:port), and the cluster that each must belong to ("": any, or none yet)."""


class Service(Protocol):
    """What the host's service loop runs. Recovery and rebuild know nothing of sd_notify: the loop asks."""

    def start(self) -> None:
        """Recover, then spawn the service's own tasks; returns when requests can be answered. Raises StartError."""

    def status(self) -> str:
        """Return one line on what the service is doing, for people."""

    def check(self) -> int:
        """Prove that the service works: return a number that rises with work done; raise DfsError when it can't go on."""

    def stop(self) -> None:
        """End the tasks, make everything durable, close all files. Bounded in time."""


def raise_if_cancelled(ctx: CallContext) -> None:
    """Raise Interrupted if the operation's owner wants it to end."""
    reason = ctx.cancelled()
    if reason is not None:
        raise Interrupted(reason.value)
