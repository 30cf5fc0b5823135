"""Goal: a data server that moved to another port works after the configuration changed: its superblock says who it is.
Method: real processes; the configuration is edited while a mount stays in use, and the servers concerned are restarted.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.harness.cluster import Cluster, free_ports, is_answering
from tests.harness.program import Program, script_command
from tests.harness.waiting import wait_until

CONTENT = os.urandom(100_000)


def read_afresh(path: Path) -> bytes:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


def move(cluster: Cluster, index: int, port: int) -> None:
    """Let the configuration say another port for a data server."""
    ports = list(cluster.data_ports)
    text = cluster.config_file.read_text()
    cluster.config_file.write_text(text.replace(f"127.0.0.1:{ports[index]}", f"127.0.0.1:{port}"))
    ports[index] = port
    cluster.data_ports = tuple(ports)


def test_moved_server_is_found_by_meta_and_by_a_mount_that_stays(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("waiting for meta-server", "reading from the other copies", "writing waits")
    assert cluster.data(1).stop() == 0
    assert cluster.meta.stop() == 0
    move(cluster, 1, free_ports(1)[0])
    cluster.restart(cluster.data(1))
    cluster.restart(cluster.meta)
    path.write_bytes(CONTENT[::-1])
    assert cluster.data(2).stop() == 0  # only the moved server has the other copy of some blocks
    assert read_afresh(path) == CONTENT[::-1]
    cluster.restart(cluster.data(2))


def test_moved_server_is_found_by_the_original_mount_command(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(CONTENT)
    cluster.allow("reading from the other copies", "is not used")
    assert cluster.mount().unmount() == 0
    assert cluster.meta.stop() == 0
    assert cluster.data(1).stop() == 0
    # The original commands: meta knows the servers from the first mount, and a later one tells where they are now.
    meta = Program(
        "metaserver",
        script_command("metaserver.py", cluster.meta_port, "--state", cluster.folder / "meta"),
        cluster.folder / "metaserver.log",
        cluster.folder,
    )
    move(cluster, 1, free_ports(1)[0])
    cluster.restart(cluster.data(1))
    point = cluster.folder / "original"
    point.mkdir()
    mount = Program(
        "original",
        script_command("distributedFS.py", point, cluster.meta_port, *cluster.data_ports),
        cluster.folder / "original.log",
        cluster.folder,
    )
    try:
        meta.start()
        wait_until(lambda: is_answering(cluster.meta_port), "the meta-server to answer")
        mount.start()
        wait_until(lambda: (point / "file").exists() or not mount.is_running(), "the mount")
        assert (point / "file").read_bytes() == CONTENT
        (point / "file").write_bytes(CONTENT[::-1])
        assert cluster.data(2).stop() == 0
        assert read_afresh(point / "file") == CONTENT[::-1]
        assert mount.stop() == 0
        assert meta.stop() == 0
    finally:
        mount.end_for_sure()
        meta.end_for_sure()
