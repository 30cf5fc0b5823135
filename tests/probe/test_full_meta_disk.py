"""Goal: a full disk under the meta-server costs errors while it is full, nothing that was acknowledged, and no restart.
Method: a real cluster whose meta-server keeps its state on a tmpfs of a few MiB, which another program (the test) fills.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.tmpfs import tmpfs_on
from tests.harness.waiting import wait_until
from tests.probe.test_dfsctl import json_status
from tests.unit.meta.test_room import fill

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

CONTENT = bytes(range(256)) * 40
REFUSED = (errno.ENOSPC, errno.EROFS)
"""Nothing new is made; or the meta-server's own work has met the full disk already, and it is read-only."""


@pytest.fixture
def cramped(make_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """Return a running cluster with one mount, whose meta-server has a small disk."""
    cluster = make_cluster(n=2)
    cluster.allow("the disk of the meta-server is full", "the meta-server is read-only", "waiting for meta-server")
    with tmpfs_on(cluster.folder / "meta", "size=6M"), closing(cluster):
        cluster.start(mounts=1)
        yield cluster


def errno_of(action: Callable[[], object]) -> int:
    """Return how an action ended, 0 for well."""
    try:
        action()
    except OSError as error:
        return error.errno or -1
    return 0


def test_filled_disk_gives_errors_and_writes_work_again_without_restart_when_there_is_space(cramped: Cluster) -> None:
    folder = cramped.mount().path
    for number in range(5):
        (folder / f"kept{number}").write_bytes(CONTENT)
    filler = cramped.folder / "meta" / "filler"
    fill(filler)
    assert errno_of(lambda: (folder / "new").write_bytes(CONTENT)) in REFUSED
    assert "full" in json_status(cramped)[1]["meta"]["state"]
    acknowledged = change_until_refused(folder / "kept0")
    assert errno_of(lambda: (folder / "new").write_bytes(CONTENT)) in REFUSED
    filler.unlink()
    wait_until(lambda: errno_of(lambda: (folder / "new").write_bytes(CONTENT)) == 0, "a new file", 30)
    assert json_status(cramped)[0] == 0
    cramped.meta.wait_for_log("the meta-server is read-only, nothing can be changed until there is space")
    cramped.meta.wait_for_log("changes are served")
    cramped.meta.kill()
    cramped.restart(cramped.meta)
    assert (folder / "kept0").stat().st_mode & 0o777 == acknowledged
    assert sorted(path.name for path in folder.iterdir()) == [*(f"kept{number}" for number in range(5)), "new"]
    assert all((folder / f"kept{number}").read_bytes() == CONTENT for number in range(5))


def test_disk_filled_to_the_reserve_takes_removals(cramped: Cluster) -> None:
    folder = cramped.mount().path
    for number in range(20):
        (folder / f"file{number}").write_bytes(CONTENT)
    (cramped.folder / "meta" / "filler").write_bytes(bytes(leave_free(cramped.folder / "meta", 700_000)))
    assert errno_of(lambda: (folder / "new").write_bytes(CONTENT)) == errno.ENOSPC
    for number in range(20):
        (folder / f"file{number}").unlink()
    assert list(folder.iterdir()) == []
    assert "the meta-server is read-only" not in cramped.meta.log_text()


def change_until_refused(path: Path) -> int:
    """Use up the space that SQLite's log has taken already; return the last mode that was acknowledged."""
    acknowledged = path.stat().st_mode & 0o777
    for mode in range(0o400, 0o777):
        failed = errno_of(lambda mode=mode: path.chmod(mode))  # type: ignore[misc]
        if failed:
            assert failed in REFUSED
            return acknowledged
        acknowledged = mode
    raise AssertionError("the disk never filled up")


def leave_free(folder: Path, free_bytes: int) -> int:
    """Return how many bytes to write so that so many are left."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize - free_bytes
