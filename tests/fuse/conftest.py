"""Mounts for the tests of the FUSE boundary: real kernel, real libfuse, files in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
