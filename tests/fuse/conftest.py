"""Mounts for the tests of the FUSE boundary: real kernel, real libfuse, files in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.memory_mount_process import MemoryMountProcess


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryMountProcess]:
    """Return a mount for all tests of a module that leave it working."""
    mount = MemoryMountProcess(tmp_path_factory.mktemp("shared"))
    try:
        mount.start()
        yield mount
    finally:
        mount.close()


@pytest.fixture
def own_mount(tmp_path: Path) -> Iterator[MemoryMountProcess]:
    """Return a mount for one test that may end it."""
    mount = MemoryMountProcess(tmp_path)
    try:
        mount.start()
        yield mount
    finally:
        mount.close()


@pytest.fixture(scope="module")
def posix_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with two mounts for all tests of a module that leave it working."""
    with Cluster(tmp_path_factory.mktemp("posix")) as cluster:
        cluster.start(mounts=2)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()


@pytest.fixture
def two_mounts(posix_cluster: Cluster, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Return a new folder as the two mounts show it, for one test."""
    name = request.node.name.replace("/", "_")[:100]
    one, other = (posix_cluster.mount(number).path / name for number in (0, 1))
    one.mkdir()
    return one, other


@pytest.fixture
def folder(two_mounts: tuple[Path, Path]) -> Path:
    """Return a new folder on a mount, for one test."""
    return two_mounts[0]
