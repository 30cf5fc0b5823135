"""`dfsctl meta backup FILE`: the running meta-server's database in a gzipped file of this machine, and reading such a file.

The file appears whole or not at all: it is fetched in parts into a temporary file beside it, synced, read back and verified, and
only then named. Mode 0600: it holds every name. Changes nothing on the servers. `gunzip` makes the database of it.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dfs.core.interfaces import CallContext, MetaApi
from dfs.core.limits import SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.inspection import FetchBackup, TakeBackup
from dfs.core.messages.snapshots import Snapshot
from dfs.core.start_errors import PeerStartError, StateError, UsageError

BACKUP_TIMEOUT_S: Final = 600.0
"""How long the meta-server may take to make its copy: tens of millions of files."""
SQLITE_MAGIC: Final = b"SQLite format 3\0"
_CHUNK_BYTES: Final = 1 << 20


def back_up(ctx: CallContext, meta: MetaApi, path: Path, *, force: bool) -> Snapshot:
    """Write a backup to `path`; return its time, size and checksum.

    Raises: UsageError if the file is there and not `force`; StateError if it can't be written or does not verify; meta's errors.
    """
    if not force and os.path.lexists(path):
        raise _exists(path)
    with _translated(path):
        with _temporary(path) as temporary, temporary.open("wb") as file:
            backup = meta.call(ctx, TakeBackup())
            for part in _parts(ctx, meta, backup):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            _verify(temporary, backup)
            if force:
                os.replace(temporary, path)
            else:
                try:
                    os.link(temporary, path)  # refuses what appeared meanwhile, as a rename does not
                except FileExistsError as error:
                    raise _exists(path) from error
        sync_folder(path.parent)
    return backup


def read_backup(path: Path) -> bytes:
    """Return the database in a backup. Raises: StateError if it can't be read, is none, or does not verify."""
    with _translated(path):
        try:
            raw = gzip.decompress(path.read_bytes())
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise StateError(f"{path} to be a backup that verifies", str(error)) from error
    if not raw.startswith(SQLITE_MAGIC):
        raise StateError(f"{path} to be a backup of a meta-server", "something else that gunzip accepts")
    return raw


def _parts(ctx: CallContext, meta: MetaApi, backup: Snapshot) -> Iterator[bytes]:
    """Fetch a backup part by part. Raises: PeerStartError if what comes is not what was named."""
    at = summed = 0
    while at < backup.size_bytes:
        part = meta.call(ctx, FetchBackup(backup, at, SNAPSHOT_PART_BYTES_MAX)).data
        if not part:
            break
        at, summed = at + len(part), zlib.crc32(part, summed)
        yield part
    if (at, summed) != (backup.size_bytes, backup.checksum):
        raise PeerStartError(f"a backup of {backup.size_bytes} bytes with sum {backup.checksum:08x}", f"{at} with {summed:08x}")


def _verify(path: Path, backup: Snapshot) -> None:
    """Read a backup back. Raises: StateError unless it is what was fetched, and a database inside."""
    summed = 0
    with path.open("rb") as file:
        while part := file.read(_CHUNK_BYTES):
            summed = zlib.crc32(part, summed)
    if summed != backup.checksum:
        raise StateError(f"a disk that keeps what is written (sum {backup.checksum:08x})", f"{summed:08x} read back from {path}")
    read_backup(path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Make an empty file of mode 0600 beside `path`, and remove it unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(f"to use the file {path}", error.strerror or str(error)) from error


def _exists(path: Path) -> UsageError:
    return UsageError(f"a file that is not there yet, or --force to replace {path}", "it exists")


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder survive a power cut. Raises: OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
