"""`dfsctl meta restore`: bring a backup, or the newest snapshot on the data servers, back into an empty state folder.

The meta-server must be stopped, its folder empty; nothing is changed on the data servers. A snapshot that does not verify is passed
over for the next copy or the next older one. The database appears in the folder whole or not at all. Servers that do not answer are
named: the meta-server asks them itself when it runs, and goes above what they remember.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from dfs.cli.state_names import STORE_NAME
from dfs.cli.tools.backup import read_backup, sync_folder
from dfs.core.errors import DfsError, PeerError
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers
from dfs.core.limits import SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.data_server import Identify, Identity
from dfs.core.messages.snapshots import FetchSnapshot, ListSnapshots, Snapshot, Snapshots
from dfs.core.start_errors import PeerStartError, StateError
from dfs.host.clock import SystemClock
from dfs.host.state_folder import LOCK_NAME, lock_state_folder
from dfs.host.tasks import ThreadTasks
from dfs.meta.upkeep.restoring import adopt_restored

A = TypeVar("A")

RESTORING_NAME: Final = f"{STORE_NAME}.restoring"


class Found(NamedTuple):
    """What the data servers know."""

    cluster: str
    highest_mark: int
    snapshots: tuple[tuple[Snapshot, ServerIndex], ...]
    """Newest first, each with a server that keeps it."""
    silent: tuple[str, ...]
    """Servers that did not answer, in words."""


def restore_meta(ctx: CallContext, folder: Path, addresses: Sequence[str], servers: DataServers) -> Iterator[str]:
    """Restore into a state folder; yield what happens, line by line.

    Raises: StateError if the folder is in use or not empty; PeerStartError if no server has a snapshot that verifies.
    """
    with lock_state_folder(folder):
        found = _prepare(ctx, folder, addresses, servers)
        for words in found.silent:
            yield f"not asked: {words}; it may have a newer snapshot"
        for snapshot, server in found.snapshots:
            raw = _fetch(ctx, servers, server, snapshot)
            if raw is None:
                yield f"passed over: the snapshot of {_time(snapshot)} on data server {server}, which can't be read"
                continue
            inodes = _install(folder, raw, found)
            yield f"restored the snapshot of {_time(snapshot)} from data server {server}: {inodes} inodes"
            return
    silent = f"; not asked: {'; '.join(found.silent)}" if found.silent else ""
    raise PeerStartError("a snapshot that can be read on one of the data servers", f"none{silent}")


def restore_backup(ctx: CallContext, folder: Path, file: Path, addresses: Sequence[str], servers: DataServers) -> Iterator[str]:
    """Restore a file of dfsctl meta backup into a state folder; yield what happens, line by line.

    Raises: StateError if the folder is in use or not empty, or the backup damaged or another cluster's.
    """
    raw = read_backup(file)
    with lock_state_folder(folder):
        found = _prepare(ctx, folder, addresses, servers)
        for words in found.silent:
            yield f"not asked: {words}"
        inodes = _install(folder, raw, found)
        yield f"restored {file}: {inodes} inodes"


def _prepare(ctx: CallContext, folder: Path, addresses: Sequence[str], servers: DataServers) -> Found:
    """Return what the data servers know, for a state folder that is empty. Raises: StateError if it is not."""
    _require_empty(folder)
    servers.set_addresses({ServerIndex(index): address for index, address in enumerate(addresses)}, "")
    return _ask(ctx, len(addresses), servers)


def _require_empty(folder: Path) -> None:
    names = sorted(entry.name for entry in folder.iterdir() if entry.name not in (LOCK_NAME, RESTORING_NAME))
    if names:
        raise StateError(f"an empty state folder {folder}", f"{', '.join(names[:3])} in it")


def _ask(ctx: CallContext, count: int, servers: DataServers) -> Found:
    indexes = [ServerIndex(index) for index in range(count)]
    identities, silent = _answers(servers.call_all(ctx, {index: Identify() for index in indexes}))
    formatted: dict[ServerIndex, Identity] = {index: one for index, one in identities.items() if one.shape.cluster}
    clusters = {one.shape.cluster for one in formatted.values()}
    if len(clusters) > 1:
        raise StateError("data servers of one cluster", f"those of {', '.join(sorted(clusters))}")
    listed, _ = _answers(servers.call_all(ctx, {index: ListSnapshots() for index in formatted}))
    kept: list[tuple[Snapshot, ServerIndex]] = [(snapshot, index) for index, one in listed.items() for snapshot in _snapshots(one)]
    highest_mark = max((one.mark for one in formatted.values()), default=0)
    return Found(next(iter(clusters), ""), highest_mark, tuple(sorted(kept, reverse=True)), tuple(silent))


def _snapshots(answer: Snapshots) -> tuple[Snapshot, ...]:
    return answer.snapshots


def _answers(answers: Mapping[ServerIndex, A | DfsError]) -> tuple[dict[ServerIndex, A], list[str]]:
    """Return the answers, and in words who gave none."""
    good: dict[ServerIndex, A] = {}
    silent: list[str] = []
    for index, answer in answers.items():
        if isinstance(answer, DfsError):
            silent.append(f"data server {index} ({answer.reason if isinstance(answer, PeerError) else answer})")
        else:
            good[index] = answer
    return good, silent


def _fetch(ctx: CallContext, servers: DataServers, server: ServerIndex, snapshot: Snapshot) -> bytes | None:
    """Return the database in a snapshot, or None if it can't be had or does not verify."""
    packed = bytearray()
    while len(packed) < snapshot.size_bytes:
        request = FetchSnapshot(snapshot, len(packed), SNAPSHOT_PART_BYTES_MAX)
        answer = servers.call_all(ctx, {server: request})[server]
        if isinstance(answer, DfsError) or not answer.data:
            return None
        packed += answer.data
    if len(packed) != snapshot.size_bytes or zlib.crc32(packed) != snapshot.checksum:
        return None
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return None


def _install(folder: Path, raw: bytes, found: Found) -> int:
    """Put the database into the folder, fit to be served; return its number of inodes. Raises: StateError."""
    path = folder / RESTORING_NAME
    try:
        with path.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        inodes = adopt_restored(
            str(path), ThreadTasks(), SystemClock(), found.cluster, found.highest_mark, is_everyone=not found.silent
        )
        path.rename(folder / STORE_NAME)
        sync_folder(folder)
    except OSError as error:
        raise StateError(f"the state folder {folder} to take the database", error.strerror or str(error)) from error
    return inodes


def _time(snapshot: Snapshot) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(snapshot.taken_ns / 1e9))
