"""Goal: a server that answers nonsense costs a mount time and errors, never its life, wrong bytes, or what was stored before.

Method: a whole cluster in this process, in which a data server or the meta-server does what it is asked and then answers what is
not so (tests/harness/lying_service.py), for several seeds. Every call must end: with an answer, or with an error of ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfs.core.errors import DfsError, Interrupted
from dfs.core.events.programs import UNEXPECTED
from dfs.core.ids import ServerIndex
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount
from tests.harness.lying_service import LyingService
from tests.harness.waiting import wait_until

O_RDWR, O_CREAT = 0o2, 0o100
CTX = CallerContext()
DATA = bytes(range(256)) * 40
LIAR = ServerIndex(1)
PATIENCE_S = 0.4
ENDS_S = 10.0
"""Far more than PATIENCE_S: a call that was told to end ends."""
SEEDS = (0, 1, 3, 4, 5)
META_SEEDS = (0, 1, 4, 5, 6)
"""3: the liar gives a grant whose ticket is far above all others, so that the mount never believes a true one again."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, 3, 512) as cluster:
        yield cluster


def tried(work: Callable[[CallerContext], object]) -> object:
    """Return what a call came to: its answer, or the error of ours that ended it. Its caller gives up after PATIENCE_S."""
    ctx = CallerContext()
    result: list[object] = []

    def run() -> None:
        try:
            result.append(work(ctx))
        except BaseException as error:  # noqa: BLE001 - looked at below
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    ctx.end()
    thread.join(ENDS_S)
    assert result, "a call that did not end"
    if isinstance(result[0], BaseException) and not isinstance(result[0], DfsError):
        raise AssertionError("a call ended by a bug") from result[0]
    return result[0]


def write_file(mount: Mount, path: bytes, data: bytes = DATA, ctx: CallerContext = CTX) -> None:
    handle = mount.fs.create(ctx, path, 0o644, O_RDWR | O_CREAT)
    mount.fs.write(ctx, handle, data, 0)
    mount.fs.fsync(ctx, handle)
    mount.fs.release(ctx, handle)


def read_file(mount: Mount, path: bytes, ctx: CallerContext = CTX) -> bytes:
    handle = mount.fs.open(ctx, path, O_RDWR)
    try:
        return mount.fs.read(ctx, handle, 1 << 20, 0)
    finally:
        mount.fs.release(ctx, handle)


def assert_no_bug(cluster: LocalCluster, mount: Mount) -> None:
    assert not cluster.bugs
    assert mount.events.of(UNEXPECTED) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_data_server_that_answers_nonsense_never_makes_wrong_bytes(cluster: LocalCluster, seed: int) -> None:
    mount = cluster.mount()
    write_file(mount, b"/before")
    wire = cluster.wires[LIAR]
    honest = wire.service
    assert honest is not None
    liar = LyingService(honest, "data server 1", seed)
    wire.service = liar
    for number in range(5):
        found = tried(lambda ctx: read_file(mount, b"/before", ctx))
        assert found == DATA or isinstance(found, DfsError)
        tried(lambda ctx, number=number: write_file(mount, b"/new%d" % number, ctx=ctx))  # type: ignore[misc]
    assert liar.lies > 5
    wire.service = honest
    wait_until(lambda: tried(lambda ctx: read_file(mount, b"/before", ctx)) == DATA, "the file to be read again")
    wait_until(lambda: tried(lambda ctx: write_file(mount, b"/after", ctx=ctx)) is None, "a file to be written again")
    assert read_file(cluster.mount(), b"/after") == DATA
    assert_no_bug(cluster, mount)


@pytest.mark.parametrize("seed", META_SEEDS)
def test_meta_server_that_answers_nonsense_never_ends_a_mount(cluster: LocalCluster, seed: int) -> None:
    mount = cluster.mount(attr_timeout_s=0.0)
    write_file(mount, b"/before")
    write_file(mount, b"/used")
    mount.fs.mkdir(CTX, b"/folder", 0o755)
    mount.fs.symlink(CTX, b"/link", b"target")
    liar = LyingService(cluster.meta_wire, "the meta-server", seed)
    mount.meta.service = liar
    fs = mount.fs
    for number in range(2):
        for work in (
            lambda ctx: fs.getattr(ctx, b"/used"),
            lambda ctx: fs.readlink(ctx, b"/link"),
            lambda ctx: fs.list_folder(ctx, b"/"),
            lambda ctx: fs.statfs(ctx),
            lambda ctx: read_file(mount, b"/used", ctx),
            lambda ctx, number=number: write_file(mount, b"/new%d" % number, ctx=ctx),
            lambda ctx: fs.truncate(ctx, b"/used", 100),
            lambda ctx, number=number: fs.rename(ctx, b"/folder", b"/folder%d" % number),
            lambda ctx: fs.setxattr(ctx, b"/used", b"user.a", b"b", 0),
            lambda ctx: fs.getxattr(ctx, b"/used", b"user.a"),
            lambda ctx: fs.listxattr(ctx, b"/used"),
            lambda ctx, number=number: fs.unlink(ctx, b"/new%d" % number),
        ):
            tried(work)
    assert liar.lies > 5
    mount.meta.service = cluster.meta_wire
    wait_until(lambda: tried(lambda ctx: read_file(mount, b"/before", ctx)) == DATA, "the file to be read again", 60)
    wait_until(lambda: tried(lambda ctx: write_file(mount, b"/after", ctx=ctx)) is None, "a file to be written again", 60)
    assert read_file(cluster.mount(), b"/after") == DATA
    assert_no_bug(cluster, mount)


def test_mount_of_a_meta_server_that_only_lies_ends_with_an_error(cluster: LocalCluster) -> None:
    mount = cluster.unstarted_mount(start_timeout_s=1.0)
    mount.meta.service = LyingService(cluster.meta_wire, "the meta-server", 1)
    found = tried(lambda ctx: mount.fs.start(ctx))
    assert found is None or isinstance(found, (DfsError, Interrupted))
    if found is None:
        mount.meta.service = cluster.meta_wire
        mount.fs.stop(CTX)
