"""Goal: a backup is one consistent database, fetched in parts while changes go on. Method: the meta-server's own methods."""

from __future__ import annotations

import gzip
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from dfs.core.errors import BadRequest, NotPermitted
from dfs.core.interfaces import NOBODY
from dfs.core.limits import SNAPSHOT_PART_BYTES_MAX
from dfs.core.messages.inspection import FetchBackup, TakeBackup
from dfs.core.messages.snapshots import Snapshot
from dfs.meta.upkeep.backups import KEEP_S
from tests.unit.meta.conftest import FakeContext, MetaUnderTest

ROOT = FakeContext()


def fetch(meta: MetaUnderTest, backup: Snapshot, offset: int = 0, limit: int = SNAPSHOT_PART_BYTES_MAX) -> bytes:
    return meta.service.call(ROOT, FetchBackup(backup, offset, limit)).data


def test_parts_make_one_database_as_of_the_moment_it_was_taken(meta: MetaUnderTest, tmp_path: Path) -> None:
    mount = meta.mount()
    mount.create(b"before")
    backup = meta.service.call(ROOT, TakeBackup())
    mount.create(b"after")
    parts = [fetch(meta, backup, at, 1000) for at in range(0, backup.size_bytes, 1000)]
    packed = b"".join(parts)
    assert max(map(len, parts)) <= 1000
    assert (len(packed), zlib.crc32(packed)) == (backup.size_bytes, backup.checksum)
    assert fetch(meta, backup, backup.size_bytes) == b""
    (tmp_path / "copy.db").write_bytes(gzip.decompress(packed))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT name FROM dentry").fetchall() == [(b"before",)]
        assert copy.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_backup_that_nobody_fetches_is_let_go(meta: MetaUnderTest) -> None:
    backup = meta.service.call(ROOT, TakeBackup())
    meta.clock.advance(KEEP_S - 1)
    assert fetch(meta, backup)
    meta.clock.advance(KEEP_S - 1)
    assert fetch(meta, backup)
    meta.until(lambda: meta.running().care.backups._kept is None)
    with pytest.raises(BadRequest, match="not kept any more"):
        fetch(meta, backup)


def test_another_backup_replaces_the_first_and_bad_parts_are_refused(meta: MetaUnderTest) -> None:
    first = meta.service.call(ROOT, TakeBackup())
    meta.clock.advance(1)
    meta.mount()
    second = meta.service.call(ROOT, TakeBackup())
    with pytest.raises(BadRequest, match="not kept any more"):
        fetch(meta, first)
    for offset, limit in ((-1, 1), (0, 0), (0, SNAPSHOT_PART_BYTES_MAX + 1)):
        with pytest.raises(BadRequest, match="bytes at"):
            fetch(meta, second, offset, limit)


def test_backups_are_for_root_only(meta: MetaUnderTest) -> None:
    with pytest.raises(NotPermitted):
        meta.service.call(FakeContext(caller=NOBODY), TakeBackup())
    backup = meta.service.call(ROOT, TakeBackup())
    with pytest.raises(NotPermitted):
        meta.service.call(FakeContext(caller=NOBODY), FetchBackup(backup, 0, 1))
